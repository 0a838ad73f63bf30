// Gaussian likelihood of real values, with mean eta and one variance s = e^v for all of them; sample k of
// image b is row b*K + k.
//   log_likelihood  log p(x|z) = -1/2 (sum over d of (x - eta)^2 / s + D (ln 2 pi + v))
//   gradient        the same, d_eta = w (x - eta) / s, and squares = sum over d of (x - eta)^2 / s
//   backward        d_eta and squares alone, where w depends on log p(x|z)
//   variance        d_v = sum over rows of w/2 (squares - D)
// w is the row's weight in the objective. v is clamped as a log variance; beyond, its gradient is zero.
// Grid: a workgroup a row; variance: one workgroup. Lane 0 owns log_px, squares and d_v. Sums in tree order.
#import reduce
#import log_variance

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
override WORKGROUP: u32 = 64u;
const LN_TWO_PI = 1.8378770664093453;

/// (B, D)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D) means
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (1) v
@group(0) @binding(2) var<storage, read> log_variance: array<f32>;
/// (B*K)
@group(0) @binding(3) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(4) var<storage, read_write> log_px: array<f32>;
/// (B*K, D)
@group(0) @binding(5) var<storage, read_write> d_eta: array<f32>;
/// (B*K)
@group(0) @binding(6) var<storage, read_write> squares: array<f32>;

/// (B*K)
@group(0) @binding(0) var<storage, read> row_squares: array<f32>;
/// (1) d_v
@group(0) @binding(1) var<storage, read_write> d_log_variance: array<f32>;

fn log_density(scaled_squares: f32, v: f32) -> f32 {
    return -0.5 * (scaled_squares + f32(D) * (LN_TWO_PI + v));
}

@compute @workgroup_size(WORKGROUP)
fn log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let v = clamp_log_variance(log_variance[0]);
    var part = 0.0;
    if row < B * K {
        for (var d = lane; d < D; d += WORKGROUP) {
            let r = x[row / K * D + d] - eta[row * D + d];
            part += r * r;
        }
    }
    let total = workgroup_sum(part, lane) * exp(-v);
    if lane == 0u && row < B * K { log_px[row] = log_density(total, v); }
}

@compute @workgroup_size(WORKGROUP)
fn gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let v = clamp_log_variance(log_variance[0]);
    let total = row_backward(row, lane, exp(-v));
    if lane == 0u && row < B * K {
        log_px[row] = log_density(total, v);
        squares[row] = total;
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let total = row_backward(row, lane, exp(-clamp_log_variance(log_variance[0])));
    if lane == 0u && row < B * K { squares[row] = total; }
}

/// Writes d_eta of a row and returns its squares.
fn row_backward(row: u32, lane: u32, inverse: f32) -> f32 {
    var part = 0.0;
    if row < B * K {
        let w = weight[row];
        for (var d = lane; d < D; d += WORKGROUP) {
            let r = x[row / K * D + d] - eta[row * D + d];
            part += r * r;
            d_eta[row * D + d] = w * (r * inverse);
        }
    }
    return workgroup_sum(part, lane) * inverse;
}

@compute @workgroup_size(WORKGROUP)
fn variance(@builtin(local_invocation_index) lane: u32) {
    var part = 0.0;
    for (var row = lane; row < B * K; row += WORKGROUP) {
        part += 0.5 * weight[row] * (row_squares[row] - f32(D));
    }
    let total = workgroup_sum(part, lane);
    let v = log_variance[0];
    let inside = select(0.0, 1.0, clamp_log_variance(v) == v);
    if lane == 0u { d_log_variance[0] = inside * total; }
}
