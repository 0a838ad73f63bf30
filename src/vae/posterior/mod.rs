//! Families of the approximate posterior q(z|x): how samples are drawn from the encoder's heads, what they
//! cost, and their backward pass.

mod diagonal;

use diagonal::Diagonal;

use super::minibatch::{Source, Streams};
use super::objective::Objective;
use crate::plan::{PlanError, Recorder, TensorId};

/// The family of every network.
pub(super) fn module() -> impl Posterior {
    Diagonal
}

/// Samples of q(z|x), K an image.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    /// (B, heads) the encoder's output that they were drawn by
    pub heads: TensorId,
    /// (B*K, Z) the standard normal numbers
    pub eps: TensorId,
    /// (B*K, Z)
    pub z: TensorId,
}

/// Where the backward pass enters the posterior.
pub(super) struct Arriving {
    /// (B*K, Z) the gradient at the samples
    pub d_z: TensorId,
    /// (B*K) the weight of each row's log p(x|z) in the objective
    pub weight: TensorId,
    /// (4), see [`crate::kernels::rates`]
    pub rates: TensorId,
}

/// A family of approximate posteriors.
pub(super) trait Posterior {
    /// Units of the encoder's output for Z latent units.
    fn heads(&self, latent: usize) -> usize;

    /// Parts of the heads that lie side by side, each a module of its own in files.
    fn parts(&self) -> usize;

    /// Records K samples an image, around the mean by `noise` times the standard deviation.
    fn sample(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
        source: Source,
        streams: &Streams,
        noise: f64,
    ) -> Result<Draw, PlanError>;

    /// Records KL(q || N(0, I)) of each image, (B) nats: what the metrics report.
    fn kl(&self, r: &mut Recorder, heads: TensorId) -> Result<TensorId, PlanError>;

    /// Records log w = log p(x|z) + log p(z) - log q(z|x) of each row of `log_px`, (B*K) nats.
    fn log_weights(
        &self,
        r: &mut Recorder,
        draw: Draw,
        log_px: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError>;

    /// Records the gradient at the heads: through the samples, and of the KL as the objective has it.
    fn backward(
        &self,
        r: &mut Recorder,
        draw: Draw,
        arriving: Arriving,
        objective: &Objective,
    ) -> Result<TensorId, PlanError>;
}
