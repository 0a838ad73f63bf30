// What samples of a flow say of q(z|x): of each image the KL and the moments of its units. heads = [mu | l | ..] are those of the
// Gaussian that the flow begins at, z what its steps make of mu + e^(l/2) eps, log_det that of their Jacobians.
//   flow_kl       the mean over k of log q(z|x) - log p(z) = -1/2 sum over units of eps^2 + l - z^2, less log_det
//   flow_moments  mean and log variance of each unit over the samples of an image
// Row b*K + k of z is sample k of image b. l is clamped to [-30, 20].
// Grid: flow_kl: a workgroup an image, its lanes own their units; flow_moments: x over units, y over images. Sums over units in
// tree order, over k ascending.
#import log_variance
#import reduce

/// images of the minibatch
override B: u32;
/// samples an image
override K: u32;
/// latent units
override Z: u32;
/// heads of q
override H: u32;
override WORKGROUP: u32 = 64u;

/// (B, H) [mu | l | ..]
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (B*K, Z)
@group(0) @binding(1) var<storage, read> noise: array<f32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read> samples: array<f32>;
/// (B*K) nats
@group(0) @binding(3) var<storage, read> log_dets: array<f32>;
/// (B) nats
@group(0) @binding(4) var<storage, read_write> kl: array<f32>;

/// (B, 2*Z) [mean | log variance] of each unit
@group(0) @binding(0) var<storage, read_write> moments: array<f32>;

fn log_variance(image: u32, unit: u32) -> f32 {
    return clamp_log_variance(heads[image * H + Z + unit]);
}

@compute @workgroup_size(WORKGROUP)
fn flow_kl(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = group.x + group.y * groups.x;
    var part = 0.0;
    if image < B {
        for (var k = 0u; k < K; k++) {
            let row = image * K + k;
            for (var unit = lane; unit < Z; unit += WORKGROUP) {
                let e = row * Z + unit;
                part -= 0.5 * (noise[e] * noise[e] + log_variance(image, unit) - samples[e] * samples[e]);
            }
            if lane == 0u { part -= log_dets[row]; }
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && image < B { kl[image] = total / f32(K); }
}

@compute @workgroup_size(WORKGROUP)
fn flow_moments(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let image = id.y;
    if unit >= Z || image >= B { return; }
    var sum = 0.0;
    for (var k = 0u; k < K; k++) { sum += samples[(image * K + k) * Z + unit]; }
    let mean = sum / f32(K);
    var squares = 0.0;
    for (var k = 0u; k < K; k++) {
        let off = samples[(image * K + k) * Z + unit] - mean;
        squares += off * off;
    }
    moments[image * 2u * Z + unit] = mean;
    moments[image * 2u * Z + Z + unit] = log(squares / f32(K));
}
