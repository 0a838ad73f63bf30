//! Fully connected layers.

use super::{case, cost, exact, sizes};
use crate::kernels::activation::Activation;
use crate::kernels::product::product;
use crate::numeric::{Matrix, Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Kernel, Parts, twin};

pub static FORWARD: Kernel = product(Parts {
    file: "linear/forward",
    source: include_str!("../../../shaders/linear/forward.wgsl"),
    entry: "forward",
    summary: "y = f(x Wᵀ + b)",
    grid: |c| [c.dim("R"), c.dim("O"), 1],
    twin: twin!(forward),
    cases: || {
        let mut cases = sizes();
        for activation in Activation::ALL {
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
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    layer(c, [c.dim("R"), c.dim("I")], &x, &weight, &bias, &mut c.write("y"));
}

/// y = f(x W^T + b) of `rows` rows of `inputs`, f the call's ACTIVATION.
pub(crate) fn layer<T: Real>(
    c: &Call<T>,
    [rows, inputs]: [usize; 2],
    x: &[T],
    weight: &[T],
    bias: &[T],
    y: &mut [T],
) {
    let (x, weight) = (c.operand(x, 1.0), c.operand(weight, 1.0));
    let (x, weight) = (Matrix::new(&x, inputs), Matrix::new(&weight, inputs).transposed());
    T::multiply(rows, bias.len(), inputs, x, weight, y);
    // One loop per activation, so that none of them branches inside it.
    match Activation::of(c) {
        Activation::Identity => add_bias(y, bias, |v| v),
        Activation::Relu => add_bias(y, bias, |v| Activation::Relu.apply(v)),
        Activation::Tanh => add_bias(y, bias, |v| Activation::Tanh.apply(v)),
        Activation::Softplus => add_bias(y, bias, |v| Activation::Softplus.apply(v)),
    }
}

fn add_bias<T: Real>(y: &mut [T], bias: &[T], f: impl Fn(T) -> T + Sync) {
    parallel::rows(
        y,
        bias.len(),
        #[inline(always)]
        |_, y| {
            for (y, &b) in y.iter_mut().zip(bias) {
                *y = f(*y + b);
            }
        },
    );
}
