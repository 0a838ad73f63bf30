//! A gate: half of a layer's channels say what passes of the other half.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/gate.wgsl");

pub static FORWARD: Kernel = single(Parts {
    file: "gate",
    source: SOURCE,
    entry: "forward",
    summary: "a sigmoid(b) of channels [a | b]",
    grid,
    formula: formula!(forward),
    cases,
    cost: |c| cost(c, 4, 12),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "gate",
    source: SOURCE,
    entry: "backward",
    summary: "the gradient before a gate",
    grid,
    formula: formula!(backward),
    cases,
    cost: |c| cost(c, 8, 20),
});

fn elements(c: &Constants) -> usize {
    c.dim("N") * c.dim("C")
}

fn grid(c: &Constants) -> [usize; 3] {
    grid_of_groups(elements(c).div_ceil(c.dim("WORKGROUP")))
}

fn cases() -> Vec<Case> {
    let case = |n: usize, c: usize| Case::new(&[("N", n)]).constant("C", c as f64);
    vec![
        case(1, 1),
        case(7, 3),
        case(2, 65),
        case(100, 300).fill("x", Fill::Uniform(-90.0, 90.0)),
        case(1568, 32),
        // more workgroups than one dimension of a grid has room for
        case(11_000, 3).constant("WORKGROUP", 1.0),
    ]
}

fn cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = elements(c) as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}

fn forward<T: Real>(c: &Call<T>) {
    let (channels, x) = (c.dim("C"), c.read("x"));
    for (y, x) in c.write("y").chunks_exact_mut(channels).zip(x.chunks_exact(2 * channels)) {
        let (a, b) = x.split_at(channels);
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = a * b.sigmoid();
        }
    }
}

fn backward<T: Real>(c: &Call<T>) {
    let (channels, x, d_y) = (c.dim("C"), c.read("x"), c.read("d_y"));
    let pixels = x.chunks_exact(2 * channels).zip(d_y.chunks_exact(channels));
    for (d_x, (x, d_y)) in c.write("d_x").chunks_exact_mut(2 * channels).zip(pixels) {
        let (a, b) = x.split_at(channels);
        let (d_a, d_b) = d_x.split_at_mut(channels);
        for i in 0..channels {
            let s = b[i].sigmoid();
            d_a[i] = d_y[i] * s;
            d_b[i] = d_y[i] * a[i] * (s * (-b[i]).sigmoid());
        }
    }
}
