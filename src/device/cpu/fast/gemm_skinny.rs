//! The product of few rows with many: every element a dot product of two contiguous rows, so that nothing is
//! packed. Packing the weights costs `gemm` more than multiplying twenty rows by them.

use super::lanes::{LANES, halve, has_wide_registers};
use super::matrix::Matrix;

type Lanes = [f32; LANES];

/// Whether this is the faster way to a product of these dimensions (measured with AVX-512: 258 against 181
/// GFLOP/s at 20 x 400 x 784 on two cores, even at about 60 rows).
pub fn suits([m, _, k]: [usize; 3]) -> bool {
    m <= 32 && k >= 64 && has_wide_registers()
}

/// Writes a (m, k) times b (n, k)^T with rows of `stride` elements from `out` on. To be inlined where the
/// widest vector instructions may be used.
///
/// # Safety
/// Rows of a and columns of b lie `k` elements apart, contiguous and inside their slices; `out` may be
/// written at each of its m rows of n.
#[inline(always)]
pub unsafe fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<f32>,
    b: Matrix<f32>,
    out: *mut f32,
    stride: usize,
) {
    for j in (0..n).step_by(4) {
        for i in (0..m).step_by(4) {
            // SAFETY: rows i.. and j.. exist, and so do their k elements.
            unsafe {
                let (a, b) = (
                    a.data.as_ptr().add(i * a.row_stride),
                    b.data.as_ptr().add(j * b.column_stride),
                );
                let out = out.add(i * stride + j);
                let strides = [k; 2];
                match (m - i, n - j) {
                    (4.., 4..) => tile::<4, 4>(k, a, b, strides, out, stride),
                    (4.., 1) => tile::<4, 1>(k, a, b, strides, out, stride),
                    (4.., 2) => tile::<4, 2>(k, a, b, strides, out, stride),
                    (4.., 3) => tile::<4, 3>(k, a, b, strides, out, stride),
                    (1, 4..) => tile::<1, 4>(k, a, b, strides, out, stride),
                    (2, 4..) => tile::<2, 4>(k, a, b, strides, out, stride),
                    (3, 4..) => tile::<3, 4>(k, a, b, strides, out, stride),
                    (rows, columns) => {
                        for p in 0..rows {
                            for q in 0..columns {
                                tile::<1, 1>(
                                    k,
                                    a.add(p * k),
                                    b.add(q * k),
                                    strides,
                                    out.add(p * stride + q),
                                    stride,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// # Safety
/// M rows of a and N of b, `k` contiguous elements each, and M rows of N in `out` exist.
#[inline(always)]
unsafe fn tile<const M: usize, const N: usize>(
    k: usize,
    a: *const f32,
    b: *const f32,
    [a_stride, b_stride]: [usize; 2],
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
                *right = b.add(j * b_stride + p).cast::<Lanes>().read_unaligned();
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = a.add(i * a_stride + p).cast::<Lanes>().read_unaligned();
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
                let mut sum = halve(*lanes, |a, b| a + b);
                for p in whole..k {
                    sum += *a.add(i * a_stride + p) * *b.add(j * b_stride + p);
                }
                *out.add(i * stride + j) = sum;
            }
        }
    }
}
