// Bernoulli likelihood of pixels, from logits eta; sample k of image b is row b*K + k.
//   log_likelihood  log p(x|z) = sum over d of x eta - softplus(eta)
//   backward        d_eta = w (x - sigmoid(eta)), w the row's weight in the objective
//   expectation     sigmoid(eta)
// Where the weights do not depend on log p(x|z), bernoulli.decode does all of it and stores no logits.
// softplus(eta) = max(eta, 0) + ln(1 + e^-|eta|): never a logarithm of a probability. The logarithms of
// a lane are one logarithm of the product of its 1 + e^-|eta|, taken before the product can overflow.
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
/// (B*K, D) probabilities
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var part = 0.0;
    if row < B * K {
        var product = 1.0;
        for (var d = lane; d < D; d += WORKGROUP) {
            let eta = logits[row * D + d];
            part += x[row / K * D + d] * eta - select(eta, 0.0, eta < 0.0);
            product *= 1.0 + exp(-abs(eta));
            if product > 1e30 {
                part -= log(product);
                product = 1.0;
            }
        }
        part -= log(product);
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = total; }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * D + id.x;
    d_logits[e] = weight[id.y] * (x[id.y / K * D + id.x] - sigmoid(logits[e]));
}

@compute @workgroup_size(WORKGROUP)
fn expectation(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= D || id.y >= B * K { return; }
    let e = id.y * D + id.x;
    mean[e] = sigmoid(logits[e]);
}
