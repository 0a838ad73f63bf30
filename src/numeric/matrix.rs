//! Matrices inside slices, and their products by the `gemm` crate.

use super::Real;

/// A matrix inside a slice: element (i, j) is `data[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a, T> {
    pub data: &'a [T],
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// A row-major matrix of `width` columns.
    pub fn new(data: &'a [T], width: usize) -> Self {
        Matrix { data, row_stride: width, column_stride: 1 }
    }

    pub fn transposed(self) -> Self {
        Matrix { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    /// Panics unless every element of an `rows` x `columns` matrix lies inside the slice.
    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(rows > 0 && columns > 0);
        let down = (rows - 1).checked_mul(self.row_stride);
        let across = (columns - 1).checked_mul(self.column_stride);
        let last = down.zip(across).and_then(|(down, across)| down.checked_add(across));
        assert!(last.is_some_and(|last| last < self.data.len()));
    }
}

/// Some rows and columns of `out`, of `n` columns, as the product of `k` terms by the `gemm` crate.
///
/// # Safety
/// They lie inside `out`, the rows of `a` and the columns of `b` inside theirs, and nobody else is at them.
pub(super) unsafe fn multiply_tile<T: Real>(
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
    [n, k]: [usize; 2],
    a: Matrix<T>,
    b: Matrix<T>,
    out: *mut T,
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
            T::ZERO,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
