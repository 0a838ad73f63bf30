//! The gradients of a fully connected layer's parameters.

use crate::kernels::linear::{case, cost, exact, sizes};
use crate::kernels::product::product;
use crate::numeric::Matrix;
use crate::numeric::Real;
use crate::numeric::precision::mean_scale;
use crate::plan::{Call, Cost, Kernel, Parts, twin};

pub static BACKWARD_PARAMETERS: Kernel = product(Parts {
    file: "linear/backward_parameters",
    source: include_str!("../../../shaders/linear/backward_parameters.wgsl"),
    entry: "backward_parameters",
    summary: "d_W = d_yᵀ x, d_b = Σ d_y",
    grid: |c| [c.dim("O"), c.dim("I") + 1, 1],
    twin: twin!(backward_parameters),
    cases: || {
        let mut cases = sizes();
        cases.push(exact("d_y", "x"));
        cases.push(case([3, 4, 6]));
        cases
    },
    cost: |c| {
        let Cost { flops, bytes } = cost(c);
        let (r, o) = (c.dim("R") as u64, c.dim("O") as u64);
        Cost { flops: flops + r * o, bytes: bytes + 4 * o }
    },
});

fn backward_parameters<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    let [r, i, o] = ["R", "I", "O"].map(|name| c.dim(name));
    let (mut d_weight, mut d_bias) = (c.write("d_weight"), c.write("d_bias"));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(r)));
    T::multiply(o, i, r, Matrix::new(&d_y, o).transposed(), Matrix::new(&x, i), &mut d_weight);
    d_bias.fill(T::ZERO);
    for row in d_y.chunks_exact(o) {
        for (sum, &d) in d_bias.iter_mut().zip(row) {
            *sum += d;
        }
    }
}
