//! Images drawn from a model, with the codes that made them.

use rayon::prelude::*;

use super::{EvaluateError, Observed, unconditional};
use crate::device::Device;
use crate::loaded::{LoadedModel, Model, ModelProgram, rows_of};
use crate::numeric::philox::{Stream, counter, philox};
use crate::plan::{Program, TensorId};
use crate::vae::Network;
use crate::vae::likelihood::{Decoded, Domain};
use crate::vae::simulate::SimulateProgram;
use crate::vae::step::Content;

/// x ~ p(x|z*), z* ~ p(z).
#[derive(Debug, Clone)]
pub struct Simulated {
    /// (N, D)
    pub x: Vec<f32>,
    /// (N, Z)
    pub z: Vec<f32>,
    /// (N) log p(x|z*) + h(z*), h(z) = log p(z) - log N(z; 0, I), nats
    pub log_px: Vec<f32>,
    /// What the elements of x are.
    pub content: Content,
}

impl Simulated {
    /// With the codes that made them.
    pub fn observed(&self) -> Observed<'_> {
        Observed { x: &self.x, content: self.content, z: Some(&self.z) }
    }
}

impl ModelProgram for SimulateProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

/// Draws `images` from a model. The first are the same however many there are.
///
/// # Errors
/// The device failed, or nothing draws from this likelihood.
pub fn simulate(device: &Device, model: Model, images: usize) -> Result<Simulated, EvaluateError> {
    let architecture = model.architecture;
    unconditional(architecture)?;
    let (likelihood, pixels) = (architecture.likelihood.module(), architecture.pixels());
    let Some(sampler) = likelihood.sampler() else {
        return Err(EvaluateError::NoSampler { kind: architecture.likelihood.kind().to_string() });
    };
    let first_own = model.parameters.len() - likelihood.parameters(architecture.shape()).len();
    let own = &model.parameters[first_own..];
    let batch = rows_of(device).min(images);
    let program = SimulateProgram::record(architecture, batch)?;
    let mut loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
    let SimulateProgram { decode, z, eta, x, score, log_px, .. } = loaded.program;
    let key = [model.seed as u32, (model.seed >> 32) as u32];
    let content = match likelihood.domain() {
        Domain::Levels | Domain::Reals => Content::Reals,
        Domain::Counts => Content::Counts,
    };
    let mut all = Simulated { x: Vec::new(), z: Vec::new(), log_px: Vec::new(), content };
    for first in (0..images).step_by(batch) {
        loaded.begin_at(first)?;
        loaded.run(decode)?;
        let etas = loaded.read(eta)?;
        let mut drawn = vec![0.0f32; batch * pixels];
        let rows = drawn.par_chunks_mut(pixels).zip(etas.par_chunks(etas.len() / batch));
        rows.enumerate().for_each(|(row, (values, eta))| {
            let of = Decoded { eta, own, pixels };
            for (i, value) in values.iter_mut().enumerate() {
                let at = counter(0, first + row, 0, Stream::SimulatedValues as u32, i);
                *value = sampler(of, i, philox(at, key)) as f32;
            }
        });
        loaded.executor.write_f32(x, &drawn)?;
        loaded.run(score)?;
        let wanted = batch.min(images - first);
        all.x.extend(&drawn[..wanted * pixels]);
        all.z.extend(&loaded.read(z)?[..wanted * architecture.latent]);
        all.log_px.extend(&loaded.read(log_px)?[..wanted]);
    }
    Ok(all)
}
