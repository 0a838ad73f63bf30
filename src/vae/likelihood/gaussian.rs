//! log p(x|z) = -1/2 sum_d (x - eta)^2 / s + ln 2 pi s: eta are means, s is the variance of every pixel, or of each
//! channel or pixel.

use super::{
    Backward, Domain, Fitted, Module, Observed, OnnxOutput, OwnParameter, Sampler, Variance, draw,
};
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;
use crate::kernels::gaussian;
use crate::kernels::posterior::LOG_VARIANCE;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;
use crate::vae::network::Moments;

/// Means of real values whose variances are the same in every image.
pub struct Gaussian {
    /// How s is had.
    pub variance: Variance,
}

/// What a running mean of minibatches' optima keeps of itself a step. A minibatch of B images tells their optimum to about
/// 1 / 2B nats, so that a mean over few of them is exact enough; it is to follow the decoder closely, whose error falls by
/// a tenth a step at first.
const DECAY: f64 = 0.5;

/// The same where each pixel has its own: a minibatch has few values of it, and what is rare is to be remembered, or
/// a pixel that hardly ever differs would have a variance that makes the next time a catastrophe.
const PIXEL_DECAY: f64 = 0.99;

/// The least variance of a column of a table, whose own is 1: a column that is a function of others, or has few values,
/// would have densities without bound.
pub const COLUMN_LOWEST: f64 = 1e-3;

/// What ln s is called in files.
const STORED: &str = "observation_log_variance";

