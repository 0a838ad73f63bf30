//! Likelihoods p(x|z): what stands between the decoder's output and log p(x|z). Each kind is a module of its
//! own; [`Likelihood::module`] is the one place that tells them apart.

mod bernoulli;
mod continuous_bernoulli;
mod decoded_gaussian;
mod discretized_logistic;
mod draw;
mod draw_counts;
mod gaussian;
mod kernels;
mod negative_binomial;
mod onnx;
mod poisson;
mod size_factor;
mod variance;

use serde::{Deserialize, Serialize};

use super::binarization::Binarization;
use super::network::Moments;
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;
use crate::named::named;
use crate::plan::{PlanError, Recorder, TensorId};
use bernoulli::Bernoulli;
use continuous_bernoulli::ContinuousBernoulli;
use decoded_gaussian::DecodedGaussian;
use discretized_logistic::DiscretizedLogistic;
pub use draw::{Decoded, Sampler};
use gaussian::Gaussian;
use negative_binomial::NegativeBinomial;
pub use onnx::{OnnxConstant, OnnxGraph, OnnxNode, OnnxOutput, OnnxValues};
use poisson::Poisson;
pub use size_factor::SizeFactor;
pub use variance::Variance;

named! {
    /// The kinds of likelihoods, by name.
    pub enum LikelihoodKind {
        /// Logits of pixels in [0, 1]
        Bernoulli = "bernoulli",
        /// Means of real values, which vary about them; shows densities, which can be above 1
        Gaussian = "gaussian",
        /// Logits of levels between 0 and 1, as they are; shows densities, which can be above 1
        ContinuousBernoulli = "continuous-bernoulli",
        /// Location and scale of each value, which has 256 levels; shows probabilities
        DiscretizedLogistic = "discretized-logistic",
        /// Log rates of counts; shows probabilities
        Poisson = "poisson",
        /// Log means of counts, which vary about them by more than chance; shows probabilities
        NegativeBinomial = "negative-binomial",
    }
}

/// What the decoder's output means.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likelihood {
    /// Logits of pixels in [0, 1].
    #[default]
    Bernoulli,
    /// Means of real values, which vary about them.
    Gaussian {
        /// How their variance is had.
        #[serde(default = "learned")]
        variance: Variance,
    },
    /// Logits of values as they are, whose density is on [0, 1].
    #[serde(rename = "continuous-bernoulli")]
    ContinuousBernoulli,
    /// Locations and scales of logistic distributions that are cut into 256 levels.
    #[serde(rename = "discretized-logistic")]
    DiscretizedLogistic,
    /// Logarithms of rates of counts.
    Poisson {
        /// How much of everything a row has.
        #[serde(default)]
        size_factor: SizeFactor,
    },
    /// Logarithms of means of counts, whose variance is larger by a factor of each column.
    #[serde(rename = "negative-binomial")]
    NegativeBinomial {
        /// How much of everything a row has.
        #[serde(default)]
        size_factor: SizeFactor,
    },
}

/// What files of the first versions mean that name no variance.
fn learned() -> Variance {
    Variance::Learned
}

impl Likelihood {
    /// The likelihood of a kind, of this variance if one is given; `None` if the kind has no variance.
    pub fn of_kind(kind: LikelihoodKind, variance: Option<Variance>) -> Option<Self> {
        match kind {
            LikelihoodKind::Gaussian => {
                Some(Likelihood::Gaussian { variance: variance.unwrap_or_default() })
            }
            _ if variance.is_some() => None,
            LikelihoodKind::Bernoulli => Some(Likelihood::Bernoulli),
            LikelihoodKind::ContinuousBernoulli => Some(Likelihood::ContinuousBernoulli),
            LikelihoodKind::DiscretizedLogistic => Some(Likelihood::DiscretizedLogistic),
            LikelihoodKind::Poisson => {
                Some(Likelihood::Poisson { size_factor: SizeFactor::default() })
            }
            LikelihoodKind::NegativeBinomial => {
                Some(Likelihood::NegativeBinomial { size_factor: SizeFactor::default() })
            }
        }
    }

