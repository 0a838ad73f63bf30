//! The Bernoulli likelihood in whole registers.

use std::ops::Range;

use super::gemm::multiply_then;
use super::lanes::{LogBernoulli, gradient_of_lanes, less_logarithms};
use super::matrix::Matrix;
use crate::kernels::bernoulli::PART;
use crate::numeric::{Real, parallel};
use crate::plan::Call;

pub(super) fn log_likelihood(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, logits, mut log_px) = (c.read("x"), c.read("logits"), c.write("log_px"));
    let (x, logits) = (&x[..], &logits[..]);
    parallel::rows(
        &mut log_px,
        1,
        #[inline(always)]
        |row, log_px| {
            let (x, eta) = (&x[row / k * d..][..d], &logits[row * d..][..d]);
            log_px[0] = log_bernoulli(x, eta);
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, logits, weight) = (c.read("x"), c.read("logits"), c.read("weight"));
    let (x, logits, weight) = (&x[..], &logits[..], &weight[..]);
    parallel::rows(
        &mut c.write("d_logits"),
        d,
        #[inline(always)]
        |row, d_logits| {
            let (x, eta) = (&x[row / k * d..][..d], &logits[row * d..][..d]);
            for i in 0..d {
                d_logits[i] = weight[row] * (x[i] - eta[i].sigmoid());
            }
        },
    );
}

pub(super) fn expectation(c: &Call<f32>) {
    let (logits, mut mean) = (c.read("logits"), c.write("mean"));
    let (d, logits) = (c.dim("D"), &logits[..]);
    parallel::rows(
        &mut mean,
        d,
        #[inline(always)]
        |row, mean| {
            for (mean, &eta) in mean.iter_mut().zip(&logits[row * d..][..d]) {
                *mean = eta.sigmoid();
            }
        },
    );
}

pub(super) fn decode(c: &Call<f32>) {
    let (k, d, i) = (c.dim("K"), c.dim("D"), c.dim("I"));
    let (h, weight, bias) = (c.read("h"), c.read("weight"), c.read("bias"));
    let (h, weight) = (c.operand(&h, 1.0), c.operand(&weight, 1.0));
    let (x, row_weight) = (c.read("x"), c.read("row_weight"));
    let (mut d_eta, mut log_px) = (c.write("d_eta"), c.write("log_px"));
    let rows = c.dim("BATCH") * k;
    // The logits are in the place of d_eta until they are used.
    let (h, weight) = (Matrix::new(&h, i), Matrix::new(&weight, i).transposed());
    let (bias, x, row_weight) = (&bias[..], &x[..], &row_weight[..]);
    let log_px = Parts::of(&mut log_px, d.div_ceil(PART));
    multiply_then([rows, d, i], h, weight, &mut d_eta, &|part| {
        part.for_each_row(
            #[inline(always)]
            |row, columns, d_eta| {
                add_bias(d_eta, &bias[columns.clone()]);
                // SAFETY: parts of the product share no element, so no part of log p(x|z) either.
                let log_px = unsafe { log_px.get(row, &columns) };
                bernoulli_gradient(&x[row / k * d..][columns], d_eta, row_weight[row], log_px);
            },
        );
    });
}

/// log p(x|z) of each [`PART`] pixels, rows of `width`, written by who has the logits of those.
struct Parts {
    values: parallel::Shared<f32>,
    rows: usize,
    width: usize,
}

const _: () = assert!(parallel::UNIT.is_multiple_of(PART), "a stripe of a product has whole parts");

impl Parts {
    fn of(values: &mut [f32], width: usize) -> Self {
        Parts { values: parallel::Shared(values.as_mut_ptr()), rows: values.len() / width, width }
    }

    /// # Safety
    /// No other reference to these is alive.
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "that is the point: see Safety")]
    unsafe fn get(&self, row: usize, columns: &Range<usize>) -> &mut [f32] {
        let (first, end) = (columns.start / PART, columns.end.div_ceil(PART));
        assert!(row < self.rows && end <= self.width);
        // SAFETY: inside by the assertion, and the caller's alone.
        unsafe {
            let start = self.values.get().add(row * self.width + first);
            std::slice::from_raw_parts_mut(start, end - first)
        }
    }
}

