//! Convolutions and transposed convolutions: of each image, its patches as a matrix, and products by the `gemm` crate.
//! An image is one thread's; gradients of weights are summed over groups of images, whose number depends on the batch alone.

use super::gemm::multiply_on_this_thread;
use super::matrix::Matrix;
use super::{with_scratch, with_second_scratch};
use crate::kernels::activation::{Activation, PerActivation};
use crate::kernels::convolution::Geometry;
use crate::numeric::parallel::{rows, rows_of_work, vectorized};
use crate::numeric::precision::mean_scale;
use crate::plan::Call;

/// Groups of images that gradients of weights are summed over, each on one thread.
const GROUPS: usize = 16;

/// Operations of one image.
fn operations(g: Geometry) -> usize {
    2 * g.places_len() * g.patch_len()
}

/// Writes the patches of an image, a row for each place.
fn gather(g: Geometry, image: &[f32], patches: &mut [f32]) {
    for (place, patch) in patches.chunks_exact_mut(g.patch_len()).enumerate() {
        patch.fill(0.0);
        for (from, to, len) in g.patch(place) {
            patch[to..to + len].copy_from_slice(&image[from..from + len]);
        }
    }
}

/// Adds the patches of an image to it.
#[inline(always)]
fn scatter(g: Geometry, patches: &[f32], image: &mut [f32]) {
    image.fill(0.0);
    for (place, patch) in patches.chunks_exact(g.patch_len()).enumerate() {
        for (to, from, len) in g.patch(place) {
            for (v, &add) in image[to..to + len].iter_mut().zip(&patch[from..from + len]) {
                *v += add;
            }
        }
    }
}

/// The values at the places of each image, which `finish(image, values)` then works on.
fn correlate(
    g: Geometry,
    [image, weight]: [&[f32]; 2],
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    with_second_scratch(channels * n, |transposed| {
        // Once for all images: otherwise each product would do it while it packs the weight, and that takes longer than
        // the product itself.
        for (k, row) in transposed.chunks_exact_mut(channels).enumerate() {
            for (o, v) in row.iter_mut().enumerate() {
                *v = weight[o * n + k];
            }
        }
        let weight = Matrix::new(transposed, channels);
        rows_of_work(out, g.places_len(), operations(g), |row, out| {
            with_scratch(p * q * n, |patches| {
                gather(g, &image[row * g.image_len()..][..g.image_len()], patches);
                let patches = Matrix::new(patches, n);
                multiply_on_this_thread([p * q, channels, n], patches, weight, out, 0.0);
            });
            finish(row, out);
        });
    });
}

/// The values at the pixels of each image, which `finish(image, values)` then works on.
fn spread(
    g: Geometry,
    [places, weight]: [&[f32]; 2],
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    rows_of_work(out, g.image_len(), operations(g), |row, out| {
        with_scratch(p * q * n, |patches| {
            let places = &places[row * g.places_len()..][..g.places_len()];
            let (places, weight) = (Matrix::new(places, channels), Matrix::new(weight, n));
            multiply_on_this_thread([p * q, n, channels], places, weight, patches, 0.0);
            vectorized(
                #[inline(always)]
                || scatter(g, patches, out),
            );
        });
        finish(row, out);
    });
}

/// The gradient of the weight.
fn weight_gradient(g: Geometry, images: usize, [image, places]: [&[f32]; 2], out: &mut [f32]) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    let groups = GROUPS.min(images);
    with_second_scratch(groups * channels * n, |sums| {
        let work = operations(g) * images.div_ceil(groups);
        rows_of_work(sums, channels * n, work, |group, sum| {
            // As even as it goes.
            let of_group = group * images / groups..(group + 1) * images / groups;
            for (i, row) in of_group.enumerate() {
                with_scratch(p * q * n, |patches| {
                    gather(g, &image[row * g.image_len()..][..g.image_len()], patches);
                    let places = &places[row * g.places_len()..][..g.places_len()];
                    let (left, right) = (Matrix::new(places, channels), Matrix::new(patches, n));
                    let keep = if i == 0 { 0.0 } else { 1.0 };
                    multiply_on_this_thread(
                        [channels, n, p * q],
                        left.transposed(),
                        right,
                        sum,
                        keep,
                    );
                });
            }
        });
        rows(out, n, |row, out| {
            out.copy_from_slice(&sums[row * n..][..n]);
            for group in 1..groups {
                let sum = &sums[(group * channels + row) * n..][..n];
                for (v, &add) in out.iter_mut().zip(sum) {
                    *v += add;
                }
            }
        });
    });
}

