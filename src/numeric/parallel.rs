//! Loops on all cores. Which core takes what depends on the number of threads only, and no sum crosses what
//! one core takes, so the result is equal bit for bit from run to run.
//!
//! The loops are compiled for this processor's vector instructions. What a kernel passes is compiled so too
//! only where it is inlined: a closure of any length wants `#[inline(always)]`.

use std::num::NonZero;
use std::ops::Range;

use super::{Real, thread_pool};

/// Below this many elements a second thread costs more than it brings.
const MIN_ELEMENTS: usize = 4096;

/// Has everything on the CPU take so many threads, if it is called before any are made.
pub fn limit_threads(threads: NonZero<usize>) {
    thread_pool::limit(threads);
    // Fails where the pool is there already: then it has as many threads as it has.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
}

fn rows_per_task(n_rows: usize, width: usize) -> usize {
    let tasks = (n_rows * width / MIN_ELEMENTS).clamp(1, thread_pool::threads());
    n_rows.div_ceil(tasks).max(1)
}

/// Runs `f` with the widest vector instructions of this processor. What it calls is compiled for them only
/// where it is inlined.
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// A slice that tasks cut into chunks of `size` elements, each its own.
struct Chunks<'a, T> {
    start: Shared<T>,
    len: usize,
    size: usize,
    _slice: std::marker::PhantomData<&'a mut [T]>,
}

impl<'a, T> Chunks<'a, T> {
    fn new(slice: &'a mut [T], size: usize) -> Self {
        let (start, len) = (Shared(slice.as_mut_ptr()), slice.len());
        Chunks { start, len, size, _slice: std::marker::PhantomData }
    }

    fn count(&self) -> usize {
        self.len.div_ceil(self.size)
    }

    /// # Safety
    /// No other reference to chunk `i` is alive.
    #[allow(clippy::mut_from_ref, reason = "that is the point: see Safety")]
    unsafe fn get(&self, i: usize) -> &'a mut [T] {
        let from = (i * self.size).min(self.len);
        let to = (from + self.size).min(self.len);
        // SAFETY: inside the slice; chunks are disjoint and the caller has this one alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.get().add(from), to - from) }
    }
}

/// Calls `f(row, row of out)` for each row of `out`, `width` elements a row.
pub fn rows<T: Real>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let block = rows_per_task(out.len() / width, width);
    let chunks = Chunks::new(out, block * width);
    thread_pool::run(chunks.count(), |i| {
        // SAFETY: each task has its own chunk.
        let chunk = unsafe { chunks.get(i) };
        vectorized(
            #[inline(always)]
            || {
                for (j, row) in chunk.chunks_exact_mut(width).enumerate() {
                    f(i * block + j, row);
                }
            },
        );
    });
}

/// The same for rows that take `operations` each, the last of which may be short: a thread takes several where one would
/// not be worth it. It is `f` that must ask for vector instructions.
pub fn rows_of_work<T: Real>(
    out: &mut [T],
    width: usize,
    operations: usize,
    f: impl Fn(usize, &mut [T]) + Sync,
) {
    let n = out.len().div_ceil(width);
    let tasks = (operations * n / MIN_OPERATIONS).clamp(1, thread_pool::threads()).min(n);
    let block = n.div_ceil(tasks);
    let chunks = Chunks::new(out, block * width);
    thread_pool::run(chunks.count(), |i| {
        // SAFETY: each task has its own chunk.
        let chunk = unsafe { chunks.get(i) };
        for (j, row) in chunk.chunks_mut(width).enumerate() {
            f(i * block + j, row);
        }
    });
}

/// Calls `f(row, row of a, row of b)`; the two have as many rows and their own widths.
pub fn rows2<T: Real>(
    a: (&mut [T], usize),
    b: (&mut [T], usize),
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    groups_of_rows2(1, a, b, f);
}

