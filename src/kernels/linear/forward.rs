//! Fully connected layers.

use super::{case, cost, exact, sizes};
use crate::kernels::activation::Activation;
use crate::kernels::product::product;
use crate::numeric::{Real, dot, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Kernel, Parts, formula};

pub static FORWARD: Kernel = product(Parts {
    file: "linear/forward",
    source: include_str!("../../../shaders/linear/forward.wgsl"),
    entry: "forward",
    summary: "y = f(x Wᵀ + b)",
    grid: |c| [c.dim("R"), c.dim("O"), 1],
    formula: formula!(forward),
    cases: || {
        let mut cases = sizes();
        for activation in Activation::IN_LAYERS {
            let at = |dims: [usize; 3]| case(dims).constant("ACTIVATION", activation.number());
            cases.push(at([5, 7, 9]));
            // pre-activations around 1e4, where e^v overflows
            cases.push(at([5, 7, 9]).fill("x", Fill::Normal(5e3)));
            cases.push(at([9, 1, 40]).fill("x", Fill::Normal(1e-3)));
        }
        cases.push(exact("x", "weight"));
        cases
    },
    cost,
});

fn forward<T: Real>(c: &Call<T>) {
    layer(c, &c.read("x"));
}

/// y = f(x W^T + b).
pub(crate) fn layer<T: Real>(c: &Call<T>, x: &[T]) {
    let (weight, bias, f) = (&c.read("weight")[..], &c.read("bias")[..], Activation::of(c));
    let (x, weight) = (&c.operand(x, 1.0)[..], &c.operand(weight, 1.0)[..]);
    let (inputs, outputs) = (weight.len() / bias.len(), bias.len());
    parallel::rows(&mut c.write("y"), outputs, |row, y| {
        let x = &x[row * inputs..][..inputs];
        for (output, y) in y.iter_mut().enumerate() {
            *y = f.apply(dot(x, &weight[output * inputs..][..inputs]) + bias[output]);
        }
    });
}
