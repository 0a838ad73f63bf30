//! Fully connected layers: bias and activation in the epilogue, and the three gradients.

use serde::{Deserialize, Serialize};

use super::case::Fill;
use super::real::Matrix;
use super::{Call, Case, Cost, Kernel, Parts, Real, parallel, twin};
use crate::plan::Constants;

const SOURCE: &str = include_str!("../../shaders/linear.wgsl");

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
            Activation::Relu if v < T::ZERO => T::ZERO,
            Activation::Relu => v,
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

pub static FORWARD: Kernel = Kernel::new(Parts {
    file: "linear",
    source: SOURCE,
    entry: "forward",
    summary: "y = f(x Wᵀ + b)",
    grid: |c| grid(c, c.dim("R"), c.dim("O")),
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
        cases
    },
    cost: |c| cost(c, 2),
});

pub static BACKWARD_INPUT: Kernel = Kernel::new(Parts {
    file: "linear",
    source: SOURCE,
    entry: "backward_input",
    summary: "d_x = (d_y W) ⊙ f′(x)",
    grid: |c| grid(c, c.dim("R"), c.dim("I")),
    twin: twin!(backward_input),
    cases: || {
        let mut cases = sizes();
        for activation in Activation::ALL {
            let range = if activation == Activation::Tanh { (-1.0, 1.0) } else { (0.0, 9.0) };
            let case = case([5, 7, 9]).constant("ACTIVATION", activation.number());
            cases.push(case.clone().fill("x", Fill::Uniform(range.0, range.1)));
            cases.push(case.fill("x", Fill::Cycle(vec![0.0, 1.0, 0.5])));
        }
        cases
    },
    cost: |c| cost(c, 2),
});

pub static BACKWARD_WEIGHT: Kernel = Kernel::new(Parts {
    file: "linear",
    source: SOURCE,
    entry: "backward_weight",
    summary: "d_W = d_yᵀ x, d_b = Σ d_y",
    grid: |c| grid(c, c.dim("O"), c.dim("I") + 1),
    twin: twin!(backward_weight),
    cases: sizes,
    cost: |c| cost(c, 2),
});

/// Tiles of 4 x 4 outputs an invocation, columns in x.
fn grid(c: &Constants, rows: usize, columns: usize) -> [usize; 3] {
    [columns.div_ceil(c.dim("TILE_N")), rows.div_ceil(c.dim("TILE_M")), 1]
}

fn cost(c: &Constants, flops_per_term: u64) -> Cost {
    let (r, i, o) = (c.dim("R") as u64, c.dim("I") as u64, c.dim("O") as u64);
    Cost { flops: flops_per_term * r * i * o, bytes: 4 * (r * i + i * o + r * o) }
}

fn forward<T: Real>(c: &Call<T>) {
    let (r, i, o) = (c.dim("R"), c.dim("I"), c.dim("O"));
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    let mut y = c.write("y");
    T::multiply(r, o, i, Matrix::new(&x, i), Matrix::new(&weight, i).transposed(), &mut y);
    let (activation, bias) = (Activation::of(c), &bias[..]);
    // One loop per activation, so that none of them branches inside it.
    match activation {
        Activation::Identity => add_bias(&mut y, bias, |v| v),
        Activation::Relu => add_bias(&mut y, bias, |v| Activation::Relu.apply(v)),
        Activation::Tanh => add_bias(&mut y, bias, |v| Activation::Tanh.apply(v)),
        Activation::Softplus => add_bias(&mut y, bias, |v| Activation::Softplus.apply(v)),
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
    let (r, i, o) = (c.dim("R"), c.dim("I"), c.dim("O"));
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    let mut d_x = c.write("d_x");
    T::multiply(r, i, o, Matrix::new(&d_y, o), Matrix::new(&weight, i), &mut d_x);
    let (activation, x) = (Activation::of(c), &x[..]);
    if activation == Activation::Identity {
        return;
    }
    parallel::rows(
        &mut d_x,
        i,
        #[inline(always)]
        |row, d_x| {
            for (d_x, &x) in d_x.iter_mut().zip(&x[row * i..][..i]) {
                *d_x *= activation.gradient(x);
            }
        },
    );
}

fn backward_weight<T: Real>(c: &Call<T>) {
    let (r, i, o) = (c.dim("R"), c.dim("I"), c.dim("O"));
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    let (mut d_weight, mut d_bias) = (c.write("d_weight"), c.write("d_bias"));
    T::multiply(o, i, r, Matrix::new(&d_y, o).transposed(), Matrix::new(&x, i), &mut d_weight);
    let d_y = &d_y[..];
    T::vectorized(|| {
        d_bias.fill(T::ZERO);
        for row in d_y.chunks_exact(o) {
            for (sum, &d) in d_bias.iter_mut().zip(row) {
                *sum += d;
            }
        }
    });
}

fn case([r, i, o]: [usize; 3]) -> Case {
    Case::new(&[("R", r), ("I", i), ("O", o)])
}

/// 1, odd, around the tile of 32 and 16, not a multiple of anything, and those of the default network.
fn sizes() -> Vec<Case> {
    let sizes = [
        [1, 1, 1],
        [2, 3, 5],
        [31, 15, 33],
        [32, 16, 32],
        [33, 17, 31],
        [64, 32, 64],
        [37, 101, 43],
        [128, 784, 400],
        [128, 400, 40],
        [128, 20, 400],
    ];
    let mut cases: Vec<Case> = sizes.into_iter().map(case).collect();
    // tiles that are not square
    for (x, y) in [(16.0, 4.0), (4.0, 16.0)] {
        cases.push(case([37, 101, 83]).constant("WORKGROUP_X", x).constant("WORKGROUP_Y", y));
    }
    cases
}
