//! Many runs of plans whose values the host sums up as they come.

use std::ops::ControlFlow;

use super::EvaluateError;
use crate::device::Executor;
use crate::plan::{PlanId, TensorId};
use crate::vae::estimate::Chunks;

/// Runs whose values the host has in hand.
#[derive(Clone, Copy)]
pub struct Kept {
    chunks: Chunks,
    /// Draws of an image in them; the last run may have made more than are wanted.
    wanted: usize,
}

impl Kept {
    /// The draws of image `b` of the batch, in order, from (S, B*K) values.
    pub fn of_image(self, values: &[f32], b: usize) -> impl Iterator<Item = &f32> {
        let k = self.chunks.samples;
        values
            .chunks_exact(self.chunks.rows())
            .flat_map(move |run| &run[b * k..][..k])
            .take(self.wanted)
    }
}

/// Runs of plans, and how far they are.
pub struct Work<'a> {
    /// Is told the share that is done, and may end the work.
    pub progress: &'a mut dyn FnMut(f64) -> ControlFlow<()>,
    /// Runs of all plans so far, and in all.
    pub done: u64,
    /// In all.
    pub total: u64,
}

impl Work<'_> {
    /// Runs `plan` until there are `samples` draws an image, and hands over what it leaves in `kept` from
    /// time to time.
    ///
    /// # Errors
    /// The device's, those of `take`, or that the work was told to end.
    pub fn draw<const M: usize>(
        &mut self,
        executor: &mut dyn Executor,
        plan: PlanId,
        kept: [TensorId; M],
        chunks: Chunks,
        samples: usize,
        mut take: impl FnMut(Kept, [&[f32]; M]) -> Result<(), EvaluateError>,
    ) -> Result<(), EvaluateError> {
        let mut left = samples;
        while left > 0 {
            let runs = left.div_ceil(chunks.samples).min(chunks.runs);
            let mut stopped = false;
            let (before, total) = (self.done, self.total);
            executor.run(plan, runs as u64, &mut |done| {
                let flow = (self.progress)((before + done) as f64 / total as f64);
                stopped |= flow.is_break();
                flow
            })?;
            if stopped {
                return Err(EvaluateError::Interrupted);
            }
            self.done += runs as u64;
            let wanted = left.min(runs * chunks.samples);
            let mut values = Vec::with_capacity(M);
            for tensor in kept {
                values.push(executor.read_f32(tensor)?);
            }
            take(Kept { chunks, wanted }, std::array::from_fn(|i| &values[i][..]))?;
            left -= wanted;
        }
        Ok(())
    }
}

/// Refuses what is not finite, of an image.
///
/// # Errors
/// [`EvaluateError::NotFinite`].
pub fn finite(image: usize, value: f32) -> Result<(), EvaluateError> {
    match value.is_finite() {
        true => Ok(()),
        false => Err(EvaluateError::NotFinite { image, value }),
    }
}
