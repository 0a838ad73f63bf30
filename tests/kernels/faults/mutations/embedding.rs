//! Faults of the shaders of embeddings.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "embedding",
        kernels: &["embedding.forward"],
        mutations: &[
            ("e >= B * K * P * U", "e >= B * K * U"),
            ("e / (K * P * U)", "e / (P * U)"),
            ("e / (K * P * U)", "e / (K * U)"),
            ("class_of_image * U + e % U", "class_of_image * U"),
            ("class_of_image * U + e % U", "image % C * U + e % U"),
            ("min(classes[image], C - 1u)", "min(classes[image], C - 2u)"),
            ("activate(ACTIVATION, x[e] + embedding", "x[e] + activate(ACTIVATION, embedding"),
            ("x[e] + embedding", "x[e] - embedding"),
        ],
    },
    Faults {
        file: "embedding",
        kernels: &["embedding.backward"],
        mutations: &[
            ("e >= C * U", "e >= (C - 1u) * U"),
            ("image < B; image++", "image < B - 1u; image++"),
            ("classes[image] != e / U", "image % C != e / U"),
            ("classes[image] != e / U { continue; }", "classes[image] > e / U { continue; }"),
            ("var k = 0u; k < K", "var k = 0u; k < 1u"),
            ("(image * K + k) * U", "(image + k) * U"),
            ("* U + e % U];", "* U];"),
            ("sum += d_y", "sum = d_y"),
        ],
    },
];
