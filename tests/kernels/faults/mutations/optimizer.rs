//! Faults of the shaders of optimizer.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "optimizer",
    kernels: &["optimizer.step"],
    mutations: &[
        ("vec3<f32>(rates[0], rates[1]", "vec3<f32>(1e-3, rates[1]"),
        ("rates[1], rates[2])", "rates[2], rates[1])"),
        ("rates[1], rates[2])", "0.1, rates[2])"),
        ("BETA1, BETA2", "BETA2, BETA1"),
        ("parameter[e] +=", "parameter[e] -="),
        ("before.y = state[N + e]", "before.y = state[e]"),
        ("state[N + e] = next.state.y", "state[e] = next.state.y"),
        ("state[e] = next.state.x", "state[e] = next.state.x / rates[1]"),
        ("group.x + group.y * groups.x", "group.x"),
    ],
}];
