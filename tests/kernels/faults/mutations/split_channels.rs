//! Faults of the split of channels.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "split_channels",
        kernels: &["split_channels.split", "split_channels.merge"],
        mutations: &[
            ("e / (N * C) % PARTS", "e / (N * C) % N"),
            ("e / C % N", "e / C % PARTS"),
            ("(row * N + pixel)", "(row * PARTS + pixel)"),
            ("* PARTS + part)", "* PARTS)"),
            ("* C + e % C", "* C"),
        ],
    },
    Faults {
        file: "split_channels",
        kernels: &["split_channels.split"],
        mutations: &[("in_parts[e] = from_layer[side_by_side(e)]", "in_parts[e] = from_layer[e]")],
    },
    Faults {
        file: "split_channels",
        kernels: &["split_channels.merge"],
        mutations: &[(
            "d_from_layer[side_by_side(e)] = d_in_parts[e]",
            "d_from_layer[e] = d_in_parts[e]",
        )],
    },
];
