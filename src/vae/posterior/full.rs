//! q(z|x) = N(mu, L L^T): the encoder's heads are [mu | l | C], e^(l/2) the diagonal of the lower triangular L and C what is
//! below it, row by row.
//!
//! The entries of L themselves, as Kingma and Welling 2019 (arXiv 1906.02691, section 2.5) have them: then the KL is a sum of
//! terms of one head each, convex in all of them, log q(z|x) depends on l alone, and C = 0 is the diagonal family, where
//! training begins. e^l is the variance of a unit given those before it.

use super::diagonal::number;
use super::{Arriving, Backward, Draw, Posterior};
use crate::kernels::posterior::full as kernels;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Source, Streams};
use crate::vae::objective::{Estimator, Kl, Objective};

/// A Gaussian of `latent` units with any covariance.
pub struct Full {
    pub latent: usize,
}

impl Posterior for Full {
    fn sample(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        clock: TensorId,
        source: Source,
        streams: &Streams,
        noise: f64,
    ) -> Result<Draw, PlanError> {
        let dims = [source.batch * source.samples, self.latent];
        let (eps, z) = (r.tensor("eps", &dims), r.tensor("z", &dims));
        r.dispatch(
            &kernels::SAMPLE,
            &[("heads", heads), ("clock", clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", source.images as f64)],
        )?;
        Ok(Draw { heads, eps, z, flow: None })
    }

    fn kl(&self, r: &mut Recorder, &Draw { heads, .. }: &Draw) -> Result<TensorId, PlanError> {
        let kl = r.tensor("kl", &[r.dims(heads)[0]]);
        let constants = [("Z", self.latent as f64)];
        r.dispatch(&kernels::KL, &[("heads", heads), ("kl", kl)], &constants)?;
        Ok(kl)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        &Draw { heads, eps, z, .. }: &Draw,
        Arriving { d_z, weight, rates }: Arriving,
        objective: &Objective,
    ) -> Result<Backward, PlanError> {
        let d_heads = r.tensor("d_heads", &r.dims(heads));
        let of = [("heads", heads), ("noise", eps)];
        let to = [("d_heads", d_heads), ("rates", rates)];
        match objective.kl {
            Kl::Analytic if objective.free_bits > 0.0 => {
                let unit_kl = r.tensor("kl_units", &[self.latent]);
                r.dispatch(&kernels::KL_OF_UNITS, &[("heads", heads), ("kl_units", unit_kl)], &[])?;
                r.dispatch(
                    &kernels::BACKWARD_FREE_BITS,
                    &[&of[..], &to, &[("d_z", d_z), ("unit_kl", unit_kl)]].concat(),
                    &[("FREE_BITS", objective.free_bits)],
                )?;
            }
            Kl::Analytic => {
                let tensors = [&of[..], &to, &[("d_z", d_z)]].concat();
                r.dispatch(&kernels::BACKWARD, &tensors, &[])?;
            }
            Kl::Sampled => {
                let sampled = [("samples", z), ("d_z", d_z), ("weight", weight)];
                if objective.estimator == Estimator::Reparameterized {
                    let tensors = [&of[..], &to, &sampled].concat();
                    r.dispatch(&kernels::BACKWARD_SAMPLED, &tensors, &[])?;
                } else {
                    let g = r.tensor("d_samples", &r.dims(z));
                    let tensors = [&of[..], &sampled, &[("g", g), ("rates", rates)]].concat();
                    let estimator = [("ESTIMATOR", number(objective.estimator))];
                    r.dispatch(&kernels::PATH, &tensors, &estimator)?;
                    let tensors = [&of[..], &to, &[("d_z", g)]].concat();
                    r.dispatch(&kernels::BACKWARD, &tensors, &[("KL", 0.0)])?;
                }
            }
        }
        Ok(Backward { d_heads, parameters: Vec::new() })
    }

    fn marginals(
        &self,
        r: &mut Recorder,
        heads: TensorId,
        _: TensorId,
    ) -> Result<TensorId, PlanError> {
        let marginals = r.tensor("marginals", &[r.dims(heads)[0], 2 * self.latent]);
        r.dispatch(&kernels::MARGINALS, &[("heads", heads), ("marginals", marginals)], &[])?;
        Ok(marginals)
    }
}
