//! Fully connected layers, and the way back through them: to the input, and into the parameters.

use serde::{Deserialize, Serialize};

use super::adam::Adam;
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
        cost: |c| cost(c, 2),
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
        cost: |c| cost(c, 2),
    },
    PRODUCT,
);

pub static UPDATE: Kernel = Kernel::of_variants(
    Parts {
        file: "linear/update",
        source: include_str!("../../shaders/linear/update.wgsl"),
        entry: "update",
        summary: "d_W = d_yᵀ x, d_b = Σ d_y, and Adam's step of W and b",
        grid: |c| [c.dim("O"), c.dim("I") + 1, 1],
        twin: twin!(update),
        cases: || {
            let rates = |case: Case| {
                case.fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
                    .fill("weight_moments", Fill::Uniform(0.0, 2.0))
                    .fill("bias_moments", Fill::Uniform(0.0, 2.0))
            };
            let mut cases: Vec<Case> = sizes().into_iter().map(rates).collect();
            let zero = || Fill::Cycle(vec![0.0]);
            let first =
                |case: Case| case.fill("weight_moments", zero()).fill("bias_moments", zero());
            let at = rates(case([21, 33, 37]));
            cases.push(rates(exact("d_y", "x")));
            cases.push(at.clone().fill("rates", Fill::Cycle(vec![0.02, 0.19, 1.999e-3, 0.0])));
            let adam = [("BETA1", 0.8), ("BETA2", 0.99), ("EPSILON", 0.5)];
            cases.push(adam.iter().fold(at.clone(), |case, (name, v)| case.constant(name, *v)));
            // the first step, and one whose gradients are about as small as epsilon
            cases.push(first(at.clone()));
            let small = at.fill("d_y", Fill::Cycle(vec![1e-9, -3e-9, 7e-9, 0.0]));
            cases.push(first(small).fill("weight", zero()).fill("bias", zero()));
            // dead units: no gradient, moments about to become subnormal
            let about = |n: usize| {
                let (firsts, seconds) = ([1.2e-38, -1.2e-38, 1e-37], [1.17549435e-38, 1e-30, 0.0]);
                let plane = |values: [f64; 3]| values.into_iter().cycle().take(n);
                Fill::Cycle(plane(firsts).chain(plane(seconds)).collect())
            };
            let dead = rates(case([3, 4, 6])).fill("d_y", zero());
            cases.push(dead.fill("weight_moments", about(24)).fill("bias_moments", about(6)));
            cases
        },
        cost: |c| {
            let (i, o) = (c.dim("I") as u64, c.dim("O") as u64);
            let Cost { flops, bytes } = cost(c, 2);
            Cost { flops: flops + 14 * (i + 1) * o, bytes: bytes + 20 * (i + 1) * o }
        },
    },
    PRODUCT,
);

fn cost(c: &Constants, flops_per_term: u64) -> Cost {
    let (r, i, o) = (c.dim("R") as u64, c.dim("I") as u64, c.dim("O") as u64);
    Cost { flops: flops_per_term * r * i * o, bytes: 4 * (r * i + i * o + r * o) }
}

fn forward<T: Real>(c: &Call<T>) {
    let (r, i, o) = (c.dim("R"), c.dim("I"), c.dim("O"));
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    let (x, weight) = (c.operand(&x, 1.0), c.operand(&weight, 1.0));
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
    let (left, right) = (c.operand(&d_y, mean_scale(r)), c.operand(&weight, 1.0));
    T::multiply(r, i, o, Matrix::new(&left, o), Matrix::new(&right, i), &mut d_x);
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

fn update<T: Real>(c: &Call<T>) {
    let (r, i, o) = (c.dim("R"), c.dim("I"), c.dim("O"));
    let (x, d_y, adam) = (c.read("x"), c.read("d_y"), Adam::of(c));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(r)));
    let (mut weight, mut weight_moments) = (c.write("weight"), c.write("weight_moments"));
    let (left, right) = (Matrix::new(&d_y, o), Matrix::new(&x, i));
    if T::streams_outer_products([o, i, r]) {
        let (moments1, moments2) = weight_moments.split_at_mut(o * i);
        parallel::stripes(
            o,
            2 * r * i * o,
            [(&mut weight, i), (moments1, i), (moments2, i)],
            |outputs, [weight, moments1, moments2]| {
                let stripe = Matrix { data: &left.data[outputs.start..], ..left };
                T::vectorized(
                    #[inline(always)]
                    || {
                        T::outer_products(
                            [outputs.len(), i, r],
                            stripe,
                            right,
                            #[inline(always)]
                            |output, input, gradient| {
                                let at = output * i + input..output * i + input + gradient.len();
                                let moments =
                                    (&mut moments1[at.clone()], &mut moments2[at.clone()]);
                                adam.step_part(gradient, [&mut weight[at], moments.0, moments.1]);
                            },
                        );
                    },
                );
            },
        );
    } else {
        T::with_scratch(o * i, |gradient| {
            T::multiply(o, i, r, left.transposed(), right, gradient);
            adam.step(gradient, &mut weight, &mut weight_moments);
        });
    }
    T::with_scratch(o, |gradient| {
        T::vectorized(
            #[inline(always)]
            || {
                gradient.fill(T::ZERO);
                for row in d_y.chunks_exact(o) {
                    for (sum, &d) in gradient.iter_mut().zip(row) {
                        *sum += d;
                    }
                }
            },
        );
        adam.step(gradient, &mut c.write("bias"), &mut c.write("bias_moments"));
    });
}

fn case([r, i, o]: [usize; 3]) -> Case {
    Case::new(&[("R", r), ("I", i), ("O", o)])
}

/// Operands that f16 has, so that the sums alone are rounded: one in f16 would show.
fn exact(left: &'static str, right: &'static str) -> Case {
    let numbers = |step: i32| (0..251).map(move |i| f64::from(i * step % 255 - 127) / 64.0);
    case([45, 101, 37])
        .fill(left, Fill::Cycle(numbers(37).collect()))
        .fill(right, Fill::Cycle(numbers(101).collect()))
}

/// 1, odd, around the tiles of 16, 32 and 64, not a multiple of anything, and those of the default network.
fn sizes() -> Vec<Case> {
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
