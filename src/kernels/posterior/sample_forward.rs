//! Samples, their KL and the decoder's first layer in one, for one sample an image.

use super::{EXTREME, draw, fused_cost, gaussian_kl};
use crate::kernels::activation::Activation;
use crate::kernels::linear::forward::layer;
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static SAMPLE_FORWARD: Kernel = product(Parts {
    file: "posterior/sample_forward",
    source: include_str!("../../../shaders/posterior/sample_forward.wgsl"),
    entry: "sample_forward",
    summary: "z = μ + e^{ℓ/2} ε and its KL; y = f(z Wᵀ + b)",
    grid: |c| [c.dim("BATCH"), c.dim("O"), 1],
    formula: formula!(sample_forward),
    cases: || {
        let case = |b, z, o| {
            Case::new(&[("BATCH", b), ("Z", z), ("O", o)])
                .constant("STREAM", 1.0)
                .constant("N", 10.0) // most cases reach beyond the end of the epoch
                .fill("clock", clock_words(42, 5, 3, 7))
        };
        let mut cases = vec![
            case(1, 1, 1),
            case(3, 5, 7),
            case(33, 7, 65),
            case(7, 4, 9).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            // low variances by themselves, where e^l of high ones does not hide them
            case(7, 4, 3).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
            case(128, 20, 400),
            case(65, 129, 31),
        ];
        for activation in Activation::IN_LAYERS {
            cases.push(case(5, 6, 33).constant("ACTIVATION", activation.number()));
        }
        cases
    },
    cost: |c| {
        let (b, z) = (c.dim("BATCH") as u64, c.dim("Z") as u64);
        let Cost { flops, bytes } = fused_cost(c, z, c.dim("O") as u64);
        Cost { flops: flops + 66 * b * z, bytes: bytes + 8 * b * z }
    },
});

/// z and its noise, the KL, and y = f(z W^T + b).
fn sample_forward<T: Real>(c: &Call<T>) {
    draw(c, 1, T::ONE);
    gaussian_kl(c);
    layer(c, &c.read("z"));
}
