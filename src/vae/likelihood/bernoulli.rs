//! log p(x|z) = sum_d x eta - softplus(eta): eta are logits.

use super::kernels::Kernels;
use super::{Backward, Module, Observed, OnnxOutput, Sampler, draw};
use crate::kernels::bernoulli;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;

/// Logits of pixels in [0, 1].
pub struct Bernoulli;

static KERNELS: Kernels = Kernels {
    log_likelihood: &bernoulli::LOG_LIKELIHOOD,
    backward: &bernoulli::BACKWARD,
    expectation: &bernoulli::EXPECTATION,
    output: ["logits", "d_logits"],
};

impl Module for Bernoulli {
    fn label(&self) -> Option<String> {
        None
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

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        let logit = |p: f64| (p / (1.0 - p)).ln() as f32;
        means.iter().map(|mean| logit(mean.clamp(0.001, 0.999))).collect()
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        KERNELS.log_px(r, of)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError> {
        KERNELS.backward(r, of, weight)
    }

    fn mean(&self, r: &mut Recorder, eta: TensorId, pixels: usize) -> Result<TensorId, PlanError> {
        KERNELS.mean(r, eta, pixels)
    }

    fn sampler(&self) -> Sampler {
        draw::bernoulli
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
