//! Faults of the shaders of optimizer.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "optimizer",
        kernels: &["optimizer.step"],
        mutations: &[
            (
                "vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1]",
                "vec3<f32>(1e-3, rates[CORRECTION1]",
            ),
            ("rates[CORRECTION1], rates[CORRECTION2])", "rates[CORRECTION2], rates[CORRECTION1])"),
            ("rates[CORRECTION1], rates[CORRECTION2])", "0.1, rates[CORRECTION2])"),
            ("BETA1, BETA2", "BETA2, BETA1"),
            ("* keep + next.change", "* keep - next.change"),
            ("before.y = state[N + e]", "before.y = state[e]"),
            ("state[N + e] = next.state.y", "state[e] = next.state.y"),
            ("state[e] = next.state.x", "state[e] = next.state.x / rates[CORRECTION1]"),
            ("group.x + group.y * groups.x", "group.x"),
            ("+ lane, 1.0, 1.0)", "+ lane, 1.0, 0.999)"),
            ("+ lane, 1.0, 1.0)", "+ lane, 0.9, 1.0)"),
        ],
    },
    Faults {
        file: "optimizer",
        kernels: &["optimizer.step_decayed"],
        mutations: &[
            ("* keep + next.change", "+ next.change"),
            ("* keep + next.change", "+ keep * next.change"),
            ("kept(rates[LEARNING_RATE], DECAY)", "kept(1e-3, DECAY)"),
            ("kept(rates[LEARNING_RATE], DECAY)", "kept(rates[LEARNING_RATE], 0.5 * DECAY)"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "optimizer",
        kernels: &["optimizer.step_clipped"],
        mutations: &[
            ("part * gradient[e]", "gradient[e]"),
            ("share[0], kept", "1.0, kept"),
            ("share[0], kept(rates[LEARNING_RATE], DECAY)", "share[0], 1.0"),
            ("* keep + next.change", "+ next.change"),
        ],
    },
];
