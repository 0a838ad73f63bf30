//! The backward pass of convolutions to their input.

use super::{Geometry, backward_input_cases, cost, grid_of_pixels, spread};
use crate::kernels::activation::Activation;
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::numeric::precision::mean_scale;
use crate::plan::{Call, Kernel, Parts, formula};

pub static BACKWARD_INPUT: Kernel = product(Parts {
    file: "convolution/backward_input",
    source: include_str!("../../../shaders/convolution/backward_input.wgsl"),
    entry: "backward_input",
    summary: "d_x = (d_y ∗ᵀ W) ⊙ f′(x)",
    grid: grid_of_pixels,
    formula: formula!(backward_input),
    cases: backward_input_cases,
    cost,
});

fn backward_input<T: Real>(c: &Call<T>) {
    let (x, weight, d_y, f) = (c.read("x"), c.read("weight"), c.read("d_y"), Activation::of(c));
    let x = &x[..];
    let operands = [&c.operand(&d_y, mean_scale(c.dim("R")))[..], &c.operand(&weight, 1.0)[..]];
    spread(Geometry::of(&c.dispatch.constants), operands, &mut c.write("d_x"), |sum, e, _| {
        sum * f.gradient(x[e])
    });
}
