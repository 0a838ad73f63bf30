//! Faults of the shaders of clip.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "clip",
        kernels: &["clip.add_squares"],
        mutations: &[
            ("gradient[e] * gradient[e]", "gradient[e] * gradient[0]"),
            ("gradient[e] * gradient[e]", "abs(gradient[e])"),
            ("e += PARTS * WORKGROUP", "e += 2u * PARTS * WORKGROUP"),
            ("e < N;", "e + 1u < N;"),
            ("squares[group.x] += total", "squares[group.x] = total"),
            ("squares[group.x] += total", "squares[PARTS - 1u - group.x] += total"),
        ],
    },
    Faults {
        file: "clip",
        kernels: &["clip.scale"],
        mutations: &[
            ("i < PARTS;", "i + 1u < PARTS;"),
            ("i += WORKGROUP", "i += 2u * WORKGROUP"),
            ("sums[i] = 0.0", "sums[i] = part"),
            ("sqrt(workgroup_sum(part, lane))", "workgroup_sum(part, lane)"),
            ("clock[STEP] % S", "0u"),
            ("] = norm;", "] = kept[0];"),
            ("MOST / norm, norm > MOST", "MOST / norm, norm < MOST"),
            ("MOST / norm, norm > MOST", "1.0 / norm, norm > MOST"),
            ("select(1.0, MOST", "select(0.0, MOST"),
        ],
    },
];
