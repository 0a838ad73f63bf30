//! Faults of the shaders of store_samples.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "store_samples",
        kernels: &["store_samples.store"],
        mutations: &[
            ("clock[2] % S", "clock[2]"),
            ("clock[2] % S * R", "clock[2] % S * S"),
            ("id.x >= R", "id.x > R"),
            ("id.x >= R", "id.x >= R - 1u"),
        ],
    },
    Faults {
        file: "store_samples",
        kernels: &["store_samples.advance"],
        mutations: &[
            ("time[2] += 1u", "time[2] = 1u"),
            ("time[5] += K", "time[5] = K"),
            ("time[5] += K", "time[4] += K"),
        ],
    },
];
