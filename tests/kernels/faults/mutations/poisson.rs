//! Faults of the shaders of poisson.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "poisson",
        kernels: &["poisson.log_likelihood"],
        mutations: &[
            ("let rate = size * exp(bounded)", "let rate = exp(bounded)"),
            ("(bounded + log_size)", "bounded"),
            ("(bounded + log_size)", "(bounded - log_size)"),
            ("log_peak(count) - deviance", "-deviance"),
            ("count, count - rate", "count, rate - count"),
            ("part += log_peak", "part = log_peak"),
            ("clamp_eta(eta[row * D + d])", "eta[row * D + d]"),
            ("x[row / K * D + d]", "x[row * D + d]"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "poisson",
        kernels: &["poisson.backward"],
        mutations: &[
            ("x[row / K * D + d] - size", "x[row * D + d] - size"),
            ("size * exp(clamp_eta(eta[e]))", "exp(clamp_eta(eta[e]))"),
            ("select(gap, 0.0, eta[e] > HIGHEST_ETA)", "gap"),
            ("select(gap, 0.0, eta[e] > HIGHEST_ETA)", "select(gap, 0.0, eta[e] >= HIGHEST_ETA)"),
            ("weight[row] *", ""),
            ("weight[row]", "weight[row / K]"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
];
