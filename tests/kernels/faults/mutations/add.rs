//! Faults of the shaders of add.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "add",
    kernels: &["add.add"],
    mutations: &[
        ("a[e] + b[e]", "a[e]"),
        ("a[e] + b[e]", "a[e] - b[e]"),
        ("if e >= N", "if e + 1u >= N"),
        ("group.x + group.y * groups.x", "group.x"),
    ],
}];
