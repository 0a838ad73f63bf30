//! Importance weights, their sums in lanes.

use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::{Real, parallel};
use crate::plan::Call;

pub(super) fn log_weight(c: &Call<f32>) {
    let (k, n, width) = (c.dim("K"), c.dim("Z"), c.dim("H"));
    let (log_px, heads, eps, z) = (c.read("log_px"), c.read("heads"), c.read("eps"), c.read("z"));
    let (log_px, heads, eps, z) = (&log_px[..], &heads[..], &eps[..], &z[..]);
    parallel::rows(
        &mut c.write("log_w"),
        1,
        #[inline(always)]
        |row, log_w| {
            let l = &heads[row / k * width + n..][..n];
            let (eps, z) = (&eps[row * n..][..n], &z[row * n..][..n]);
            let total =
                parallel::sum(n, |u| eps[u] * eps[u] + clamp_log_variance(l[u]) - z[u] * z[u]);
            log_w[0] = log_px[row] + 0.5 * total;
        },
    );
}

pub(super) fn normalize(c: &Call<f32>) {
    let (b, k) = (c.dim("B"), c.dim("K"));
    let log_weights = c.read("log_weights");
    let (mut weight, mut bound) = (c.write("weight"), c.write("bound"));
    let (log_weights, b, n) = (&log_weights[..], b as f32, k as f32);
    parallel::rows2(
        (&mut weight, k),
        (&mut bound, 1),
        #[inline(always)]
        |image, weight, bound| {
            let log_w = &log_weights[image * k..][..k];
            let largest = log_w.iter().fold(log_w[0], |max, &v| if v > max { v } else { max });
            let total = parallel::sum(k, |i| Real::exp(log_w[i] - largest));
            for (weight, &v) in weight.iter_mut().zip(log_w) {
                *weight = Real::exp(v - largest) / (total * b);
            }
            bound[0] = largest + (total.ln() - n.ln());
        },
    );
}
