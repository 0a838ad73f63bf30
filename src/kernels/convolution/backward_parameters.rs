//! The gradients of a convolution's parameters.

use super::{Geometry, cost, exact, sizes, weight_gradient};
use crate::kernels::product::product;
use crate::numeric::precision::mean_scale;
use crate::numeric::{Real, sum};
use crate::plan::{Call, Kernel, Parts, formula};

pub static BACKWARD_PARAMETERS: Kernel = product(Parts {
    file: "convolution/backward_parameters",
    source: include_str!("../../../shaders/convolution/backward_parameters.wgsl"),
    entry: "backward_parameters",
    summary: "d_W = Σ d_y ⊗ patches of x, d_b = Σ d_y",
    grid: |c| [c.dim("O"), Geometry::of(c).patch_len() + 1, 1],
    formula: formula!(backward_parameters),
    cases: || {
        let mut cases = sizes();
        cases.push(exact("d_y", "x"));
        cases
    },
    cost,
});

fn backward_parameters<T: Real>(c: &Call<T>) {
    let g = Geometry::of(&c.dispatch.constants);
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(c.dim("R"))));
    c.write("d_weight").copy_from_slice(&weight_gradient(g, [&x, &d_y]));
    let channels = g.places[2];
    for (o, d_bias) in c.write("d_bias").iter_mut().enumerate() {
        *d_bias = sum(d_y.iter().skip(o).step_by(channels).copied());
    }
}
