//! q(z|x) by planar flows (Rezende and Mohamed 2015, arXiv 1505.05770): a Gaussian of independent units, of which T steps
//! z + v tanh(w z + b) are taken. The encoder's heads are [mu | l | U | W | b], u and w of the steps one behind the other; v is
//! u, moved along w so far that the step can be undone, and 0 where u is, so that training begins at the Gaussian.
//!
//! log q(z|x) is known at the samples alone. So the KL is sampled, and estimators that take the gradient of log q at z are refused.

use super::{Arriving, Draw, Flow, Posterior, log_weights};
use crate::kernels::posterior::planar as kernels;
use crate::kernels::{add, sum_rows};
use crate::numeric::philox::Stream;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Content, Source, Streams};
use crate::vae::objective::Objective;

/// Planar flows of `latent` units.
pub struct Planar {
    pub latent: usize,
    /// T
    pub steps: usize,
}

/// Samples by which the moments of a unit are estimated.
const OF_MOMENTS: usize = 64;

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
        Ok(Draw { heads, eps, z, flow: Some(Flow { states, log_det }) })
    }

    fn kl(&self, r: &mut Recorder, draw: Draw) -> Result<TensorId, PlanError> {
        let Flow { log_det, .. } = draw.flow();
        let kl = r.tensor("kl", &[r.dims(draw.heads)[0]]);
        let of = [("heads", draw.heads), ("noise", draw.eps), ("samples", draw.z)];
        r.dispatch(
            &kernels::KL,
            &[&of[..], &[("log_dets", log_det), ("kl", kl)]].concat(),
            &[("K", (r.dims(draw.z)[0] / r.dims(draw.heads)[0]) as f64)],
        )?;
        Ok(kl)
    }

    fn log_weights(
        &self,
        r: &mut Recorder,
        draw: Draw,
        log_px: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError> {
        let sum = r.tensor("log_px and log_det", &[r.dims(draw.z)[0]]);
        let Flow { log_det, .. } = draw.flow();
        r.dispatch(&add::ADD, &[("a", log_px), ("b", log_det), ("sum", sum)], &[])?;
        log_weights(r, draw, sum, samples)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        draw: Draw,
        Arriving { d_z, weight, rates }: Arriving,
        _: &Objective,
    ) -> Result<TensorId, PlanError> {
        let [images, heads] = r.dims(draw.heads)[..] else { unreachable!("a matrix") };
        let rows = r.dims(draw.z)[0];
        let Flow { states, .. } = draw.flow();
        let d_rows = r.tensor("d_heads by rows", &[rows, heads]);
        let of = [("heads", draw.heads), ("noise", draw.eps), ("samples", draw.z)];
        let with = [("before", states), ("d_z", d_z), ("weight", weight), ("rates", rates)];
        r.dispatch(
            &kernels::BACKWARD,
            &[&of[..], &with, &[("d_rows", d_rows)]].concat(),
            &[("T", self.steps as f64), ("K", (rows / images) as f64)],
        )?;
        if rows == images {
            return Ok(d_rows);
        }
        let d_heads = r.tensor("d_heads", &[images, heads]);
        let sizes = [("N", rows), ("C", heads), ("BLOCK", rows / images), ("G", images)];
        let sizes = sizes.map(|(name, size)| (name, size as f64));
        r.dispatch(&sum_rows::SUM_ROWS, &[("values", d_rows), ("sums", d_heads)], &sizes)?;
        Ok(d_heads)
    }

    fn marginals(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
    ) -> Result<TensorId, PlanError> {
        let batch = r.dims(heads)[0];
        // No image is beyond the end of an epoch: the noise is that of its place.
        let images = u32::MAX as usize;
        let (content, samples) = (Content::Reals, OF_MOMENTS);
        let source = Source { images, window: None, content, flips: None, batch, samples };
        let streams = Streams { noise: Stream::ChainStart, ..Streams::TEST };
        let drawn = self.sample(r, heads, clock, source, &streams, 1.0)?;
        let moments = r.tensor("moments", &[batch, 2 * self.latent]);
        let tensors = [("samples", drawn.z), ("moments", moments)];
        r.dispatch(&kernels::MOMENTS, &tensors, &[("K", OF_MOMENTS as f64)])?;
        Ok(moments)
    }
}

impl Draw {
    fn flow(self) -> Flow {
        self.flow.expect("it was drawn by a flow")
    }
}
