//! Fully connected layers: products by `gemm`, or by the loops of this folder where there are few rows.

use std::ops::Range;

use super::gemm::{multiply, multiply_then};
use super::matrix::Matrix;
use super::optimizer::{self, Adam};
use super::{grad_weight, with_scratch};
use crate::kernels::activation::{Activation, PerActivation};
use crate::kernels::linear::update_all::{Placed, WORDS};
use crate::numeric::parallel::{self, vectorized};
use crate::numeric::precision::mean_scale;
use crate::plan::Call;

pub(super) fn forward(c: &Call<f32>) {
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    layer(c, [c.dim("R"), c.dim("I")], &x, &weight, &bias, &mut c.write("y"));
}

/// y = f(x W^T + b) of `rows` rows of `inputs`, f the call's ACTIVATION.
pub(super) fn layer(
    c: &Call<f32>,
    [rows, inputs]: [usize; 2],
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    y: &mut [f32],
) {
    let (x, weight) = (c.operand(x, 1.0), c.operand(weight, 1.0));
    let (x, weight) = (Matrix::new(&x, inputs), Matrix::new(&weight, inputs).transposed());
    Activation::of(c).specialize(Layer { dims: [rows, bias.len(), inputs], x, weight, bias, y });
}

/// y = f(x W^T + b).
struct Layer<'a> {
    dims: [usize; 3],
    x: Matrix<'a, f32>,
    weight: Matrix<'a, f32>,
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl PerActivation for Layer<'_> {
    fn run(self, apply: impl Fn(f32) -> f32 + Sync) {
        multiply_then(self.dims, self.x, self.weight, self.y, &|part| {
            part.for_each_row(
                #[inline(always)]
                |_, columns, y| {
                    for (y, &b) in y.iter_mut().zip(&self.bias[columns]) {
                        *y = apply(*y + b);
                    }
                },
            );
        });
    }
}

pub(super) fn backward_input(c: &Call<f32>) {
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    layer_backward(c, [c.dim("R"), c.dim("I"), c.dim("O")], &x, &weight, &d_y, &mut c.write("d_x"));
}

/// d_x = (d_y W) * f'(x) of `rows` rows of `outputs`, f the call's ACTIVATION.
pub(super) fn layer_backward(
    c: &Call<f32>,
    [rows, inputs, outputs]: [usize; 3],
    x: &[f32],
    weight: &[f32],
    d_y: &[f32],
    d_x: &mut [f32],
) {
    let (d_y, weight) = (c.operand(d_y, mean_scale(rows)), c.operand(weight, 1.0));
    let (d_y, weight) = (Matrix::new(&d_y, outputs), Matrix::new(&weight, inputs));
    let dims = [rows, inputs, outputs];
    match Activation::of(c) {
        Activation::Identity => multiply(rows, inputs, outputs, d_y, weight, d_x),
        activation => multiply_then(dims, d_y, weight, d_x, &|part| {
            part.for_each_row(
                #[inline(always)]
                |row, columns, d_x| {
                    for (d_x, &x) in d_x.iter_mut().zip(&x[row * inputs..][columns]) {
                        *d_x *= activation.gradient(x);
                    }
                },
            );
        }),
    }
}

pub(super) fn backward_parameters(c: &Call<f32>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    let [r, i, o] = ["R", "I", "O"].map(|name| c.dim(name));
    let (mut d_weight, mut d_bias) = (c.write("d_weight"), c.write("d_bias"));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(r)));
    multiply(o, i, r, Matrix::new(&d_y, o).transposed(), Matrix::new(&x, i), &mut d_weight);
    add_rows(&d_y, o, &mut d_bias);
}

