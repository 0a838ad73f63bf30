//! P(x|z) of 256 levels: the mass that a logistic distribution has between a level's edges. eta are the locations and
//! what the scales are made of, (D) each.

use super::kernels::Kernels;
use super::onnx::{OnnxConstant, OnnxNode, OnnxValues};
use super::{Backward, Module, Observed, OnnxGraph, OnnxOutput, Sampler, draw};
use crate::kernels::discretized_logistic::{self, HIGHEST, LEVELS, LOWEST, OFFSET};
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;

/// Location and scale of values of 256 levels: probabilities, which have bits per dimension.
pub struct DiscretizedLogistic;

static KERNELS: Kernels = Kernels {
    log_likelihood: &discretized_logistic::LOG_LIKELIHOOD,
    backward: &discretized_logistic::BACKWARD,
    expectation: &discretized_logistic::EXPECTATION,
    output: ["eta", "d_eta"],
};

impl Module for DiscretizedLogistic {
    fn label(&self) -> Option<String> {
        Some("discretized logistic".to_string())
    }

    fn is_likelihood_of(&self, binarization: Binarization) -> bool {
        self.accepts(binarization)
    }

    fn is_of_levels(&self) -> bool {
        true
    }

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        "location_and_scale"
    }

    fn outputs(&self, pixels: usize) -> usize {
        2 * pixels
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        means.iter().map(|&mean| mean as f32).chain(means.iter().map(|_| 0.0)).collect()
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
        draw::discretized_logistic
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput { name: "mean", of: None, of_pixels: true, meaning: None },
            OnnxOutput {
                name: "location",
                of: None,
                of_pixels: true,
                meaning: Some("the mean of the logistic distribution before it is cut into levels"),
            },
            OnnxOutput {
                name: "log_scale",
                of: None,
                of_pixels: true,
                meaning: Some("the log of the logistic distribution's scale, in pixels of [0, 1]"),
            },
        ]
    }

    /// The mean of the levels i / 255 is that of P(x >= i / 255) over i = 1..255.
    fn onnx_graph(&self) -> OnnxGraph {
        let mut graph = OnnxGraph::default();
        for (name, value) in [
            ("lowest", LOWEST),
            ("offset", OFFSET),
            ("highest", HIGHEST),
            ("edges", (LEVELS - 1) as f64),
        ] {
            graph.number(name, value);
        }
        let edges = (1..LEVELS).map(|i| ((2 * i - 1) as f64 / 510.0) as f32).collect();
        for (name, dims, values) in [
            ("lower_edges", vec![LEVELS - 1], OnnxValues::Reals(edges)),
            ("last_axis", vec![1], OnnxValues::Integers(vec![-1])),
        ] {
            graph.constants.push(OnnxConstant { name, dims, values });
        }
        graph.nodes.push(OnnxNode {
            op: "Split",
            inputs: vec![self.output()],
            outputs: vec!["location", "raw_scale"],
            attributes: vec![("axis", 1)],
        });
        for (op, inputs, output) in [
            ("Min", &["raw_scale", "highest"][..], "at_most"),
            ("Add", &["at_most", "offset"], "shifted"),
            ("Softplus", &["shifted"], "above_lowest"),
            ("Add", &["above_lowest", "lowest"], "log_scale"),
            ("Exp", &["log_scale"], "scale"),
            ("Unsqueeze", &["scale", "last_axis"], "scale_of_all"),
            ("Unsqueeze", &["location", "last_axis"], "location_of_all"),
            ("Sub", &["location_of_all", "lower_edges"], "distances"),
            ("Div", &["distances", "scale_of_all"], "scaled"),
            ("Sigmoid", &["scaled"], "at_least"),
        ] {
            graph.node(op, inputs, output);
        }
        graph.nodes.push(OnnxNode {
            op: "ReduceSum",
            inputs: vec!["at_least", "last_axis"],
            outputs: vec!["total"],
            attributes: vec![("keepdims", 0)],
        });
        graph.node("Div", &["total", "edges"], "mean");
        graph
    }
}
