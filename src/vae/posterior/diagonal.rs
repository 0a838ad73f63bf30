//! q(z|x) = N(mu, diag e^l): the encoder's heads are [mu | l], l the log variance.

use super::{Arriving, Draw, Posterior};
use crate::kernels::{importance, posterior};
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Source, Streams};
use crate::vae::objective::{Estimator, Kl, Objective};

/// A Gaussian with a diagonal covariance.
pub struct Diagonal;

impl Posterior for Diagonal {
    fn heads(&self, latent: usize) -> usize {
        latent.saturating_mul(2)
    }

    fn parts(&self) -> usize {
        2
    }

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
        let latent = r.dims(heads)[1] / 2;
        let (eps, z) = (r.tensor("eps", &[rows, latent]), r.tensor("z", &[rows, latent]));
        r.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", source.images as f64)],
        )?;
        Ok(Draw { heads, eps, z })
    }

    fn kl(&self, r: &mut Recorder, heads: TensorId) -> Result<TensorId, PlanError> {
        let kl = r.tensor("kl", &[r.dims(heads)[0]]);
        r.dispatch(&posterior::GAUSSIAN_KL, &[("heads", heads), ("kl", kl)], &[])?;
        Ok(kl)
    }

    fn log_weights(
        &self,
        r: &mut Recorder,
        Draw { heads, eps, z }: Draw,
        log_px: TensorId,
        samples: usize,
    ) -> Result<TensorId, PlanError> {
        let log_w = r.tensor("log_w", &[r.dims(z)[0]]);
        r.dispatch(
            &importance::LOG_WEIGHT,
            &[("log_px", log_px), ("heads", heads), ("eps", eps), ("z", z), ("log_w", log_w)],
            &[("K", samples as f64)],
        )?;
        Ok(log_w)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        Draw { heads, eps, .. }: Draw,
        Arriving { d_z, weight, rates }: Arriving,
        objective: &Objective,
    ) -> Result<TensorId, PlanError> {
        let dims = r.dims(heads);
        let d_heads = r.tensor("d_heads", &dims);
        let mut tensors = vec![
            ("heads", heads),
            ("noise", eps),
            ("d_z", d_z),
            ("d_heads", d_heads),
            ("rates", rates),
        ];
        match objective.kl {
            Kl::Analytic if objective.free_bits > 0.0 => {
                let unit_kl = r.tensor("kl_units", &[dims[1] / 2]);
                let own = [("heads", heads), ("kl_units", unit_kl)];
                r.dispatch(&posterior::KL_OF_UNITS, &own, &[])?;
                tensors.push(("unit_kl", unit_kl));
                let free = [("FREE_BITS", objective.free_bits)];
                r.dispatch(&posterior::BACKWARD_FREE_BITS, &tensors, &free)?;
            }
            Kl::Analytic => r.dispatch(&posterior::BACKWARD, &tensors, &[])?,
            Kl::Sampled => {
                tensors.push(("weight", weight));
                let estimator = match objective.estimator {
                    Estimator::Reparameterized => posterior::REPARAMETERIZED,
                    Estimator::StickingTheLanding => posterior::STICKING_THE_LANDING,
                    Estimator::DoublyReparameterized => posterior::DOUBLY_REPARAMETERIZED,
                };
                let estimator = [("ESTIMATOR", estimator)];
                r.dispatch(&posterior::BACKWARD_SAMPLED, &tensors, &estimator)?;
            }
        }
        Ok(d_heads)
    }
}
