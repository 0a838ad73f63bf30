//! Convolutions and transposed convolutions: the patches of some images as a matrix, and products by the `gemm` crate. An
//! image is one thread's; gradients of weights are summed over groups of images. How images are grouped depends on sizes
//! alone.

use super::gemm::multiply_on_this_thread;
use super::matrix::Matrix;
use super::{with_scratch, with_second_scratch};
use crate::kernels::activation::{Activation, PerActivation};
use crate::kernels::convolution::Geometry;
use crate::numeric::parallel::{rows, rows_of_work, vectorized};
use crate::numeric::precision::mean_scale;
use crate::plan::Call;

/// Most groups that the images of a minibatch are cut into: more threads than these find no work.
const GROUPS: usize = 16;
/// Most numbers of the patches of a group that one product takes: 2 MB, so that they are still near when they are read.
const PATCHES: usize = 1 << 19;
/// Fewest places whose products are summed for a weight's gradient by themselves: its parts are read and added again.
const PLACES: usize = 512;

/// Operations of one image.
fn operations(g: Geometry) -> usize {
    2 * g.places_len() * g.patch_len()
}

/// Images that one product takes, of `images`: the more, the less often the weight is packed for it.
fn images_together(g: Geometry, images: usize) -> usize {
    let of_image = g.places[0] * g.places[1] * g.patch_len();
    (PATCHES / of_image).min(images / GROUPS).max(1)
}

/// Writes the patches of images, a row for each place.
fn gather(g: Geometry, images: &[f32], patches: &mut [f32]) {
    let of_image = g.places[0] * g.places[1] * g.patch_len();
    for (image, patches) in
        images.chunks_exact(g.image_len()).zip(patches.chunks_exact_mut(of_image))
    {
        for (place, patch) in patches.chunks_exact_mut(g.patch_len()).enumerate() {
            patch.fill(0.0);
            for (from, to, len) in g.patch(place) {
                patch[to..to + len].copy_from_slice(&image[from..from + len]);
            }
        }
    }
}

/// Writes the sum of their patches to images.
#[inline(always)]
fn scatter(g: Geometry, patches: &[f32], images: &mut [f32]) {
    images.fill(0.0);
    let of_image = g.places[0] * g.places[1] * g.patch_len();
    for (image, patches) in
        images.chunks_exact_mut(g.image_len()).zip(patches.chunks_exact(of_image))
    {
        for (place, patch) in patches.chunks_exact(g.patch_len()).enumerate() {
            for (to, from, len) in g.patch(place) {
                for (v, &add) in image[to..to + len].iter_mut().zip(&patch[from..from + len]) {
                    *v += add;
                }
            }
        }
    }
}

/// The values at the places of images, which `finish(first image, values)` then works on.
fn correlate(
    g: Geometry,
    [image, weight]: [&[f32]; 2],
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    let together = images_together(g, out.len() / g.places_len());
    with_second_scratch(channels * n, |transposed| {
        // Once for all images: otherwise each product would do it while it packs the weight, and that takes longer than
        // the product itself.
        for (k, row) in transposed.chunks_exact_mut(channels).enumerate() {
            for (o, v) in row.iter_mut().enumerate() {
                *v = weight[o * n + k];
            }
        }
        let weight = Matrix::new(transposed, channels);
        let work = together * operations(g);
        rows_of_work(out, together * g.places_len(), work, |group, out| {
            let (first, images) = (group * together, out.len() / g.places_len());
            let places = images * p * q;
            with_scratch(places * n, |patches| {
                let images = &image[first * g.image_len()..][..images * g.image_len()];
                gather(g, images, patches);
                let patches = Matrix::new(patches, n);
                multiply_on_this_thread([places, channels, n], patches, weight, out, 0.0);
            });
            finish(first, out);
        });
    });
}

/// The values at the pixels of images, which `finish(first image, values)` then works on.
fn spread(
    g: Geometry,
    [places, weight]: [&[f32]; 2],
    out: &mut [f32],
    finish: impl Fn(usize, &mut [f32]) + Sync,
) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    let together = images_together(g, out.len() / g.image_len());
    let work = together * operations(g);
    rows_of_work(out, together * g.image_len(), work, |group, out| {
        let (first, images) = (group * together, out.len() / g.image_len());
        let rows = images * p * q;
        with_scratch(rows * n, |patches| {
            let places = &places[first * g.places_len()..][..images * g.places_len()];
            let (places, weight) = (Matrix::new(places, channels), Matrix::new(weight, n));
            multiply_on_this_thread([rows, n, channels], places, weight, patches, 0.0);
            vectorized(
                #[inline(always)]
                || scatter(g, patches, out),
            );
        });
        finish(first, out);
    });
}

/// The gradient of the weight.
fn weight_gradient(g: Geometry, images: usize, [image, places]: [&[f32]; 2], out: &mut [f32]) {
    let (n, [p, q, channels]) = (g.patch_len(), g.places);
    let groups = (images * p * q / PLACES).clamp(1, GROUPS.min(images));
    let together = (PATCHES / (p * q * n)).max(1);
    with_second_scratch(groups * channels * n, |sums| {
        let work = operations(g) * images.div_ceil(groups);
        rows_of_work(sums, channels * n, work, |group, sum| {
            // As even as it goes.
            let of_group = group * images / groups..(group + 1) * images / groups;
            for first in of_group.clone().step_by(together) {
                let images = together.min(of_group.end - first);
                let rows = images * p * q;
                with_scratch(rows * n, |patches| {
                    gather(g, &image[first * g.image_len()..][..images * g.image_len()], patches);
                    let places = &places[first * g.places_len()..][..images * g.places_len()];
                    let (left, right) = (Matrix::new(places, channels), Matrix::new(patches, n));
                    let keep = if first == of_group.start { 0.0 } else { 1.0 };
                    let sizes = [channels, n, rows];
                    multiply_on_this_thread(sizes, left.transposed(), right, sum, keep);
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
