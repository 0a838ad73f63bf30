//! Faults of the shaders of convolutions.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "convolution/forward",
        kernels: &["convolution.forward"],
        mutations: &[
            (" + bias[column]", ""),
            ("bias[column]", "bias[0]"),
            ("y[(first_row + row)", "y[(row)"),
            ("activate(ACTIVATION, v", "activate(min(ACTIVATION, 2u), v"),
            ("first_row = group.z * SLAB", "first_row = 0u"),
        ],
    },
    Faults {
        file: "convolution/backward_input",
        kernels: &["convolution.backward_input"],
        mutations: &[
            ("activation_gradient(ACTIVATION, x[e])", "1.0"),
            ("activation_gradient(ACTIVATION, x[e])", "activation_gradient(ACTIVATION, v)"),
            ("enter_phase(group.z)", "enter_phase(0u)"),
        ],
    },
    Faults {
        file: "convolution/backward_parameters",
        kernels: &["convolution.backward_parameters"],
        mutations: &[
            ("if column < last {", "if column + 1u < last {"),
            ("d_weight[row * last + column] = g", "d_weight[row * last + column] = -g"),
            ("d_bias[row] = g", "d_bias[0] = g"),
            ("1.0, column == last", "0.5, column == last"),
            ("min(column, last - 1u)", "min(column, last - 2u)"),
            ("d_y[k * O + row]", "d_y[k * I + row]"),
            ("R * P * Q; }", "R * P * max(Q, 2u) - 1u; }"),
            ("* I + 1u; }", "* I; }"),
        ],
    },
    Faults {
        file: "transposed_convolution/forward",
        kernels: &["transposed_convolution.forward"],
        mutations: &[
            (" + bias[channel]", ""),
            ("bias[channel]", "bias[0]"),
            ("activate(ACTIVATION, v", "activate(min(ACTIVATION, 2u), v"),
            ("enter_phase(group.z)", "enter_phase(0u)"),
        ],
    },
    Faults {
        file: "transposed_convolution/backward_input",
        kernels: &["transposed_convolution.backward_input"],
        mutations: &[
            ("activation_gradient(ACTIVATION, x[e])", "1.0"),
            ("activation_gradient(ACTIVATION, x[e])", "activation_gradient(ACTIVATION, v)"),
            ("let e = (first_row + row) * O", "let e = row * O"),
            ("first_row = group.z * SLAB", "first_row = 0u"),
        ],
    },
    Faults {
        file: "transposed_convolution/backward_weight",
        kernels: &["transposed_convolution.backward_weight"],
        mutations: &[
            ("x[k * O + column]", "x[k * I + column]"),
            ("column * KERNEL * KERNEL * I + row", "row * O + column"),
            ("patch_element(k, row)", "patch_element(row, k)"),
            ("R * P * Q; }", "R * P * max(Q, 2u) - 1u; }"),
        ],
    },
    Faults {
        file: "lib/patches",
        kernels: &[
            "convolution.forward",
            "convolution.backward_parameters",
            "transposed_convolution.backward_weight",
        ],
        mutations: &[
            ("place / Q % P", "place / P % P"),
            ("place % Q;", "place % P;"),
            ("p * STRIDE", "p"),
            ("q * STRIDE", "q"),
            ("k / (KERNEL * I) - PADDING", "k / (KERNEL * I)"),
            ("k / I % KERNEL - PADDING", "k / I % KERNEL"),
            ("k / (KERNEL * I)", "k / I"),
            ("place / (P * Q)", "place / (H * W)"),
            ("y < H && x < W", "x < W"),
            ("y < H && x < W", "y < H"),
            ("pixel * I + k % I", "pixel * I"),
        ],
    },
    Faults {
        file: "lib/correlation",
        kernels: &["convolution.forward", "transposed_convolution.backward_input"],
        mutations: &[
            ("patch_element(first_row + row, k)", "patch_element(row, k)"),
            ("weight[column * KERNEL * KERNEL * I + k]", "weight[column * KERNEL * I + k]"),
            ("rows_of_slab(R * P * Q)", "rows_of_slab(max(R * P * Q, 2u) - 1u)"),
            ("KERNEL * KERNEL * I; }", "max(KERNEL * KERNEL * I, 2u) - 1u; }"),
        ],
    },
    Faults {
        file: "lib/transposed_correlation",
        kernels: &["convolution.backward_input", "transposed_convolution.forward"],
        mutations: &[
            ("z / STRIDE % STRIDE, z % STRIDE", "z % STRIDE, z % STRIDE"),
            ("z / (STRIDE * STRIDE) * SLAB", "z / (STRIDE * STRIDE)"),
            ("(vec2<u32>(H, W) + STRIDE - 1u) / STRIDE", "vec2<u32>(H, W) / STRIDE"),
            ("(KERNEL + STRIDE - 1u) / STRIDE", "KERNEL / STRIDE"),
            ("- phase + STRIDE - 1u) / STRIDE", "- phase) / STRIDE"),
            (
                "let before = (max(vec2<u32>(PADDING), phase) - phase",
                "let before = (vec2<u32>(PADDING)",
            ),
            ("row / size.y % size.x, row % size.y", "row / size.y % size.x, row % size.x"),
            ("phase + STRIDE * vec2", "phase + vec2"),
            ("all(at < vec2<u32>(P, Q)) && ", ""),
            ("((image * P + near.x) * Q", "((image * P + near.x) * P"),
            ("near.y) * O + k % O)", "near.y) * O)"),
            ("(k % O * KERNEL + near.x)", "(k / O * KERNEL + near.x)"),
            ("near.y) * I + column]", "near.y) * I]"),
            ("if all(pixel < vec2<u32>(H, W)) {", "if pixel.x < H {"),
            ("+ phase - PADDING;", "+ phase;"),
            ("((image * H + pixel.x) * W", "((image * H + pixel.x) * H"),
        ],
    },
    Faults {
        file: "lib/slabs",
        kernels: &[
            "convolution.forward",
            "convolution.backward_input",
            "transposed_convolution.forward",
            "transposed_convolution.backward_input",
        ],
        mutations: &[("min(SLAB, total - first_row)", "min(SLAB, total - first_row) - 1u")],
    },
];
