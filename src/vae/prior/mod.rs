//! The prior p(z): its own parameters, and how draws and densities of it are recorded.
//!
//! A density is recorded relative to the standard normal's, h(z) = log p(z) - log N(z; 0, I). Then p(x) is the expectation
//! of p(x|z) e^h(z) over z ~ N(0, I), and whatever is computed for that prior, as weights of samples, annealed chains or the
//! best q of an image, holds for any other where log p(x|z) + h(z) stands in the place of log p(x|z). So no posterior and no
//! bound has to know which prior it is.

mod normal;
mod vamp;

use serde::{Deserialize, Serialize};

use super::network::Moments;
use crate::config_error::ConfigError;
use crate::kernels::{add, mixture};
use crate::named::named;
use crate::nn::{Layer, Tape, Uniform};
use crate::numeric::philox::Stream;
use crate::plan::{PlanError, Recorder, TensorId};
use normal::Normal;
use std::sync::Arc;
pub use vamp::PSEUDO_INPUTS;
use vamp::Vamp;

named! {
    /// The kinds of priors, by name.
    pub enum PriorKind {
        /// N(0, I)
        Normal = "normal",
        /// The mean of q(z|u) over trained pseudo-inputs u (Tomczak and Welling 2018)
        Vamp = "vamp",
    }
}

named! {
    /// What the values of a pseudo-input are.
    pub enum PseudoValues {
        /// Pixels, in [0, 1]: the sigmoid of parameters.
        Pixels = "pixels",
        /// Any real values, as the encoder gets those of a table: the parameters themselves.
        Reals = "reals",
    }
}

/// The prior p(z).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prior {
    /// N(0, I)
    #[default]
    Normal,
    /// The mean of q(z|u) over pseudo-inputs u, which are trained: the VampPrior (Tomczak and Welling 2018, arXiv
    /// 1705.07120).
    Vamp {
        /// How many there are.
        pseudo_inputs: usize,
        /// What their values are.
        values: PseudoValues,
    },
}

impl Prior {
    /// Pseudo-inputs of a [`Prior::Vamp`] that names no other number, those of the paper.
    pub const PSEUDO_INPUTS: usize = 500;
    /// The most that kernels have a grid for.
    const MOST: usize = 65_535;

    /// What pseudo-inputs are of a data set that is a table, or of images.
    pub fn values_of(is_table: bool) -> PseudoValues {
        if is_table { PseudoValues::Reals } else { PseudoValues::Pixels }
    }

    /// Its kind.
    pub fn kind(self) -> PriorKind {
        match self {
            Prior::Normal => PriorKind::Normal,
            Prior::Vamp { .. } => PriorKind::Vamp,
        }
    }

    /// Whether it is N(0, I), in which units are independent and the KL of a Gaussian q has a closed form.
    pub fn is_normal(&self) -> bool {
        *self == Prior::Normal
    }

    /// As it stands in formulas, for sentences.
    pub fn symbol(self) -> &'static str {
        match self {
            Prior::Normal => "N(0, I)",
            Prior::Vamp { .. } => "p(z)",
        }
    }

    /// How it is told beside the layers' widths; `None` of the default.
    pub fn label(self) -> Option<String> {
        match self {
            Prior::Normal => None,
            Prior::Vamp { pseudo_inputs, .. } => {
                Some(format!("VampPrior of {pseudo_inputs} pseudo-inputs"))
            }
        }
    }

    /// # Errors
    /// No pseudo-input, or more than kernels have a grid for.
    pub fn check(self) -> Result<(), ConfigError> {
        match self {
            Prior::Vamp { pseudo_inputs, .. } if !(1..=Prior::MOST).contains(&pseudo_inputs) => {
                let right = format!("must be from 1 to {}", Prior::MOST);
                Err(ConfigError::range("architecture.prior.pseudo_inputs", right, pseudo_inputs))
            }
            _ => Ok(()),
        }
    }

    /// What computes it: the one place that tells the kinds apart.
    pub(crate) fn module(self) -> Box<dyn Module> {
        match self {
            Prior::Normal => Box::new(Normal),
            Prior::Vamp { pseudo_inputs, values } => Box::new(Vamp { pseudo_inputs, values }),
        }
    }
}

