#import normal
#import reduce

// What likelihoods of counts share. A count x has the rate r = s e^eta; s, the size factor, is its row's total over the mean total
// of the training rows, see shaders/counts.wgsl. Stirling's formula is taken out of the factorials and put together with
// the powers (Loader 2000), so that no two large numbers cancel, neither near x = r nor where a dispersion is large.

/// eta at most: s e^30 does not overflow
const HIGHEST_ETA = 30.0;
const TWO_PI = 6.2831853;

/// eta within its bound
fn clamp_eta(eta: f32) -> f32 { // select, not min: a NaN must stay one
    return select(eta, HIGHEST_ETA, eta > HIGHEST_ETA);
}

/// s of the row of sample `row`: one of nothing counts as one of 1. A mean total of 0 says that all rows are of one size.
/// The kernel declares x (B, D) and mean_total (1). Call from uniform control flow.
fn size_of_row(row: u32, lane: u32) -> f32 {
    var part = 0.0;
    if row < B * K {
        for (var d = lane; d < D; d += WORKGROUP) { part += x[row / K * D + d]; }
    }
    let total = workgroup_sum(part, lane);
    if mean_total[0] == 0.0 { return 1.0; }
    return select(total, 1.0, total < 1.0) / mean_total[0];
}

/// S(y) = ln Gamma(y) - (y - 1/2) ln y + y - ln(2 pi)/2, y > 0: Stirling's series, below 4 by way of Gamma(y + 4)
fn stirling_rest(y: f32) -> f32 {
    let above = y + 4.0;
    let below = y < 4.0;
    let w = 1.0 / select(y, above, below);
    let ww = w * w;
    let series = w * (0.083333333 - ww * (0.0027777778 - ww * (7.9365079e-4 - ww * 5.952381e-4)));
    if !below { return series; }
    let rising = y * (y + 1.0) * (y + 2.0) * (y + 3.0);
    return series + (y - 0.5) * log(above / y) + log(above * above * above * above / rising) - 4.0;
}

/// T(y) = ln y - 1/(2y) - digamma(y), y > 0, the same way
fn digamma_rest(y: f32) -> f32 {
    let above = y + 4.0;
    let below = y < 4.0;
    let w = 1.0 / select(y, above, below);
    let ww = w * w;
    let series =
        ww * (0.083333333 - ww * (0.0083333333 - ww * (0.003968254 - ww * (0.0041666667 - ww * 0.0075757576))));
    if !below { return series; }
    let skipped = 0.5 / above + 0.5 / y + 1.0 / (y + 1.0) + 1.0 / (y + 2.0) + 1.0 / (y + 3.0);
    return series + skipped - log(above / y);
}

/// a ln(a/b) - (a - b), at least 0, of gap = a - b and log_ratio = ln(a/b); where a and b are near, by a series
fn deviance(a: f32, gap: f32, log_ratio: f32) -> f32 {
    let sum = 2.0 * a - gap; // a + b
    if abs(gap) < 0.1 * sum {
        let v = gap / sum;
        let vv = v * v;
        return gap * v + 2.0 * a * v * vv * (0.33333333 + vv * (0.2 + vv * 0.14285714));
    }
    return select(a * log_ratio, 0.0, a == 0.0) - gap;
}

/// ln of 1/x! without Stirling's powers
fn log_peak(x: f32) -> f32 {
    if x == 0.0 { return 0.0; }
    return -0.5 * log(TWO_PI * x) - stirling_rest(x);
}
