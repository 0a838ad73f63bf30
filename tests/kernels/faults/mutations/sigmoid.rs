//! Faults of the shaders of sigmoid.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "sigmoid",
        kernels: &["sigmoid.forward"],
        mutations: &[
            ("y[e] = sigmoid(x[e])", "y[e] = sigmoid(-x[e])"),
            ("y[e] = sigmoid(x[e])", "y[e] = x[e]"),
            ("group.x + group.y * groups.x", "group.x"),
            ("* WORKGROUP + lane", "* WORKGROUP"),
        ],
    },
    Faults {
        file: "sigmoid",
        kernels: &["sigmoid.backward"],
        mutations: &[
            ("(sigmoid(x[e]) * sigmoid(-x[e]))", "sigmoid(x[e])"),
            ("sigmoid(-x[e])", "sigmoid(x[e])"),
            ("d_y[e] * (", "("),
        ],
    },
];
