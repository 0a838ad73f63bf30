//! Faults of the shaders of counts.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "counts",
        kernels: &["counts.rates"],
        mutations: &[
            ("exp(clamp_eta(eta[e]))", "exp(eta[e])"),
            ("id.x >= D ||", "id.x >= D - 1u ||"),
            ("id.y >= B * K", "id.y >= B"),
            ("id.y * D + id.x", "id.y + id.x"),
        ],
    },
    Faults {
        file: "counts",
        kernels: &["counts.sized_rates"],
        mutations: &[
            ("size * exp(clamp_eta(eta[row * D + d]))", "exp(clamp_eta(eta[row * D + d]))"),
            ("size * exp(clamp_eta(eta[row * D + d]))", "size * exp(eta[row * D + d])"),
            ("mean[row * D + d] = size", "mean[row / K * D + d] = size"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
            ("if row >= B * K { return; }", "if row >= B { return; }"),
        ],
    },
    Faults {
        file: "lib/count_likelihood",
        kernels: &["counts.sized_rates"],
        mutations: &[
            ("x[row / K * D + d]", "x[row * D + d]"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("var d = lane;", "var d = lane + 1u;"),
            ("select(total, 1.0, total < 1.0)", "total"),
            ("select(total, 1.0, total < 1.0)", "select(total, 1.0, total < 30.0)"),
            ("/ mean_total[0]", ""),
            ("HIGHEST_ETA = 30.0", "HIGHEST_ETA = 29.0"),
        ],
    },
    Faults {
        file: "lib/count_likelihood",
        kernels: &["poisson.log_likelihood"],
        mutations: &[
            ("== 0.0 { return 1.0; }", "< 0.0 { return 1.0; }"),
            ("y + 4.0", "y + 4.1"),
            ("let below = y < 4.0", "let below = false"),
            ("0.083333333 - ww * (0.0027777778", "0.083333333 + ww * (0.0027777778"),
            ("(y + 2.0) * (y + 3.0)", "(y + 2.0) * (y + 2.0)"),
            ("(y - 0.5) * log", "y * log"),
            ("/ rising) - 4.0", "/ rising) - 4.001"),
            ("TWO_PI = 6.2831853", "TWO_PI = 6.2831"),
            ("if x == 0.0 { return 0.0; }", "if x <= 1.0 { return 0.0; }"),
            ("-0.5 * log(TWO_PI * x)", "0.5 * log(TWO_PI * x)"),
            ("- stirling_rest(x)", ""),
            ("abs(gap) < 0.1", "abs(gap) < 0.0"),
            ("abs(gap) < 0.1", "abs(gap) < 0.9"),
            ("gap * v + 2.0", "2.0"),
            ("+ 2.0 * a * v * vv", "- 2.0 * a * v * vv"),
            ("0.33333333 + vv", "0.33 + vv"),
            ("a * log_ratio, 0.0, a == 0.0", "a * log_ratio, 0.0, a <= 1.0"),
            ("0.0, a == 0.0) - gap", "0.0, a == 0.0) + gap"),
            ("2.0 * a - gap; // a + b", "2.0 * a + gap;"),
        ],
    },
    Faults {
        file: "lib/count_likelihood",
        kernels: &["negative_binomial.backward"],
        mutations: &[
            ("0.083333333 - ww * (0.0083333333", "0.083333333 + ww * (0.0083333333"),
            ("0.5 / above + 0.5 / y", "0.5 / y"),
            ("0.5 / above + 0.5 / y", "0.5 / above"),
            ("+ 1.0 / (y + 3.0)", ""),
            ("+ 1.0 / (y + 1.0)", "+ 1.0 / y"),
            ("skipped - log(above / y)", "skipped"),
            ("ww * (0.083333333", "w * (0.083333333"),
        ],
    },
];
