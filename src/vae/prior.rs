//! The prior p(z) = N(0, I).

use crate::kernels::prior;
use crate::numeric::philox::Stream;
use crate::plan::{PlanError, Recorder, TensorId};

/// Records draws from it, K an image: z (rows, Z).
pub(super) fn sample(
    r: &mut Recorder,
    clock: TensorId,
    dims: [usize; 2],
    samples: usize,
) -> Result<TensorId, PlanError> {
    sample_of(r, clock, dims, samples, Stream::Prior)
}

/// The same by noise of this stream.
pub(super) fn sample_of(
    r: &mut Recorder,
    clock: TensorId,
    [rows, latent]: [usize; 2],
    samples: usize,
    stream: Stream,
) -> Result<TensorId, PlanError> {
    let z = r.tensor("z", &[rows, latent]);
    r.dispatch(
        &prior::SAMPLE,
        &[("clock", clock), ("z", z)],
        &[("STREAM", stream.number()), ("K", samples as f64)],
    )?;
    Ok(z)
}
