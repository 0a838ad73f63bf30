//! Faults of the shaders of seen.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "seen",
    kernels: &["seen.seen_of"],
    mutations: &[
        ("if COUNTS == 1u", "if COUNTS == 0u"),
        ("log(1.0 + value)", "log(2.0 + value)"),
        ("select(value, 0.0, is_missing(x[e]))", "value"),
        ("select(value, 0.0, is_missing(x[e]))", "select(value, 1.0, is_missing(x[e]))"),
        ("if e >= N", "if e + 1u >= N"),
        ("group.x + group.y * groups.x", "group.x"),
    ],
}];
