//! Faults of the shaders of prior.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "prior",
    kernels: &["prior.sample"],
    mutations: &[
        (
            "vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH])",
            "vec2<u32>(clock[SEED_HIGH], clock[SEED_LOW])",
        ),
        ("clock[EPOCH], clock[POSITION]", "clock[STEP], clock[POSITION]"),
        ("clock[EPOCH], clock[POSITION]", "clock[EPOCH], 0u"),
        ("clock[SAMPLE] + row", "row"),
        ("row / K", "0u"),
        ("row % K", "row"),
        ("quad * 4u + j] = e[j]", "quad * 4u + j] = e[0]"),
    ],
}];
