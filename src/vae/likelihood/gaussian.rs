//! log p(x|z) = -1/2 sum_d (x - eta)^2 / s + ln 2 pi s: eta are means, s is the variance of every pixel.

use super::{Backward, Fitted, Module, Observed, OnnxOutput, OwnParameter, Variance};
use crate::config_error::ConfigError;
use crate::kernels::gaussian;
use crate::kernels::posterior::LOG_VARIANCE;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;

/// Means of real values with one variance.
pub struct Gaussian {
    /// How s is had.
    pub variance: Variance,
}

/// What a running mean of minibatches' optima keeps of itself a step. A minibatch of B images tells their optimum to about
/// 1 / 2B nats, so that a mean over few of them is exact enough; it is to follow the decoder closely, whose error falls by
/// a tenth a step at first.
const DECAY: f64 = 0.5;

/// What ln s is called in files.
const STORED: &str = "observation_log_variance";

impl Module for Gaussian {
    fn label(&self) -> Option<String> {
        Some(match self.variance {
            Variance::Given(s) => format!("Gaussian of variance {s}"),
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

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        "mean"
    }

    fn outputs(&self, pixels: usize) -> usize {
        pixels
    }

    fn parameters(&self) -> Vec<OwnParameter> {
        vec![OwnParameter {
            name: "log_variance",
            stored: STORED,
            dims: vec![1],
            initial: vec![match self.variance {
                Variance::Given(s) => s.ln() as f32,
                _ => 0.0,
            }],
            frozen: self.variance != Variance::Learned,
        }]
    }

    /// The error of a decoder that has learnt the means. A variance far above it is so broad that nothing is to be
    /// gained by telling images apart.
    fn first_values(&self, of_data: Option<f64>) -> Vec<Vec<f32>> {
        let mut values: Vec<Vec<f32>> =
            self.parameters().into_iter().map(|own| own.initial).collect();
        if let (Variance::Optimal | Variance::Learned, Some(s)) = (self.variance, of_data) {
            values[0].fill(s.max(gaussian::LOWEST_FITTED).ln() as f32);
        }
        values
    }

    fn fitted(&self) -> Fitted {
        match self.variance {
            Variance::Optimal => Fitted::First,
            Variance::Learned | Variance::Given(_) => Fitted::Never,
        }
    }

    fn fit(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
        clock: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let (dims, log_variance) = (r.dims(of.eta), of.parameters[0]);
        let groups = r.dims(log_variance)[0];
        let errors = r.tensor("squared_errors", &[dims[0], groups]);
        let fitted = r.tensor("fitted_log_variance", &[groups]);
        r.dispatch(
            &gaussian::ROW_ERRORS,
            &[("x", of.x), ("eta", of.eta), ("weight", weight), ("squared_errors", errors)],
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
            &[("D", dims[1] as f64), ("DECAY", DECAY)],
        )?;
        Ok(vec![fitted])
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        means.iter().map(|&mean| mean as f32).collect()
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        r.dispatch(
            &gaussian::LOG_LIKELIHOOD,
            &[("x", of.x), ("eta", of.eta), ("log_variance", of.parameters[0]), ("log_px", log_px)],
            &[("K", of.samples as f64)],
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
        let (d_eta, squares) = (r.tensor("d_eta", &dims), r.tensor("squares", &dims[..1]));
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

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput { name: "mean", of: None, of_pixels: true, meaning: None },
            OnnxOutput {
                name: "variance",
                of: Some(("Exp", STORED)),
                of_pixels: false,
                meaning: Some("the variance of every pixel"),
            },
        ]
    }
}