impl Module for Gaussian {
    fn label(&self) -> Option<String> {
        Some(match self.variance {
            Variance::Given(s) => format!("Gaussian of variance {s}"),
            Variance::Channel | Variance::Pixel | Variance::Column => {
                format!("Gaussian with a variance for each {}", self.variance)
            }
            named => format!("Gaussian of {named} variance"),
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self.variance {
            // The kernels keep its logarithm within these bounds: beyond, it would be another in silence.
            Variance::Given(s) if !(LOG_VARIANCE.0..=LOG_VARIANCE.1).contains(&s.ln()) => {
                Err(ConfigError::range(
                    "architecture.likelihood.variance",
                    format!(
                        "must be from {:.1e} to {:.1e}",
                        LOG_VARIANCE.0.exp(),
                        LOG_VARIANCE.1.exp()
                    ),
                    format!("{s:?}"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn is_likelihood_of(&self, _: Binarization) -> bool {
        true
    }

    fn domain(&self) -> Domain {
        Domain::Reals
    }

    /// The gradient of a variance that the optimizer moves counts every value.
    fn accepts_missing(&self) -> bool {
        self.variance != Variance::Learned
    }

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        "mean"
    }

    fn outputs(&self, pixels: usize) -> usize {
        pixels
    }

    fn parameters(&self, image: ImageShape) -> Vec<OwnParameter> {
        let groups = match self.variance {
            Variance::Pixel | Variance::Column => image.values(),
            Variance::Channel => image.channels,
            _ => 1,
        };
        let first = match self.variance {
            Variance::Given(s) => s.ln() as f32,
            _ => 0.0,
        };
        vec![OwnParameter {
            name: "log_variance",
            stored: STORED,
            dims: vec![groups],
            initial: vec![first; groups],
            frozen: self.variance != Variance::Learned,
        }]
    }

    /// The error of a decoder that has learnt the means. A variance far above it is so broad that nothing is to be
    /// gained by telling images apart.
    fn begin_at(&self, data: &Moments, _: &mut [f32], own: &mut [Vec<f32>]) {
        if let Some(variance) = data.variance
            && !matches!(self.variance, Variance::Given(_))
        {
            own[0].fill(variance.max(self.lowest()).ln() as f32);
        }
    }

    fn fitted(&self) -> Fitted {
        match self.variance {
            Variance::Optimal | Variance::Channel => Fitted::First,
            Variance::Pixel | Variance::Column => Fitted::Last,
            Variance::Learned | Variance::Decoder | Variance::Given(_) => Fitted::Never,
        }
    }

    fn fit(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
        clock: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        if of.masked || self.variance == Variance::Column {
            return self.fit_observed(r, of, weight, clock);
        }
        let (dims, log_variance) = (r.dims(of.eta), of.parameters[0]);
        let groups = r.dims(log_variance)[0];
        let (kernel, rows, output, decay) = match self.variance {
            Variance::Pixel => {
                let parts = dims[0].div_ceil(gaussian::ROWS);
                (&gaussian::COLUMN_ERRORS, parts, "part_errors", PIXEL_DECAY)
            }
            _ => (&gaussian::ROW_ERRORS, dims[0], "squared_errors", DECAY),
        };
        let errors = r.tensor("squared_errors", &[rows, groups]);
        let fitted = r.tensor("fitted_log_variance", &[groups]);
        r.dispatch(
            kernel,
            &[("x", of.x), ("eta", of.eta), ("weight", weight), (output, errors)],
            &[("K", of.samples as f64)],
        )?;
        r.dispatch(
            &gaussian::FIT_VARIANCE,
            &[
                ("errors", errors),
                ("clock", clock),
                ("log_variance", log_variance),
                ("fitted", fitted),
            ],
            &[("D", dims[1] as f64), ("DECAY", decay)],
        )?;
        Ok(vec![fitted])
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        means.iter().map(|&mean| mean as f32).collect()
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        let kernel = match r.dims(of.parameters[0])[..] {
            [1] if !of.masked => &gaussian::LOG_LIKELIHOOD,
            _ => &gaussian::GROUPED_LOG_LIKELIHOOD,
        };
        r.dispatch(
            kernel,
            &[("x", of.x), ("eta", of.eta), ("log_variance", of.parameters[0]), ("log_px", log_px)],
            &of.constants(),
        )?;
        Ok(log_px)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError> {
        let (dims, log_variance) = (r.dims(of.eta), of.parameters[0]);
        let d_eta = r.tensor("d_eta", &dims);
        if of.masked || r.dims(log_variance) != [1] {
            r.dispatch(
                &gaussian::GROUPED_BACKWARD,
                &[
                    ("x", of.x),
                    ("eta", of.eta),
                    ("log_variance", log_variance),
                    ("weight", weight),
                    ("d_eta", d_eta),
                ],
                &of.constants(),
            )?;
            return Ok(Backward { d_eta, parameters: Vec::new() });
        }
        let squares = r.tensor("squares", &dims[..1]);
        r.dispatch(
            &gaussian::BACKWARD,
            &[
                ("x", of.x),
                ("eta", of.eta),
                ("log_variance", log_variance),
                ("weight", weight),
                ("d_eta", d_eta),
                ("squares", squares),
            ],
            &[("K", of.samples as f64)],
        )?;
        if self.variance != Variance::Learned {
            return Ok(Backward { d_eta, parameters: Vec::new() });
        }
        let d_log_variance = r.tensor("d_log_variance", &[1]);
        r.dispatch(
            &gaussian::VARIANCE,
            &[
                ("log_variance", log_variance),
                ("weight", weight),
                ("row_squares", squares),
                ("d_log_variance", d_log_variance),
            ],
            &[("K", of.samples as f64), ("D", dims[1] as f64)],
        )?;
        Ok(Backward { d_eta, parameters: vec![(log_variance, d_log_variance)] })
    }

    fn mean(&self, _: &mut Recorder, eta: TensorId, _: usize) -> Result<TensorId, PlanError> {
        Ok(eta)
    }

    fn sampler(&self) -> Sampler {
        draw::gaussian
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput { name: "mean", of: None, of_pixels: true, meaning: None },
            OnnxOutput {
                name: "variance",
                of: Some(("Exp", STORED)),
                of_pixels: false,
                meaning: Some("the variance of every pixel, or of each channel or pixel"),
            },
        ]
    }
}

impl Gaussian {
    /// The least variance that is fitted.
    fn lowest(&self) -> f64 {
        match self.variance {
            Variance::Column => COLUMN_LOWEST,
            _ => gaussian::LOWEST_FITTED,
        }
    }

    /// [`Module::fit`] of what is observed.
    fn fit_observed(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
        clock: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let (dims, log_variance) = (r.dims(of.eta), of.parameters[0]);
        let errors = r.tensor("part_errors", &[dims[0].div_ceil(gaussian::ROWS), 2 * dims[1]]);
        let fitted = r.tensor("fitted_log_variance", &r.dims(log_variance));
        r.dispatch(
            &gaussian::OBSERVED_ERRORS,
            &[("x", of.x), ("eta", of.eta), ("weight", weight), ("part_errors", errors)],
            &[("K", of.samples as f64)],
        )?;
        let decay = match self.fitted() {
            Fitted::Last => PIXEL_DECAY,
            Fitted::First | Fitted::Never => DECAY,
        };
        r.dispatch(
            &gaussian::FIT_OBSERVED,
            &[
                ("errors", errors),
                ("clock", clock),
                ("log_variance", log_variance),
                ("fitted", fitted),
            ],
            &[("D", dims[1] as f64), ("DECAY", decay), ("LOWEST", self.lowest())],
        )?;
        Ok(vec![fitted])
    }
}
