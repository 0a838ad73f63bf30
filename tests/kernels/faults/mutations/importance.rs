//! Faults of the shaders of importance.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "importance",
        kernels: &["importance.log_weight"],
        mutations: &[
            ("row < B * K {", "row < B {"),
            ("e * e + l - v * v", "e * e - l - v * v"),
            ("e * e + l - v * v", "e * e + l + v * v"),
            ("e * e + l - v * v", "l - v * v"),
            ("+ 0.5 * total", "+ total"),
            ("log_px[row] + ", "log_px[row / K] + "),
            ("heads[row / K * H + Z + unit]", "heads[row / K * H + unit]"),
            ("heads[row / K * H", "heads[row * H"),
            ("clamp_log_variance(heads[", "(heads["),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "importance",
        kernels: &["importance.normalize"],
        mutations: &[
            ("exp(log_weights[image * K + k] - largest)", "exp(log_weights[image * K + k])"),
            ("log(f32(K))", "0.0"),
            ("total * f32(B)", "total"),
            ("largest + (log(total)", "(log(total)"),
            ("weight[image * K + k] = exp", "weight[image * K + k] = 2.0 * exp"),
            ("k += WORKGROUP", "k += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
];
