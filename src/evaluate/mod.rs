//! What a trained model is worth: its ELBO, log p(x) by importance sampling and by draws from the prior,
//! the gap between them, and what the latent units do.
//!
//! Of an image x with K draws z_k from q(z|x) and log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x):
//!
//! - reconstruction = mean_k log p(x|z_k), KL in closed form, ELBO = reconstruction - KL; with another prior than N(0, I)
//!   the KL is the mean over the draws of log q(z_k|x) - log p(z_k);
//! - L_k = log of the mean of k weights, averaged over the K/k disjoint groups of k draws; its
//!   expectation grows with k towards log p(x), so L_K is the estimate of log p(x);
//! - gap = L_K - ELBO, an estimate (from below) of log p(x) - ELBO = KL(q(z|x) || p(z|x));
//! - effective sample size = (sum w)^2 / sum w^2 of the K weights;
//! - simple Monte Carlo: the same log-mean of log p(x|z_k) alone, with K other draws z_k ~ p(z).

mod posteriors;

use std::ops::ControlFlow;

use rayon::prelude::*;

pub use crate::bounds::{Bounds, Estimate, EvaluateError};
use crate::bounds::{Work, finite};
use crate::data::Images;
use crate::device::Device;
pub use crate::loaded::Model;
use crate::loaded::{LoadedModel, rows_of};
use crate::vae::Binarization;
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::posterior::Reader;
pub use posteriors::{ACTIVE, Information, Posteriors, Unit};

/// What is to be estimated.
#[derive(Debug, Clone)]
pub struct Request {
    /// Of the first this many test images.
    pub images: usize,
    /// Numbers k of draws, ascending; the last is K, the number of draws.
    pub ks: Vec<usize>,
    /// Rows of a run of the plan, if not the device's usual number. No draw depends on it.
    pub rows: Option<usize>,
    /// Most bytes of the images that are on the device at a time, if not as many as it takes. No figure
    /// depends on it.
    pub resident: Option<usize>,
}

impl Request {
    /// K
    pub fn samples(&self) -> usize {
        *self.ks.last().expect("at least one k")
    }
}

/// One image's figures, nats.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageFigures {
    /// The mean of log p(x|z) over the draws.
    pub reconstruction: f64,
    /// KL(q(z|x) || p(z))
    pub kl: f64,
    /// L_k for each k.
    pub importance: Vec<f64>,
    /// Simple Monte Carlo from the prior for each k.
    pub prior: Vec<f64>,
    /// (sum w)^2 / sum w^2 of the weights of all draws.
    pub effective_size: f64,
}

impl ImageFigures {
    /// reconstruction - KL
    pub fn elbo(&self) -> f64 {
        self.reconstruction - self.kl
    }

    /// L_K - ELBO
    pub fn gap(&self) -> f64 {
        self.importance[self.importance.len() - 1] - self.elbo()
    }
}

/// The figures of every image, and of all together.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Numbers k of draws, ascending; the last is K, all of them.
    pub ks: Vec<usize>,
    /// What the pixels' bytes became.
    pub binarization: Binarization,
    /// Of each image, in their order.
    pub images: Vec<ImageFigures>,
    /// q(z|x) of each image.
    pub posteriors: Posteriors,
    /// Of each latent unit.
    pub units: Vec<Unit>,
    /// What a code tells about its image.
    pub information: Information,
}

impl Evaluation {
    /// The mean over images of one of their figures.
    pub fn mean(&self, figure: impl Fn(&ImageFigures) -> f64 + Clone) -> Estimate {
        Estimate::of(self.images.iter().map(figure))
    }

    /// Draws of an image, K.
    pub fn samples(&self) -> usize {
        *self.ks.last().expect("at least one k")
    }

    /// The ELBO, nats per image.
    pub fn elbo(&self) -> Estimate {
        self.mean(ImageFigures::elbo)
    }

