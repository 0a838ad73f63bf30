//! Faults of the group normalisation.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "group_norm",
        kernels: &["group_norm.forward", "group_norm.backward_input"],
        mutations: &[
            ("let at = workgroup.x + workgroup.y * workgroups.x;", "let at = workgroup.x;"),
            ("let row = at / G;", "let row = at % R;"),
            ("let group = at % G;", "let group = 0u;"),
            ("return e / own * C + group * own + e % own", "return e"),
            ("return e / own * C + group * own", "return e / own * C"),
            ("+ group * own + e % own", "+ group * own"),
        ],
    },
    Faults {
        file: "group_norm",
        kernels: &["group_norm.forward"],
        mutations: &[
            ("let n = P * (C / G);", "let n = P * C;"),
            ("{ part += x[row * P * C + place(group, e)]; }", "{ part += x[place(group, e)]; }"),
            (
                "let m = workgroup_sum(part, lane) / f32(n)",
                "let m = workgroup_sum(part, lane) / f32(P)",
            ),
            (
                "let d = x[row * P * C + place(group, e)] - m",
                "let d = x[row * P * C + place(group, e)]",
            ),
            ("squares += d * d", "squares += d"),
            ("EPSILON = 1e-5", "EPSILON = 1e-6"),
            (
                "workgroup_sum(squares, lane) / f32(n) + EPSILON",
                "workgroup_sum(squares, lane) / f32(n - min(n - 1u, 1u)) + EPSILON",
            ),
            ("1.0 / sqrt(", "sqrt("),
            ("parameters[i % C] * ((", "(("),
            ("parameters[i % C] *", "parameters[0] *"),
            ("- m) * r);", "- m));"),
            ("scaled + parameters[C + i % C]", "scaled"),
            ("scaled + parameters[C + i % C]", "scaled + parameters[i % C]"),
            ("activate(ACTIVATION, scaled", "activate(min(ACTIVATION, 2u), scaled"),
            ("statistics[row * 2u * G + group] = m", "statistics[row * 2u * G + group] = r"),
            (
                "statistics[row * 2u * G + G + group] = r",
                "statistics[row * 2u * G + G + group] = 1.0 / r",
            ),
        ],
    },
    Faults {
        file: "group_norm",
        kernels: &["group_norm.channel_sums"],
        mutations: &[
            ("let at = (workgroup.x + workgroup.y * workgroups.x) *", "let at = workgroup.x *"),
            ("if at >= R * C { return; }", "if at + 1u >= R * C { return; }"),
            ("let group = channel / (C / G);", "let group = channel % G;"),
            ("p < P; p++", "p + 1u < P; p++"),
            ("let i = (row * P + p) * C + channel;", "let i = (row * P + p) * C;"),
            ("let i = (row * P + p) * C + channel;", "let i = (row + p) * C + channel;"),
            ("d_w += d_y[i] * ((x[i] - m) * r)", "d_w += d_y[i] * x[i]"),
            ("d_w += d_y[i] * ((x[i] - m) * r)", "d_w += ((x[i] - m) * r)"),
            ("d_b += d_y[i]", "d_b = d_y[i]"),
            ("sums[row * 2u * C + channel] = d_w", "sums[row * 2u * C + channel] = d_b"),
            ("sums[row * 2u * C + C + channel] = d_b", "sums[row * 2u * C + C + channel] = -d_b"),
        ],
    },
    Faults {
        file: "group_norm",
        kernels: &["group_norm.backward_input"],
        mutations: &[
            ("var c = group * own + lane;", "var c = lane;"),
            ("c < (group + 1u) * own;", "c < C;"),
            ("of_w += scale_and_shift[c] *", "of_w +="),
            ("of_b += scale_and_shift[c] *", "of_b +="),
            (
                "of_w += scale_and_shift[c] * channel_gradients[row * 2u * C + c]",
                "of_w += scale_and_shift[c] * channel_gradients[c]",
            ),
            ("channel_gradients[row * 2u * C + C + c]", "channel_gradients[row * 2u * C + c]"),
            ("workgroup_sum(of_b, lane) / f32(n)", "workgroup_sum(of_b, lane) / f32(P)"),
            ("workgroup_sum(of_w, lane) / f32(n)", "workgroup_sum(of_w, lane)"),
            ("let normal = (x[row * P * C + i] - m) * r", "let normal = x[row * P * C + i] * r"),
            ("scale_and_shift[i % C] * d_y", "d_y"),
            ("d_scaled - s1 - normal * s2", "d_scaled - s1"),
            ("d_scaled - s1 - normal * s2", "d_scaled - normal * s2"),
            ("= r * (d_scaled", "= (d_scaled"),
        ],
    },
];
