// A gate behind a layer of twice as many channels (Dauphin et al. 2017): the second half says what passes of the first.
//   forward   y = a s,  s = sigmoid(b),  [a | b] the channels of a pixel
//   backward  d_a = d_y s,  d_b = d_y a s (1 - s)
// A layer of units is one of a single pixel.
// Sums: none. Numerics: a NaN stays one.
// Who owns what: an invocation owns one element of y, or the two of d_x that made it.
// Grid: x and y over elements of y, WORKGROUP a workgroup.
#import math

/// rows times pixels
override N: u32;
/// channels of y
override C: u32;
override WORKGROUP: u32 = 64u;

/// (..N*2*C) [a | b]
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (..N*C)
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

/// (..N*C)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (..N*2*C) [d_a | d_b]
@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N * C { return; }
    let a = e / C * 2u * C + e % C;
    y[e] = x[a] * sigmoid(x[a + C]);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let e = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if e >= N * C { return; }
    let a = e / C * 2u * C + e % C;
    let s = sigmoid(x[a + C]);
    d_x[a] = d_y[e] * s;
    // 1 - s without a difference that cancels
    d_x[a + C] = d_y[e] * x[a] * (s * sigmoid(-x[a + C]));
}
