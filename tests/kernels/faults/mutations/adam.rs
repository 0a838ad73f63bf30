//! Faults of the shaders of adam.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "adam",
    kernels: &["adam.adam"],
    mutations: &[
        ("rates[0], rates[1]", "1e-3, rates[1]"),
        ("rates[1], rates[2]", "rates[2], rates[1]"),
        ("rates[1], rates[2]", "0.1, rates[2]"),
        ("BETA1, BETA2", "BETA2, BETA1"),
        ("parameter[e] +=", "parameter[e] -="),
        ("moments[N + e], gradient", "moments[e], gradient"),
        ("moments[N + e] = next.y", "moments[e] = next.y"),
        ("moments[e] = next.x", "moments[e] = next.x / rates[1]"),
        ("group.x + group.y * groups.x", "group.x"),
    ],
}];
