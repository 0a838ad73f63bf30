//! Counts of mean r = s e^eta and variance r + r^2 / theta: s is the row's size factor, theta each column's inverse dispersion.

use super::size_factor::{LOG_RATES, SizeFactor, first_bias, mean_of_mean_size, onnx_mean};
use super::{
    Backward, Domain, Module, Observed, OnnxGraph, OnnxOutput, OwnParameter, Sampler, draw_counts,
};
use crate::image_shape::ImageShape;
use crate::kernels::{negative_binomial, sum_rows};
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::binarization::Binarization;
use crate::vae::network::Moments;

/// Logarithms of means of counts, which vary about them by more than chance.
pub struct NegativeBinomial {
    /// How s is had.
    pub size_factor: SizeFactor,
}

/// What theta's logarithm is called in files.
const STORED: &str = "observation_log_inverse_dispersion";

/// Rows whose gradients are added up at a time.
const BLOCK: usize = 32;

/// The least and the largest logarithm of theta that training begins with: a column may be all but constant.
const FIRST: (f64, f64) = (-3.0, 5.0);

impl Module for NegativeBinomial {
    fn label(&self) -> Option<String> {
        Some(format!("negative binomial{}", self.size_factor.label()))
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

    fn parameters(&self, image: ImageShape) -> Vec<OwnParameter> {
        let columns = image.values();
        let dispersion = OwnParameter {
            name: "log_inverse_dispersion",
            stored: STORED,
            dims: vec![columns],
            initial: vec![0.0; columns],
            frozen: false,
        };
        vec![self.size_factor.parameter(), dispersion]
    }

    fn first_bias(&self, means: &[f64]) -> Vec<f32> {
        first_bias(means)
    }

    /// Theta as it is where nothing is known of a row: v = m + m^2 / theta of a column of mean m and variance v.
    fn begin_at(&self, data: &Moments, _: &mut [f32], own: &mut [Vec<f32>]) {
        self.size_factor.begin_at(&data.means, &mut own[0]);
        for ((first, &mean), &variance) in own[1].iter_mut().zip(&data.means).zip(&data.variances) {
            let theta = mean * mean / (variance - mean).max(f64::MIN_POSITIVE);
            *first = theta.ln().clamp(FIRST.0, FIRST.1) as f32;
        }
    }

    fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        let tensors = [
            ("x", of.x),
            ("eta", of.eta),
            ("mean_total", of.parameters[0]),
            ("log_inverse_dispersion", of.parameters[1]),
            ("log_px", log_px),
        ];
        r.dispatch(&negative_binomial::LOG_LIKELIHOOD, &tensors, &[("K", of.samples as f64)])?;
        Ok(log_px)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError> {
        let (dims, dispersion) = (r.dims(of.eta), of.parameters[1]);
        let d_eta = r.tensor("d_eta", &dims);
        let mut of_rows = r.tensor("d_each", &dims);
        let tensors = [
            ("x", of.x),
            ("eta", of.eta),
            ("mean_total", of.parameters[0]),
            ("log_inverse_dispersion", dispersion),
            ("weight", weight),
            ("d_eta", d_eta),
            ("d_each", of_rows),
        ];
        r.dispatch(&negative_binomial::BACKWARD, &tensors, &[("K", of.samples as f64)])?;
        let (mut rows, columns) = (dims[0], dims[1]);
        loop {
            let blocks = rows.div_ceil(BLOCK);
            let sums = match blocks {
                1 => r.tensor("d_log_inverse_dispersion", &[columns]),
                _ => r.tensor("d_each", &[blocks, columns]),
            };
            let sizes = [("N", rows), ("C", columns), ("BLOCK", BLOCK), ("G", blocks)]
                .map(|(name, size)| (name, size as f64));
            r.dispatch(&sum_rows::SUM_ROWS, &[("values", of_rows), ("sums", sums)], &sizes)?;
            if blocks == 1 {
                return Ok(Backward { d_eta, parameters: vec![(dispersion, sums)] });
            }
            (of_rows, rows) = (sums, blocks);
        }
    }

    fn mean(&self, r: &mut Recorder, eta: TensorId, _: usize) -> Result<TensorId, PlanError> {
        mean_of_mean_size(r, eta)
    }

    fn reconstruction(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        self.size_factor.sized_mean(r, of, of.parameters[0])
    }

    fn sampler(&self) -> Sampler {
        draw_counts::negative_binomial
    }

    fn is_sized(&self) -> bool {
        self.size_factor == SizeFactor::Total
    }

    fn onnx(&self) -> Vec<OnnxOutput> {
        let dispersion = OnnxOutput {
            name: "inverse_dispersion",
            of: Some(("Exp", STORED)),
            of_pixels: false,
            meaning: Some("theta of each column: counts of mean r vary by r + r^2 / theta"),
        };
        [onnx_mean().0, dispersion].into_iter().chain(self.size_factor.onnx()).collect()
    }

    fn onnx_graph(&self) -> OnnxGraph {
        onnx_mean().1
    }
}
