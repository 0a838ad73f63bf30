//! q(z|x) = N(mu, diag e^l): the encoder's heads are [mu | l], l the log variance.

use super::{Arriving, Backward, Draw, Posterior};
use crate::kernels::posterior;
use crate::plan::{PlanError, Recorder, TensorId};
use crate::vae::minibatch::{Source, Streams};
use crate::vae::objective::{Estimator, Kl, Objective};

/// A Gaussian of `latent` independent units.
pub struct Diagonal {
    pub latent: usize,
}

impl Posterior for Diagonal {
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
        r.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", source.images as f64)],
        )?;
        Ok(Draw { heads, eps, z, flow: None })
    }

    fn kl(&self, r: &mut Recorder, &Draw { heads, .. }: &Draw) -> Result<TensorId, PlanError> {
        let kl = r.tensor("kl", &[r.dims(heads)[0]]);
        r.dispatch(&posterior::GAUSSIAN_KL, &[("heads", heads), ("kl", kl)], &[])?;
        Ok(kl)
    }

    fn backward(
        &self,
        r: &mut Recorder,
        &Draw { heads, eps, .. }: &Draw,
        Arriving { d_z, weight, rates }: Arriving,
        objective: &Objective,
    ) -> Result<Backward, PlanError> {
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
                let unit_kl = r.tensor("kl_units", &[self.latent]);
                let own = [("heads", heads), ("kl_units", unit_kl)];
                r.dispatch(&posterior::KL_OF_UNITS, &own, &[])?;
                tensors.push(("unit_kl", unit_kl));
                let free = [("FREE_BITS", objective.free_bits)];
                r.dispatch(&posterior::BACKWARD_FREE_BITS, &tensors, &free)?;
            }
            Kl::Analytic => r.dispatch(&posterior::BACKWARD, &tensors, &[])?,
            Kl::Sampled => {
                tensors.push(("weight", weight));
                let estimator = [("ESTIMATOR", number(objective.estimator))];
                r.dispatch(&posterior::BACKWARD_SAMPLED, &tensors, &estimator)?;
            }
        }
        Ok(Backward { d_heads, parameters: Vec::new() })
    }

    fn marginals(
        &self,
        _: &mut Recorder,
        heads: TensorId,
        _: TensorId,
    ) -> Result<TensorId, PlanError> {
        Ok(heads)
    }
}

/// The estimator as the kernels number it.
pub(super) fn number(estimator: Estimator) -> f64 {
    match estimator {
        Estimator::Reparameterized => posterior::REPARAMETERIZED,
        Estimator::StickingTheLanding => posterior::STICKING_THE_LANDING,
        Estimator::DoublyReparameterized => posterior::DOUBLY_REPARAMETERIZED,
    }
}
