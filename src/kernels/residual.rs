//! Where the two ways through a residual block meet.

use super::activation::Activation;
use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/residual.wgsl");

pub static FORWARD: Kernel = single(Parts {
    file: "residual",
    source: SOURCE,
    entry: "forward",
    summary: "f(a + b), where the ways of a residual block meet",
    grid,
    formula: formula!(forward),
    cases: || {
        let mut cases = sizes();
        let activations = Activation::IN_LAYERS.into_iter();
        cases.extend(activations.map(|f| case(200).constant("ACTIVATION", f.number())));
        cases
    },
    cost,
});

pub static BACKWARD: Kernel = single(Parts {
    file: "residual",
    source: SOURCE,
    entry: "backward",
    summary: "the gradient before the activation that made an input of it",
    grid,
    formula: formula!(backward),
    cases: || {
        let mut cases = sizes();
        for f in Activation::IN_LAYERS {
            let (low, high) = f.range();
            let case = case(200).constant("ACTIVATION", f.number());
            cases.push(case.fill("a", Fill::Uniform(low, high)));
        }
        cases
    },
    cost,
});

fn grid(c: &Constants) -> [usize; 3] {
    grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP")))
}

fn case(n: usize) -> Case {
    Case::new(&[("N", n)])
}

fn sizes() -> Vec<Case> {
    vec![
        case(1),
        case(63),
        case(65),
        case(100_352),
        // more workgroups than one dimension of a grid has room for
        case(33_000).constant("WORKGROUP", 1.0),
    ]
}

fn cost(c: &Constants) -> Cost {
    let n = c.dim("N") as u64;
    Cost { flops: 2 * n, bytes: 12 * n }
}

fn forward<T: Real>(c: &Call<T>) {
    let (a, b, f) = (c.read("a"), c.read("b"), Activation::of(c));
    for ((y, &a), &b) in c.write("y").iter_mut().zip(&a[..]).zip(&b[..]) {
        *y = f.apply(a + b);
    }
}

fn backward<T: Real>(c: &Call<T>) {
    let (a, d_y, f) = (c.read("a"), c.read("d_y"), Activation::of(c));
    for ((d_a, &a), &d_y) in c.write("d_a").iter_mut().zip(&a[..]).zip(&d_y[..]) {
        *d_a = f.gradient(a) * d_y;
    }
}
