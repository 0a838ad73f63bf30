//! The backward pass through samples and KL, and through the encoder's last layer to its input, in one, for one
//! sample an image.

use super::{EXTREME, fused_cost, kl_weight, to_heads};
use crate::kernels::activation::Activation;
use crate::kernels::linear::backward_input::layer_backward;
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static BACKWARD_INPUT: Kernel = product(Parts {
    file: "posterior/backward_input",
    source: include_str!("../../../shaders/posterior/backward_input.wgsl"),
    entry: "backward_input",
    summary: "d_μ, d_ℓ of sampling and of the KL; d_x = ([d_μ d_ℓ] W) ⊙ f′(x)",
    grid: |c| [c.dim("BATCH"), c.dim("I"), 1],
    formula: formula!(backward_input),
    cases: || {
        let case = |b, z, i| Case::new(&[("BATCH", b), ("Z", z), ("I", i)]);
        let extreme = Fill::Cycle(EXTREME.to_vec());
        let mut cases = vec![
            case(1, 1, 1),
            case(3, 5, 7),
            case(33, 7, 65),
            case(7, 4, 9).fill("heads", extreme.clone()),
            // beside e^20 nothing else is seen
            case(7, 4, 9).fill("heads", Fill::Cycle(vec![0.5, -50.0, -30.5, -29.5, 1.0])),
            case(128, 20, 400),
            case(65, 129, 31),
        ];
        for activation in Activation::IN_LAYERS {
            let range = activation.range();
            let case = case(5, 6, 33).constant("ACTIVATION", activation.number());
            cases.push(case.clone().fill("x", Fill::Uniform(range.0, range.1)));
            cases.push(case.fill("x", Fill::Cycle(vec![0.0, 1.0, 0.5])));
        }
        cases
    },
    cost: |c| {
        let (b, z) = (c.dim("BATCH") as u64, c.dim("Z") as u64);
        let Cost { flops, bytes } = fused_cost(c, 2 * z, c.dim("I") as u64);
        Cost { flops: flops + 10 * b * z, bytes: bytes + 16 * b * z }
    },
});

/// The gradient at the heads, and d_x = (d_heads W) * f'(x).
fn backward_input<T: Real>(c: &Call<T>) {
    let weight = kl_weight(c, c.dim("BATCH"));
    to_heads(c, 1, |_| weight);
    layer_backward(c, &c.read("d_heads"));
}
