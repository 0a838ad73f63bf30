//! The way back from fully connected layers into their parameters: gradient and Adam's step in one.

use std::ops::Range;

use super::adam::Adam;
use super::case::Fill;
use super::linear::{case, cost, exact, sizes};
use super::precision::mean_scale;
use super::real::Matrix;
use super::variant::PRODUCT;
use super::{Call, Case, Cost, Kernel, Parts, Real, parallel, twin};

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
            let Cost { flops, bytes } = cost(c);
            Cost { flops: flops + 14 * (i + 1) * o, bytes: bytes + 20 * (i + 1) * o }
        },
    },
    PRODUCT,
);

/// Words that say where a layer's parts are: see [`Placed::words`].
pub const WORDS: usize = 10;

/// A layer in the tensors that [`UPDATE_ALL`] binds.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    pub inputs: usize,
    pub outputs: usize,
    /// Whether its input (B, inputs) is in `odd`, else it is in `even`; its first element there.
    pub input: (bool, usize),
    /// The same of the gradient (B, outputs) of its output, in `d_odd` or `d_even`.
    pub d_output: (bool, usize),
    /// First elements in `parameters`.
    pub weight: usize,
    pub bias: usize,
    /// First elements in `moments`.
    pub weight_moments: usize,
    pub bias_moments: usize,
}

impl Placed {
    /// A row of the tensor `layers`.
    ///
    /// # Panics
    /// If a place is 2^32 elements away or more.
    pub fn words(&self) -> [u32; WORDS] {
        [
            self.inputs,
            self.outputs,
            usize::from(self.input.0),
            self.input.1,
            usize::from(self.d_output.0),
            self.d_output.1,
            self.weight,
            self.bias,
            self.weight_moments,
            self.bias_moments,
        ]
        .map(|word| u32::try_from(word).expect("a place is below 2^32"))
    }

    fn of(words: &[u32]) -> Self {
        let at = |i: usize| words[i] as usize;
        Placed {
            inputs: at(0),
            outputs: at(1),
            input: (at(2) == 1, at(3)),
            d_output: (at(4) == 1, at(5)),
            weight: at(6),
            bias: at(7),
            weight_moments: at(8),
            bias_moments: at(9),
        }
    }
}

pub static UPDATE_ALL: Kernel = Kernel::of_variants(
    Parts {
        file: "linear/update_all",
        source: include_str!("../../shaders/linear/update_all.wgsl"),
        entry: "update_all",
        summary: "the same for all layers at once",
        grid: |c| [c.dim("MOST_OUTPUTS"), c.dim("MOST_INPUTS") + 1, c.dim("L")],
        twin: twin!(update_all),
        cases: || {
            let mut cases = vec![
                placed_case(1, &[[1, 1], [1, 1]]),
                placed_case(3, &[[2, 5], [5, 3]]),
                placed_case(5, &[[31, 33], [33, 14], [7, 33], [33, 31]]),
                placed_case(20, &[[65, 40], [40, 64], [64, 6], [3, 64], [64, 65]]),
                placed_case(130, &[[17, 63], [63, 16]]),
                placed_case(128, &[[784, 400], [400, 40], [20, 400], [400, 784]]),
            ];
            let adam = [("BETA1", 0.8), ("BETA2", 0.99), ("EPSILON", 0.5)];
            let case = cases[2].clone();
            cases.push(adam.iter().fold(case, |case, (name, v)| case.constant(name, *v)));
            cases
        },
        cost: |c| {
            // Padding between the parts counts as parameters: below one in a hundred of a real network.
            let [b, parameters] = ["BATCH", "P"].map(|name| c.dim(name) as u64);
            let sizes = ["EVEN", "ODD", "D_EVEN", "D_ODD", "P", "P", "M", "M"];
            let words: usize = sizes.iter().map(|name| c.dim(name)).sum();
            Cost { flops: (2 * b + 14) * parameters, bytes: 4 * words as u64 }
        },
    },
    PRODUCT,
);

