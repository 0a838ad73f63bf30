//! Faults of the shaders of weighted_mean.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "weighted_mean",
    kernels: &["weighted_mean.weighted_mean"],
    mutations: &[
        ("var part = before;", "var part = -3.4028234e38;"),
        ("part += exp(log_w[image * K + k] - now)", "part += exp(log_w[image * K] - now)"),
        ("exp(before - now)", "1.0"),
        ("sums[image * D + d] * scale", "sums[image * D + d]"),
        ("sums[image * D + d] * scale", "0.0"),
        ("values[(image * K + k) * D + d]", "values[image * D + d]"),
        ("sum += exp(log_w[image * K + k] - now) *", "sum += exp(log_w[k] - now) *"),
        ("before_total * scale + total", "before_total + total"),
        ("before_total * scale + total", "total"),
        ("largest[image * 2u] = now", "largest[image * 2u] = before"),
        ("group.x + group.y * groups.x, B", "group.x, B"),
        ("k < K; k += 1u", "k + 1u < K; k += 1u"),
        ("d < D; d += WORKGROUP", "d < D; d += 2u * WORKGROUP"),
    ],
}];
