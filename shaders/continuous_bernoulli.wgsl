// Continuous Bernoulli likelihood of pixels in [0, 1] (Loaiza-Ganem and Cunningham 2019), from logits eta; sample k
// of image b is row b*K + k. Its density is lambda^x (1 - lambda)^(1 - x) over its integral, lambda = sigmoid(eta).
//   log_likelihood  log p(x|z) = sum over d of x eta - A(eta), A(eta) = ln((e^eta - 1) / eta)
//   backward        d_eta = w (x - A'(eta)), w the row's weight in the objective
//   expectation     A'(eta) = 1 / (1 - e^-eta) - 1 / eta
// A(eta) = max(eta, 0) + ln((1 - e^-|eta|) / |eta|): no exponential that overflows. Where eta > 0 the sum has
// (x - 1) eta in place of x eta - max(eta, 0), whose digits would cancel. A' is a series near
// eta = 0, where its terms cancel, and elsewhere 1 / |eta| - e^-|eta| / (1 - e^-|eta|) or 1 less that.
// Grid: a workgroup a row; backward, expectation: x over elements of a row, y over rows. Sums in tree order.
#import math
#import reduce

/// images
override B: u32;
/// samples an image
override K: u32;
/// pixels
override D: u32;
override WORKGROUP: u32 = 64u;

/// (B, D) pixels in [0, 1]
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D)
@group(0) @binding(1) var<storage, read> logits: array<f32>;
/// (B*K)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(3) var<storage, read_write> log_px: array<f32>;
/// (B*K, D)
@group(0) @binding(4) var<storage, read_write> d_logits: array<f32>;
/// (B*K, D) expected pixels
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;

/// A(eta) - max(eta, 0)
fn log_ratio(eta: f32) -> f32 {
    let a = abs(eta);
    // below 1e-30 a driver may take a for zero, of which the ratio would be NaN
    let ratio = select(one_minus_exp(-a) / a, 1.0, a < 1e-30);
    return log(ratio);
}

/// A'(eta)
fn expected(eta: f32) -> f32 {
    let a = abs(eta);
    if a < 1.0 { // the error of the series is below 1e-9
        let w = eta * eta;
        return 0.5 + eta * (0.083333333 - w * (0.0013888889 - w * (3.3068783e-5 - w * (8.2671958e-7 - w * 2.0876757e-8))));
    }
    let e = exp(-a);
    let tail = 1.0 / a - e / (1.0 - e);
    return select(1.0 - tail, tail, eta < 0.0);
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
            let eta = logits[row * D + d];
            let pixel = x[row / K * D + d];
            part += select(pixel - 1.0, pixel, eta < 0.0) * eta - log_ratio(eta);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = total; }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * D + id.x;
    d_logits[e] = weight[id.y] * (x[id.y / K * D + id.x] - expected(logits[e]));
}

@compute @workgroup_size(WORKGROUP)
fn expectation(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * D + id.x;
    mean[e] = expected(logits[e]);
}
