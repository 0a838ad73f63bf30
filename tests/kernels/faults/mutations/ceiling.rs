//! Faults of the shaders of ceiling.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "ceiling",
        kernels: &["ceiling.touch"],
        mutations: &[
            ("count[0] += 1u", "count[0] += 2u"),
            ("count[0] += 1u", "count[0] = count[0] | 1u"),
        ],
    },
    Faults {
        file: "ceiling",
        kernels: &["ceiling.copy"],
        mutations: &[
            ("if at < N", "if at + 1u < N"),
            ("= source[at]", "= source[0]"),
            ("* WORKGROUP + lane", "* WORKGROUP"),
            ("+ group.x) * WORKGROUP", ") * WORKGROUP"),
        ],
    },
];