/// f(value + bias of its channel), in place.
struct Finish<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
}

impl PerActivation for Finish<'_> {
    fn run(self, apply: impl Fn(f32) -> f32 + Sync) {
        vectorized(
            #[inline(always)]
            || {
                for values in self.values.chunks_exact_mut(self.bias.len()) {
                    for (v, &bias) in values.iter_mut().zip(self.bias) {
                        *v = apply(*v + bias);
                    }
                }
            },
        );
    }
}

fn multiply_by_derivative(f: Activation, values: &mut [f32], x: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (v, &x) in values.iter_mut().zip(x) {
                *v *= f.gradient(x);
            }
        },
    );
}

pub(super) fn forward(c: &Call<f32>) {
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    let (g, f, bias) = (Geometry::of(&c.dispatch.constants), Activation::of(c), &bias[..]);
    let operands = [&c.operand(&x, 1.0)[..], &c.operand(&weight, 1.0)[..]];
    correlate(g, operands, &mut c.write("y"), |_, values| f.specialize(Finish { values, bias }));
}

pub(super) fn backward_input(c: &Call<f32>) {
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    let (g, f, x) = (Geometry::of(&c.dispatch.constants), Activation::of(c), &x[..]);
    let operands = [&c.operand(&d_y, mean_scale(c.dim("R")))[..], &c.operand(&weight, 1.0)[..]];
    spread(g, operands, &mut c.write("d_x"), |row, values| {
        multiply_by_derivative(f, values, &x[row * g.image_len()..]);
    });
}

pub(super) fn backward_parameters(c: &Call<f32>) {
    let (x, d_y, g) = (c.read("x"), c.read("d_y"), Geometry::of(&c.dispatch.constants));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(c.dim("R"))));
    weight_gradient(g, c.dim("R"), [&x, &d_y], &mut c.write("d_weight"));
    let d_bias = &mut c.write("d_bias")[..];
    vectorized(
        #[inline(always)]
        || {
            d_bias.fill(0.0);
            for values in d_y.chunks_exact(d_bias.len()) {
                for (sum, &v) in d_bias.iter_mut().zip(values) {
                    *sum += v;
                }
            }
        },
    );
}

pub(super) fn transposed_forward(c: &Call<f32>) {
    let (x, weight, bias) = (c.read("x"), c.read("weight"), c.read("bias"));
    let (g, f, bias) = (Geometry::of(&c.dispatch.constants), Activation::of(c), &bias[..]);
    let operands = [&c.operand(&x, 1.0)[..], &c.operand(&weight, 1.0)[..]];
    spread(g, operands, &mut c.write("y"), |_, values| f.specialize(Finish { values, bias }));
}

pub(super) fn transposed_backward_input(c: &Call<f32>) {
    let (x, weight, d_y) = (c.read("x"), c.read("weight"), c.read("d_y"));
    let (g, f, x) = (Geometry::of(&c.dispatch.constants), Activation::of(c), &x[..]);
    let operands = [&c.operand(&d_y, mean_scale(c.dim("R")))[..], &c.operand(&weight, 1.0)[..]];
    correlate(g, operands, &mut c.write("d_x"), |row, values| {
        multiply_by_derivative(f, values, &x[row * g.places_len()..]);
    });
}

pub(super) fn transposed_backward_weight(c: &Call<f32>) {
    let (x, d_y, g) = (c.read("x"), c.read("d_y"), Geometry::of(&c.dispatch.constants));
    let (x, d_y) = (c.operand(&x, 1.0), c.operand(&d_y, mean_scale(c.dim("R"))));
    weight_gradient(g, c.dim("R"), [&d_y, &x], &mut c.write("d_weight"));
}
