//! Fully connected layers y = f(x W^T + b): R rows of I inputs to O outputs.

pub mod backward_input;
pub mod backward_parameters;
pub mod forward;
pub mod update;
pub mod update_all;

use crate::plan::case::Fill;
use crate::plan::{Case, Constants, Cost};
pub use backward_input::BACKWARD_INPUT;
pub use backward_parameters::BACKWARD_PARAMETERS;
pub use forward::FORWARD;
pub use update::UPDATE;
pub use update_all::UPDATE_ALL;

/// Of the product.
pub(super) fn cost(c: &Constants) -> Cost {
    let (r, i, o) = (c.dim("R") as u64, c.dim("I") as u64, c.dim("O") as u64);
    Cost { flops: 2 * r * i * o, bytes: 4 * (r * i + i * o + r * o) }
}

pub(super) fn case([r, i, o]: [usize; 3]) -> Case {
    Case::new(&[("R", r), ("I", i), ("O", o)])
}

/// Operands that f16 has, so that the sums alone are rounded: one in f16 would show.
pub(super) fn exact(left: &'static str, right: &'static str) -> Case {
    exact_operands(case([45, 101, 37]), left, right)
}

/// A case whose operands are such numbers.
pub(super) fn exact_operands(case: Case, left: &'static str, right: &'static str) -> Case {
    let numbers = |step: i32| (0..251).map(move |i| f64::from(i * step % 255 - 127) / 64.0);
    case.fill(left, Fill::Cycle(numbers(37).collect()))
        .fill(right, Fill::Cycle(numbers(101).collect()))
}

/// 1, odd, around the tiles of 16, 32 and 64, not a multiple of anything, and those of the default network.
pub(super) fn sizes() -> Vec<Case> {
    let sizes = [
        [1, 1, 1],
        [2, 3, 5],
        [31, 15, 33],
        [32, 16, 32],
        [33, 17, 31],
        [17, 63, 16],
        [64, 32, 64],
        [65, 64, 15],
        [37, 101, 43],
        // few rows, whose products the CPU takes as dots
        [3, 101, 43],
        [20, 784, 42],
        [32, 64, 9],
        [7, 65, 6],
        // around the tiles of 128
        [129, 37, 130],
        [131, 130, 127],
        [128, 784, 400],
        [128, 400, 40],
        [128, 20, 400],
    ];
    sizes.into_iter().map(case).collect()
}
