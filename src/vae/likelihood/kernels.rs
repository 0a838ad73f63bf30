//! The kernels of a likelihood that has no parameter of its own.

use super::{Backward, Observed};
use crate::plan::{Kernel, PlanError, Recorder, TensorId};

/// What computes such a likelihood of x and the decoder's output.
pub struct Kernels {
    /// log p(x|z) of each row.
    pub log_likelihood: &'static Kernel,
    /// Its gradient.
    pub backward: &'static Kernel,
    /// E[x|z].
    pub expectation: &'static Kernel,
    /// What they call the decoder's output and its gradient.
    pub output: [&'static str; 2],
}

impl Kernels {
    /// Records log p(x|z), (B*K) nats.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn log_px(&self, r: &mut Recorder, of: Observed) -> Result<TensorId, PlanError> {
        let log_px = r.tensor("log_px", &[r.dims(of.eta)[0]]);
        let tensors = [("x", of.x), (self.output[0], of.eta), ("log_px", log_px)];
        r.dispatch(self.log_likelihood, &tensors, &of.constants())?;
        Ok(log_px)
    }

    /// Records the gradient of sum_rows weight log p(x|z), `weight` (B*K).
    ///
    /// # Errors
    /// As [`Kernels::log_px`].
    pub fn backward(
        &self,
        r: &mut Recorder,
        of: Observed,
        weight: TensorId,
    ) -> Result<Backward, PlanError> {
        let d_eta = r.tensor("d_eta", &r.dims(of.eta));
        let [output, gradient] = self.output;
        let tensors = [("x", of.x), (output, of.eta), ("weight", weight), (gradient, d_eta)];
        r.dispatch(self.backward, &tensors, &of.constants())?;
        Ok(Backward { d_eta, parameters: Vec::new() })
    }

    /// Records E[x|z], (B*K, D).
    ///
    /// # Errors
    /// As [`Kernels::log_px`].
    pub fn mean(
        &self,
        r: &mut Recorder,
        eta: TensorId,
        pixels: usize,
    ) -> Result<TensorId, PlanError> {
        let mean = r.tensor("mean", &[r.dims(eta)[0], pixels]);
        r.dispatch(self.expectation, &[(self.output[0], eta), ("mean", mean)], &[("K", 1.0)])?;
        Ok(mean)
    }
}
