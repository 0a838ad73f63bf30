//! The decoder's last layer, the Bernoulli likelihood of its logits, and their gradient in one: the logits are
//! stored nowhere.

use super::{PART, log_px_of};
use crate::kernels::product::product;
use crate::numeric::{Real, dot, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

pub static DECODE: Kernel = product(Parts {
    file: "bernoulli/decode",
    source: include_str!("../../../shaders/bernoulli/decode.wgsl"),
    entry: "decode",
    summary: "η = h Wᵀ + b; d_η = w (x − sigmoid(η)); log p(x|z) in parts of 32 pixels",
    grid: |c| [c.dim("BATCH") * c.dim("K"), c.dim("D"), 1],
    formula: formula!(decode),
    cases,
    cost: |c| cost(c, 11, 4),
});

/// `flops` and `bytes`: of each logit, besides the product.
pub(super) fn cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let (b, k, d, i) = (c.dim("BATCH"), c.dim("K"), c.dim("D"), c.dim("I"));
    let (rows, d, i, b) = ((b * k) as u64, d as u64, i as u64, b as u64);
    let bytes = bytes * rows * d + 4 * (rows * i + d * i + b * d);
    Cost { flops: rows * d * (2 * i + flops), bytes }
}

pub(super) fn cases() -> Vec<Case> {
    let case = |b, k, d, i: usize| {
        Case::new(&[("BATCH", b), ("K", k), ("D", d), ("I", i)])
            .fill("x", Fill::Bits)
            .fill("weight", Fill::Normal(1.0 / (i as f64).sqrt()))
            .fill("row_weight", Fill::Uniform(0.1, 1.0))
    };
    // the product is the bias, or far from it
    let logits = vec![0.0, 200.0, -200.0, 88.0, -88.0, 1e4, -1e4, 1e-8, -17.0, 17.0, 0.5];
    let given = |case: Case| {
        case.fill("weight", Fill::Cycle(vec![0.0])).fill("bias", Fill::Cycle(logits.clone()))
    };
    vec![
        case(1, 1, 1, 1),
        case(3, 1, 5, 2),
        case(5, 3, 33, 7),
        case(2, 8, 31, 16),
        case(4, 4, 32, 15),
        case(33, 1, 63, 17),
        case(13, 5, 65, 9),
        case(3, 7, 100, 33),
        case(5, 2, 97, 20).fill("x", Fill::Uniform(0.0, 1.0)), // grey pixels
        case(5, 2, 97, 20).fill("weight", Fill::Normal(3.0)),
        given(case(7, 1, 97, 3)),
        // 32 times ln 2
        case(3, 1, 70, 3)
            .fill("weight", Fill::Cycle(vec![0.0]))
            .fill("bias", Fill::Cycle(vec![0.0])),
        case(128, 1, 784, 400),
    ]
}

/// eta = h W^T + b, log p(x|z) of each part of the pixels, and d_eta = w (x - sigmoid(eta)).
fn decode<T: Real>(c: &Call<T>) {
    let (k, d, eta) = (c.dim("K"), c.dim("D"), logits(c));
    log_px_of_parts(c, &eta);
    let (x, weight) = (&c.read("x")[..], &c.read("row_weight")[..]);
    parallel::rows(&mut c.write("d_eta"), d, |row, d_eta| {
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            *d_eta = weight[row] * (x[row / k * d + i] - eta[row * d + i].sigmoid());
        }
    });
}

/// eta = h W^T + b, (B*K, D).
pub(super) fn logits<T: Real>(c: &Call<T>) -> Vec<T> {
    let (d, i) = (c.dim("D"), c.dim("I"));
    let (h, weight, bias) = (&c.read("h")[..], &c.read("weight")[..], &c.read("bias")[..]);
    let (h, weight) = (&c.operand(h, 1.0)[..], &c.operand(weight, 1.0)[..]);
    let mut eta = vec![T::ZERO; h.len() / i * d];
    parallel::rows(&mut eta, d, |row, eta| {
        for (pixel, eta) in eta.iter_mut().enumerate() {
            *eta = dot(&h[row * i..][..i], &weight[pixel * i..][..i]) + bias[pixel];
        }
    });
    eta
}

/// log p(x|z) of each part of the pixels, from the logits.
pub(super) fn log_px_of_parts<T: Real>(c: &Call<T>, eta: &[T]) {
    let (k, d, x) = (c.dim("K"), c.dim("D"), &c.read("x")[..]);
    parallel::rows(&mut c.write("log_px"), d.div_ceil(PART), |row, log_px| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        for ((log_px, x), eta) in log_px.iter_mut().zip(x.chunks(PART)).zip(eta.chunks(PART)) {
            *log_px = log_px_of(x, eta);
        }
    });
}
