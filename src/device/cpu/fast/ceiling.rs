//! A copy on all cores.

use crate::numeric::{parallel, thread_pool};
use crate::plan::Call;

pub(super) fn copy(c: &Call<f32>) {
    let (source, mut copied) = (c.read_u32("source"), c.write_u32("copied"));
    let piece = source.len().div_ceil(thread_pool::threads());
    assert_eq!(source.len(), copied.len());
    let (source, copied) = (&source[..], parallel::Shared(copied.as_mut_ptr()));
    thread_pool::run(source.len().div_ceil(piece), |i| {
        let part = &source[i * piece..source.len().min((i + 1) * piece)];
        // SAFETY: both have as many elements, `copied` is borrowed mutably, and no two parts overlap.
        unsafe {
            copied.get().add(i * piece).copy_from_nonoverlapping(part.as_ptr(), part.len());
        }
    });
}
