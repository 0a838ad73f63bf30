//! Faults of the SiLU.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "silu",
        kernels: &["silu.forward", "silu.backward"],
        mutations: &[
            ("(group.x + group.y * groups.x)", "(group.x)"),
            ("if e >= N { return; }", "if e + 1u >= N { return; }"),
        ],
    },
    Faults {
        file: "silu",
        kernels: &["silu.forward"],
        mutations: &[
            ("y[e] = x[e] * sigmoid(x[e])", "y[e] = sigmoid(x[e])"),
            ("y[e] = x[e] * sigmoid(x[e])", "y[e] = x[e] * sigmoid(-x[e])"),
        ],
    },
    Faults {
        file: "silu",
        kernels: &["silu.backward"],
        mutations: &[
            ("d_y[e] * (", "("),
            ("(sigmoid(x[e]) *", "("),
            ("1.0 + x[e] * sigmoid(-x[e])", "1.0 - x[e] * sigmoid(-x[e])"),
            ("1.0 + x[e] * sigmoid(-x[e])", "1.0 + x[e] * sigmoid(x[e])"),
            ("1.0 + x[e] * sigmoid(-x[e])", "1.0"),
        ],
    },
];
