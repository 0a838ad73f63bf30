//! Images drawn from a model, with the codes that made them.

use std::ops::Range;

use super::{EvaluateError, Observed, unconditional};
use crate::device::Device;
use crate::loaded::{LoadedModel, Model, ModelProgram, rows_of};
use crate::plan::{Program, TensorId};
use crate::vae::likelihood::Domain;
use crate::vae::simulate::{SimulateProgram, draw_values};
use crate::vae::step::Content;
use crate::vae::{Architecture, Network};

/// x ~ p(x|z*), z* ~ p(z).
#[derive(Debug, Clone)]
pub struct Simulated {
    /// The place of the first among all that are drawn.
    pub first: usize,
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
        Observed {
            x: &self.x,
            first: self.first,
            content: self.content,
            z: Some(&self.z),
            starts: None,
        }
    }

    /// Those of a range, counted from the first of these.
    ///
    /// # Panics
    /// The range goes beyond them.
    pub fn part(&self, range: Range<usize>, architecture: &Architecture) -> Simulated {
        let Observed { x, first, content, z, .. } =
            self.observed().part(range.clone(), architecture);
        let z = z.expect("they have codes").to_vec();
        Simulated { first, x: x.to_vec(), z, log_px: self.log_px[range].to_vec(), content }
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
/// The device failed, or the likelihood is told what a row's values come to.
pub fn simulate(device: &Device, model: Model, images: usize) -> Result<Simulated, EvaluateError> {
    let architecture = model.architecture;
    unconditional(architecture)?;
    let (likelihood, pixels) = (architecture.likelihood.module(), architecture.pixels());
    if likelihood.is_sized() {
        return Err(EvaluateError::Sized { kind: architecture.likelihood.kind().to_string() });
    }
    let batch = rows_of(device).min(images);
    let program = SimulateProgram::record(architecture, batch)?;
    let mut loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
    let SimulateProgram { decode, z, eta, x, score, log_px, .. } = loaded.program;
    let content = match likelihood.domain() {
        Domain::Levels | Domain::Reals => Content::Reals,
        Domain::Counts => Content::Counts,
    };
    let mut all = Simulated { first: 0, x: Vec::new(), z: Vec::new(), log_px: Vec::new(), content };
    for first in (0..images).step_by(batch) {
        loaded.begin_at(first)?;
        loaded.run(decode)?;
        let etas = loaded.read(eta)?;
        let drawn = draw_values(architecture, model.parameters, &etas, first, model.seed);
        loaded.executor.write_f32(x, &drawn)?;
        loaded.run(score)?;
        let wanted = batch.min(images - first);
        all.x.extend(&drawn[..wanted * pixels]);
        all.z.extend(&loaded.read(z)?[..wanted * architecture.latent]);
        all.log_px.extend(&loaded.read(log_px)?[..wanted]);
    }
    Ok(all)
}