    /// The same with this size factor; `None` if it is not one of counts.
    pub fn with_size_factor(self, size_factor: SizeFactor) -> Option<Self> {
        match self {
            Likelihood::Poisson { .. } => Some(Likelihood::Poisson { size_factor }),
            Likelihood::NegativeBinomial { .. } => {
                Some(Likelihood::NegativeBinomial { size_factor })
            }
            _ => None,
        }
    }

    /// Its kind.
    pub fn kind(self) -> LikelihoodKind {
        match self {
            Likelihood::Bernoulli => LikelihoodKind::Bernoulli,
            Likelihood::Gaussian { .. } => LikelihoodKind::Gaussian,
            Likelihood::ContinuousBernoulli => LikelihoodKind::ContinuousBernoulli,
            Likelihood::DiscretizedLogistic => LikelihoodKind::DiscretizedLogistic,
            Likelihood::Poisson { .. } => LikelihoodKind::Poisson,
            Likelihood::NegativeBinomial { .. } => LikelihoodKind::NegativeBinomial,
        }
    }

    /// -log2 p(x) / D of log p(x) in nats, or of a bound on it, of an image of D `pixels`: where it is a
    /// probability of 256 levels. Densities and probabilities of black and white are not comparable in bits.
    pub fn bits_per_dimension(self, nats: f64, pixels: usize) -> Option<f64> {
        let bits = || -nats / (pixels as f64 * std::f64::consts::LN_2);
        self.module().is_of_levels().then(bits)
    }

    /// What computes it.
    pub fn module(self) -> Box<dyn Module> {
        match self {
            Likelihood::Bernoulli => Box::new(Bernoulli),
            Likelihood::Gaussian { variance: Variance::Decoder } => Box::new(DecodedGaussian),
            Likelihood::Gaussian { variance } => Box::new(Gaussian { variance }),
            Likelihood::ContinuousBernoulli => Box::new(ContinuousBernoulli),
            Likelihood::DiscretizedLogistic => Box::new(DiscretizedLogistic),
            Likelihood::Poisson { size_factor } => Box::new(Poisson { size_factor }),
            Likelihood::NegativeBinomial { size_factor } => {
                Box::new(NegativeBinomial { size_factor })
            }
        }
    }
}

/// The observations that a likelihood is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Pixels, in [0, 1].
    Levels,
    /// Real values: pixels as they are, or the standardised cells of a table.
    Reals,
    /// Counts, 0, 1, 2 and so on: the cells of a table as they are. The encoder gets ln(1 + x).
    Counts,
}

impl Domain {
    /// What the cells of a table are that such a likelihood is of.
    pub fn cells(self) -> &'static str {
        match self {
            Domain::Counts => "counts",
            Domain::Levels | Domain::Reals => "standardised cells",
        }
    }
}

/// A likelihood's computation, its parameters, and what others call its parts.
pub trait Module {
    /// How it is told beside the layers' widths, as in "Gaussian of variance 0.1"; `None` of the default.
    fn label(&self) -> Option<String>;

    /// # Errors
    /// A value of its settings that cannot be.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Whether it is one of observations as `binarization` makes them. A Bernoulli probability of grey levels
    /// is a cross entropy.
    fn is_likelihood_of(&self, binarization: Binarization) -> bool;

    /// Whether p(x|z) is a probability of pixels of 256 levels, rather than a density or one of black and white.
    fn is_of_levels(&self) -> bool {
        false
    }

    /// What it is of.
    fn domain(&self) -> Domain {
        Domain::Levels
    }

    /// Whether it can be computed where observations are missing, which have no part in it then.
    fn accepts_missing(&self) -> bool {
        false
    }

    /// Whether it can be computed for observations as `binarization` makes them.
    fn accepts(&self, binarization: Binarization) -> bool;

    /// What the decoder's last layer is called.
    fn output(&self) -> &'static str;

    /// Units of the decoder's output for D pixels.
    fn outputs(&self, pixels: usize) -> usize;

