//! Faults of the shaders of bernoulli.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "bernoulli",
        kernels: &["bernoulli.log_likelihood"],
        mutations: &[
            ("eta - select(eta, 0.0, eta < 0.0)", "eta - eta"),
            ("1.0 + exp(-abs(eta))", "1.0 + exp(-eta)"),
            ("row / K * D", "row * D"),
            ("x[row / K * D + d] * eta", "ceil(x[row / K * D + d]) * eta"),
            ("product > 1e30", "product > 3e38"),
            ("                product = 1.0;\n", ""),
            ("        part -= log(product);\n    }", "    }"),
            ("var d = lane;", "var d = lane + 1u;"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "bernoulli",
        kernels: &["bernoulli.backward"],
        mutations: &[
            ("weight[id.y] *", "weight[id.y / K] *"),
            ("x[id.y / K * D + id.x]", "x[id.y * D + id.x]"),
            ("- sigmoid(logits[e])", "+ sigmoid(logits[e])"),
            ("id.x >= D ||", "id.x >= D - 1u ||"),
        ],
    },
    Faults {
        file: "bernoulli",
        kernels: &["bernoulli.expectation"],
        mutations: &[
            ("id.x >= D", "id.x >= D - 1u"),
            ("id.y >= B * K", "id.y >= B"),
            ("sigmoid(logits[e])", "sigmoid(logits[id.x])"),
        ],
    },
    Faults {
        file: "bernoulli/decode",
        kernels: &["bernoulli.decode"],
        mutations: &[
            ("h[row * I + k]", "h[row * D + k]"),
            ("weight[column * I + k]", "weight[column * D + k]"),
            ("x[row / K * D + column]", "x[row * D + column]"),
            ("x[row / K * D + column]", "ceil(x[row / K * D + column])"),
            ("row_weight[row]", "row_weight[row / K]"),
            ("fetched.weight *", ""),
            ("(pixel - mean)", "(pixel + mean)"),
            ("v + fetched.bias", "v"),
            ("exp(-abs(eta))", "exp(-eta)"),
            ("select(1.0, e, eta < 0.0) /", "1.0 /"),
            ("select(1.0, e, eta < 0.0)", "select(e, 1.0, eta < 0.0)"),
            ("pixel * eta - select(eta, 0.0, eta < 0.0)", "pixel * eta"),
            ("d_eta[row * D + column]", "d_eta[row * I + column]"),
            ("score.x - log(score.y)", "score.x"),
            ("score.x - log(score.y)", "score.x + log(score.y)"),
            ("(D + PART - 1u) / PART) + part", "D / PART) + part"),
            (") + part] =", ")] ="),
            ("columns() -> u32 { return D; }", "columns() -> u32 { return max(D, 2u) - 1u; }"),
            ("rows() -> u32 { return BATCH * K; }", "rows() -> u32 { return BATCH; }"),
        ],
    },
    Faults {
        file: "bernoulli/decode_log_likelihood",
        kernels: &["bernoulli.decode_log_likelihood"],
        mutations: &[
            ("h[row * I + k]", "h[row * D + k]"),
            ("weight[column * I + k]", "weight[column * D + k]"),
            ("x[row / K * D + column]", "x[row * D + column]"),
            ("x[row / K * D + column]", "ceil(x[row / K * D + column])"),
            ("v + fetched.bias", "v"),
            ("exp(-abs(eta))", "exp(-eta)"),
            ("- select(eta, 0.0, eta < 0.0)", "- eta"),
            ("score.x - log(score.y)", "score.x"),
            ("(D + PART - 1u) / PART) + part", "D / PART) + part"),
            ("rows() -> u32 { return BATCH * K; }", "rows() -> u32 { return BATCH; }"),
            ("inner() -> u32 { return I; }", "inner() -> u32 { return max(I, 2u) - 1u; }"),
        ],
    },
];
