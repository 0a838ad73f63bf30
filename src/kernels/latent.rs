//! What is between encoder and decoder, each way in one kernel with the layer that it leads to: for one sample
//! an image.

use super::case::{Fill, clock_words};
use super::linear::{Activation, layer, layer_backward};
use super::posterior::{EXTREME, backward_with, draw, kl_of_rows, kl_weight};
use super::variant::PRODUCT;
use super::{Call, Case, Cost, Kernel, Parts, Real, twin};
use crate::plan::Constants;

pub static SAMPLE_FORWARD: Kernel = Kernel::of_variants(
    Parts {
        file: "posterior/sample_forward",
        source: include_str!("../../shaders/posterior/sample_forward.wgsl"),
        entry: "sample_forward",
        summary: "z = μ + e^{ℓ/2} ε and its KL; y = f(z Wᵀ + b)",
        grid: |c| [c.dim("BATCH"), c.dim("O"), 1],
        twin: twin!(sample_forward),
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
            for activation in Activation::ALL {
                cases.push(case(5, 6, 33).constant("ACTIVATION", activation.number()));
            }
            cases
        },
        cost: |c| {
            let (b, z) = (c.dim("BATCH") as u64, c.dim("Z") as u64);
            let Cost { flops, bytes } = cost(c, z, c.dim("O") as u64);
            Cost { flops: flops + 66 * b * z, bytes: bytes + 8 * b * z }
        },
    },
    PRODUCT,
);

pub static BACKWARD_INPUT: Kernel = Kernel::of_variants(
    Parts {
        file: "posterior/backward_input",
        source: include_str!("../../shaders/posterior/backward_input.wgsl"),
        entry: "backward_input",
        summary: "d_μ, d_ℓ of sampling and of the KL; d_x = ([d_μ d_ℓ] W) ⊙ f′(x)",
        grid: |c| [c.dim("BATCH"), c.dim("I"), 1],
        twin: twin!(backward_input),
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
            for activation in Activation::ALL {
                let range = if activation == Activation::Tanh { (-1.0, 1.0) } else { (0.0, 9.0) };
                let case = case(5, 6, 33).constant("ACTIVATION", activation.number());
                cases.push(case.clone().fill("x", Fill::Uniform(range.0, range.1)));
                cases.push(case.fill("x", Fill::Cycle(vec![0.0, 1.0, 0.5])));
            }
            cases
        },
        cost: |c| {
            let (b, z) = (c.dim("BATCH") as u64, c.dim("Z") as u64);
            let Cost { flops, bytes } = cost(c, 2 * z, c.dim("I") as u64);
            Cost { flops: flops + 10 * b * z, bytes: bytes + 16 * b * z }
        },
    },
    PRODUCT,
);

/// Of the product of (B, inner) and (inner, columns).
fn cost(c: &Constants, inner: u64, columns: u64) -> Cost {
    let b = c.dim("BATCH") as u64;
    Cost { flops: 2 * b * inner * columns, bytes: 4 * (b * inner + inner * columns + b * columns) }
}

fn sample_forward<T: Real>(c: &Call<T>) {
    let (heads, mut z) = (c.read("heads"), c.write("z"));
    draw(c, 1, T::ONE, &heads, &mut c.write("eps"), &mut z);
    kl_of_rows(c.dim("Z"), &heads, &mut c.write("kl"));
    let (weight, bias) = (c.read("weight"), c.read("bias"));
    layer(c, [c.dim("BATCH"), c.dim("Z")], &z, &weight, &bias, &mut c.write("y"));
}

fn backward_input<T: Real>(c: &Call<T>) {
    let (weight_of_kl, mut d_heads) = (kl_weight(c, c.dim("BATCH")), c.write("d_heads"));
    backward_with(c, 1, |_| weight_of_kl, &mut d_heads);
    let (x, weight, mut d_x) = (c.read("x"), c.read("weight"), c.write("d_x"));
    let dims = [c.dim("BATCH"), c.dim("I"), 2 * c.dim("Z")];
    layer_backward(c, dims, &x, &weight, &d_heads, &mut d_x);
}
