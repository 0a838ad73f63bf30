//! Fully connected layers, and the way back through them to their input.

use serde::{Deserialize, Serialize};

use super::case::Fill;
use super::precision::mean_scale;
use super::real::Matrix;
use super::variant::PRODUCT;
use super::{Call, Case, Cost, Kernel, Parts, Real, parallel, twin};
use crate::plan::Constants;

/// The non-linearity of a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// y = v
    Identity,
    /// y = max(v, 0)
    Relu,
    /// y = tanh(v)
    Tanh,
    /// y = ln(1 + e^v)
    Softplus,
}

impl Activation {
    pub const ALL: [Activation; 4] =
        [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Softplus];

    /// The number the shader calls ACTIVATION.
    pub fn number(self) -> f64 {
        f64::from(self as u8)
    }

    fn of(c: &Call<impl Real>) -> Self {
        Activation::ALL[c.dim("ACTIVATION")]
    }

    #[inline(always)]
    fn apply<T: Real>(self, v: T) -> T {
        match self {
            Activation::Identity => v,
            Activation::Relu => v.relu(),
            Activation::Tanh => v.tanh(),
            Activation::Softplus => v.softplus(),
        }
    }

    /// The derivative, from the activation's value `y`.
    #[inline(always)]
    fn gradient<T: Real>(self, y: T) -> T {
        match self {
            Activation::Identity => T::ONE,
            Activation::Relu if y > T::ZERO => T::ONE,
            Activation::Relu => T::ZERO,
            Activation::Tanh => T::ONE - y * y,
            Activation::Softplus => T::ONE - (-y).exp(),
        }
    }
}

pub static FORWARD: Kernel = Kernel::of_variants(
    Parts {
        file: "linear/forward",
        source: include_str!("../../shaders/linear/forward.wgsl"),
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
    },
    PRODUCT,
);

pub static BACKWARD_INPUT: Kernel = Kernel::of_variants(
    Parts {
        file: "linear/backward_input",
        source: include_str!("../../shaders/linear/backward_input.wgsl"),
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
    },
    PRODUCT,
);

/// Of the product.
pub(super) fn cost(c: &Constants) -> Cost {
    let (r, i, o) = (c.dim("R") as u64, c.dim("I") as u64, c.dim("O") as u64);
    Cost { flops: 2 * r * i * o, bytes: 4 * (r * i + i * o + r * o) }
}

fn forward<T: Real>(c: &Call<T>) {
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    layer(c, [c.dim("R"), c.dim("I")], &x, &weight, &bias, &mut c.write("y"));
}

/// y = f(x W^T + b) of `rows` rows of `inputs`, f the call's ACTIVATION.
pub(super) fn layer<T: Real>(
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

fn backward_input<T: Real>(c: &Call<T>) {
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    layer_backward(c, [c.dim("R"), c.dim("I"), c.dim("O")], &x, &weight, &d_y, &mut c.write("d_x"));
}

/// d_x = (d_y W) * f'(x) of `rows` rows of `outputs`, f the call's ACTIVATION.
pub(super) fn layer_backward<T: Real>(
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

pub(super) fn case([r, i, o]: [usize; 3]) -> Case {
    Case::new(&[("R", r), ("I", i), ("O", o)])
}

/// Operands that f16 has, so that the sums alone are rounded: one in f16 would show.
pub(super) fn exact(left: &'static str, right: &'static str) -> Case {
    let numbers = |step: i32| (0..251).map(move |i| f64::from(i * step % 255 - 127) / 64.0);
    case([45, 101, 37])
        .fill(left, Fill::Cycle(numbers(37).collect()))
        .fill(right, Fill::Cycle(numbers(101).collect()))
}

/// 1, odd, around the tiles of 16, 32 and 64, not a multiple of anything, and those of the default network.
pub(super) fn sizes() -> Vec<Case> {
    let sizes = [
        [1, 1, 1],
        [2, 3, 5],
        [31, 15, 33],
        [32, 16, 32],
        [33, 17, 31],
        [17, 63, 16],
        [64, 32, 64],
        [65, 64, 15],
        [37, 101, 43],
        // few rows, whose products the CPU takes as dots
        [3, 101, 43],
        [20, 784, 42],
        [32, 64, 9],
        [7, 65, 6],
        [128, 784, 400],
        [128, 400, 40],
        [128, 20, 400],
    ];
    sizes.into_iter().map(case).collect()
}