    /// Its own parameters, besides the decoder's, for images of this shape.
    fn parameters(&self, image: ImageShape) -> Vec<OwnParameter> {
        let _ = image;
        Vec::new()
    }

    /// The bias of the decoder's output at which pixels of these means, (D), are expected.
    fn first_bias(&self, means: &[f64]) -> Vec<f32>;

    /// Sets what is to begin at the training data's moments, as far as they are known: in the `bias` of the decoder's
    /// output, or in `own`, the values of [`Module::parameters`].
    fn begin_at(&self, data: &Moments, bias: &mut [f32], own: &mut [Vec<f32>]) {
        let _ = (data, bias, own);
    }

    /// When [`Module::fit`] is to be recorded.
    fn fitted(&self) -> Fitted {
        Fitted::Never
    }

    /// Records how parameters follow a minibatch that no optimizer moves, `weight` (B*K) and the step's `clock`.
    /// Returns those at the minibatch's own optimum.
    ///
    /// # Errors
    /// As [`Module::log_px`].
    fn fit(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
        clock: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let _ = (r, weight, clock);
        Ok(of.parameters.to_vec())
    }

    /// Records log p(x|z), (B*K) nats.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError>;

    /// Records the gradient of sum_rows weight log p(x|z), `weight` (B*K).
    ///
    /// # Errors
    /// As [`Module::log_px`].
    fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError>;

    /// Records E[x|z] of the decoder's output, (B*K, D).
    ///
    /// # Errors
    /// As [`Module::log_px`].
    fn mean(&self, r: &mut Recorder, eta: TensorId, pixels: usize) -> Result<TensorId, PlanError>;

    /// Records E[x|z] of rows that are known, (B*K, D): what depends on the row itself, as its size, is its own.
    ///
    /// # Errors
    /// As [`Module::log_px`].
    fn reconstruction(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let pixels = r.dims(of.x)[1];
        self.mean(r, of.eta, pixels)
    }

    /// What draws a value of p(x|z), of a row of the mean size.
    fn sampler(&self) -> Sampler;

    /// Whether log p(x|z) is told the size of each row, which the draws of its values need not come to.
    fn is_sized(&self) -> bool {
        false
    }

    /// The outputs of a decoder in ONNX, in their order.
    fn onnx(&self) -> Vec<OnnxOutput>;

    /// What computes those outputs that take more than one operator.
    fn onnx_graph(&self) -> OnnxGraph {
        OnnxGraph::default()
    }
}

/// A parameter of a likelihood.
pub struct OwnParameter {
    /// Its name in the program, behind "decoder.".
    pub name: &'static str,
    /// Its name in files.
    pub stored: &'static str,
    /// Its dimensions.
    pub dims: Vec<usize>,
    /// What it begins with.
    pub initial: Vec<f32>,
    /// Given rather than learned.
    pub frozen: bool,
}

/// When a likelihood's parameters follow the minibatch, see [`Module::fit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fitted {
    /// The optimizer moves them, if they are not frozen.
    Never,
    /// Before log p(x|z), which is computed with what they come to. If the rows' weights are not known by then, after
    /// the backward pass.
    First,
    /// After the backward pass.
    Last,
}

/// The tensors between decoder and objective.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// (B, D)
    pub x: TensorId,
    /// (B*K, outputs) the decoder's output
    pub eta: TensorId,
    /// Those of [`Module::parameters`].
    pub parameters: &'a [TensorId],
    /// K
    pub samples: usize,
    /// Whether elements of x may be missing, see [`crate::kernels::seen`].
    pub masked: bool,
}

impl Observed<'_> {
    /// The constants of kernels that compute a likelihood where some may be missing.
    fn constants(&self) -> Vec<(&'static str, f64)> {
        let masked = self.masked.then_some(("MASKED", 1.0));
        [("K", self.samples as f64)].into_iter().chain(masked).collect()
    }
}

/// What a likelihood's backward pass has computed.
pub struct Backward {
    /// (B*K, outputs)
    pub d_eta: TensorId,
    /// Each of its parameters with its gradient.
    pub parameters: Vec<(TensorId, TensorId)>,
}
