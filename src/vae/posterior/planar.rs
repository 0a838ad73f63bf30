//! q(z|x) by planar flows (Rezende and Mohamed 2015, arXiv 1505.05770): a Gaussian of independent units, of which T steps
//! z + v tanh(w z + b) are taken. The encoder's heads are [mu | l | U | W | b], u and w of the steps one behind the other; v is
//! u, moved along w so far that the step can be undone, and 0 where u is, so that training begins at the Gaussian.
//!
//! log q(z|x) is known at the samples alone. So the KL is sampled, and estimators that take the gradient of log q at z are refused.

use super::{
    Arriving, Backward, Draw, Flow, Kept, Posterior, flow_kl, moments_of_draws, over_samples,
};
use crate::kernels::posterior::planar as kernels;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Source, Streams};
use crate::vae::objective::Objective;

/// Planar flows of `latent` units.
pub struct Planar {
    pub latent: usize,
    /// T
    pub steps: usize,
}

impl Posterior for Planar {
    fn sample(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
        source: Source,
        streams: &Streams,
        noise: f64,
    ) -> Result<Draw, PlanError> {
        let rows = source.batch * source.samples;
        let dims = [rows, self.latent];
        let (eps, z) = (r.tensor("eps", &dims), r.tensor("z", &dims));
        let states = r.tensor("z before each step", &[rows, self.steps * self.latent]);
        let log_det = r.tensor("log_det", &[rows]);
        let drawn = [("eps", eps), ("z", z), ("states", states), ("log_det", log_det)];
        r.dispatch(
            &kernels::SAMPLE,
            &[&[("heads", heads), ("clock", clock)], &drawn[..]].concat(),
            &[
                ("STREAM", streams.noise.number()),
                ("NOISE", noise),
                ("N", source.images as f64),
                ("T", self.steps as f64),
            ],
        )?;
        Ok(Draw { heads, eps, z, flow: Some(Flow { kept: Kept::States(states), log_det }) })
    }

    fn kl(&self, r: &mut Recorder, draw: &Draw) -> Result<TensorId, PlanError> {
        flow_kl(r, draw)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        draw: &Draw,
        Arriving { d_z, weight, rates }: Arriving,
        _: &Objective,
    ) -> Result<Backward, PlanError> {
        let [images, heads] = r.dims(draw.heads)[..] else { unreachable!("a matrix") };
        let rows = r.dims(draw.z)[0];
        let Kept::States(states) = draw.flow().kept else { unreachable!("it keeps them") };
        let d_rows = r.tensor("d_heads by rows", &[rows, heads]);
        let of = [("heads", draw.heads), ("noise", draw.eps), ("samples", draw.z)];
        let with = [("before", states), ("d_z", d_z), ("weight", weight), ("rates", rates)];
        r.dispatch(
            &kernels::BACKWARD,
            &[&of[..], &with, &[("d_rows", d_rows)]].concat(),
            &[("T", self.steps as f64), ("K", (rows / images) as f64)],
        )?;
        Ok(Backward { d_heads: over_samples(r, d_rows, images)?, parameters: Vec::new() })
    }

    fn marginals(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
    ) -> Result<TensorId, PlanError> {
        moments_of_draws(self, r, heads, clock)
    }
}
