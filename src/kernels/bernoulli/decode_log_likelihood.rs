//! The decoder's last layer and the Bernoulli likelihood of its logits in one.

use super::decode::{cases, cost, log_px_of_parts, logits};
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::plan::{Call, Kernel, Parts, formula};

pub static DECODE_LOG_LIKELIHOOD: Kernel = product(Parts {
    file: "bernoulli/decode_log_likelihood",
    source: include_str!("../../../shaders/bernoulli/decode_log_likelihood.wgsl"),
    entry: "decode_log_likelihood",
    summary: "the same without d_η",
    grid: |c| [c.dim("BATCH") * c.dim("K"), c.dim("D"), 1],
    formula: formula!(decode_log_likelihood),
    cases: || {
        let mut cases = cases();
        for case in &mut cases {
            case.fills.retain(|(name, _)| *name != "row_weight");
        }
        cases
    },
    cost: |c| cost(c, 7, 0),
});

/// eta = h W^T + b, and log p(x|z) of each part of the pixels.
fn decode_log_likelihood<T: Real>(c: &Call<T>) {
    log_px_of_parts(c, &logits(c));
}
