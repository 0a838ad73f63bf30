//! Sums of blocks of a matrix's rows.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static SUM_ROWS: Kernel = single(Parts {
    file: "sum_rows",
    source: include_str!("../../shaders/sum_rows.wgsl"),
    entry: "sum_rows",
    summary: "sums of blocks of rows; twice, the sum of all",
    grid: |c| grid_of_groups((c.dim("G") * c.dim("C")).div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(sum_rows),
    cases: || {
        let case = |n: usize, c: usize, block: usize| {
            let sizes = [("N", n), ("C", c), ("BLOCK", block), ("G", n.div_ceil(block))];
            sizes
                .iter()
                .fold(Case::new(&[]), |case, &(name, size)| case.constant(name, size as f64))
        };
        vec![
            case(1, 1, 1),
            case(7, 3, 7),
            case(65, 2, 16),
            case(100, 33, 9),
            case(3136, 32, 56),
            // more workgroups than one dimension of a grid has room for
            case(33_000, 1, 1).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let [n, sums] = [c.dim("N") * c.dim("C"), c.dim("G") * c.dim("C")].map(|n| n as u64);
        Cost { flops: n, bytes: 4 * (n + sums) }
    },
});

fn sum_rows<T: Real>(c: &Call<T>) {
    let (columns, block) = (c.dim("C"), c.dim("BLOCK"));
    let blocks = c.read("values");
    let blocks = blocks.chunks(block * columns);
    for (sums, block) in c.write("sums").chunks_exact_mut(columns).zip(blocks) {
        sums.fill(T::ZERO);
        for row in block.chunks_exact(columns) {
            for (sum, &v) in sums.iter_mut().zip(row) {
                *sum += v;
            }
        }
    }
}
