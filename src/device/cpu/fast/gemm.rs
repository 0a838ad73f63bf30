//! Products of matrices inside slices, by the `gemm` crate or, of few rows, by dot products.

use super::gemm_skinny;
use super::matrix::Matrix;
use crate::numeric::parallel::{self, Shared, vectorized};

/// Some rows and columns of `out`, of `n` columns, as the product of `k` terms by the `gemm` crate.
///
/// # Safety
/// They lie inside `out`, the rows of `a` and the columns of `b` inside theirs, and nobody else is at them.
unsafe fn multiply_tile(
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    [n, k]: [usize; 2],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: *mut f32,
) {
    // SAFETY: what this function asks for.
    unsafe {
        gemm::gemm(
            rows.len(),
            columns.len(),
            k,
            out.add(rows.start * n + columns.start),
            1,
            n as isize,
            false,
            a.data.as_ptr().add(rows.start * a.row_stride),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr().add(columns.start * b.column_stride),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// By the `gemm` crate, or by dot products of few rows, a part of the output on each thread.
pub fn multiply(m: usize, n: usize, k: usize, a: Matrix<f32>, b: Matrix<f32>, out: &mut [f32]) {
    a.check(m, k);
    b.check(k, n);
    assert!(out.len() >= m * n);
    let out = Shared(out.as_mut_ptr());
    let rows_of_both =
        [a.row_stride, a.column_stride, b.row_stride, b.column_stride] == [k, 1, 1, k];
    parallel::tiles(
        [m, n],
        2 * m * n * k,
        #[inline(always)]
        |rows, columns| {
            if rows_of_both && gemm_skinny::suits([m, n, k]) {
                vectorized(
                    #[inline(always)]
                    // SAFETY: as below, and the strides have just been looked at.
                    || unsafe {
                        let a = Matrix { data: &a.data[rows.start * k..], ..a };
                        let b = Matrix { data: &b.data[columns.start * k..], ..b };
                        let out = out.get().add(rows.start * n + columns.start);
                        gemm_skinny::multiply([rows.len(), columns.len(), k], a, b, out, n);
                    },
                );
                return;
            }
            // SAFETY: the checks above put every element that the strides reach inside its slice, `out`
            // is borrowed mutably, so it overlaps neither input, and no two tiles share an element.
            unsafe { multiply_tile(rows, columns, [n, k], a, b, out.get()) };
        },
    );
}
