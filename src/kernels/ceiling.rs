//! What a device can do at best, for the benchmark to measure its ceilings with.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/ceiling.wgsl");

pub static TOUCH: Kernel = single(Parts {
    file: "ceiling",
    source: SOURCE,
    entry: "touch",
    summary: "one more on one word: the cost of a dispatch",
    grid: |_| [1, 1, 1],
    formula: formula!(touch),
    cases: || [0, 1, u32::MAX].map(|n| Case::new(&[]).fill("count", Fill::Words(vec![n]))).to_vec(),
    cost: |_| Cost { flops: 0, bytes: 8 },
});

pub static COPY: Kernel = single(Parts {
    file: "ceiling",
    source: SOURCE,
    entry: "copy",
    summary: "words from one tensor to another: the cost of a byte",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(copy),
    cases: || {
        let words = [0x7fa0_1234, 1, 0x8000_0001, 77, u32::MAX];
        let case = |n| Case::new(&[("N", n)]).fill("source", Fill::Words(words.to_vec()));
        [1, 255, 256, 257, 100_000].map(case).to_vec()
    },
    cost: |c| Cost { flops: 0, bytes: 32 * c.dim("N") as u64 },
});

fn touch<T: Real>(c: &Call<T>) {
    let mut count = c.write_u32("count");
    count[0] = count[0].wrapping_add(1);
}

fn copy<T: Real>(c: &Call<T>) {
    c.write_u32("copied").copy_from_slice(&c.read_u32("source"));
}
