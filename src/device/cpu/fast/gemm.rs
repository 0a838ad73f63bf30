//! Products of matrices inside slices, by the `gemm` crate or, of few rows, by dot products.

use std::marker::PhantomData;
use std::ops::Range;

use gemm_common::Parallelism;

use super::gemm_skinny;
use super::lanes::Registers;
use super::matrix::Matrix;
use crate::numeric::parallel::{self, Shared, vectorized};

/// `out` (m, n) = a b + `keep` times what is there, `keep` 0 or 1, by the `gemm` crate.
pub fn multiply_on_this_thread(
    [m, n, k]: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: &mut [f32],
    keep: f32,
) {
    a.check(m, k);
    b.check(k, n);
    assert!(out.len() >= m * n);
    // SAFETY: the checks above, and `out` is borrowed mutably.
    unsafe { multiply_tile(0..m, 0..n, [n, k], a, b, out.as_mut_ptr(), keep) };
}

/// Some rows and columns of `out`, of `n` columns, as the product of `k` terms by the `gemm` crate, and `keep` times
/// what is there.
///
/// # Safety
/// They lie inside `out`, the rows of `a` and the columns of `b` inside theirs, and nobody else is at them.
unsafe fn multiply_tile(
    rows: Range<usize>,
    columns: Range<usize>,
    [n, k]: [usize; 2],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: *mut f32,
    keep: f32,
) {
    let product = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: what this function asks for.
    unsafe {
        let out = out.add(rows.start * n + columns.start);
        let left = a.data.as_ptr().add(rows.start * a.row_stride);
        let right = b.data.as_ptr().add(columns.start * b.column_stride);
        let [a_row, a_column] = [a.row_stride, a.column_stride].map(|stride| stride as isize);
        let [b_row, b_column] = [b.row_stride, b.column_stride].map(|stride| stride as isize);
        let (m, none) = (rows.len(), Parallelism::None);
        // Its micro-kernels write columns: rows of `out` are the columns of the transposed product.
        if n > 1 {
            product(
                columns.len(),
                m,
                k,
                out,
                n as isize,
                1,
                keep != 0.0,
                right,
                b_row,
                b_column,
                left,
                a_row,
                a_column,
                keep,
                1.0,
                false,
                false,
                false,
                none,
            );
        } else {
            product(
                m,
                1,
                k,
                out,
                1,
                1,
                keep != 0.0,
                left,
                a_column,
                a_row,
                right,
                b_column,
                b_row,
                keep,
                1.0,
                false,
                false,
                false,
                none,
            );
        }
    }
}

/// A part of a product: some columns of some rows.
pub struct Part<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Its first element, and how many lie from there to that of the next row.
    out: *mut f32,
    stride: usize,
    _out: PhantomData<&'a mut [f32]>,
}

impl Part<'_> {
    /// Calls `f(row, columns, elements)` for each row, with the widest vector instructions.
    #[inline(always)]
    pub fn for_each_row(self, f: impl Fn(usize, Range<usize>, &mut [f32])) {
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in self.rows.clone().enumerate() {
                    // SAFETY: `in_parts` made this of elements of `out` that are nobody else's.
                    let elements = unsafe {
                        std::slice::from_raw_parts_mut(
                            self.out.add(i * self.stride),
                            self.columns.len(),
                        )
                    };
                    f(row, self.columns.clone(), elements);
                }
            },
        );
    }
}

/// `out` (m, n) = a b, by the `gemm` crate, or by dot products of few rows, a part of the output on each thread.
pub fn multiply(m: usize, n: usize, k: usize, a: Matrix<f32>, b: Matrix<f32>, out: &mut [f32]) {
    in_parts([m, n, k], a, b, out, usize::MAX, &|_| ());
}

/// The same, and what is still to be done to it: `finish` gets every part while it is in the cache of the core that
/// computed it. Parts begin at multiples of [`parallel::UNIT`].
pub fn multiply_then(
    dims: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: &mut [f32],
    finish: &(dyn Fn(Part) + Sync),
) {
    /// Rows of a part at most: so many that `gemm` loses nothing by laying out b anew for each.
    const ROWS: usize = 512;
    in_parts(dims, a, b, out, ROWS, finish);
}

fn in_parts(
    [m, n, k]: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: &mut [f32],
    most_rows: usize,
    finish: &(dyn Fn(Part) + Sync),
) {
    a.check(m, k);
    b.check(k, n);
    assert!(out.len() >= m * n);
    let out = Shared(out.as_mut_ptr());
    let rows_of_both =
        [a.row_stride, a.column_stride, b.row_stride, b.column_stride] == [k, 1, 1, k];
    let skinny =
        Registers::of_processor().filter(|_| rows_of_both && gemm_skinny::suits([m, n, k]));
    parallel::tiles([m, n], 2 * m * n * k, |rows, columns| {
        for first in rows.clone().step_by(most_rows) {
            let rows = first..rows.end.min(first.saturating_add(most_rows));
            // SAFETY: inside `out` by the assertion above.
            let start = unsafe { out.get().add(rows.start * n + columns.start) };
            match skinny {
                Some(registers) => vectorized(
                    #[inline(always)]
                    // SAFETY: as below, and the strides have just been looked at.
                    || unsafe {
                        let a = Matrix { data: &a.data[rows.start * k..], ..a };
                        let b = Matrix { data: &b.data[columns.start * k..], ..b };
                        let dims = [rows.len(), columns.len(), k];
                        gemm_skinny::multiply(registers, dims, a, b, start, n);
                    },
                ),
                // SAFETY: the checks above put every element that the strides reach inside its slice, `out`
                // is borrowed mutably, so it overlaps neither input, and no two tiles share an element.
                None => unsafe {
                    multiply_tile(rows.clone(), columns.clone(), [n, k], a, b, out.get(), 0.0);
                },
            }
            let columns = columns.clone();
            finish(Part { rows, columns, out: start, stride: n, _out: PhantomData });
        }
    });
}
