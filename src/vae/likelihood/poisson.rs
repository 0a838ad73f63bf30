//! log p(x|z) = sum_d x ln r - r - ln x!, r = s e^eta: counts of the rate r, s the row's size factor.

use super::size_factor::{LOG_RATES, SizeFactor, first_bias, mean_of_mean_size, onnx_mean};
use super::{
    Backward, Domain, Module, Observed, OnnxGraph, OnnxOutput, OwnParameter, Sampler, draw_counts,
};
use crate::image_shape::ImageShape;
use crate::kernels::poisson;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;
use crate::vae::network::Moments;

/// Logarithms of rates of counts, which vary about them no more than by chance.
pub struct Poisson {
    /// How s is had.
    pub size_factor: SizeFactor,
}

impl Module for Poisson {
    fn label(&self) -> Option<String> {
        Some(format!("Poisson{}", self.size_factor.label()))
    }

    fn is_likelihood_of(&self, binarization: Binarization) -> bool {
        self.accepts(binarization)
    }

    fn domain(&self) -> Domain {
        Domain::Counts
    }

    fn accepts(&self, binarization: Binarization) -> bool {
        binarization == Binarization::None
    }

    fn output(&self) -> &'static str {
        LOG_RATES
    }

    fn outputs(&self, pixels: usize) -> usize {
        pixels
    }

    fn parameters(&self, _: ImageShape) -> Vec<OwnParameter> {
        vec![self.size_factor.parameter()]
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        first_bias(means)
    }

    fn begin_at(&self, data: &Moments, _: &mut [f32], own: &mut [Vec<f32>]) {
        self.size_factor.begin_at(&data.means, &mut own[0]);
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        let tensors =
            [("x", of.x), ("eta", of.eta), ("mean_total", of.parameters[0]), ("log_px", log_px)];
        r.dispatch(&poisson::LOG_LIKELIHOOD, &tensors, &[("K", of.samples as f64)])?;
        Ok(log_px)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError> {
        let d_eta = r.tensor("d_eta", &r.dims(of.eta));
        let tensors = [
            ("x", of.x),
            ("eta", of.eta),
            ("mean_total", of.parameters[0]),
            ("weight", weight),
            ("d_eta", d_eta),
        ];
        r.dispatch(&poisson::BACKWARD, &tensors, &[("K", of.samples as f64)])?;
        Ok(Backward { d_eta, parameters: Vec::new() })
    }

    fn mean(&self, r: &mut Recorder, eta: TensorId, _: usize) -> Result<TensorId, PlanError> {
        mean_of_mean_size(r, eta)
    }

    fn reconstruction(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        self.size_factor.sized_mean(r, of, of.parameters[0])
    }

    fn sampler(&self) -> Sampler {
        draw_counts::poisson
    }

    fn is_sized(&self) -> bool {
        self.size_factor == SizeFactor::Total
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        std::iter::once(onnx_mean().0).chain(self.size_factor.onnx()).collect()
    }

    fn onnx_graph(&self) -> OnnxGraph {
        onnx_mean().1
    }
}
