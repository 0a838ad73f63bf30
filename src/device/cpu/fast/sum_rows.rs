//! Sums of blocks of a matrix's rows: sixteen rows at a time, so that few columns fill a register too.

use crate::numeric::parallel::{rows_of_work, vectorized};
use crate::plan::Call;

/// Rows that are added element by element.
const ROWS: usize = 16;

pub(super) fn sum_rows(c: &Call<f32>) {
    let (columns, block) = (c.dim("C"), c.dim("BLOCK"));
    let values = c.read("values");
    let values = &values[..];
    rows_of_work(&mut c.write("sums"), columns, block * columns, |g, sums| {
        let from = g * block * columns;
        let values = &values[from..values.len().min(from + block * columns)];
        vectorized(
            #[inline(always)]
            || {
                sums.fill(0.0);
                let mut add = |row: &[f32]| {
                    for (sum, &v) in sums.iter_mut().zip(row) {
                        *sum += v;
                    }
                };
                if columns >= ROWS {
                    values.chunks_exact(columns).for_each(add);
                    return;
                }
                let mut partial = [0.0; ROWS * ROWS];
                let partial = &mut partial[..ROWS * columns];
                let whole = values.chunks_exact(ROWS * columns);
                let rest = whole.remainder();
                for rows in whole {
                    for (sum, &v) in partial.iter_mut().zip(rows) {
                        *sum += v;
                    }
                }
                partial.chunks_exact(columns).chain(rest.chunks_exact(columns)).for_each(&mut add);
            },
        );
    });
}
