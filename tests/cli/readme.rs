//! The README's kernel table is the registry.

use elbo::kernels::REGISTRY;

#[test]
fn the_readme_lists_every_kernel() {
    let mut table = String::from("| kernel | computes |\n|---|---|\n");
    for kernel in REGISTRY {
        table += &format!("| `{kernel}` | {} |\n", kernel.summary.replace('|', "\\|"));
    }
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&table), "the README's kernel table should read:\n{table}");
}
