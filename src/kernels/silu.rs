//! The SiLU as a layer of its own.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/silu.wgsl");

pub static FORWARD: Kernel = single(Parts {
    file: "silu",
    source: SOURCE,
    entry: "forward",
    summary: "x sigmoid(x), the SiLU",
    grid,
    formula: formula!(forward),
    cases,
    cost: |c| cost(c, 4, 8),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "silu",
    source: SOURCE,
    entry: "backward",
    summary: "the gradient before a SiLU",
    grid,
    formula: formula!(backward),
    cases,
    cost: |c| cost(c, 8, 12),
});

fn grid(c: &Constants) -> [usize; 3] {
    grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP")))
}

fn cases() -> Vec<Case> {
    let case = |n| Case::new(&[("N", n)]);
    vec![
        case(1),
        case(63),
        case(65),
        case(20_000).fill("x", crate::plan::case::Fill::Uniform(-90.0, 90.0)),
        case(100_352),
        // more workgroups than one dimension of a grid has room for
        case(33_000).constant("WORKGROUP", 1.0),
    ]
}

fn cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = c.dim("N") as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}

/// d y / d x, times `d_y`.
#[inline(always)]
pub(crate) fn gradient<T: Real>(x: T, d_y: T) -> T {
    d_y * (x.sigmoid() * (T::ONE + x * (-x).sigmoid()))
}

fn forward<T: Real>(c: &Call<T>) {
    for (y, &x) in c.write("y").iter_mut().zip(&c.read("x")[..]) {
        *y = x * x.sigmoid();
    }
}

fn backward<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    for ((d_x, &x), &d_y) in c.write("d_x").iter_mut().zip(&x[..]).zip(&d_y[..]) {
        *d_x = gradient(x, d_y);
    }
}
