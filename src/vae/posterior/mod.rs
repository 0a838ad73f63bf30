//! Families of the approximate posterior q(z|x): how samples are drawn from the encoder's heads, what they
//! cost, and their backward pass. Each is a module of its own; `Family::module` tells them apart.

mod density;
mod diagonal;
mod full;
mod planar;

use std::fmt::Display;

pub use density::Density;
use diagonal::Diagonal;
use full::Full;
use planar::Planar;

use serde::{Deserialize, Serialize};

use super::minibatch::{Source, Streams};
use super::objective::{Estimator, Kl, Objective};
use crate::config_error::ConfigError;
use crate::kernels::importance;
use crate::kernels::posterior::full as kernels;
use crate::named::named;
use crate::nn::Part;
use crate::plan::{PlanError, Recorder, TensorId};

named! {
    /// The kinds of families, by name.
    pub enum FamilyKind {
        /// Gaussian of independent units
        Diagonal = "diagonal",
        /// Gaussian with any covariance, by its Cholesky factor
        Full = "full",
        /// What planar flows make of a Gaussian of independent units
        Planar = "planar",
    }
}

/// The family that q(z|x) is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A Gaussian of independent units.
    #[default]
    Diagonal,
    /// A Gaussian with any covariance.
    Full,
    /// What planar flows make of a Gaussian of independent units.
    Planar {
        /// Steps of the flow.
        steps: usize,
    },
}

impl Display for Family {
    /// The name of its kind.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind().fmt(f)
    }
}

impl Family {
    /// Steps of [`Family::Planar`] where none are named.
    pub const STEPS: usize = 8;

    /// The family of a kind, of so many steps if they are given; `None` if the kind has no steps.
    pub fn of_kind(kind: FamilyKind, steps: Option<usize>) -> Option<Self> {
        match (kind, steps) {
            (FamilyKind::Planar, steps) => {
                Some(Family::Planar { steps: steps.unwrap_or(Family::STEPS) })
            }
            (_, Some(_)) => None,
            (FamilyKind::Diagonal, None) => Some(Family::Diagonal),
            (FamilyKind::Full, None) => Some(Family::Full),
        }
    }

    /// Its kind.
    pub fn kind(self) -> FamilyKind {
        match self {
            Family::Diagonal => FamilyKind::Diagonal,
            Family::Full => FamilyKind::Full,
            Family::Planar { .. } => FamilyKind::Planar,
        }
    }

    /// Whether KL(q || N(0, I)) has a closed form.
    pub fn has_closed_kl(self) -> bool {
        !matches!(self, Family::Planar { .. })
    }

    /// What computes it of Z latent units.
    pub(super) fn module(self, latent: usize) -> Box<dyn Posterior> {
        match self {
            Family::Diagonal => Box::new(Diagonal { latent }),
            Family::Full => Box::new(Full { latent }),
            Family::Planar { steps } => Box::new(Planar { latent, steps }),
        }
    }

    /// What the encoder gives for Z latent units, side by side, each part a module of its own in files: the mean, the log of
    /// the squared scale, and what else the family has. That begins at zero, so that every family begins as the diagonal one.
    pub(crate) fn parts(self, latent: usize) -> Vec<Part> {
        let mut parts = vec![Part::of(latent), Part::of(latent)];
        match self {
            Family::Diagonal => {}
            Family::Full => parts.push(Part::from_zero(kernels::below(latent))),
            Family::Planar { steps } => {
                let units = steps.saturating_mul(latent);
                parts.extend([Part::from_zero(units), Part::of(units), Part::of(steps)]);
            }
        }
        parts
    }

    /// Units of the encoder's output for Z latent units.
    pub fn heads(self, latent: usize) -> usize {
        self.parts(latent).iter().fold(0, |sum, part| sum.saturating_add(part.outputs))
    }

    /// How it is told beside the layers' widths; `None` of the default.
    pub fn label(self) -> Option<String> {
        match self {
            Family::Diagonal => None,
            Family::Full => Some("q with full covariance".to_string()),
            Family::Planar { steps } => Some(format!("q of {steps} planar flows")),
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
            (Family::Planar { steps: 0 }, _) => {
                Err(ConfigError::range("architecture.posterior.steps", "must be at least 1", 0))
            }
            (Family::Planar { .. }, more) if more > kernels::MOST_UNITS => {
                Err(ConfigError::conflict(
                    "architecture.posterior",
                    self,
                    format!("is for {} latent units at most, of {more}", kernels::MOST_UNITS),
                    "give diagonal, or fewer latent units",
                ))
            }
            _ => Ok(()),
        }
    }

    /// # Errors
    /// An objective that needs what the family has not.
    pub(crate) fn check_objective(self, objective: &Objective) -> Result<(), ConfigError> {
        let refuse = |field, value: &str, problem: &str, right: &str| {
            Err(ConfigError::conflict(field, value, problem, right))
        };
        match objective.kl {
            _ if self.has_closed_kl() => Ok(()),
            Kl::Analytic => refuse(
                "objective.kl",
                "analytic",
                "is none of a q of planar flows, whose KL has no closed form",
                "it needs `objective.kl` sampled",
            ),
            Kl::Sampled if objective.estimator != Estimator::Reparameterized => refuse(
                "objective.estimator",
                &objective.estimator.to_string(),
                "needs the gradient of log q(z|x) at z alone, for which planar flows would have to be undone",
                "it needs `architecture.posterior` diagonal or full, or the estimator reparameterized",
            ),
            Kl::Sampled => Ok(()),
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
    /// Of a flow.
    flow: Option<Flow>,
}

/// What a flow keeps of its samples.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// (B*K, T*Z) before each step
    states: TensorId,
    /// (B*K) the logarithms of the Jacobians' determinants, nats
    log_det: TensorId,
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

    /// Records KL(q || N(0, I)) of each image, (B) nats: what the metrics report. Without a closed form it is that of the draws.
    fn kl(&self, r: &mut Recorder, draw: Draw) -> Result<TensorId, PlanError>;

    /// Records log w = log p(x|z) + log p(z) - log q(z|x) of each row of `log_px`, (B*K) nats.
    fn log_weights(
        &self,
        r: &mut Recorder,
        draw: Draw,
        log_px: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError> {
        log_weights(r, draw, log_px, samples)
    }

    /// Records the gradient at the heads: through the samples, and of the KL as the objective has it.
    fn backward(
        &self,
        r: &mut Recorder,
        draw: Draw,
        arriving: Arriving,
        objective: &Objective,
    ) -> Result<TensorId, PlanError>;

    /// Records the mean and the log variance that each unit has by itself, (B, 2*Z).
    fn marginals(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
    ) -> Result<TensorId, PlanError>;
}

/// Records the log weights of samples z = mu + L eps with L triangular: log q(z|x) depends on its diagonal alone.
fn log_weights(
    r: &mut Recorder,
    Draw { heads, eps, z, .. }: Draw,
    log_px: TensorId,
    samples: usize,
) -> Result<TensorId, PlanError> {
    let log_w = r.tensor("log_w", &[r.dims(z)[0]]);
    r.dispatch(
        &importance::LOG_WEIGHT,
        &[("log_px", log_px), ("heads", heads), ("eps", eps), ("z", z), ("log_w", log_w)],
        &[("K", samples as f64)],
    )?;
    Ok(log_w)
}
