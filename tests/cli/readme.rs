//! The table of kernels in docs/kernels.md is the registry.

use elbo::kernels::REGISTRY;

#[test]
fn the_table_of_kernels_lists_every_kernel() {
    let mut table = String::from("| kernel | computes |\n|---|---|\n");
    for kernel in REGISTRY {
        table += &format!("| `{kernel}` | {} |\n", kernel.summary.replace('|', "\\|"));
    }
    let page = include_str!("../../docs/kernels.md");
    assert!(page.contains(&table), "the table of docs/kernels.md should read:\n{table}");
}
