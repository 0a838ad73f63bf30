//! Products of matrices inside slices, by the `gemm` crate or, of few rows, by dot products.

use gemm_common::Parallelism;

use super::gemm_skinny;
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
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
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
            unsafe { multiply_tile(rows, columns, [n, k], a, b, out.get(), 0.0) };
        },
    );
}
