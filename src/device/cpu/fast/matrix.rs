//! Matrices inside slices.

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
    pub fn check(&self, rows: usize, columns: usize) {
        assert!(rows > 0 && columns > 0);
        let down = (rows - 1).checked_mul(self.row_stride);
        let across = (columns - 1).checked_mul(self.column_stride);
        let last = down.zip(across).and_then(|(down, across)| down.checked_add(across));
        assert!(last.is_some_and(|last| last < self.data.len()));
    }
}
