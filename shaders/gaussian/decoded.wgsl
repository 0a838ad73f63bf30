// Gaussian likelihood of real values whose mean and variance both come from the decoder: its output is [m | a], D
// values each, and the variance is e^v, v = LOWEST + softplus(a - LOWEST): a itself where it is far above LOWEST, and
// never below it. Sample k of image b is row b*K + k.
//   decoded_log_likelihood  log p(x|z) = -1/2 sum over d of (x - m)^2 e^-v + ln 2 pi + v
//   decoded_backward        d_m = w (x - m) e^-v, d_a = w/2 ((x - m)^2 e^-v - 1) sigmoid(a - LOWEST)
//   decoded_mean            m
// w is the row's weight in the objective. With MASKED, cells that are missing have no part in it.
// Grid: decoded_log_likelihood: a workgroup a row, lane 0 owns log_px; the others: x over values, y over rows, an
// invocation an element of x. Sums in tree order.
#import reduce
#import math
#import missing

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
/// 1: cells may be missing
override MASKED: u32 = 0u;
override WORKGROUP: u32 = 64u;
const LN_TWO_PI = 1.8378770664093453;
/// ln of a grey level's width squared over 12, as in fit_variance
const LOWEST = -13.5687;

/// (B, D)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, 2*D) [m | a]
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (B*K)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(3) var<storage, read_write> log_px: array<f32>;
/// (B*K, 2*D) [d_m | d_a]
@group(0) @binding(4) var<storage, read_write> d_eta: array<f32>;
/// (B*K, D)
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn decoded_log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var part = 0.0;
    if row < B * K {
        for (var d = lane; d < D; d += WORKGROUP) {
            let cell = x[row / K * D + d];
            let absent = MASKED == 1u && is_missing(cell);
            let r = select(cell - eta[row * 2u * D + d], 0.0, absent);
            let v = LOWEST + softplus(eta[row * 2u * D + D + d] - LOWEST);
            part += select(r * r * exp(-v) + (LN_TWO_PI + v), 0.0, absent);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = -0.5 * total; }
}

@compute @workgroup_size(WORKGROUP)
fn decoded_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = id.x;
    let row = id.y;
    if d >= D || row >= B * K { return; }
    let above = eta[row * 2u * D + D + d] - LOWEST;
    let inverse = exp(-(LOWEST + softplus(above)));
    let cell = x[row / K * D + d];
    let absent = MASKED == 1u && is_missing(cell);
    let r = select(cell - eta[row * 2u * D + d], 0.0, absent);
    let excess = select(r * r * inverse - 1.0, 0.0, absent);
    d_eta[row * 2u * D + d] = weight[row] * (r * inverse);
    d_eta[row * 2u * D + D + d] = weight[row] * (0.5 * excess * sigmoid(above));
}

@compute @workgroup_size(WORKGROUP)
fn decoded_mean(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = id.x;
    let row = id.y;
    if d >= D || row >= B * K { return; }
    mean[row * D + d] = eta[row * 2u * D + d];
}
