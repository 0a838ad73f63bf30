//! The backward pass of fully connected layers to their input.

use super::{case, cost, exact, sizes};
use crate::kernels::activation::Activation;
use crate::kernels::product::product;
use crate::numeric::precision::mean_scale;
use crate::numeric::{Matrix, Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Kernel, Parts, twin};

pub static BACKWARD_INPUT: Kernel = product(Parts {
    file: "linear/backward_input",
    source: include_str!("../../../shaders/linear/backward_input.wgsl"),
    entry: "backward_input",
    summary: "d_x = (d_y W) ⊙ f′(x)",
    grid: |c| [c.dim("R"), c.dim("I"), 1],
    twin: twin!(backward_input),
    cases: || {
        let mut cases = sizes();
        for activation in Activation::ALL {
            let range = if activation == Activation::Tanh { (-1.0, 1.0) } else { (0.0, 9.0) };
            let case = case([5, 7, 9]).constant("ACTIVATION", activation.number());
            cases.push(case.clone().fill("x", Fill::Uniform(range.0, range.1)));
            cases.push(case.fill("x", Fill::Cycle(vec![0.0, 1.0, 0.5])));
        }
        cases.push(exact("d_y", "weight"));
        cases
    },
    cost,
});

fn backward_input<T: Real>(c: &Call<T>) {
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    layer_backward(c, [c.dim("R"), c.dim("I"), c.dim("O")], &x, &weight, &d_y, &mut c.write("d_x"));
}

/// d_x = (d_y W) * f'(x) of `rows` rows of `outputs`, f the call's ACTIVATION.
pub(crate) fn layer_backward<T: Real>(
    c: &Call<T>,
    [rows, inputs, outputs]: [usize; 3],
    x: &[T],
    weight: &[T],
    d_y: &[T],
    d_x: &mut [T],
) {
    let (d_y, weight) = (c.operand(d_y, mean_scale(rows)), c.operand(weight, 1.0));
    let (d_y, weight) = (Matrix::new(&d_y, outputs), Matrix::new(&weight, inputs));
    T::multiply(rows, inputs, outputs, d_y, weight, d_x);
    let activation = Activation::of(c);
    if activation == Activation::Identity {
        return;
    }
    parallel::rows(
        d_x,
        inputs,
        #[inline(always)]
        |row, d_x| {
            for (d_x, &x) in d_x.iter_mut().zip(&x[row * inputs..][..inputs]) {
                *d_x *= activation.gradient(x);
            }
        },
    );
}
