// Gaussian likelihood of real values, with mean eta and a variance s = e^v of each of G groups that the values of an
// image take turns in: value d is of group d mod G. Sample k of image b is row b*K + k.
//   grouped_log_likelihood  log p(x|z) = -1/2 sum over d of (x - eta)^2 / s + ln 2 pi + v
//   grouped_backward        d_eta = w (x - eta) / s
// w is the row's weight in the objective. v is clamped as a log variance. With MASKED, cells that are missing have no part
// in it.
// Grid: grouped_log_likelihood: a workgroup a row, lane 0 owns log_px; grouped_backward: x over values, y over rows,
// an invocation an element. Sums in tree order.
#import reduce
#import log_variance
#import missing

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
/// groups
override G: u32;
/// 1: cells may be missing
override MASKED: u32 = 0u;
override WORKGROUP: u32 = 64u;
const LN_TWO_PI = 1.8378770664093453;

/// (B, D)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D) means
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (G) v
@group(0) @binding(2) var<storage, read> log_variance: array<f32>;
/// (B*K)
@group(0) @binding(3) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(4) var<storage, read_write> log_px: array<f32>;
/// (B*K, D)
@group(0) @binding(5) var<storage, read_write> d_eta: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn grouped_log_likelihood(
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
            let r = select(cell - eta[row * D + d], 0.0, absent);
            let v = clamp_log_variance(log_variance[d % G]);
            part += select(r * r * exp(-v) + (LN_TWO_PI + v), 0.0, absent);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = -0.5 * total; }
}

@compute @workgroup_size(WORKGROUP)
fn grouped_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = id.x;
    let row = id.y;
    if d >= D || row >= B * K { return; }
    let cell = x[row / K * D + d];
    let absent = MASKED == 1u && is_missing(cell);
    let r = select(cell - eta[row * D + d], 0.0, absent);
    d_eta[row * D + d] = weight[row] * (r * exp(-clamp_log_variance(log_variance[d % G])));
}
