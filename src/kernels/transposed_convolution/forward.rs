//! Transposed convolutions.

use crate::kernels::activation::Activation;
use crate::kernels::convolution::{Geometry, cost, forward_cases, grid_of_pixels, spread};
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::plan::{Call, Kernel, Parts, formula};

pub static FORWARD: Kernel = product(Parts {
    file: "transposed_convolution/forward",
    source: include_str!("../../../shaders/transposed_convolution/forward.wgsl"),
    entry: "forward",
    summary: "y = f(x ∗ᵀ W + b), images with their channels last",
    grid: grid_of_pixels,
    formula: formula!(forward),
    cases: forward_cases,
    cost,
});

fn forward<T: Real>(c: &Call<T>) {
    let (x, weight, bias, f) = (c.read("x"), c.read("weight"), c.read("bias"), Activation::of(c));
    let bias = &bias[..];
    let operands = [&c.operand(&x, 1.0)[..], &c.operand(&weight, 1.0)[..]];
    spread(Geometry::of(&c.dispatch.constants), operands, &mut c.write("y"), |sum, _, channel| {
        f.apply(sum + bias[channel])
    });
}
