// Logistic distribution of pixels cut into 256 levels (Salimans et al. 2017), as bytes / 255: level x has the mass from
// x - 1/510 to x + 1/510, and the first and last all that lies beyond. eta = [mu | l] is the decoder's output, the
// scale is s = e^t with t = softplus(l + OFFSET) + LOWEST; sample k of image b is row b*K + k.
//   log_likelihood  log p(x|z) = sum over d of ln(sigmoid(p) - sigmoid(m)), p = (x + 1/510 - mu) / s, m = (x - 1/510 - mu) / s
//   backward        d_eta = w times its derivative, w the row's weight in the objective
//   expectation     the mean of the levels, sum over i = 1..255 of sigmoid((mu - (i - 1/2) / 255) / s) / 255
// ln(sigmoid(p) - sigmoid(m)) = ln(1 - e^-(p - m)) - softplus(-p) - softplus(m): nothing cancels and nothing
// overflows, be the level where the distribution has all its mass or none.
// Grid: a workgroup a row; backward, expectation: x over pixels of a row, y over rows. Sums in tree order.
#import math
#import reduce

/// images
override B: u32;
/// samples an image
override K: u32;
/// pixels
override D: u32;
override WORKGROUP: u32 = 64u;
/// ln s at least: a level in the middle of a bin then has 0.994 of the mass
const LOWEST = -8.0;
/// l = 0 is ln s = LOWEST + OFFSET, all but
const OFFSET = 6.0;
/// l at most, so that 1/s does not vanish
const HIGHEST = 20.0;
/// half the width of a level
const HALF = 0.0019607843;

/// (B, D) pixels, bytes / 255
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, 2*D) [mu | l]
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (B*K)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(3) var<storage, read_write> log_px: array<f32>;
/// (B*K, 2*D) [d_mu | d_l]
@group(0) @binding(4) var<storage, read_write> d_eta: array<f32>;
/// (B*K, D) expected pixels
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;

/// 1/s
fn inverse_scale(l: f32) -> f32 {
    return exp(-(LOWEST + softplus(OFFSET + select(l, HIGHEST, l > HIGHEST))));
}

@compute @workgroup_size(WORKGROUP)
fn log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var part = 0.0;
    if row < B * K {
        for (var d = lane; d < D; d += WORKGROUP) {
            let level = x[row / K * D + d];
            let inverse = inverse_scale(eta[row * 2u * D + D + d]);
            let offset = level - eta[row * 2u * D + d];
            // of a NaN no comparison holds: then it is in the sum
            let first = level <= HALF;
            let last = level >= 1.0 - HALF;
            part -= select(softplus((-HALF - offset) * inverse), 0.0, last);
            part -= select(softplus((offset - HALF) * inverse), 0.0, first);
            part += select(log(one_minus_exp(-2.0 * HALF * inverse)), 0.0, first || last);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = total; }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * 2u * D + id.x;
    let level = x[id.y / K * D + id.x];
    let l = eta[e + D];
    let inverse = inverse_scale(l);
    let offset = level - eta[e];
    let p = (offset + HALF) * inverse;
    let m = (offset - HALF) * inverse;
    let width = 2.0 * HALF * inverse;
    let first = level <= HALF;
    let last = level >= 1.0 - HALF;
    let below = select(sigmoid(-p), 0.0, last);
    let above = select(sigmoid(m), 0.0, first);
    let between = select(width * exp(-width) / one_minus_exp(-width), 0.0, first || last);
    let slope = select(sigmoid(OFFSET + l), 0.0, l > HIGHEST); // of t over l
    d_eta[e] = weight[id.y] * ((above - below) * inverse);
    d_eta[e + D] = weight[id.y] * ((m * above - p * below - between) * slope);
}

@compute @workgroup_size(WORKGROUP)
fn expectation(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let mu = eta[id.y * 2u * D + id.x];
    let inverse = inverse_scale(eta[id.y * 2u * D + D + id.x]);
    var sum = 0.0;
    for (var i = 1u; i < 256u; i++) { // the mean is the sum of the probabilities of at least i
        sum += sigmoid((mu - (2.0 * f32(i) - 1.0) * HALF) * inverse);
    }
    mean[id.y * D + id.x] = sum / 255.0;
}
