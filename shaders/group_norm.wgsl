// Group normalisation (Wu and He 2018) of maps with their channels last: a group of neighbouring channels of an image has
// mean 0 and variance 1, then each channel a scale w and a shift b of its own. One group is layer normalisation (Ba,
// Kiros and Hinton 2016). It knows one image at a time: training and evaluation compute the same.
//   forward         y = f(w n + b),  n = (x - m) r,  m the mean of the group,  r = 1 / sqrt(variance + 1e-5)
//   channel_sums    of each image and channel: d_w = sum over pixels of d_y n,  d_b = sum of d_y
//   backward_input  d_x = r (w d_y - s1 - n s2),  s1 = sum over the group's channels of w d_b / E,  s2 = the same of w d_w
// E are the elements of a group. statistics are [m | r] of each group; parameters are [w | b]. d_y is before f.
// Grid: forward and backward_input: a workgroup an image and group, which owns its elements and statistics.
// channel_sums: x and y over images and channels, WORKGROUP a workgroup; an invocation owns the sums of a channel.
// Sums over a group in tree order, over pixels ascending.
#import activation
#import reduce

/// images times samples
override R: u32;
/// pixels of an image
override P: u32;
/// channels
override C: u32;
/// groups of channels
override G: u32;
/// see activation.wgsl
override ACTIVATION: u32 = 0u;
override WORKGROUP: u32 = 64u;
const EPSILON = 1e-5;

/// (R, P*C)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (2*C) [w | b]
@group(0) @binding(1) var<storage, read> parameters: array<f32>;
/// (R, P*C)
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
/// (R, 2*G) [m | r]
@group(0) @binding(3) var<storage, read_write> statistics: array<f32>;

/// (R, 2*G) [m | r]
@group(0) @binding(1) var<storage, read> kept: array<f32>;
/// (R, P*C)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
/// (R, 2*C) [d_w | d_b]
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

/// (2*C) [w | b]
@group(0) @binding(3) var<storage, read> scale_and_shift: array<f32>;
/// (R, 2*C) [d_w | d_b]
@group(0) @binding(4) var<storage, read> channel_gradients: array<f32>;
/// (R, P*C)
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;

/// Where element e of a group is in an image: pixel after pixel, the group's channels of each.
fn place(group: u32, e: u32) -> u32 {
    let own = C / G;
    return e / own * C + group * own + e % own;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = workgroup.x + workgroup.y * workgroups.x;
    let row = at / G;
    let group = at % G;
    let n = P * (C / G);
    var part = 0.0;
    if row < R {
        for (var e = lane; e < n; e += WORKGROUP) { part += x[row * P * C + place(group, e)]; }
    }
    let m = workgroup_sum(part, lane) / f32(n);
    var squares = 0.0;
    if row < R {
        for (var e = lane; e < n; e += WORKGROUP) {
            let d = x[row * P * C + place(group, e)] - m;
            squares += d * d;
        }
    }
    let r = 1.0 / sqrt(workgroup_sum(squares, lane) / f32(n) + EPSILON);
    if row >= R { return; }
    for (var e = lane; e < n; e += WORKGROUP) {
        let i = place(group, e);
        let scaled = parameters[i % C] * ((x[row * P * C + i] - m) * r);
        y[row * P * C + i] = activate(ACTIVATION, scaled + parameters[C + i % C]);
    }
    if lane == 0u {
        statistics[row * 2u * G + group] = m;
        statistics[row * 2u * G + G + group] = r;
    }
}

@compute @workgroup_size(WORKGROUP)
fn channel_sums(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = (workgroup.x + workgroup.y * workgroups.x) * WORKGROUP + lane;
    if at >= R * C { return; }
    let row = at / C;
    let channel = at % C;
    let group = channel / (C / G);
    let m = kept[row * 2u * G + group];
    let r = kept[row * 2u * G + G + group];
    var d_w = 0.0;
    var d_b = 0.0;
    for (var p = 0u; p < P; p++) {
        let i = (row * P + p) * C + channel;
        d_w += d_y[i] * ((x[i] - m) * r);
        d_b += d_y[i];
    }
    sums[row * 2u * C + channel] = d_w;
    sums[row * 2u * C + C + channel] = d_b;
}

@compute @workgroup_size(WORKGROUP)
fn backward_input(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = workgroup.x + workgroup.y * workgroups.x;
    let row = at / G;
    let group = at % G;
    let own = C / G;
    let n = P * own;
    var of_b = 0.0;
    var of_w = 0.0;
    if row < R {
        for (var c = group * own + lane; c < (group + 1u) * own; c += WORKGROUP) {
            of_w += scale_and_shift[c] * channel_gradients[row * 2u * C + c];
            of_b += scale_and_shift[c] * channel_gradients[row * 2u * C + C + c];
        }
    }
    let s1 = workgroup_sum(of_b, lane) / f32(n);
    let s2 = workgroup_sum(of_w, lane) / f32(n);
    if row >= R { return; }
    let m = kept[row * 2u * G + group];
    let r = kept[row * 2u * G + G + group];
    for (var e = lane; e < n; e += WORKGROUP) {
        let i = place(group, e);
        let normal = (x[row * P * C + i] - m) * r;
        let d_scaled = scale_and_shift[i % C] * d_y[row * P * C + i];
        d_x[row * P * C + i] = r * (d_scaled - s1 - normal * s2);
    }
}
