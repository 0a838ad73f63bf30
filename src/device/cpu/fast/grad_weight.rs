//! A sum of outer products of rows, each piece of the result handed on while it is in registers: a weight's
//! gradient that goes straight into the optimizer and is never stored.

use std::hint::black_box;

use super::lanes::{LANES, Registers};
use super::matrix::Matrix;

/// Whether this is faster than `gemm` and another look at its result (measured with AVX-512 on a 784 x 400
/// weight and Adam: 75 against 98 us at 20 rows, 257 against 241 at 128). With AVX2, where the square roots and quotients of
/// Adam take as long as the products, it is not: 183 against 175 us at 20 rows on one core.
pub fn suits([_, _, k]: [usize; 3]) -> bool {
    k <= 64 && Registers::of_processor() == Some(Registers::Of16)
}

/// Calls `f(row, column, values)` for pieces of a^T b that cover it, a (k, m) and b (k, n) row-major. To be
/// inlined where the widest vector instructions may be used.
#[inline(always)]
pub fn products(
    [m, n, k]: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    mut f: impl FnMut(usize, usize, &[f32]),
) {
    /// Registers of a row of a tile, and rows: with those of b and a factor they fill the 32 of AVX-512.
    const WIDE: usize = 4;
    const ROWS: usize = 6;
    const PANEL: usize = WIDE * LANES;
    let mut column = 0;
    while column < n {
        // A panel of b stays in the first cache for all of a's columns.
        let left = n - column;
        let width = if left >= PANEL { PANEL } else { LANES.min(left) };
        // The last columns, where they do not fill a register, are taken with some before them.
        let known = if n >= LANES { LANES - width.min(LANES) } else { 0 };
        for row in (0..m).step_by(ROWS) {
            let rows = ROWS.min(m - row);
            match (rows, width) {
                (ROWS, PANEL) => tile::<ROWS, WIDE>(k, a, row, b, column, 0, &mut f),
                (ROWS, _) if n >= LANES => {
                    tile::<ROWS, 1>(k, a, row, b, column - known, known, &mut f);
                }
                _ => {
                    for row in row..row + rows {
                        match width {
                            PANEL => tile::<1, WIDE>(k, a, row, b, column, 0, &mut f),
                            _ if n >= LANES => {
                                tile::<1, 1>(k, a, row, b, column - known, known, &mut f);
                            }
                            _ => narrow(k, a, row, b, column, width, &mut f),
                        }
                    }
                }
            }
        }
        column += width;
    }
}

/// The first `known` columns of a tile of one register are nothing new.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "two places in two matrices")]
fn tile<const M: usize, const V: usize>(
    k: usize,
    a: Matrix<f32>,
    row: usize,
    b: Matrix<f32>,
    column: usize,
    known: usize,
    f: &mut impl FnMut(usize, usize, &[f32]),
) {
    assert!(k > 0);
    assert!((k - 1) * a.row_stride + row + M <= a.data.len());
    assert!((k - 1) * b.row_stride + column + V * LANES <= b.data.len());
    let mut sums = [[[0.0_f32; LANES]; V]; M];
    for p in 0..k {
        // SAFETY: p < k, and the last row's elements are inside by the assertions above.
        let (left, right) = unsafe {
            (
                a.data.as_ptr().add(p * a.row_stride + row).cast::<[f32; M]>().read_unaligned(),
                b.data
                    .as_ptr()
                    .add(p * b.row_stride + column)
                    .cast::<[[f32; LANES]; V]>()
                    .read_unaligned(),
            )
        };
        for i in 0..M {
            for v in 0..V {
                for lane in 0..LANES {
                    sums[i][v][lane] = f32::mul_add(left[i], right[v][lane], sums[i][v][lane]);
                }
            }
        }
    }
    // A copy that is indexed at run time, so that the sums themselves can stay in registers.
    let sums = black_box(sums);
    for (i, sums) in sums.iter().enumerate() {
        for (v, sums) in sums.iter().enumerate() {
            match known {
                0 => f(row + i, column + v * LANES, sums),
                _ => f(row + i, column + known, &sums[known..]),
            }
        }
    }
}

/// A result of fewer columns than a register holds.
#[inline(always)]
fn narrow(
    k: usize,
    a: Matrix<f32>,
    row: usize,
    b: Matrix<f32>,
    column: usize,
    width: usize,
    f: &mut impl FnMut(usize, usize, &[f32]),
) {
    let mut sums = [0.0; LANES];
    for p in 0..k {
        let left = a.data[p * a.row_stride + row];
        let right = &b.data[p * b.row_stride + column..][..width];
        for (sum, right) in sums.iter_mut().zip(right) {
            *sum = f32::mul_add(left, *right, *sum);
        }
    }
    f(row, column, &sums[..width]);
}
