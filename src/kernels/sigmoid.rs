//! The sigmoid of each element, by itself: of parameters that are to be values between 0 and 1.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/sigmoid.wgsl");

pub static FORWARD: Kernel = single(Parts {
    file: "sigmoid",
    source: SOURCE,
    entry: "forward",
    summary: "1 / (1 + e^−x)",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(forward),
    cases,
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 3 * n, bytes: 8 * n }
    },
});

pub static BACKWARD: Kernel = single(Parts {
    file: "sigmoid",
    source: SOURCE,
    entry: "backward",
    summary: "the gradient before a sigmoid",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(backward),
    cases,
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 7 * n, bytes: 12 * n }
    },
});

fn cases() -> Vec<Case> {
    let case = |n| Case::new(&[("N", n)]);
    vec![
        case(1),
        case(63),
        case(64),
        case(65).fill("x", Fill::Cycle(vec![0.0, 200.0, -200.0, 17.0, -17.0, 1e-6, 88.0, -88.0])),
        case(39_200),
        // more workgroups than one dimension of a grid has room for
        case(33_000).constant("WORKGROUP", 1.0),
    ]
}

fn forward<T: Real>(c: &Call<T>) {
    let x = c.read("x");
    for (y, &x) in c.write("y").iter_mut().zip(&x[..]) {
        *y = x.sigmoid();
    }
}

/// d_x = d_y y (1 - y), y the sigmoid.
fn backward<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    for ((d_x, &x), &d_y) in c.write("d_x").iter_mut().zip(&x[..]).zip(&d_y[..]) {
        *d_x = d_y * (x.sigmoid() * (-x).sigmoid());
    }
}
