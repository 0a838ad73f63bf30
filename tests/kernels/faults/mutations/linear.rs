//! Faults of the shaders of linear.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "linear/forward",
        kernels: &["linear.forward"],
        mutations: &[
            ("x[row * I + k]", "x[row * O + k]"),
            ("weight[column * I + k]", "weight[column * O + k]"),
            (" + bias[column]", ""),
            ("bias[column]", "bias[0]"),
            ("y[row * O + column]", "y[row * I + column]"),
            ("inner() -> u32 { return I; }", "inner() -> u32 { return max(I, 2u) - 1u; }"),
            ("columns() -> u32 { return O; }", "columns() -> u32 { return max(O, 2u) - 1u; }"),
            ("rows() -> u32 { return R; }", "rows() -> u32 { return max(R, 2u) - 1u; }"),
            ("activate(ACTIVATION, v", "activate(min(ACTIVATION, 2u), v"),
        ],
    },
    Faults {
        file: "linear/backward_input",
        kernels: &["linear.backward_input"],
        mutations: &[
            ("activation_gradient(ACTIVATION, x[e])", "1.0"),
            ("activation_gradient(ACTIVATION, x[e])", "activation_gradient(ACTIVATION, v)"),
            ("d_y[row * O + k]", "d_y[row * I + k]"),
            ("weight[k * I + column]", "weight[k * O + column]"),
            ("let e = row * I + column", "let e = row * O + column"),
            ("inner() -> u32 { return O; }", "inner() -> u32 { return max(O, 2u) - 1u; }"),
            ("columns() -> u32 { return I; }", "columns() -> u32 { return max(I, 2u) - 1u; }"),
        ],
    },
    Faults {
        file: "linear/backward_parameters",
        kernels: &["linear.backward_parameters"],
        mutations: &[
            ("if column < I {", "if column + 1u < I {"),
            ("d_weight[row * I + column] = g", "d_weight[row * I + column] = -g"),
            ("d_bias[row] = g", "d_bias[0] = g"),
        ],
    },
    Faults {
        file: "linear/update",
        kernels: &["linear.update"],
        mutations: &[
            ("if column < I {", "if column + 1u < I {"),
            // the wrong plane of the state, or the wrong element
            ("before.y = weight_state[O * I + e]", "before.y = weight_state[e]"),
            ("weight_state[O * I + e] = next.state.y", "weight_state[e] = next.state.y"),
            ("weight_state[O * I + e] = next.state.y", "weight_state[O * I + e] = next.state.x"),
            ("before.y = bias_state[O + row]", "before.y = bias_state[row]"),
            ("bias_state[O + row] = next.state.y", "bias_state[row] = next.state.y"),
            ("bias_state[row] = next.state.x", "bias_state[0] = next.state.x"),
            ("weight[e] +=", "weight[e] -="),
            ("bias[row] +=", "bias[row] ="),
            ("rates[CORRECTION1], rates[CORRECTION2])", "rates[CORRECTION2], rates[CORRECTION1])"),
            (
                "vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1]",
                "vec3<f32>(rates[KL_WEIGHT], rates[CORRECTION1]",
            ),
            ("BETA1, BETA2", "BETA2, BETA1"),
            ("vec2<f32>(bias_state[row], 0.0)", "vec2<f32>(bias_state[0], 0.0)"),
        ],
    },
    Faults {
        file: "linear/update_all",
        kernels: &["linear.update_all"],
        mutations: &[
            ("let words = WORDS * min(group.z, L - 1u)", "let words = 0u"),
            ("group.y * TILE_COLUMNS > layers", "group.y * TILE_COLUMNS + 1u > layers"),
            (">= layers[words + OUTPUTS]", ">= layers[words + INPUTS]"),
            ("return min(layer[OUTPUTS], MOST_OUTPUTS)", "return min(layer[OUTPUTS], 16u)"),
            ("min(layer[INPUTS], MOST_INPUTS) + 1u", "min(layer[INPUTS], MOST_INPUTS)"),
            ("inner() -> u32 { return BATCH; }", "inner() -> u32 { return max(BATCH, 2u) - 1u; }"),
            (
                "layer[GRADIENT_AT] + k * layer[OUTPUTS] + row",
                "layer[GRADIENT_AT] + k * layer[INPUTS] + row",
            ),
            ("layer[GRADIENT_AT] + k", "k"),
            (
                "layer[INPUT_AT] + k * layer[INPUTS] + column",
                "layer[INPUT_AT] + k * layer[OUTPUTS] + column",
            ),
            ("if layer[GRADIENT_IS_ODD] == 1u", "if layer[GRADIENT_IS_ODD] == 0u"),
            ("if layer[INPUT_IS_ODD] == 1u", "if layer[GRADIENT_IS_ODD] == 1u"),
            ("{ return 1.0; }", "{ return 0.5; }"),
            ("if column == layer[INPUTS] { return", "if column + 1u == layer[INPUTS] { return"),
            ("if column < layer[INPUTS] {", "if column + 1u < layer[INPUTS] {"),
            ("let weights = layer[OUTPUTS] * layer[INPUTS]", "let weights = layer[OUTPUTS]"),
            ("layer[WEIGHT_STATE_AT] + e, weights, g", "layer[WEIGHT_STATE_AT] + e, 0u, g"),
            ("layer[BIAS_STATE_AT] + row, layer[OUTPUTS], g", "layer[BIAS_STATE_AT] + row, 0u, g"),
            ("step(layer[BIAS_AT] + row", "step(layer[WEIGHT_AT] + row"),
            ("parameter >= P ||", "parameter + 8u >= P ||"),
            ("last >= M", "last + 8u >= M"),
            ("BETA1, BETA2", "BETA2, BETA1"),
            ("parameters[parameter] +=", "parameters[parameter] -="),
            ("state[last] = next.state.y", "state[last] = next.state.x"),
            ("rates[CORRECTION1], rates[CORRECTION2])", "rates[CORRECTION2], rates[CORRECTION1])"),
            (
                "vec3<f32>(rates[LEARNING_RATE], rates[CORRECTION1]",
                "vec3<f32>(rates[KL_WEIGHT], rates[CORRECTION1]",
            ),
        ],
    },
];
