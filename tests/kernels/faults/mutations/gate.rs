//! Faults of the gate.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "gate",
        kernels: &["gate.forward", "gate.backward"],
        mutations: &[
            ("(group.x + group.y * groups.x)", "(group.x)"),
            ("if e >= N * C { return; }", "if e >= N { return; }"),
            ("e / C * 2u * C + e % C", "e / C * C + e % C"),
            ("e / C * 2u * C + e % C", "e / C * 2u * C"),
        ],
    },
    Faults {
        file: "gate",
        kernels: &["gate.forward"],
        mutations: &[
            ("x[a] * sigmoid(x[a + C])", "x[a] * sigmoid(x[a])"),
            ("x[a] * sigmoid(x[a + C])", "x[a + C] * sigmoid(x[a])"),
            ("x[a] * sigmoid(x[a + C])", "sigmoid(x[a + C])"),
        ],
    },
    Faults {
        file: "gate",
        kernels: &["gate.backward"],
        mutations: &[
            ("let s = sigmoid(x[a + C])", "let s = sigmoid(x[a])"),
            ("d_x[a] = d_y[e] * s", "d_x[a] = s"),
            ("d_x[a] = d_y[e] * s", "d_x[a] = d_y[e]"),
            ("d_x[a + C] = d_y[e] * x[a]", "d_x[a + C] = x[a]"),
            ("d_x[a + C] = d_y[e] * x[a]", "d_x[a + C] = d_y[e] * x[a + C]"),
            ("d_x[a + C] = d_y[e] * x[a]", "d_x[a + C] = d_y[e]"),
            ("(s * sigmoid(-x[a + C]))", "(s * sigmoid(x[a + C]))"),
            ("(s * sigmoid(-x[a + C]))", "s"),
        ],
    },
];
