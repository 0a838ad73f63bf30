//! Faults of where the ways of a residual block meet.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "residual",
        kernels: &["residual.forward", "residual.backward"],
        mutations: &[
            ("(group.x + group.y * groups.x)", "(group.x)"),
            ("if e >= N { return; }", "if e + 1u >= N { return; }"),
        ],
    },
    Faults {
        file: "residual",
        kernels: &["residual.forward"],
        mutations: &[
            ("a[e] + b[e]", "a[e]"),
            ("a[e] + b[e]", "a[e] - b[e]"),
            ("activate(ACTIVATION, a[e]", "activate(min(ACTIVATION, 2u), a[e]"),
        ],
    },
    Faults {
        file: "residual",
        kernels: &["residual.backward"],
        mutations: &[
            ("activation_gradient(ACTIVATION, a[e])", "1.0"),
            ("activation_gradient(ACTIVATION, a[e])", "activation_gradient(ACTIVATION, d_y[e])"),
            (" * d_y[e]", ""),
        ],
    },
];
