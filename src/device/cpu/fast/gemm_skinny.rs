//! The product of few rows with many: every element a dot product of two contiguous rows, so that nothing is
//! packed. Packing the weights costs `gemm` more than multiplying twenty rows by them.

use super::lanes::{Registers, sum_of};
use super::matrix::Matrix;

/// Rows of a tile.
const ROWS: usize = 4;

/// Whether this is the faster way to a product of these dimensions (measured at 20 x 400 x 784 on two cores: 258 against
/// 181 GFLOP/s with AVX-512, 223 against 137 with AVX2; even at about 60 rows).
pub fn suits([m, _, k]: [usize; 3]) -> bool {
    m <= 32 && k >= 64 && Registers::of_processor().is_some()
}

/// Writes a (m, k) times b (n, k)^T with rows of `stride` elements from `out` on. To be inlined where the
/// widest vector instructions may be used.
///
/// # Safety
/// Rows of a and columns of b lie `k` elements apart, contiguous and inside their slices; `out` may be
/// written at each of its m rows of n.
#[inline(always)]
pub unsafe fn multiply(
    registers: Registers,
    dims: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // The sums of a tile and its factors fill all registers but a few.
        match registers {
            Registers::Of16 => by_tiles::<16, 4>(dims, a, b, out, stride),
            Registers::Of8 => by_tiles::<8, 3>(dims, a, b, out, stride),
            Registers::Of4 => by_tiles::<4, 4>(dims, a, b, out, stride),
        }
    }
}

/// In tiles of [`ROWS`] x N elements, whose sums are each a register of so many lanes.
///
/// # Safety
/// As [`multiply`].
#[inline(always)]
unsafe fn by_tiles<const LANES: usize, const N: usize>(
    [m, n, k]: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: *mut f32,
    stride: usize,
) {
    for j in (0..n).step_by(N) {
        for i in (0..m).step_by(ROWS) {
            // SAFETY: rows i.. and j.. exist, and so do their k elements.
            unsafe {
                let a = a.data.as_ptr().add(i * a.row_stride);
                let b = b.data.as_ptr().add(j * b.column_stride);
                let out = out.add(i * stride + j);
                match (m - i, n - j) {
                    (ROWS.., left) if left >= N => tile::<LANES, ROWS, N>(k, a, b, out, stride),
                    (1, left) if left >= N => tile::<LANES, 1, N>(k, a, b, out, stride),
                    (2, left) if left >= N => tile::<LANES, 2, N>(k, a, b, out, stride),
                    (3, left) if left >= N => tile::<LANES, 3, N>(k, a, b, out, stride),
                    (ROWS.., 1) => tile::<LANES, ROWS, 1>(k, a, b, out, stride),
                    (ROWS.., 2) => tile::<LANES, ROWS, 2>(k, a, b, out, stride),
                    (ROWS.., 3) => tile::<LANES, ROWS, 3>(k, a, b, out, stride),
                    (rows, columns) => {
                        for p in 0..rows {
                            for q in 0..columns {
                                let out = out.add(p * stride + q);
                                tile::<LANES, 1, 1>(k, a.add(p * k), b.add(q * k), out, stride);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// M rows of a and N of b, `k` contiguous elements each, one behind the other, and M rows of N in `out` exist.
#[inline(always)]
unsafe fn tile<const LANES: usize, const M: usize, const N: usize>(
    k: usize,
    a: *const f32,
    b: *const f32,
    out: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's promise; p stays below k.
    unsafe {
        let mut sums = [[[0.0_f32; LANES]; N]; M];
        let whole = k / LANES * LANES;
        let mut p = 0;
        while p < whole {
            let mut right = [[0.0_f32; LANES]; N];
            for (j, right) in right.iter_mut().enumerate() {
                *right = b.add(j * k + p).cast::<[f32; LANES]>().read_unaligned();
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = a.add(i * k + p).cast::<[f32; LANES]>().read_unaligned();
                for j in 0..N {
                    for lane in 0..LANES {
                        sums[j][lane] = f32::mul_add(left[lane], right[j][lane], sums[j][lane]);
                    }
                }
            }
            p += LANES;
        }
        // A copy that is indexed at run time, so that the sums themselves can stay in registers.
        let sums = std::hint::black_box(sums);
        for (i, sums) in sums.iter().enumerate() {
            for (j, lanes) in sums.iter().enumerate() {
                let mut sum = sum_of(*lanes);
                for p in whole..k {
                    sum += *a.add(i * k + p) * *b.add(j * k + p);
                }
                *out.add(i * stride + j) = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge_of_a_tile_has_its_dot_products_with_registers_of_every_kind() {
        for registers in [Registers::Of16, Registers::Of8, Registers::Of4] {
            for (m, n, k) in (1..10).flat_map(|m| (1..10).map(move |n| (m, n, 64 + m + 3 * n))) {
                let value = |i: usize| (i * 37 % 11) as f32 - 5.0; // sums of such products are exact
                let a: Vec<f32> = (0..m * k).map(value).collect();
                let b: Vec<f32> = (0..n * k).map(|i| value(i + 4)).collect();
                let stride = n + 2;
                let mut out = vec![f32::NAN; m * stride];
                let (left, right) = (Matrix::new(&a, k), Matrix::new(&b, k).transposed());
                // SAFETY: rows of k elements, and m rows of `stride` in `out`.
                unsafe { multiply(registers, [m, n, k], left, right, out.as_mut_ptr(), stride) };
                for (i, row) in out.chunks_exact(stride).enumerate() {
                    for (j, &sum) in row[..n].iter().enumerate() {
                        let terms = a[i * k..][..k].iter().zip(&b[j * k..][..k]);
                        assert_eq!(sum, terms.map(|(a, b)| a * b).sum::<f32>(), "{m} {n} {k}");
                    }
                    assert!(row[n..].iter().all(|v| v.is_nan()), "beyond a row");
                }
            }
        }
    }
}
