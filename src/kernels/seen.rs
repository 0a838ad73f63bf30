//! What the encoder gets of the cells of a table.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

/// What a cell holds that was not observed.
pub const MISSING: f32 = 1e30;

/// The least value that means so.
const FROM: f64 = 1e29;

/// Whether a cell holds [`MISSING`].
pub fn is_missing<T: Real>(x: T) -> bool {
    x >= T::from_f64(FROM)
}

pub static SEEN: Kernel = single(Parts {
    file: "seen",
    source: include_str!("../../shaders/seen.wgsl"),
    entry: "seen_of",
    summary: "what the encoder gets of cells: 0 where one is missing, x, or of counts ln(1 + x)",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(seen),
    cases: || {
        let some_missing = |n| {
            let cells = vec![0.3, f64::from(MISSING), -2.0, 1.5, 7.0];
            Case::new(&[("N", n)]).fill("x", Fill::Cycle(cells))
        };
        let counts = |n| {
            let cells = vec![0.0, 3.0, 1.0, f64::from(MISSING), 250.0, 2.0, 1e6];
            Case::new(&[("N", n)]).fill("x", Fill::Cycle(cells)).constant("COUNTS", 1.0)
        };
        vec![
            some_missing(1),
            some_missing(63),
            some_missing(64),
            counts(65),
            counts(20_000),
            // more workgroups than one dimension of a grid has room for
            some_missing(33_000).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: n, bytes: 8 * n }
    },
});

fn seen<T: Real>(c: &Call<T>) {
    let (x, counts) = (c.read("x"), c.dim("COUNTS") == 1);
    for (seen, &x) in c.write("seen").iter_mut().zip(&x[..]) {
        *seen = match counts {
            _ if is_missing(x) => T::ZERO,
            true => (T::ONE + x).ln(),
            false => x,
        };
    }
}
