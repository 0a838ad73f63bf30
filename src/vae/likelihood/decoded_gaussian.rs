//! log p(x|z) = -1/2 sum_d (x - m)^2 e^-v + ln 2 pi + v: eta are means m and what the log variances v are made of,
//! of every pixel.

use super::kernels::Kernels;
use super::onnx::OnnxNode;
use super::{Backward, Domain, Module, Observed, OnnxGraph, OnnxOutput, Sampler, draw};
use crate::kernels::gaussian;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;
use crate::vae::network::Moments;

/// Means of real values and their variances, both by the decoder.
pub struct DecodedGaussian;

static KERNELS: Kernels = Kernels {
    log_likelihood: &gaussian::DECODED_LOG_LIKELIHOOD,
    backward: &gaussian::DECODED_BACKWARD,
    expectation: &gaussian::DECODED_MEAN,
    output: ["eta", "d_eta"],
};

impl Module for DecodedGaussian {
    fn label(&self) -> Option<String> {
        Some("Gaussian with variances of the decoder".to_string())
    }

    fn is_likelihood_of(&self, _: Binarization) -> bool {
        true
    }

    fn domain(&self) -> Domain {
        Domain::Reals
    }

    fn accepts_missing(&self) -> bool {
        true
    }

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        "mean_and_variance"
    }

    fn outputs(&self, pixels: usize) -> usize {
        2 * pixels
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        means.iter().map(|&mean| mean as f32).chain(means.iter().map(|_| 0.0)).collect()
    }

    /// As a variance that is the same in every image does.
    fn begin_at(&self, data: &Moments, bias: &mut [f32], _: &mut [Vec<f32>]) {
        if let Some(variance) = data.variance {
            let log_variances = bias.len() / 2..;
            bias[log_variances].fill(variance.max(gaussian::LOWEST_FITTED).ln() as f32);
        }
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
        draw::decoded_gaussian
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput { name: "mean", of: None, of_pixels: true, meaning: None },
            OnnxOutput {
                name: "variance",
                of: None,
                of_pixels: true,
                meaning: Some("the variance of each pixel"),
            },
        ]
    }

    fn onnx_graph(&self) -> OnnxGraph {
        let mut graph = OnnxGraph::default();
        graph.number("lowest", gaussian::LOWEST_DECODED);
        graph.nodes.push(OnnxNode {
            op: "Split",
            inputs: vec![self.output()],
            outputs: vec!["mean", "raw_log_variance"],
            attributes: vec![("axis", 1)],
        });
        for (op, inputs, output) in [
            ("Sub", &["raw_log_variance", "lowest"][..], "raw_above"),
            ("Softplus", &["raw_above"], "above_lowest"),
            ("Add", &["above_lowest", "lowest"], "log_variance"),
            ("Exp", &["log_variance"], "variance"),
        ] {
            graph.node(op, inputs, output);
        }
        graph
    }
}
