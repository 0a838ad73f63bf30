// Poisson likelihood of counts, of rates r = s e^eta; sample k of row b is row b*K + k. s is the size factor of the row, its
// total over `mean_total`.
//   log_likelihood  log p(x|z) = sum over d of x ln r - r - ln x!
//   backward        d_eta = w (x - r), w the row's weight in the objective; 0 where eta is beyond its bound
// A term is -(x ln(x/r) + r - x) - ln(2 pi x)/2 - S(x), S what Stirling's formula leaves of ln x! (Loader 2000): near its
// peak it is small, and so is its error, be x and r as large as they like.
// Grid: a workgroup a row; lane 0 owns log_px. Totals and sums in tree order.
#import count_likelihood

/// rows of the table
override B: u32;
/// samples a row
override K: u32;
/// counts of a row
override D: u32;
override WORKGROUP: u32 = 64u;

/// (B, D) counts
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D)
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (1) 0: all rows are of one size
@group(0) @binding(2) var<storage, read> mean_total: array<f32>;
/// (B*K)
@group(0) @binding(3) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(4) var<storage, read_write> log_px: array<f32>;
/// (B*K, D)
@group(0) @binding(5) var<storage, read_write> d_eta: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let size = size_of_row(row, lane);
    let log_size = ln_precise(size);
    var part = 0.0;
    if row < B * K {
        for (var d = lane; d < D; d += WORKGROUP) {
            let count = x[row / K * D + d];
            let bounded = clamp_eta(eta[row * D + d]);
            let rate = size * exp(bounded);
            let log_ratio = ln_precise(count) - (bounded + log_size);
            part += log_peak(count) - deviance(count, count - rate, log_ratio);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_px[row] = total; }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    let size = size_of_row(row, lane);
    if row >= B * K { return; }
    for (var d = lane; d < D; d += WORKGROUP) {
        let e = row * D + d;
        let gap = x[row / K * D + d] - size * exp(clamp_eta(eta[e]));
        d_eta[e] = weight[row] * select(gap, 0.0, eta[e] > HIGHEST_ETA);
    }
}
