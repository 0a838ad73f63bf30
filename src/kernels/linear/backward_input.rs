//! The backward pass of fully connected layers to their input.

use super::{case, cost, exact, sizes};
use crate::kernels::activation::Activation;
use crate::kernels::product::product;
use crate::numeric::precision::mean_scale;
use crate::numeric::{Real, add_multiple, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Kernel, Parts, formula};

pub static BACKWARD_INPUT: Kernel = product(Parts {
    file: "linear/backward_input",
    source: include_str!("../../../shaders/linear/backward_input.wgsl"),
    entry: "backward_input",
    summary: "d_x = (d_y W) ⊙ f′(x)",
    grid: |c| [c.dim("R"), c.dim("I"), 1],
    formula: formula!(backward_input),
    cases: || {
        let mut cases = sizes();
        for activation in Activation::IN_LAYERS {
            let range = activation.range();
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
    layer_backward(c, &c.read("d_y"));
}

/// d_x = (d_y W) * f'(x).
pub(crate) fn layer_backward<T: Real>(c: &Call<T>, d_y: &[T]) {
    let (x, weight, f) = (&c.read("x")[..], &c.read("weight")[..], Activation::of(c));
    let inputs = c.dim("I");
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    let (d_y, weight) = (&c.operand(d_y, mean_scale(rows))[..], &c.operand(weight, 1.0)[..]);
    parallel::rows(&mut c.write("d_x"), inputs, |row, d_x| {
        d_x.fill(T::ZERO);
        for output in 0..outputs {
            add_multiple(d_x, d_y[row * outputs + output], &weight[output * inputs..][..inputs]);
        }
        for (d_x, &x) in d_x.iter_mut().zip(&x[row * inputs..]) {
            *d_x *= f.gradient(x);
        }
    });
}
