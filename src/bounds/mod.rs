//! log p(x) from below and from above.
//!
//! Of an image x with K draws z_k from q(z|x) and w = p(x|z) p(z) / q(z|x), L_K = E log (1/K) sum_k w(z_k) is at most
//! log p(x). Of an image that was drawn from the model the code z* that made it is known, a draw from p(z|x):
//! U_K = E log (1/K) [w(z*) + sum_{k=2..K} w(z_k)] is at least log p(x). What is between them says how far an
//! estimate of log p(x) can be off, for this model. Of real images there is no z*, and no bound from above.

pub mod annealed;
pub mod estimators;
pub mod gaps;
pub mod importance;
pub mod refined;
pub mod scores;
pub mod signal;
pub mod simulate;
pub mod tempering;
mod work;

pub use annealed::{Annealed, Annealing, RatePoint, Spoilt, Weights, anneal, anneal_spoilt};
pub use estimators::{Bounds, Estimate, UpperBounds};
pub use gaps::{Finding, Gaps, GapsOfImage, Harder, Subjects, find, observe, prepare};
pub use importance::{Bracket, Sandwich, lower, sandwich};
pub use refined::{Refined, Refining, refine};
pub use scores::{OfBest, Score, Scoring, auroc, quantile, score};
pub use simulate::{Simulated, simulate};
pub use tempering::{Tempering, tune};
pub use work::{Kept, Work, finite};

use std::ops::Range;

use crate::config_error::ConfigError;
use crate::device::{Device, DeviceError};
use crate::loaded::rows_of;
use crate::plan::PlanError;
use crate::vae::Architecture;
use crate::vae::anneal::Path;
use crate::vae::step::Content;

/// Images as the likelihood is of them, and the codes that made them if they are known.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// (N, D)
    pub x: &'a [f32],
    /// The place of the first of them in their set: the noise of an image is that of its place.
    pub first: usize,
    /// What its elements are: real values, of which some may be missing, or counts.
    pub content: Content,
    /// (N, Z) draws from p(z|x)
    pub z: Option<&'a [f32]>,
    /// (N, 2*Z) mean and log variance of each unit where annealed chains begin, if not at the encoder's q: they must not
    /// depend on the noise of the chains, nor on z.
    pub starts: Option<&'a [f32]>,
}

impl<'a> Observed<'a> {
    /// N
    pub fn count(&self, architecture: &Architecture) -> usize {
        self.x.len() / architecture.pixels()
    }

    /// Those of a range, counted from the first of these.
    ///
    /// # Panics
    /// The range goes beyond them.
    pub fn part(self, range: Range<usize>, architecture: &Architecture) -> Observed<'a> {
        let of = |values: &'a [f32], size| &values[range.start * size..range.end * size];
        Observed {
            x: of(self.x, architecture.pixels()),
            first: self.first + range.start,
            z: self.z.map(|z| of(z, architecture.latent)),
            starts: self.starts.map(|starts| of(starts, 2 * architecture.latent)),
            ..self
        }
    }
}

/// Ranges of so many images that are worked on one after the other. They follow from the device alone, so that neither the
/// number of images nor where the work begins changes a bit of what is found of one.
pub fn blocks(device: &Device, images: usize) -> impl Iterator<Item = Range<usize>> {
    let size = rows_of(device) / 10;
    (0..images).step_by(size).map(move |first| first..images.min(first + size))
}

/// Why a model could not be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Images without the classes that the network is told.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network is told the classes of images.
    #[error(
        "it is told classes (`architecture.classes`): of such models an evaluation has the bound from below alone"
    )]
    Conditional,
    /// Annealed chains are to begin at a prior that they cannot begin at.
    #[error(
        "annealed chains cannot begin at the prior, which is not N(0, I) (`architecture.prior`): let them begin at q(z|x)"
    )]
    NoPathFromPrior,
    /// The numbers of an image (0 is the first) overflow.
    #[error("image {image}: log p(x|z) of a draw is {value}: the decoder's numbers overflow")]
    NotFinite {
        /// The first is 0.
        image: usize,
        /// log p(x|z) of the draw.
        value: f32,
    },
    /// Rows that are drawn have not the size that the likelihood is told.
    #[error(
        "log p(x|z) of kind {kind} with a size factor is told what a row's counts come to, which those of a drawn row \
         need not; a model of `size_factor` none can be simulated"
    )]
    Sized {
        /// The likelihood's name.
        kind: String,
    },
    /// It was told to end.
    #[error("interrupted")]
    Interrupted,
}

/// Whether a model is one whose bounds are computed: what is drawn or observed here has no class.
///
/// # Errors
/// The network is told classes.
pub fn unconditional(architecture: &Architecture) -> Result<(), EvaluateError> {
    match architecture.classes[..] {
        [] => Ok(()),
        _ => Err(EvaluateError::Conditional),
    }
}

/// Whether annealed chains of a model can begin at the end of this path.
///
/// # Errors
/// It begins at a prior that is not N(0, I).
pub fn check_path(architecture: &Architecture, path: Path) -> Result<(), EvaluateError> {
    match path {
        Path::Prior if !architecture.prior.is_normal() => Err(EvaluateError::NoPathFromPrior),
        _ => Ok(()),
    }
}
