//! The gradients of a fully connected layer's parameters.

use crate::kernels::linear::{case, cost, exact, sizes};
use crate::kernels::product::product;
use crate::numeric::precision::mean_scale;
use crate::numeric::{Real, add_multiple, parallel, sum};
use crate::plan::{Call, Cost, Kernel, Parts, formula};

pub static BACKWARD_PARAMETERS: Kernel = product(Parts {
    file: "linear/backward_parameters",
    source: include_str!("../../../shaders/linear/backward_parameters.wgsl"),
    entry: "backward_parameters",
    summary: "d_W = d_yᵀ x, d_b = Σ d_y",
    grid: |c| [c.dim("O"), c.dim("I") + 1, 1],
    formula: formula!(backward_parameters),
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
    let dims = ["R", "I", "O"].map(|name| c.dim(name));
    let [d_weight, d_bias] = gradients(c, dims, &c.read("x"), &c.read("d_y"));
    c.write("d_weight").copy_from_slice(&d_weight);
    c.write("d_bias").copy_from_slice(&d_bias);
}

/// d_W = d_y^T x and d_b = sum over rows of d_y, for x (r, i) and d_y (r, o).
pub(super) fn gradients<T: Real>(
    c: &Call<T>,
    [r, i, o]: [usize; 3],
    x: &[T],
    d_y: &[T],
) -> [Vec<T>; 2] {
    let (x, d_y) = (&c.operand(x, 1.0)[..], &c.operand(d_y, mean_scale(r))[..]);
    let mut d_weight = vec![T::ZERO; o * i];
    parallel::rows(&mut d_weight, i, |output, d_weight| {
        for row in 0..r {
            add_multiple(d_weight, d_y[row * o + output], &x[row * i..][..i]);
        }
    });
    let of_output = |output: usize| sum((0..r).map(|row| d_y[row * o + output]));
    [d_weight, (0..o).map(of_output).collect()]
}
