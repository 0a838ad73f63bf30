//! Faults of the sums of rows.

use super::Faults;

pub static FAULTS: &[Faults] = &[Faults {
    file: "sum_rows",
    kernels: &["sum_rows.sum_rows"],
    mutations: &[
        ("if e >= G * C { return; }", "if e >= G { return; }"),
        ("group.x + group.y * groups.x", "group.x"),
        ("e / C * BLOCK", "e % C * BLOCK"),
        ("values[n * C + e % C]", "values[n * C]"),
        ("var sum = 0.0", "var sum = 1.0"),
        ("let first = e / C * BLOCK", "let first = e / C * BLOCK + 1u"),
        ("min(first + BLOCK, N)", "min(first + BLOCK, N - 1u)"),
    ],
}];
