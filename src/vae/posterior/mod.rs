//! Families of the approximate posterior q(z|x): how samples are drawn from the encoder's heads, what they
//! cost, and their backward pass. Each is a module of its own; [`Family::module`] tells them apart.

mod diagonal;
mod full;
mod gaussian;

use diagonal::Diagonal;
use full::Full;
pub use gaussian::Gaussian;

use super::minibatch::{Source, Streams};
use super::objective::Objective;
use crate::config_error::ConfigError;
use crate::kernels::posterior::full as kernels;
use crate::named::named;
use crate::nn::Part;
use crate::plan::{PlanError, Recorder, TensorId};

named! {
    /// The family that q(z|x) is of.
    #[derive(Default)]
    pub enum Family {
        /// Gaussian of independent units
        Diagonal = "diagonal" (default),
        /// Gaussian with any covariance, by its Cholesky factor
        Full = "full",
    }
}

impl Family {
    /// What computes it of Z latent units.
    pub(super) fn module(self, latent: usize) -> Box<dyn Posterior> {
        match self {
            Family::Diagonal => Box::new(Diagonal { latent }),
            Family::Full => Box::new(Full { latent }),
        }
    }

    /// What the encoder gives for Z latent units, side by side, each part a module of its own in files: the mean, the log of
    /// the squared scale, and what else the family has. That begins at zero, so that every family begins as the diagonal one.
    pub(super) fn parts(self, latent: usize) -> Vec<Part> {
        let mut parts = vec![Part::of(latent), Part::of(latent)];
        match self {
            Family::Diagonal => {}
            Family::Full => parts.push(Part::from_zero(kernels::below(latent))),
        }
        parts
    }

    /// Units of the encoder's output for Z latent units.
    pub fn heads(self, latent: usize) -> usize {
        self.parts(latent).iter().fold(0, |sum, part| sum.saturating_add(part.outputs))
    }

    /// How it is told beside the layers' widths; `None` of the default.
    pub fn label(self) -> Option<&'static str> {
        match self {
            Family::Diagonal => None,
            Family::Full => Some("q with full covariance"),
        }
    }

    /// # Errors
    /// A family that Z latent units cannot have.
    pub(super) fn check(self, latent: usize) -> Result<(), ConfigError> {
        match (self, latent) {
            (Family::Full, 1) => Err(ConfigError::conflict(
                "architecture.posterior",
                self,
                "is diagonal where there is one latent unit",
                "give diagonal, or two latent units or more",
            )),
            (Family::Full, more) if more > kernels::MOST_UNITS => Err(ConfigError::conflict(
                "architecture.posterior",
                self,
                format!("is for {} latent units at most, of {more}", kernels::MOST_UNITS),
                "give diagonal, or fewer latent units",
            )),
            _ => Ok(()),
        }
    }

    /// Whether it is what files mean that name none.
    pub(super) fn is_default(&self) -> bool {
        *self == Family::default()
    }
}

/// Samples of q(z|x), K an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
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
    /// Records K samples an image, around the mean by `noise` times the noise.
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
    fn kl(&self, r: &mut Recorder, draw: Draw) -> Result<TensorId, PlanError>;

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

    /// Records the mean and the log variance that each unit has by itself, (B, 2*Z).
    fn marginals(&self, r: &mut Recorder, heads: TensorId) -> Result<TensorId, PlanError>;
}
