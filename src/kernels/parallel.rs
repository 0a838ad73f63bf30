//! Loops over rows on all cores. Which core takes which rows depends on the number of threads only, and
//! no sum crosses rows, so the result is equal bit for bit from run to run.
//!
//! Give closures `#[inline(always)]`: one that is called, not inlined, is compiled for the oldest processor
//! and not for this one.
//!
//! The loops are compiled for this processor's vector instructions. What a kernel passes is compiled so too
//! only where it is inlined: a closure of any length wants `#[inline(always)]`.

use std::ops::Range;

use rayon::prelude::*;

use super::Real;

/// Below this many elements a second thread costs more than it brings.
const MIN_ELEMENTS: usize = 4096;

fn rows_per_task(n_rows: usize, width: usize) -> usize {
    let tasks = (n_rows * width / MIN_ELEMENTS).clamp(1, rayon::current_num_threads());
    n_rows.div_ceil(tasks).max(1)
}

/// Calls `f(row, row of out)` for each row of `out`, `width` elements a row.
pub fn rows<T: Real>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let block = rows_per_task(out.len() / width, width);
    out.par_chunks_mut(block * width).enumerate().for_each(|(b, chunk)| {
        T::vectorized(
            #[inline(always)]
            || {
                for (i, row) in chunk.chunks_exact_mut(width).enumerate() {
                    f(b * block + i, row);
                }
            },
        )
    });
}

/// Calls `f(row, row of a, row of b)`; the two have as many rows and their own widths.
pub fn rows2<T: Real>(
    (a, a_width): (&mut [T], usize),
    (b, b_width): (&mut [T], usize),
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let block = rows_per_task(a.len() / a_width, a_width.max(b_width));
    a.par_chunks_mut(block * a_width).zip(b.par_chunks_mut(block * b_width)).enumerate().for_each(
        |(i, (a, b))| {
            T::vectorized(
                #[inline(always)]
                || {
                    let pairs = a.chunks_exact_mut(a_width).zip(b.chunks_exact_mut(b_width));
                    for (j, (a, b)) in pairs.enumerate() {
                        f(i * block + j, a, b);
                    }
                },
            )
        },
    );
}

/// Calls `f(range, pieces)` on matching pieces of three slices of equal length.
pub fn slices3<T: Real>(
    a: &mut [T],
    b: &mut [T],
    c: &mut [T],
    f: impl Fn(Range<usize>, &mut [T], &mut [T], &mut [T]) + Sync,
) {
    let block = rows_per_task(a.len(), 1);
    a.par_chunks_mut(block)
        .zip(b.par_chunks_mut(block))
        .zip(c.par_chunks_mut(block))
        .enumerate()
        .for_each(|(i, ((a, b), c))| {
            let start = i * block;
            T::vectorized(
                #[inline(always)]
                || f(start..start + a.len(), a, b, c),
            )
        });
}

/// Operations of a product below which a second thread costs more than it brings.
const MIN_OPERATIONS: usize = 4_000_000;

/// Calls `f(rows, columns)` for tiles that cover a matrix of `dims` [rows, columns] without overlap, one a
/// thread: stripes across the longer side, so that of the two factors the larger one is the one divided.
pub fn tiles([m, n]: [usize; 2], operations: usize, f: impl Fn(Range<usize>, Range<usize>) + Sync) {
    /// Elements of a vector register: a stripe of whole ones has no ragged inner edge.
    const UNIT: usize = 16;
    let tasks = (operations / MIN_OPERATIONS).clamp(1, rayon::current_num_threads());
    let longer = m.max(n);
    let width = longer.div_ceil(tasks).next_multiple_of(UNIT);
    (0..longer.div_ceil(width)).into_par_iter().for_each(|i| {
        let stripe = i * width..longer.min((i + 1) * width);
        if n >= m { f(0..m, stripe) } else { f(stripe, 0..n) }
    });
}

/// A pointer that tasks share to write disjoint parts of one matrix.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);

// SAFETY: using the pointer is unsafe, and whoever does answers for the parts being disjoint.
unsafe impl<T> Send for Shared<T> {}
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The pointer; a method, so that closures capture the wrapper.
    pub fn get(&self) -> *mut T {
        self.0
    }
}

/// The sum of `term(i)` for i in 0..n, in sixteen interleaved partial sums, so that it vectorizes.
#[inline(always)]
pub fn sum<T: Real>(n: usize, mut term: impl FnMut(usize) -> T) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::ZERO; LANES];
    for i in 0..n / LANES {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(i * LANES + lane);
        }
    }
    let mut total = T::ZERO;
    for lane in lanes {
        total += lane;
    }
    for i in n / LANES * LANES..n {
        total += term(i);
    }
    total
}
