//! Faults of the shaders of prior.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "prior",
    kernels: &["prior.sample"],
    mutations: &[
        ("vec2<u32>(clock[0], clock[1])", "vec2<u32>(clock[1], clock[0])"),
        ("clock[3], clock[4]", "clock[2], clock[4]"),
        ("clock[3], clock[4]", "clock[3], 0u"),
        ("clock[5] + row", "row"),
        ("row / K", "0u"),
        ("row % K", "row"),
        ("quad * 4u + j] = e[j]", "quad * 4u + j] = e[0]"),
    ],
}];