    /// log p(x) by importance sampling with all draws, nats per image: in expectation a lower bound.
    pub fn log_likelihood(&self) -> Estimate {
        self.mean(|image| image.importance[image.importance.len() - 1])
    }
}

/// Estimates on the first images of `test`. `progress` is called with the share of the draws that is done, and may
/// end the work.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn evaluate(
    device: &Device,
    model: Model,
    test: &Images,
    request: &Request,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Evaluation, EvaluateError> {
    let test = test.first(request.images.min(test.n_images));
    let (images, samples) = (test.n_images, request.samples());
    let chunks = Chunks::new(request.rows.unwrap_or(rows_of(device)), images, samples);
    let mut loaded: LoadedModel<EstimateProgram> =
        LoadedModel::of_images::<EvaluateError>(device, model, &test, chunks, request.resident)?;
    let EstimateProgram { importance, log_px, log_w, prior, prior_log_px, .. } = loaded.program;

    let reader = Reader::of(model.architecture, model.parameters);
    let mut posteriors = Posteriors::of(&reader);
    let mut figures = Vec::with_capacity(images);
    let mut work = Work { progress, done: 0, total: 2 * images.div_ceil(chunks.batch) as u64 };
    work.total *= samples.div_ceil(chunks.samples) as u64;
    for first in (0..images).step_by(chunks.batch) {
        let batch = chunks.batch.min(images - first);
        loaded.begin_at(first)?;
        let heads = loaded.encode()?;
        posteriors.extend(&heads[..batch * reader.heads()]);

        let mut draws: Vec<Draws> = (0..batch).map(|_| Draws::new(&request.ks)).collect();
        let executor = &mut *loaded.executor;
        let kept = [log_px, log_w];
        work.draw(executor, importance, kept, chunks, samples, |run, [log_px, log_w]| {
            draws.par_iter_mut().enumerate().try_for_each(|(b, draws)| {
                let pairs = run.of_image(log_px, b).zip(run.of_image(log_w, b));
                for (&log_px, &log_w) in pairs {
                    finite(first + b, log_px)?;
                    finite(first + b, log_w)?;
                    draws.log_px += f64::from(log_px);
                    draws.log_ratio += f64::from(log_w) - f64::from(log_px);
                    draws.weights.push(f64::from(log_w));
                }
                Ok(())
            })
        })?;
        loaded.begin_at(first)?;
        let executor = &mut *loaded.executor;
        let kept = [prior_log_px];
        work.draw(executor, prior, kept, chunks, samples, |run, [log_px]| {
            draws.par_iter_mut().enumerate().try_for_each(|(b, draws)| {
                for &log_px in run.of_image(log_px, b) {
                    finite(first + b, log_px)?;
                    draws.prior.push(f64::from(log_px));
                }
                Ok(())
            })
        })?;
        figures.extend(draws.iter().enumerate().map(|(b, draws)| ImageFigures {
            reconstruction: draws.log_px / draws.weights.count() as f64,
            kl: match model.architecture.has_closed_kl() {
                true => posteriors.kl(first + b),
                false => -draws.log_ratio / draws.weights.count() as f64,
            },
            importance: draws.weights.values(),
            prior: draws.prior.values(),
            effective_size: draws.weights.effective_size(),
        }));
    }
    let information = posteriors.information(model.seed, |image| figures[image].kl);
    Ok(Evaluation {
        ks: request.ks.clone(),
        binarization: model.binarization,
        images: figures,
        units: posteriors.units(),
        information,
        posteriors,
    })
}

/// What is summed up of an image's draws.
struct Draws {
    /// Sum of log p(x|z) over the draws from q.
    log_px: f64,
    /// Sum of log p(z) - log q(z|x) over the same.
    log_ratio: f64,
    weights: Bounds,
    prior: Bounds,
}

impl Draws {
    fn new(ks: &[usize]) -> Self {
        Draws { log_px: 0.0, log_ratio: 0.0, weights: Bounds::new(ks), prior: Bounds::new(ks) }
    }
}
