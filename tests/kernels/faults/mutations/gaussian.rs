//! Faults of the shaders of gaussian.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "gaussian",
        kernels: &["gaussian.log_likelihood"],
        mutations: &[
            ("part += r * r", "part += abs(r)"),
            ("* exp(-v)", "* exp(v)"),
            ("LN_TWO_PI + v", "LN_TWO_PI"),
            ("-0.5 * (", "-1.0 * ("),
            ("f32(D) * (", "f32(D + 1u) * ("),
            ("row / K * D", "row * D"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "gaussian",
        kernels: &["gaussian.gradient"],
        mutations: &[
            ("w * (r * inverse)", "(r * inverse)"),
            ("r * inverse", "r"),
            ("weight[row]", "weight[row / K]"),
            ("exp(-v)", "exp(v)"),
            ("squares[row] = total", "squares[row] = 2.0 * total"),
            ("log_density(total, v)", "log_density(total, 0.0)"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "gaussian",
        kernels: &["gaussian.backward"],
        mutations: &[
            ("w * (r * inverse)", "w * r"),
            ("x[row / K * D + d] - eta", "x[row / K * D + d] + eta"),
            ("weight[row]", "weight[row / K]"),
            ("squares[row] = total; }", "squares[row] = 0.5 * total; }"),
            ("clamp_log_variance(log_variance[0])", "log_variance[0]"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "gaussian",
        kernels: &["gaussian.variance"],
        mutations: &[
            ("0.5 * weight", "weight"),
            ("- f32(D)", "- 1.0"),
            ("row_squares[row]", "row_squares[0]"),
            ("row += WORKGROUP", "row += 2u * WORKGROUP"),
            ("clamp_log_variance(v) == v", "clamp_log_variance(v) != v"),
            ("inside * total", "total"),
            ("weight[row] *", "weight[0] *"),
        ],
    },
    Faults {
        file: "gaussian/fit_variance",
        kernels: &["gaussian.row_errors"],
        mutations: &[
            ("part += r * r", "part += abs(r)"),
            ("row / K * D", "row * D"),
            ("g + lane * G", "lane * G"),
            ("d += WORKGROUP * G", "d += WORKGROUP"),
            ("weight[row] *", "weight[row / K] *"),
            ("row * G + g] = weight", "row * G] = weight"),
            ("group.x + group.y * groups.x;\n    for", "group.x;\n    for"),
        ],
    },
    Faults {
        file: "gaussian/fit_variance",
        kernels: &["gaussian.fit_variance"],
        mutations: &[
            ("row < R", "row + 1u < R"),
            ("row += WORKGROUP", "row += 2u * WORKGROUP"),
            ("errors[row * G + g]", "errors[row * G]"),
            ("f32(G) / f32(D)", "1.0 / f32(D)"),
            ("HIGHEST, mean > HIGHEST", "mean, mean > HIGHEST"),
            ("LOWEST, mean < LOWEST", "HIGHEST, mean < LOWEST"),
            ("1.0 - DECAY, 2.0", "DECAY, 2.0"),
            ("f32(clock[STEP]) + 2.0", "f32(clock[STEP]) + 1.0"),
            ("exp(clamp_log_variance(log_variance[g]))", "exp(log_variance[g])"),
            (
                "exp(clamp_log_variance(log_variance[g]))",
                "exp(clamp_log_variance(log_variance[0]))",
            ),
            ("fitted[g] = log(best)", "fitted[g] = best"),
            ("log((1.0 - share) * kept", "log(share * kept"),
            ("+ share * best)", "+ best)"),
            ("group.x + group.y * groups.x;\n    var", "group.x;\n    var"),
        ],
    },
    Faults {
        file: "gaussian/fit_variance",
        kernels: &["gaussian.column_errors"],
        mutations: &[
            ("id.y * 32u", "id.y * 31u"),
            ("min(first + 32u, B * K)", "min(first + 31u, B * K)"),
            (
                "row / K * D + d] - eta[row * D + d];\n        total",
                "row * D + d] - eta[row * D + d];\n        total",
            ),
            ("total += weight[row] * (r * r)", "total += r * r"),
            ("total += weight[row] * (r * r)", "total += weight[row] * r"),
            ("part_errors[id.y * D + d]", "part_errors[d]"),
        ],
    },
    Faults {
        file: "gaussian/grouped",
        kernels: &["gaussian.grouped_log_likelihood"],
        mutations: &[
            ("log_variance[d % G]", "log_variance[d % D % 2u]"),
            ("r * r * exp(-v)", "r * r * exp(v)"),
            ("(LN_TWO_PI + v)", "LN_TWO_PI"),
            ("-0.5 * total", "-total"),
            ("row / K * D", "row * D"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("clamp_log_variance(log_variance[d % G])", "log_variance[d % G]"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    },
    Faults {
        file: "gaussian/grouped",
        kernels: &["gaussian.grouped_backward"],
        mutations: &[
            ("log_variance[d % G])))", "log_variance[0])))"),
            ("exp(-clamp_log_variance", "exp(clamp_log_variance"),
            ("clamp_log_variance(log_variance[d % G])))", "(log_variance[d % G])))"),
            ("weight[row] *", "weight[row / K] *"),
            (
                "row / K * D + d] - eta[row * D + d];\n    d_eta",
                "row * D + d] - eta[row * D + d];\n    d_eta",
            ),
            ("d >= D ||", "d + 1u >= D ||"),
        ],
    },
];
