//! Faults of the shaders of mixture.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "mixture",
        kernels: &["mixture.density"],
        mutations: &[
            ("v * v - far * far * exp(-l) - l", "v * v - far * far * exp(-l)"),
            ("v * v - far * far * exp(-l) - l", "-far * far * exp(-l) - l"),
            ("v * v - far * far * exp(-l) - l", "v * v - far * far - l"),
            ("v - components[c * 2u * Z + unit]", "v"),
            ("return 0.5 * sum", "return sum"),
            ("clamp_log_variance(components[", "(components["),
            ("components[c * 2u * Z + Z + unit])", "components[c * 2u * Z + unit])"),
            ("sum = sum * exp(largest - a) + 1.0", "sum = sum + 1.0"),
            ("sum = sum * exp(largest - a) + 1.0", "sum = 1.0"),
            ("largest = a;", ""),
            ("sum += exp(a - largest)", "sum += 1.0"),
            ("sum * exp(largest - most)", "sum"),
            ("log(f32(C)))", "0.0)"),
            ("c += WORKGROUP", "c += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x;\n    var largest", "group.x;\n    var largest"),
        ],
    },
    Faults {
        file: "mixture",
        kernels: &["mixture.responsibilities"],
        mutations: &[
            ("u * exp(relative", "exp(relative"),
            ("rates[KL_WEIGHT] * weight[row]", "weight[row]"),
            ("rates[KL_WEIGHT] * weight[row]", "rates[KL_WEIGHT]"),
            (" - ratio[row] - log(f32(C))", " - log(f32(C))"),
            (" - ratio[row] - log(f32(C))", " - ratio[row]"),
            ("responsibility[row * C + c] =", "responsibility[c * R + row] ="),
        ],
    },
    Faults {
        file: "mixture",
        kernels: &["mixture.backward_sample"],
        mutations: &[
            ("(v + nearer)", "nearer"),
            ("(v + nearer)", "(v - nearer)"),
            ("- v) * exp(-log_variance(c, unit))", "- v)"),
            ("- v) * exp(-log_variance(c, unit))", "- v) * exp(log_variance(c, unit))"),
            ("shares[row * C + c] * (v", "(v"),
            ("d_z[row * Z + unit] + sum", "sum"),
            ("c < C; c++", "c < C - 1u; c++"),
        ],
    },
    Faults {
        file: "mixture",
        kernels: &["mixture.backward_components"],
        mutations: &[
            ("sum += share * far;", "sum += far;"),
            ("far * far * precision_of_unit - 1.0", "far * far * precision_of_unit"),
            ("far * far * precision_of_unit - 1.0", "far * far - 1.0"),
            ("= precision_of_unit * sum;", "= sum;"),
            ("inside * (0.5 * sum_squares)", "inside * sum_squares"),
            ("inside * (0.5 * sum_squares)", "0.5 * sum_squares"),
            ("let share = shares[row * C + c];", "let share = shares[row * C];"),
            ("row < R; row++", "row < R - 1u; row++"),
        ],
    },
    Faults {
        file: "mixture",
        kernels: &["mixture.divergence"],
        mutations: &[
            ("to_normal[image] - sum / f32(K)", "to_normal[image] + sum / f32(K)"),
            ("to_normal[image] - sum / f32(K)", "to_normal[image] - sum"),
            ("ratios[image * K + k]", "ratios[image * K]"),
            ("(group.x + group.y * groups.x) * WORKGROUP", "group.x * WORKGROUP"),
        ],
    },
    Faults {
        file: "mixture",
        kernels: &["mixture.sample"],
        mutations: &[
            (
                "vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH])",
                "vec2<u32>(clock[SEED_HIGH], clock[SEED_LOW])",
            ),
            ("clock[POSITION] + row / K", "row / K"),
            ("clock[SAMPLE] + row % K", "row % K"),
            ("choice.x % C", "0u"),
            ("choice.x % C", "choice.y % C"),
            ("(Z + 3u) / 4u", "0u"),
            ("exp(0.5 * log_variance(c, unit))", "exp(log_variance(c, unit))"),
            ("+ sigma * e[j]", "+ sigma * e[0]"),
            ("components[c * 2u * Z + unit] + sigma", "sigma"),
            (
                "philox(counter_of(clock[EPOCH], place, k, STREAM, quad)",
                "philox(counter_of(clock[STEP], place, k, STREAM, quad)",
            ),
        ],
    },
];
