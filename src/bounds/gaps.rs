//! What the gap between log p(x) and the ELBO is made of (Cremer et al. 2018, arXiv 1801.03558).

use super::{Annealed, Estimate, EvaluateError, Refined, Sandwich, Weights};
use crate::data::Images;
use crate::device::Device;
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::step::Content;

/// The first `count` images as the likelihood is of them, (N, D), binarized as for evaluation, and what their elements are.
///
/// # Errors
/// The device failed.
pub fn observe(
    device: &Device,
    model: Model,
    images: &Images,
    count: usize,
) -> Result<(Vec<f32>, Content), EvaluateError> {
    let images = images.first(count);
    let chunks = Chunks::new(rows_of(device), count, 1);
    let mut loaded: LoadedModel<EstimateProgram> =
        LoadedModel::of_images::<EvaluateError>(device, model, &images, chunks, None)?;
    let pixels = model.architecture.pixels();
    let mut all = Vec::with_capacity(count * pixels);
    for first in (0..count).step_by(chunks.batch) {
        loaded.begin_at(first)?;
        loaded.encode()?;
        let wanted = chunks.batch.min(count - first);
        all.extend(&loaded.read(loaded.program.x)?[..wanted * pixels]);
    }
    let content = match images.content(model.architecture.likelihood, model.binarization) {
        Content::Bytes(_) => Content::Reals,
        content => content,
    };
    Ok((all, content))
}

/// What was found of one set of images. What has not been finished is not there.
#[derive(Debug, Clone, Default)]
pub struct Gaps {
    /// L_k of q.
    pub importance: Option<Sandwich>,
    /// Of chains to the posterior.
    pub annealed: Option<Annealed>,
    /// ELBOs of the encoder's q and of the best of its family.
    pub refined: Option<Vec<Refined>>,
}

impl Gaps {
    fn by_importance(&self) -> Option<Vec<f64>> {
        let found = self.importance.as_ref()?;
        let last = found.ks.len() - 1;
        Some(found.images.iter().map(|image| image.lower[last]).collect())
    }

    fn by_annealing(&self) -> Option<Vec<f64>> {
        Some(self.annealed.as_ref()?.images.iter().map(Weights::lower).collect())
    }

    /// The bound from below that is the higher one on average, of each image.
    fn log_px(&self) -> Option<Vec<f64>> {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        match (self.by_importance(), self.by_annealing()) {
            (Some(a), Some(b)) => Some(if mean(&a) >= mean(&b) { a } else { b }),
            (a, b) => a.or(b),
        }
    }

    /// Its mean over images.
    pub fn log_likelihood(&self) -> Option<Estimate> {
        Some(Estimate::of(self.log_px()?.into_iter()))
    }

    /// L_K
    pub fn importance_sampling(&self) -> Option<Estimate> {
        Some(Estimate::of(self.by_importance()?.into_iter()))
    }

    /// The annealed bound from below.
    pub fn annealing(&self) -> Option<Estimate> {
        Some(Estimate::of(self.by_annealing()?.into_iter()))
    }

    /// How much L_K is above L of a tenth of the draws or fewer: how far it still grows.
    pub fn growth(&self) -> Option<(usize, Estimate)> {
        let found = self.importance.as_ref()?;
        let last = found.ks.len() - 1;
        let before = last.checked_sub(1)?;
        let each = found.images.iter().map(|image| image.lower[last] - image.lower[before]);
        Some((found.ks[before], Estimate::of(each)))
    }

    /// A figure of each image's ELBOs.
    pub fn of_refined(&self, figure: impl Fn(&Refined) -> f64 + Clone) -> Option<Estimate> {
        Some(Estimate::of(self.refined.as_ref()?.iter().map(figure)))
    }

    /// log p(x) - L[q*]: what the best q of the family lacks.
    pub fn approximation(&self) -> Option<Estimate> {
        self.below(|refined| refined.best)
    }

    /// L[q*] - L[q]: what the encoder's q lacks beside it.
    pub fn amortization(&self) -> Option<Estimate> {
        self.of_refined(|refined| refined.best - refined.encoder)
    }

    /// log p(x) - L[q], the sum of the two.
    pub fn inference(&self) -> Option<Estimate> {
        self.below(|refined| refined.encoder)
    }

    fn below(&self, figure: impl Fn(&Refined) -> f64) -> Option<Estimate> {
        let (log_px, refined) = (self.log_px()?, self.refined.as_ref()?);
        let each: Vec<f64> = log_px.iter().zip(refined).map(|(p, r)| p - figure(r)).collect();
        Some(Estimate::of(each.into_iter()))
    }
}