/// The same for so many rows at once, or what is left of them: `f(first row, rows of a, rows of b)`.
pub fn groups_of_rows2<T: Real>(
    rows: usize,
    (a, a_width): (&mut [T], usize),
    (b, b_width): (&mut [T], usize),
    f: impl Fn(usize, &mut [T], &mut [T]) + Sync,
) {
    let block = rows_per_task(a.len() / a_width, a_width.max(b_width));
    let (a, b) = (Chunks::new(a, block * a_width), Chunks::new(b, block * b_width));
    thread_pool::run(a.count(), |i| {
        // SAFETY: each task has its own chunks.
        let (a, b) = unsafe { (a.get(i), b.get(i)) };
        vectorized(
            #[inline(always)]
            || {
                let pairs = a.chunks_mut(rows * a_width).zip(b.chunks_mut(rows * b_width));
                for (j, (a, b)) in pairs.enumerate() {
                    f(i * block + j * rows, a, b);
                }
            },
        );
    });
}

/// Calls `f(range, pieces)` on matching pieces of three slices of equal length.
pub fn slices3<T: Real>(
    a: &mut [T],
    b: &mut [T],
    c: &mut [T],
    f: impl Fn(Range<usize>, &mut [T], &mut [T], &mut [T]) + Sync,
) {
    let block = rows_per_task(a.len(), 1);
    let [a, b, c] = [a, b, c].map(|slice| Chunks::new(slice, block));
    thread_pool::run(a.count(), |i| {
        // SAFETY: each task has its own pieces.
        let (a, b, c) = unsafe { (a.get(i), b.get(i), c.get(i)) };
        vectorized(
            #[inline(always)]
            || f(i * block..i * block + a.len(), a, b, c),
        );
    });
}

/// Operations of a product below which a second thread costs more than it brings.
const MIN_OPERATIONS: usize = 500_000;

/// Stripes of [`tiles`] begin at multiples of so many elements: whole vector registers, and whole parts of what is added
/// up over a row.
pub const UNIT: usize = 32;

/// Calls `f(rows, columns)` for tiles that cover a matrix of `dims` [rows, columns] without overlap, one a
/// thread: stripes across the longer side, so that of the two factors the larger one is the one divided.
pub fn tiles([m, n]: [usize; 2], operations: usize, f: impl Fn(Range<usize>, Range<usize>) + Sync) {
    let longer = m.max(n);
    let tasks = (operations / MIN_OPERATIONS).clamp(1, thread_pool::threads());
    let border = |i: usize| match i {
        _ if i == tasks => longer,
        _ => ((i * longer + tasks * UNIT / 2) / (tasks * UNIT) * UNIT).min(longer),
    };
    thread_pool::run(tasks, |i| {
        let stripe = border(i)..border(i + 1);
        if stripe.is_empty() {
            return;
        }
        if n >= m { f(0..m, stripe) } else { f(stripe, 0..n) }
    });
}

/// Calls `f(range, pieces)` for stripes of 0..`n`, one a thread; each slice has `n` rows of its own width,
/// and its piece is the range's rows.
pub fn stripes<T: Real, const N: usize>(
    n: usize,
    operations: usize,
    slices: [(&mut [T], usize); N],
    f: impl Fn(Range<usize>, [&mut [T]; N]) + Sync,
) {
    let tasks = (operations / MIN_OPERATIONS).clamp(1, thread_pool::threads());
    let height = n.div_ceil(tasks);
    let chunks = slices.map(|(slice, width)| {
        assert_eq!(slice.len(), n * width);
        Chunks::new(slice, height * width)
    });
    thread_pool::run(n.div_ceil(height), |i| {
        // SAFETY: each task has its own pieces.
        let pieces = chunks.each_ref().map(|chunks| unsafe { chunks.get(i) });
        f(i * height..n.min((i + 1) * height), pieces);
    });
}

/// A pointer that tasks share to write disjoint parts of one matrix.
#[derive(Clone, Copy)]
pub struct Shared<T>(pub *mut T);

// SAFETY: using the pointer is unsafe, and whoever does answers for the parts being disjoint.
unsafe impl<T> Send for Shared<T> {}
// SAFETY: as above.
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
