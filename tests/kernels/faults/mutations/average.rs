//! Faults of the shaders of average.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "average",
        kernels: &["average.follow"],
        mutations: &[
            ("FRESH / one_minus_exp", "one_minus_exp"),
            ("clock[STEP] + 1u", "clock[STEP] + 2u"),
            ("FRESH / one_minus_exp(f32(clock[STEP] + 1u) * LN_DECAY)", "FRESH"),
            ("w * (parameter[e] - average[e])", "w * parameter[e]"),
            ("average[e] += w", "average[e] -= w"),
            (
                "group.x + group.y * groups.x) * WORKGROUP + lane;\n    if e >= N { return; }\n    let w",
                "group.x) * WORKGROUP + lane;\n    if e >= N { return; }\n    let w",
            ),
        ],
    },
    Faults {
        file: "average",
        kernels: &["average.swap"],
        mutations: &[
            ("here[e] = there[e]", "here[e] = before"),
            ("there[e] = before", "there[e] = here[e]"),
            (
                "group.x + group.y * groups.x) * WORKGROUP + lane;\n    if e >= N { return; }\n    let before",
                "group.x) * WORKGROUP + lane;\n    if e >= N { return; }\n    let before",
            ),
        ],
    },
];
