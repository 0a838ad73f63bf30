//! Faults of the shaders of negative_binomial.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "negative_binomial",
        kernels: &["negative_binomial.log_likelihood"],
        mutations: &[
            ("LOWEST_V = -10.0", "LOWEST_V = -6.0"),
            ("HIGHEST_V, v > HIGHEST_V", "HIGHEST_V, v > 1.0"),
            ("let rate = size * exp(bounded)", "let rate = exp(bounded)"),
            ("(bounded + log_size) + both", "bounded + both"),
            ("(bounded + log_size) + both", "(bounded + log_size)"),
            ("(t / (t + rate))", "(t / (t + count))"),
            ("ln_precise((t + rate) / (count + t))", "ln_precise((t + rate) / t)"),
            ("deviance(t, -gap, both) + ", ""),
            ("deviance(t, -gap, both)", "deviance(t, gap, both)"),
            ("+ deviance(count, gap, log_ratio)", ""),
            ("stirling_rest(count + t) - stirling_rest(t)", "stirling_rest(count + t)"),
            ("stirling_rest(count + t) - stirling_rest(t)", "-stirling_rest(t)"),
            ("log_peak(count) - 0.5", "0.5"),
            ("- 0.5 * ln_precise(1.0 + count / t)", ""),
            ("log_inverse_dispersion[d]", "log_inverse_dispersion[0]"),
            ("x[row / K * D + d]", "x[row * D + d]"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "negative_binomial",
        kernels: &["negative_binomial.backward"],
        mutations: &[
            (
                "let count = x[row / K * D + d];\n        let rate",
                "let count = x[row * D + d];\n        let rate",
            ),
            ("let rate = size * exp(clamp_eta", "let rate = exp(clamp_eta"),
            ("let t = exp(clamp_v(v));", "let t = exp(v);"),
            ("0.5 * (count / (count + t))", "(count / (count + t))"),
            ("+ t * (digamma_rest", "+ (digamma_rest"),
            ("digamma_rest(t) - digamma_rest(count + t)", "digamma_rest(t)"),
            ("digamma_rest(t) - digamma_rest(count + t)", "digamma_rest(count + t)"),
            ("of_gamma - deviance", "of_gamma + deviance"),
            ("select(gap, 0.0, eta[e] > HIGHEST_ETA)", "gap"),
            ("v < LOWEST_V || v > HIGHEST_V", "v < LOWEST_V"),
            ("v < LOWEST_V || v > HIGHEST_V", "v > HIGHEST_V"),
            ("d_eta[e] = weight[row] *", "d_eta[e] ="),
            ("d_each[e] = weight[row] *", "d_each[e] ="),
            ("d_each[e] = weight[row]", "d_each[e] = weight[row / K]"),
            ("d_eta[e] = weight[row]", "d_eta[e] = weight[row / K]"),
            ("log_inverse_dispersion[d]", "log_inverse_dispersion[0]"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
];
