//! Faults of the shaders of store_samples.

use super::Faults;

pub static FAULTS: &[Faults] = &[
    Faults {
        file: "store_samples",
        kernels: &["store_samples.store"],
        mutations: &[
            ("clock[STEP] % S", "clock[STEP]"),
            ("clock[STEP] % S * R", "clock[STEP] % S * S"),
            ("id.x >= R", "id.x > R"),
            ("id.x >= R", "id.x >= R - 1u"),
        ],
    },
    Faults {
        file: "store_samples",
        kernels: &["store_samples.advance"],
        mutations: &[
            ("time[STEP] += 1u", "time[STEP] = 1u"),
            ("time[SAMPLE] += K", "time[SAMPLE] = K"),
            ("time[SAMPLE] += K", "time[POSITION] += K"),
        ],
    },
];
