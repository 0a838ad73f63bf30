//! The decoder's last layer and the Bernoulli likelihood of its logits in one.

use super::decode::{PART, add_bias, cases, cost};
use crate::kernels::product::product;
use crate::numeric::{Matrix, Real, parallel};
use crate::plan::{Call, Kernel, Parts, twin};

pub static DECODE_LOG_LIKELIHOOD: Kernel = product(Parts {
    file: "bernoulli/decode_log_likelihood",
    source: include_str!("../../../shaders/bernoulli/decode_log_likelihood.wgsl"),
    entry: "decode_log_likelihood",
    summary: "the same without d_η",
    grid: |c| [c.dim("BATCH") * c.dim("K"), c.dim("D"), 1],
    twin: twin!(decode_log_likelihood),
    cases: || {
        let mut cases = cases();
        for case in &mut cases {
            case.fills.retain(|(name, _)| *name != "row_weight");
        }
        cases
    },
    cost: |c| cost(c, 7, 0),
});

fn decode_log_likelihood<T: Real>(c: &Call<T>) {
    /// Rows whose logits are held at a time.
    const BLOCK: usize = 256;
    let (k, d, i) = (c.dim("K"), c.dim("D"), c.dim("I"));
    let (h, weight, bias) = (c.read("h"), c.read("weight"), c.read("bias"));
    let (h, weight) = (c.operand(&h, 1.0), c.operand(&weight, 1.0));
    let (x, mut log_px) = (c.read("x"), c.write("log_px"));
    let (bias, x, parts) = (&bias[..], &x[..], d.div_ceil(PART));
    let mut logits = vec![T::ZERO; BLOCK.min(c.dim("BATCH") * k) * d];
    for (block, log_px) in log_px.chunks_mut(BLOCK * parts).enumerate() {
        let (first, rows) = (block * BLOCK, log_px.len() / parts);
        let (h, weight) = (Matrix::new(&h[first * i..], i), Matrix::new(&weight, i).transposed());
        let logits = &mut logits[..rows * d];
        T::multiply(rows, d, i, h, weight, logits);
        parallel::rows2(
            (log_px, parts),
            (logits, d),
            #[inline(always)]
            |row, log_px, eta| {
                add_bias(eta, bias);
                T::log_bernoulli_of_parts(&x[(first + row) / k * d..][..d], eta, log_px);
            },
        );
    }
}
