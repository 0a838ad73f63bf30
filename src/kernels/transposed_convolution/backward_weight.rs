//! The gradient of a transposed convolution's weight.

use crate::kernels::convolution::{Geometry, cost, exact, sizes, weight_gradient};
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::numeric::precision::mean_scale;
use crate::plan::{Call, Kernel, Parts, formula};

pub static BACKWARD_WEIGHT: Kernel = product(Parts {
    file: "transposed_convolution/backward_weight",
    source: include_str!("../../../shaders/transposed_convolution/backward_weight.wgsl"),
    entry: "backward_weight",
    summary: "d_W = Σ x ⊗ patches of d_y",
    grid: |c| [Geometry::of(c).patch_len(), c.dim("O"), 1],
    formula: formula!(backward_weight),
    cases: || {
        let mut cases = sizes();
        cases.push(exact("d_y", "x"));
        cases
    },
    cost,
});

fn backward_weight<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(c.dim("R"))));
    let gradient = weight_gradient(Geometry::of(&c.dispatch.constants), [&d_y, &x]);
    c.write("d_weight").copy_from_slice(&gradient);
}
