// Negative binomial likelihood of counts, of means r = s e^eta and variances r + r^2 / t, where t = e^v is the inverse dispersion
// of the column; sample k of row b is row b*K + k. s is the size factor of the row, its total over `mean_total`.
//   log_likelihood  log p(x|z) = sum over d of ln Gamma(x + t) - ln Gamma(t) - ln x! + t ln(t/(t + r)) + x ln(r/(t + r))
//   backward        d_eta = w g, g = t (x - r)/(t + r), and d_v of each row for its column; 0 beyond the bounds
// With L = ln((t + r)/(x + t)), a term is -(t L + g) - (x ln(x/r) + x L - g) + S(x + t) - S(t) - S(x) - ln(2 pi x (1 + x/t))/2, S
// what Stirling's formula leaves of ln Gamma (Loader 2000), and its derivative over v is
// x/(2(x + t)) + t (T(t) - T(x + t)) - (t L + g), T the same of digamma: nothing cancels as t grows.
// Grid: a workgroup a row; lane 0 owns log_px. Totals and sums in tree order.
#import count_likelihood

/// rows of the table
override B: u32;
/// samples a row
override K: u32;
/// counts of a row
override D: u32;
override WORKGROUP: u32 = 64u;
/// v at least and at most
const LOWEST_V = -10.0;
const HIGHEST_V = 20.0;

/// (B, D) counts
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (B*K, D)
@group(0) @binding(1) var<storage, read> eta: array<f32>;
/// (1) 0: all rows are of one size
@group(0) @binding(2) var<storage, read> mean_total: array<f32>;
/// (D) v
@group(0) @binding(3) var<storage, read> log_inverse_dispersion: array<f32>;
/// (B*K)
@group(0) @binding(4) var<storage, read> weight: array<f32>;
/// (B*K) nats
@group(0) @binding(5) var<storage, read_write> log_px: array<f32>;
/// (B*K, D)
@group(0) @binding(6) var<storage, read_write> d_eta: array<f32>;
/// (B*K, D) d_v of each row
@group(0) @binding(7) var<storage, read_write> d_each: array<f32>;

/// v within its bounds
fn clamp_v(v: f32) -> f32 { // select, not clamp: a NaN must stay one
    return select(select(v, HIGHEST_V, v > HIGHEST_V), LOWEST_V, v < LOWEST_V);
}

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
            let t = exp(clamp_v(log_inverse_dispersion[d]));
            let gap = (count - rate) * (t / (t + rate));
            let both = ln_precise((t + rate) / (count + t));
            let log_ratio = ln_precise(count) - (bounded + log_size) + both;
            part -= deviance(t, -gap, both) + deviance(count, gap, log_ratio);
            part += stirling_rest(count + t) - stirling_rest(t);
            part += log_peak(count) - 0.5 * ln_precise(1.0 + count / t);
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
        let count = x[row / K * D + d];
        let rate = size * exp(clamp_eta(eta[e]));
        let v = log_inverse_dispersion[d];
        let t = exp(clamp_v(v));
        let gap = (count - rate) * (t / (t + rate));
        let of_gamma = 0.5 * (count / (count + t)) + t * (digamma_rest(t) - digamma_rest(count + t));
        let of_v = of_gamma - deviance(t, -gap, ln_precise((t + rate) / (count + t)));
        d_eta[e] = weight[row] * select(gap, 0.0, eta[e] > HIGHEST_ETA);
        d_each[e] = weight[row] * select(of_v, 0.0, v < LOWEST_V || v > HIGHEST_V);
    }
}
