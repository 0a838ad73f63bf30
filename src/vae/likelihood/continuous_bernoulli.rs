//! log p(x|z) = sum_d x eta - ln((e^eta - 1) / eta): eta are logits, x is any value in [0, 1].

use super::kernels::Kernels;
use super::{Backward, Module, Observed, OnnxGraph, OnnxOutput, Sampler, draw};
use crate::kernels::continuous_bernoulli;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;

/// Logits of values as they are: a density on [0, 1].
pub struct ContinuousBernoulli;

static KERNELS: Kernels = Kernels {
    log_likelihood: &continuous_bernoulli::LOG_LIKELIHOOD,
    backward: &continuous_bernoulli::BACKWARD,
    expectation: &continuous_bernoulli::EXPECTATION,
    output: ["logits", "d_logits"],
};

impl Module for ContinuousBernoulli {
    fn label(&self) -> Option<String> {
        Some("continuous Bernoulli".to_string())
    }

    fn is_likelihood_of(&self, binarization: Binarization) -> bool {
        self.accepts(binarization)
    }

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        "logits"
    }

    fn outputs(&self, pixels: usize) -> usize {
        pixels
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        means.iter().map(|&mean| logit_of_mean(mean.clamp(0.001, 0.999)) as f32).collect()
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
        draw::continuous_bernoulli
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        vec![
            OnnxOutput { name: "mean", of: None, of_pixels: true, meaning: None },
            OnnxOutput {
                name: "logits",
                of: None,
                of_pixels: true,
                meaning: Some("the natural parameter of the continuous Bernoulli distribution"),
            },
        ]
    }

    /// The mean, as the kernel has it: a series where |logit| < 1, else 1 / a - e^-a / (1 - e^-a), a = |logit|,
    /// or 1 less that.
    fn onnx_graph(&self) -> OnnxGraph {
        let mut graph = OnnxGraph::default();
        for (name, value) in [
            ("zero", 0.0),
            ("half", 0.5),
            ("one", 1.0),
            ("term_1", 1.0 / 12.0),
            ("term_2", -1.0 / 720.0),
            ("term_3", 1.0 / 30_240.0),
            ("term_4", -1.0 / 1_209_600.0),
            ("term_5", 1.0 / 47_900_160.0),
        ] {
            graph.number(name, value);
        }
        for (op, inputs, output) in [
            ("Abs", &["logits"][..], "size"),
            ("Mul", &["logits", "logits"], "square"),
            ("Mul", &["square", "term_5"], "product_5"),
            ("Add", &["product_5", "term_4"], "sum_4"),
            ("Mul", &["square", "sum_4"], "product_4"),
            ("Add", &["product_4", "term_3"], "sum_3"),
            ("Mul", &["square", "sum_3"], "product_3"),
            ("Add", &["product_3", "term_2"], "sum_2"),
            ("Mul", &["square", "sum_2"], "product_2"),
            ("Add", &["product_2", "term_1"], "sum_1"),
            ("Mul", &["logits", "sum_1"], "product_1"),
            ("Add", &["product_1", "half"], "near"),
            ("Neg", &["size"], "minus_size"),
            ("Exp", &["minus_size"], "exponential"),
            ("Sub", &["one", "exponential"], "less"),
            ("Div", &["exponential", "less"], "quotient"),
            ("Div", &["one", "size"], "reciprocal"),
            ("Sub", &["reciprocal", "quotient"], "tail"),
            ("Sub", &["one", "tail"], "other_tail"),
            ("Less", &["logits", "zero"], "is_negative"),
            ("Where", &["is_negative", "tail", "other_tail"], "far"),
            ("Less", &["size", "one"], "is_near"),
            ("Where", &["is_near", "near", "far"], "mean"),
        ] {
            graph.node(op, inputs, output);
        }
        graph
    }
}

/// The logit whose distribution has this mean, in (0, 1): by halving, as the mean rises with the logit.
fn logit_of_mean(mean: f64) -> f64 {
    let of = |eta: f64| match eta.abs() < 1e-4 {
        true => 0.5 + eta / 12.0,
        false => 1.0 / -(-eta).exp_m1() - 1.0 / eta,
    };
    let (mut low, mut high) = (-1e4, 1e4);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        let half = if of(middle) < mean { &mut low } else { &mut high };
        *half = middle;
    }
    0.5 * (low + high)
}