#[inline(always)]
pub(super) fn add_bias(eta: &mut [f32], bias: &[f32]) {
    for (eta, &b) in eta.iter_mut().zip(bias) {
        *eta += b;
    }
}

pub(super) fn decode_log_likelihood(c: &Call<f32>) {
    /// Rows whose logits are held at a time.
    const BLOCK: usize = 256;
    let (k, d, i) = (c.dim("K"), c.dim("D"), c.dim("I"));
    let (h, weight, bias) = (c.read("h"), c.read("weight"), c.read("bias"));
    let (h, weight) = (c.operand(&h, 1.0), c.operand(&weight, 1.0));
    let (x, mut log_px) = (c.read("x"), c.write("log_px"));
    let (bias, x, parts) = (&bias[..], &x[..], d.div_ceil(PART));
    let mut logits = vec![0.0; BLOCK.min(c.dim("BATCH") * k) * d];
    for (block, log_px) in log_px.chunks_mut(BLOCK * parts).enumerate() {
        let (first, rows) = (block * BLOCK, log_px.len() / parts);
        let (h, weight) = (Matrix::new(&h[first * i..], i), Matrix::new(&weight, i).transposed());
        let logits = &mut logits[..rows * d];
        let log_px = Parts::of(log_px, parts);
        multiply_then([rows, d, i], h, weight, logits, &|part| {
            part.for_each_row(
                #[inline(always)]
                |row, columns, eta| {
                    add_bias(eta, &bias[columns.clone()]);
                    // SAFETY: as in `decode`.
                    let log_px = unsafe { log_px.get(row, &columns) };
                    log_bernoulli_of_parts(&x[(first + row) / k * d..][columns], eta, log_px);
                },
            );
        });
    }
}

/// sum_d x eta - softplus(eta).
#[inline(always)]
fn log_bernoulli(x: &[f32], logits: &[f32]) -> f32 {
    let mut sum = LogBernoulli::default();
    let ((xs, x), (etas, eta)) = (x.as_chunks(), logits.as_chunks());
    for (x, eta) in xs.iter().zip(etas) {
        sum.add(x, eta);
    }
    sum.add_part(x, eta);
    sum.total()
}

/// The same of each [`PART`] pixels.
#[inline(always)]
fn log_bernoulli_of_parts(x: &[f32], logits: &[f32], out: &mut [f32]) {
    let ((xs, x), (etas, eta)) = (x.as_chunks::<PART>(), logits.as_chunks::<PART>());
    less_logarithms(
        out,
        #[inline(always)]
        |part| {
            let mut sum = LogBernoulli::default();
            if part < xs.len() {
                for (x, eta) in xs[part].as_chunks().0.iter().zip(etas[part].as_chunks().0) {
                    sum.add(x, eta);
                }
            } else {
                let ((xs, x), (etas, eta)) = (x.as_chunks(), eta.as_chunks());
                for (x, eta) in xs.iter().zip(etas) {
                    sum.add(x, eta);
                }
                sum.add_part(x, eta);
            }
            sum.sum_and_product()
        },
    );
}

/// The same together with `d` = w (x - sigmoid(eta)); `d` holds the logits eta before.
#[inline(always)]
fn bernoulli_gradient(x: &[f32], d: &mut [f32], w: f32, out: &mut [f32]) {
    let ((xs, x), (ds, d)) = (x.as_chunks::<PART>(), d.as_chunks_mut::<PART>());
    less_logarithms(
        out,
        #[inline(always)]
        |part| {
            let mut sum = LogBernoulli::default();
            if part < xs.len() {
                for (x, d) in xs[part].as_chunks().0.iter().zip(ds[part].as_chunks_mut().0) {
                    gradient_of_lanes(&mut sum, x, d, w);
                }
            } else {
                let ((xs, x), (ds, d)) = (x.as_chunks(), d.as_chunks_mut());
                for (x, d) in xs.iter().zip(ds) {
                    gradient_of_lanes(&mut sum, x, d, w);
                }
                sum.add_part(x, d);
                for (d, &x) in d.iter_mut().zip(x) {
                    *d = w * (x - d.sigmoid());
                }
            }
            sum.sum_and_product()
        },
    );
}