/// The sum of the rows of `width` in `values`, some columns on each thread.
fn add_rows(values: &[f32], width: usize, sum: &mut [f32]) {
    /// What an addition that waits for memory counts, beside one of a product.
    const OPERATIONS: usize = 16;
    /// Rows that are added while a sum is in a register.
    const ROWS: usize = 4;
    parallel::stripes(width, OPERATIONS * values.len(), [(sum, 1)], |columns, [sum]| {
        vectorized(
            #[inline(always)]
            || {
                sum.fill(0.0);
                let blocks = values.chunks_exact(ROWS * width);
                let rest = blocks.remainder().chunks_exact(width);
                for block in blocks {
                    let row = |i: usize| &block[i * width..][columns.clone()];
                    let rows = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
                    for (sum, (((a, b), c), d)) in sum.iter_mut().zip(rows) {
                        *sum = *sum + a + b + c + d;
                    }
                }
                for row in rest {
                    for (sum, d) in sum.iter_mut().zip(&row[columns.clone()]) {
                        *sum += d;
                    }
                }
            },
        );
    });
}

pub(super) fn update(c: &Call<f32>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    update_layer(
        c,
        [c.dim("R"), c.dim("I"), c.dim("O")],
        [&x, &d_y],
        [&mut c.write("weight"), &mut c.write("weight_state")],
        [&mut c.write("bias"), &mut c.write("bias_state")],
    );
}

/// Of a layer with input x (r, i) and gradient d_y (r, o): weight (o, i) and bias, each with its state.
pub(super) fn update_layer(
    c: &Call<f32>,
    [r, i, o]: [usize; 3],
    [x, d_y]: [&[f32]; 2],
    [weight, weight_state]: [&mut [f32]; 2],
    [bias, bias_state]: [&mut [f32]; 2],
) {
    let (x, d_y) = (c.operand(x, 1.0), c.operand(d_y, mean_scale(r)));
    let (left, right) = (Matrix::new(&d_y, o), Matrix::new(&x, i));
    crate::kernels::optimizer::decay(c, weight);
    if let Some(adam) = Adam::of(c).filter(|_| grad_weight::suits([o, i, r])) {
        let (moments1, moments2) = weight_state.split_at_mut(o * i);
        parallel::stripes(
            o,
            2 * r * i * o,
            [(weight, i), (moments1, i), (moments2, i)],
            |outputs, [weight, moments1, moments2]| {
                let stripe = Matrix { data: &left.data[outputs.start..], ..left };
                vectorized(
                    #[inline(always)]
                    || {
                        grad_weight::products(
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
        with_scratch(o * i, |gradient| {
            multiply(o, i, r, left.transposed(), right, gradient);
            optimizer::step(c, gradient, weight, weight_state);
        });
    }
    with_scratch(o, |gradient| {
        add_rows(&d_y, o, gradient);
        optimizer::step(c, gradient, bias, bias_state);
    });
}

pub(super) fn update_all(c: &Call<f32>) {
    let (rows, layers) = (c.dim("BATCH"), c.read_u32("layers"));
    let (inputs, d_outputs) =
        ([c.read("even"), c.read("odd")], [c.read("d_even"), c.read("d_odd")]);
    let (planes, mut parameters, mut state) =
        (c.dim("PLANES"), c.write("parameters"), c.write("state"));
    for words in layers.chunks_exact(WORDS) {
        let layer = Placed::of(words);
        let (i, o) = (layer.inputs, layer.outputs);
        let part = |at: usize, len: usize| at..at + len;
        let x = &inputs[usize::from(layer.input.0)][part(layer.input.1, rows * i)];
        let d_y = &d_outputs[usize::from(layer.d_output.0)][part(layer.d_output.1, rows * o)];
        let [weight, bias] =
            disjoint(&mut parameters, [part(layer.weight, o * i), part(layer.bias, o)]);
        let [weight_state, bias_state] = disjoint(
            &mut state,
            [part(layer.weight_state, planes * o * i), part(layer.bias_state, planes * o)],
        );
        update_layer(c, [rows, i, o], [x, d_y], [weight, weight_state], [bias, bias_state]);
    }
}

fn disjoint(values: &mut [f32], ranges: [Range<usize>; 2]) -> [&mut [f32]; 2] {
    values.get_disjoint_mut(ranges).expect("the layers' parts do not overlap")
}
