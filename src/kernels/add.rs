//! The sum of two tensors.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static ADD: Kernel = single(Parts {
    file: "add",
    source: include_str!("../../shaders/add.wgsl"),
    entry: "add",
    summary: "a + b, where gradients meet",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(add),
    cases: || {
        let case = |n| Case::new(&[("N", n)]);
        vec![
            case(1),
            case(63),
            case(64),
            case(65),
            case(100_352),
            // more workgroups than one dimension of a grid has room for
            case(33_000).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: n, bytes: 12 * n }
    },
});

fn add<T: Real>(c: &Call<T>) {
    let (a, b) = (c.read("a"), c.read("b"));
    for ((sum, &a), &b) in c.write("sum").iter_mut().zip(&a[..]).zip(&b[..]) {
        *sum = a + b;
    }
}
