//! Families of the approximate posterior q(z|x): how samples are drawn from the encoder's heads, what they
//! cost, and their backward pass. Each is a module of its own; `Family::module` tells them apart.

mod density;
mod diagonal;
mod full;
mod iaf;
mod planar;

use std::fmt::Display;

pub use density::{Density, Reader};
use diagonal::Diagonal;
use full::Full;
use iaf::Iaf;
use planar::Planar;

use serde::{Deserialize, Serialize};

use super::minibatch::{Content, Source, Streams};
use super::objective::{Estimator, Kl, Objective};
use crate::config_error::ConfigError;
use crate::kernels::posterior::flow;
use crate::kernels::posterior::full as kernels;
use crate::kernels::{add, importance, sum_rows};
use crate::named::named;
use crate::nn::{Init, Part, Uniform};
use crate::numeric::philox::Stream;
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
        /// What inverse autoregressive flows make of a Gaussian of independent units
        Iaf = "iaf",
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
    /// What inverse autoregressive flows make of a Gaussian of independent units (Kingma et al. 2016, arXiv 1606.04934).
    Iaf {
        /// Steps of the flow.
        steps: usize,
        /// Units of each of the two hidden layers of a step's network.
        hidden: usize,
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

    /// Steps of [`Family::Iaf`] where none are named, each of which is a network of its own.
    pub const AUTOREGRESSIVE_STEPS: usize = 2;
    /// Hidden units of [`Family::Iaf`] where none are named.
    pub const HIDDEN: usize = 256;
    /// The most hidden units and latent units of [`Family::Iaf`]: kernels multiply the two.
    const MOST_WIDE: usize = 16_384;

    /// The family of a kind, as it is where nothing more is said of it.
    pub fn of_kind(kind: FamilyKind) -> Self {
        match kind {
            FamilyKind::Diagonal => Family::Diagonal,
            FamilyKind::Full => Family::Full,
            FamilyKind::Planar => Family::Planar { steps: Family::STEPS },
            FamilyKind::Iaf => {
                Family::Iaf { steps: Family::AUTOREGRESSIVE_STEPS, hidden: Family::HIDDEN }
            }
        }
    }

    /// The same of so many steps; `None` if it has none.
    pub fn with_steps(self, steps: usize) -> Option<Self> {
        match self {
            Family::Diagonal | Family::Full => None,
            Family::Planar { .. } => Some(Family::Planar { steps }),
            Family::Iaf { hidden, .. } => Some(Family::Iaf { steps, hidden }),
        }
    }

    /// The same with so many hidden units; `None` if it has none.
    pub fn with_hidden(self, hidden: usize) -> Option<Self> {
        match self {
            Family::Iaf { steps, .. } => Some(Family::Iaf { steps, hidden }),
            _ => None,
        }
    }

    /// Its kind.
    pub fn kind(self) -> FamilyKind {
        match self {
            Family::Diagonal => FamilyKind::Diagonal,
            Family::Full => FamilyKind::Full,
            Family::Planar { .. } => FamilyKind::Planar,
            Family::Iaf { .. } => FamilyKind::Iaf,
        }
    }

    /// Whether KL(q || N(0, I)) has a closed form.
    pub fn has_closed_kl(self) -> bool {
        matches!(self, Family::Diagonal | Family::Full)
    }

    /// What computes it of Z latent units, with [`Family::parameters`] as they are in the program.
    pub(super) fn module(self, latent: usize, own: &[TensorId]) -> Box<dyn Posterior> {
        match self {
            Family::Diagonal => Box::new(Diagonal { latent }),
            Family::Full => Box::new(Full { latent }),
            Family::Planar { steps } => Box::new(Planar { latent, steps }),
            Family::Iaf { steps, hidden } => {
                Box::new(Iaf { latent, steps, hidden, own: own.to_vec() })
            }
        }
    }

    /// Its own parameters, which all images share: what the encoder gives of an image is none.
    pub(crate) fn parameters(self, latent: usize) -> Vec<OwnParameter> {
        match self {
            Family::Iaf { steps, hidden } => iaf::parameters(latent, steps, hidden),
            Family::Diagonal | Family::Full | Family::Planar { .. } => Vec::new(),
        }
    }

    /// First values of [`Family::parameters`].
    pub(super) fn initial_values(
        self,
        latent: usize,
        init: Init,
        uniform: &mut Uniform,
    ) -> Vec<Vec<f32>> {
        match self {
            Family::Iaf { steps, hidden } => {
                iaf::initial_values(latent, steps, hidden, init, uniform)
            }
            Family::Diagonal | Family::Full | Family::Planar { .. } => Vec::new(),
        }
    }

    /// What the encoder gives for Z latent units, side by side, each part a module of its own in files: the mean, the log of
    /// the squared scale, and what else the family has. That begins at zero where it can, so that a family begins as the
    /// diagonal one; what the context of inverse autoregressive flows begins with, their own networks take as it is.
    pub(crate) fn parts(self, latent: usize) -> Vec<Part> {
        let mut parts = vec![Part::of(latent), Part::of(latent)];
        match self {
            Family::Diagonal => {}
            Family::Full => parts.push(Part::from_zero(kernels::below(latent))),
            Family::Planar { steps } => {
                let units = steps.saturating_mul(latent);
                parts.extend([Part::from_zero(units), Part::of(units), Part::of(steps)]);
            }
            Family::Iaf { .. } => parts.push(Part::of(latent)),
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
            Family::Iaf { steps, hidden } => {
                Some(format!("q of {steps} inverse autoregressive flows of {hidden} hidden units"))
            }
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
            (Family::Planar { steps: 0 } | Family::Iaf { steps: 0, .. }, _) => {
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
            (Family::Iaf { hidden, .. }, _) if !(1..=Family::MOST_WIDE).contains(&hidden) => {
                let right = format!("must be from 1 to {}", Family::MOST_WIDE);
                Err(ConfigError::range("architecture.posterior.hidden", right, hidden))
            }
            (Family::Iaf { .. }, 1) => Err(ConfigError::conflict(
                "architecture.posterior",
                self,
                "has nothing before a single latent unit that it could depend on",
                "give diagonal, or two latent units or more",
            )),
            (Family::Iaf { .. }, more) if more > Family::MOST_WIDE => Err(ConfigError::conflict(
                "architecture.posterior",
                self,
                format!("is for {} latent units at most, of {more}", Family::MOST_WIDE),
                "give diagonal, or fewer latent units",
            )),
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
                "is none of a q of flows, whose KL has no closed form",
                "it needs `objective.kl` sampled",
            ),
            Kl::Sampled if objective.estimator != Estimator::Reparameterized => refuse(
                "objective.estimator",
                &objective.estimator.to_string(),
                "needs the gradient of log q(z|x) at z alone, for which flows would have to be undone",
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
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
struct Flow {
    kept: Kept,
    /// (B*K) the logarithms of the Jacobians' determinants, nats
    log_det: TensorId,
}

/// What a flow needs for its way back.
#[derive(Debug, Clone)]
enum Kept {
    /// (B*K, T*Z) the samples before each step
    States(TensorId),
    Steps(Vec<iaf::Step>),
}

impl Draw {
    fn flow(&self) -> &Flow {
        self.flow.as_ref().expect("it was drawn by a flow")
    }
}

/// A parameter of a family.
pub(crate) struct OwnParameter {
    /// Its name: in the program behind "posterior.", in files as it is.
    pub name: String,
    /// Its dimensions.
    pub dims: Vec<usize>,
}

/// What a posterior's backward pass has computed.
pub(super) struct Backward {
    /// (B, heads)
    pub d_heads: TensorId,
    /// Each of its own parameters with its gradient.
    pub parameters: Vec<(TensorId, TensorId)>,
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
    fn kl(&self, r: &mut Recorder, draw: &Draw) -> Result<TensorId, PlanError>;

    /// Records log w = log p(x|z) + log p(z) - log q(z|x) of each row of `log_px`, (B*K) nats.
    fn log_weights(
        &self,
        r: &mut Recorder,
        draw: &Draw,
        log_px: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError> {
        match &draw.flow {
            Some(_) => flow_log_weights(r, draw, log_px, samples),
            None => log_weights(r, draw, log_px, samples),
        }
    }

    /// Records the gradient at the heads, and of its own parameters: through the samples, and of the KL as the objective has it.
    fn backward(
        &self,
        r: &mut Recorder,
        draw: &Draw,
        arriving: Arriving,
        objective: &Objective,
    ) -> Result<Backward, PlanError>;

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
    &Draw { heads, eps, z, .. }: &Draw,
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

/// Records the same of samples of a flow: log q(z|x) is less by the log |det| of its steps.
fn flow_log_weights(
    r: &mut Recorder,
    draw: &Draw,
    log_px: TensorId,
    samples: usize,
) -> Result<TensorId, PlanError> {
    let sum = r.tensor("log_px and log_det", &[r.dims(draw.z)[0]]);
    let tensors = [("a", log_px), ("b", draw.flow().log_det), ("sum", sum)];
    r.dispatch(&add::ADD, &tensors, &[])?;
    log_weights(r, draw, sum, samples)
}

/// Records the KL of samples of a flow, (B) nats.
fn flow_kl(r: &mut Recorder, draw: &Draw) -> Result<TensorId, PlanError> {
    let kl = r.tensor("kl", &[r.dims(draw.heads)[0]]);
    let of = [("heads", draw.heads), ("noise", draw.eps), ("samples", draw.z)];
    r.dispatch(
        &flow::KL,
        &[&of[..], &[("log_dets", draw.flow().log_det), ("kl", kl)]].concat(),
        &[("K", (r.dims(draw.z)[0] / r.dims(draw.heads)[0]) as f64)],
    )?;
    Ok(kl)
}

/// Records the sum over the samples of each image of what is at its rows.
fn over_samples(r: &mut Recorder, d_rows: TensorId, images: usize) -> Result<TensorId, PlanError> {
    let [rows, heads] = r.dims(d_rows)[..] else { unreachable!("a matrix") };
    if rows == images {
        return Ok(d_rows);
    }
    let d_heads = r.tensor("d_heads", &[images, heads]);
    let sizes = [("N", rows), ("C", heads), ("BLOCK", rows / images), ("G", images)];
    let sizes = sizes.map(|(name, size)| (name, size as f64));
    r.dispatch(&sum_rows::SUM_ROWS, &[("values", d_rows), ("sums", d_heads)], &sizes)?;
    Ok(d_heads)
}

/// Records the mean and the log variance of each unit, (B, 2*Z), over draws that are the same for every image.
fn moments_of_draws(
    q: &dyn Posterior,
    r: &mut Recorder,
    heads: TensorId,
    clock: TensorId,
) -> Result<TensorId, PlanError> {
    /// Samples by which the moments of a unit are estimated.
    const OF_MOMENTS: usize = 64;
    let batch = r.dims(heads)[0];
    // No image is beyond the end of an epoch: the noise is that of its place.
    let images = u32::MAX as usize;
    let (content, samples) = (Content::Reals, OF_MOMENTS);
    let source = Source { images, window: None, content, flips: None, batch, samples };
    let streams = Streams { noise: Stream::ChainStart, ..Streams::TEST };
    let drawn = q.sample(r, heads, clock, source, &streams, 1.0)?;
    let moments = r.tensor("moments", &[batch, 2 * r.dims(drawn.z)[1]]);
    let tensors = [("samples", drawn.z), ("moments", moments)];
    r.dispatch(&flow::MOMENTS, &tensors, &[("K", OF_MOMENTS as f64)])?;
    Ok(moments)
}