/// Layers of these inputs and outputs, a minibatch of `b`.
fn placed_case(b: usize, layers: &[[usize; 2]]) -> Case {
    // Not at any alignment, and something between them: the shader needs neither.
    let mut ends = [3; 6];
    let mut place = |tensor: usize, len: usize| {
        let at = ends[tensor];
        ends[tensor] += len + 1;
        at
    };
    let mut words = Vec::new();
    for (i, &[inputs, outputs]) in layers.iter().enumerate() {
        let placed = Placed {
            inputs,
            outputs,
            input: (i % 2 == 1, place(i % 2, b * inputs)),
            d_output: (i % 3 == 1, place(2 + usize::from(i % 3 == 1), b * outputs)),
            weight: place(4, outputs * inputs),
            bias: place(4, outputs),
            weight_moments: place(5, 2 * outputs * inputs),
            bias_moments: place(5, 2 * outputs),
        };
        words.extend(placed.words());
    }
    let [even, odd, d_even, d_odd, p, m] = ends;
    let most = |i: usize| layers.iter().map(|layer| layer[i]).max().unwrap_or(0);
    Case::new(&[("L", layers.len()), ("EVEN", even), ("ODD", odd), ("D_EVEN", d_even)])
        .dim("D_ODD", d_odd)
        .dim("P", p)
        .dim("M", m)
        .constant("BATCH", b as f64)
        .constant("MOST_INPUTS", most(0) as f64)
        .constant("MOST_OUTPUTS", most(1) as f64)
        .fill("layers", Fill::Words(words))
        .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
        .fill("moments", Fill::Uniform(0.0, 2.0))
}

fn update<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    update_layer(
        c,
        &Adam::of(c),
        [c.dim("R"), c.dim("I"), c.dim("O")],
        [&x, &d_y],
        [&mut c.write("weight"), &mut c.write("weight_moments")],
        [&mut c.write("bias"), &mut c.write("bias_moments")],
    );
}

fn update_all<T: Real>(c: &Call<T>) {
    let (rows, adam, layers) = (c.dim("BATCH"), Adam::of(c), c.read_u32("layers"));
    let (inputs, d_outputs) =
        ([c.read("even"), c.read("odd")], [c.read("d_even"), c.read("d_odd")]);
    let (mut parameters, mut moments) = (c.write("parameters"), c.write("moments"));
    for words in layers.chunks_exact(WORDS) {
        let layer = Placed::of(words);
        let (i, o) = (layer.inputs, layer.outputs);
        let part = |at: usize, len: usize| at..at + len;
        let x = &inputs[usize::from(layer.input.0)][part(layer.input.1, rows * i)];
        let d_y = &d_outputs[usize::from(layer.d_output.0)][part(layer.d_output.1, rows * o)];
        let [weight, bias] =
            disjoint(&mut parameters, [part(layer.weight, o * i), part(layer.bias, o)]);
        let [weight_moments, bias_moments] = disjoint(
            &mut moments,
            [part(layer.weight_moments, 2 * o * i), part(layer.bias_moments, 2 * o)],
        );
        update_layer(
            c,
            &adam,
            [rows, i, o],
            [x, d_y],
            [weight, weight_moments],
            [bias, bias_moments],
        );
    }
}

fn disjoint<T>(values: &mut [T], ranges: [Range<usize>; 2]) -> [&mut [T]; 2] {
    values.get_disjoint_mut(ranges).expect("the layers' parts do not overlap")
}

/// Of a layer with input x (r, i) and gradient d_y (r, o): weight (o, i) and bias, each with its moments.
fn update_layer<T: Real>(
    c: &Call<T>,
    adam: &Adam<T>,
    [r, i, o]: [usize; 3],
    [x, d_y]: [&[T]; 2],
    [weight, weight_moments]: [&mut [T]; 2],
    [bias, bias_moments]: [&mut [T]; 2],
) {
    let (x, d_y) = (c.operand(x, 1.0), c.operand(d_y, mean_scale(r)));
    let (left, right) = (Matrix::new(&d_y, o), Matrix::new(&x, i));
    if T::streams_outer_products([o, i, r]) {
        let (moments1, moments2) = weight_moments.split_at_mut(o * i);
        parallel::stripes(
            o,
            2 * r * i * o,
            [(weight, i), (moments1, i), (moments2, i)],
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
            adam.step(gradient, weight, weight_moments);
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
        adam.step(gradient, bias, bias_moments);
    });
}