/// A prior's parameters, and what a plan computes from them before any draw or density.
pub(crate) trait Module {
    /// Its own parameters, for images of D `pixels`.
    fn parameters(&self, pixels: usize) -> Vec<OwnParameter> {
        let _ = pixels;
        Vec::new()
    }

    /// First values of [`Module::parameters`].
    fn initial_values(
        &self,
        data: &Moments,
        pixels: usize,
        uniform: &mut Uniform,
    ) -> Vec<Vec<f32>> {
        let _ = (data, pixels, uniform);
        Vec::new()
    }

    /// Records what draws and densities are computed from, by `encoder` on the tape that its other pass is on.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn record(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        encoder: &[Arc<dyn Layer>],
        own: &[TensorId],
    ) -> Result<Box<dyn Density>, PlanError>;
}

/// A parameter of a prior.
pub(crate) struct OwnParameter {
    /// Its name: in the program behind "prior.", in files as it is.
    pub name: &'static str,
    /// Its dimensions.
    pub dims: Vec<usize>,
}

/// A prior as plans compute with it.
pub(crate) trait Density {
    /// Records `samples` draws a place by the noise of a stream: z (rows, Z).
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn sample(
        &self,
        r: &mut Recorder,
        clock: TensorId,
        dims: [usize; 2],
        samples: usize,
        stream: Stream,
    ) -> Result<TensorId, PlanError>;

    /// Records h of each row of z (R, Z).
    ///
    /// # Errors
    /// As [`Density::sample`].
    fn ratio(&self, r: &mut Recorder, z: TensorId) -> Result<Ratio, PlanError>;

    /// Records the gradient of beta sum_r weight_r h(z_r) at z, added to what has arrived there, and at what
    /// [`Module::record`] has put on the tape.
    ///
    /// # Errors
    /// As [`Density::sample`].
    fn backward(
        &self,
        r: &mut Recorder,
        ratio: Ratio,
        arriving: Arriving,
    ) -> Result<Backward, PlanError>;

    /// Records the gradient of sum_r weight_r h(z_r) at z alone, added to `d_z` (R, Z).
    ///
    /// # Errors
    /// As [`Density::sample`].
    fn backward_to(
        &self,
        r: &mut Recorder,
        ratio: Ratio,
        d_z: TensorId,
        weight: TensorId,
    ) -> Result<TensorId, PlanError>;
}

/// h of samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ratio {
    /// (R, Z)
    pub z: TensorId,
    /// (R) nats; `None` where h is zero everywhere
    pub h: Option<TensorId>,
}

/// Where the backward pass enters the prior.
#[derive(Clone, Copy)]
pub(crate) struct Arriving {
    /// (R, Z) the gradient at the samples
    pub d_z: TensorId,
    /// (R) the weight of each row's log p(x|z) in the objective
    pub weight: TensorId,
    /// (4), see [`crate::kernels::rates`]
    pub rates: TensorId,
}

/// What a prior's backward pass has computed.
pub(crate) struct Backward {
    /// (R, Z) the gradient at the samples, the prior's share with it
    pub d_z: TensorId,
    /// Outputs of the tape with their gradients.
    pub outputs: Vec<(TensorId, TensorId)>,
}

impl Ratio {
    /// Records log p(x|z) + h(z), (R) nats, of `log_px` (R).
    ///
    /// # Errors
    /// As [`Density::sample`].
    pub fn joined(self, r: &mut Recorder, log_px: TensorId) -> Result<TensorId, PlanError> {
        let Some(h) = self.h else { return Ok(log_px) };
        let joined = r.tensor("log_px and h", &r.dims(log_px));
        r.dispatch(&add::ADD, &[("a", log_px), ("b", h), ("sum", joined)], &[])?;
        Ok(joined)
    }

    /// Records KL(q || p), (B) nats, estimated at the samples: of `to_normal` (B), KL(q || N(0, I)), the mean of h is
    /// taken off.
    ///
    /// # Errors
    /// As [`Density::sample`].
    pub fn divergence(
        self,
        r: &mut Recorder,
        to_normal: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError> {
        let Some(h) = self.h else { return Ok(to_normal) };
        let kl = r.tensor("kl to the prior", &r.dims(to_normal));
        r.dispatch(
            &mixture::DIVERGENCE,
            &[("to_normal", to_normal), ("ratios", h), ("kl", kl)],
            &[("K", samples as f64)],
        )?;
        Ok(kl)
    }
}
