//! The decoder's last layer, the Bernoulli likelihood of its logits, and their gradient in one: the logits are
//! stored nowhere.

use crate::kernels::product::product;
pub use crate::numeric::real::PART;
use crate::numeric::{Matrix, Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, twin};

pub static DECODE: Kernel = product(Parts {
    file: "bernoulli/decode",
    source: include_str!("../../../shaders/bernoulli/decode.wgsl"),
    entry: "decode",
    summary: "η = h Wᵀ + b; d_η = w (x − sigmoid(η)); log p(x|z) in parts of 32 pixels",
    grid: |c| [c.dim("BATCH") * c.dim("K"), c.dim("D"), 1],
    twin: twin!(decode),
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

fn decode<T: Real>(c: &Call<T>) {
    let (k, d, i) = (c.dim("K"), c.dim("D"), c.dim("I"));
    let (h, weight, bias) = (c.read("h"), c.read("weight"), c.read("bias"));
    let (h, weight) = (c.operand(&h, 1.0), c.operand(&weight, 1.0));
    let (x, row_weight) = (c.read("x"), c.read("row_weight"));
    let (mut d_eta, mut log_px) = (c.write("d_eta"), c.write("log_px"));
    let rows = c.dim("BATCH") * k;
    // The logits are in the place of d_eta until they are used.
    T::multiply(rows, d, i, Matrix::new(&h, i), Matrix::new(&weight, i).transposed(), &mut d_eta);
    let (bias, x, row_weight) = (&bias[..], &x[..], &row_weight[..]);
    parallel::rows2(
        (&mut log_px, d.div_ceil(PART)),
        (&mut d_eta, d),
        #[inline(always)]
        |row, log_px, d_eta| {
            let x = &x[row / k * d..][..d];
            add_bias(d_eta, bias);
            T::bernoulli_gradient(x, d_eta, row_weight[row], log_px);
        },
    );
}

#[inline(always)]
pub(super) fn add_bias<T: Real>(eta: &mut [T], bias: &[T]) {
    for (eta, &b) in eta.iter_mut().zip(bias) {
        *eta += b;
    }
}
