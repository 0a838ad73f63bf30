//! Faults of the shaders of continuous_bernoulli.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "continuous_bernoulli",
        kernels: &["continuous_bernoulli.log_likelihood"],
        mutations: &[
            ("one_minus_exp(-a) / a", "one_minus_exp(-a)"),
            ("one_minus_exp(-a) / a", "(1.0 - exp(-a)) / a"),
            ("1.0, a < 1e-30", "1.0, a < 1e-3"),
            ("one_minus_exp(-a) / a, 1.0, a < 1e-30", "one_minus_exp(-a) / a, 0.0, a < 1e-30"),
            ("select(pixel - 1.0, pixel, eta < 0.0)", "pixel"),
            ("select(pixel - 1.0, pixel, eta < 0.0)", "(pixel - 1.0)"),
            ("* eta - log_ratio(eta)", "* eta"),
            ("* eta - log_ratio(eta)", "* eta + log_ratio(eta)"),
            ("row / K * D", "row * D"),
            ("let pixel = x[row / K * D + d]", "let pixel = ceil(x[row / K * D + d])"),
            ("var d = lane;", "var d = lane + 1u;"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "continuous_bernoulli",
        kernels: &["continuous_bernoulli.backward"],
        mutations: &[
            ("weight[id.y] *", "weight[id.y / K] *"),
            ("x[id.y / K * D + id.x]", "x[id.y * D + id.x]"),
            ("- expected(logits[e])", "+ expected(logits[e])"),
            ("id.x >= D ||", "id.x >= D - 1u ||"),
        ],
    },
    Faults {
        file: "continuous_bernoulli",
        kernels: &["continuous_bernoulli.expectation"],
        mutations: &[
            ("a < 1.0 {", "a < 4.0 {"),
            ("a < 1.0 {", "a < 1e-3 {"),
            ("0.083333333", "0.0833"),
            ("0.0013888889", "0.001388"),
            ("3.3068783e-5 -", "3.3068783e-5 +"),
            ("8.2671958e-7", "0.0"),
            ("1.0 / a - e / (1.0 - e)", "1.0 / a - e"),
            ("1.0 / a - e / (1.0 - e)", "e / (1.0 - e)"),
            ("select(1.0 - tail, tail, eta < 0.0)", "tail"),
            ("select(1.0 - tail, tail, eta < 0.0)", "1.0 - tail"),
            ("id.x >= D", "id.x >= D - 1u"),
            ("id.y >= B * K", "id.y >= B"),
            ("expected(logits[e])", "expected(logits[id.x])"),
        ],
    },
];
