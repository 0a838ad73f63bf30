//! Faults of the shaders of keep.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "keep",
        kernels: &["keep.keep"],
        mutations: &[
            ("clock[2] % S", "clock[2]"),
            ("clock[2] % S * R", "clock[2] % S * S"),
            ("id.x >= R", "id.x > R"),
            ("id.x >= R", "id.x >= R - 1u"),
        ],
    },
    Faults {
        file: "keep",
        kernels: &["keep.advance"],
        mutations: &[
            ("time[2] += 1u", "time[2] = 1u"),
            ("time[5] += K", "time[5] = K"),
            ("time[5] += K", "time[4] += K"),
        ],
    },
];
