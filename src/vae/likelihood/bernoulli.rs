//! log p(x|z) = sum_d x eta - softplus(eta): eta are logits.

use super::{Backward, Module, Observed, OnnxOutput, OwnParameter};
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;
use crate::kernels::bernoulli;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;

/// Logits of pixels in [0, 1].
pub struct Bernoulli;

impl Module for Bernoulli {
    fn label(&self) -> Option<String> {
        None
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    fn is_likelihood_of(&self, binarization: Binarization) -> bool {
        binarization != Binarization::None
    }

    fn accepts(&self, _: Binarization) -> bool {
        true
    }

    fn output(&self) -> &'static str {
        "logits"
    }

    fn outputs(&self, pixels: usize) -> usize {
        pixels
    }

    fn parameters(&self, _: ImageShape) -> Vec<OwnParameter> {
        Vec::new()
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        let logit = |p: f64| (p / (1.0 - p)).ln() as f32;
        means.iter().map(|mean| logit(mean.clamp(0.001, 0.999))).collect()
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        r.dispatch(
            &bernoulli::LOG_LIKELIHOOD,
            &[("x", of.x), ("logits", of.eta), ("log_px", log_px)],
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
        let d_eta = r.tensor("d_eta", &r.dims(of.eta));
        r.dispatch(
            &bernoulli::BACKWARD,
            &[("x", of.x), ("logits", of.eta), ("weight", weight), ("d_logits", d_eta)],
            &[("K", of.samples as f64)],
        )?;
        Ok(Backward { d_eta, parameters: Vec::new() })
    }

    fn mean(&self, r: &mut Recorder, eta: TensorId, pixels: usize) -> Result<TensorId, PlanError> {
        let mean = r.tensor("mean", &[r.dims(eta)[0], pixels]);
        r.dispatch(&bernoulli::EXPECTATION, &[("logits", eta), ("mean", mean)], &[("K", 1.0)])?;
        Ok(mean)
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput {
                name: "probabilities",
                of: Some(("Sigmoid", "logits")),
                of_pixels: true,
                meaning: None,
            },
            OnnxOutput {
                name: "logits",
                of: None,
                of_pixels: true,
                meaning: Some("the log odds of the probabilities, in nats"),
            },
        ]
    }
}
