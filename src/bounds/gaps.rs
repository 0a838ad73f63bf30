//! What the gap between log p(x) and the ELBO is made of (Cremer et al. 2018, arXiv 1801.03558).

use std::ops::{ControlFlow, Range};

use serde::Serialize;

use super::tempering::IMAGES;
use super::{
    Annealing, Bracket, Estimate, EvaluateError, Observed, Refined, Refining, Simulated, Tempering,
    Weights, anneal, auroc, lower, refine, sandwich, tune,
};
use crate::data::Images;
use crate::device::Device;
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::vae::anneal::Path;
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::posterior::Reader;
use crate::vae::step::Content;
use rayon::prelude::*;

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

/// What is to be found of every image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Numbers k of draws, ascending; the last is K, all of them.
    pub ks: Vec<usize>,
    pub refining: Refining,
    pub annealing: Annealing,
}

/// Images of which it is to be found.
#[derive(Debug, Clone, Copy)]
pub enum Subjects<'a> {
    /// Real ones: log p(x) is bounded from below alone.
    Real(Observed<'a>),
    /// Drawn from the model itself: log p(x) is bounded from both sides. What is refined is where their chains begin, no more.
    Simulated(&'a Simulated),
}

/// What was found of one image, nats.
#[derive(Debug, Clone, PartialEq)]
pub struct GapsOfImage {
    /// L_k for each k.
    pub lower: Vec<f64>,
    /// U_k for each k; none of a real image.
    pub upper: Vec<f64>,
    /// (sum w)^2 / sum w^2 of the weights of all draws.
    pub effective_size: f64,
    /// The annealed bound from below.
    pub annealed: f64,
    /// The annealed bound from above, if it is not a real image.
    pub annealed_upper: Option<f64>,
    /// Mean probability that a proposal of its chains was accepted, forward and backward.
    pub acceptance: [Option<f64>; 2],
    /// ELBOs of the encoder's q and of the best of its family, of a real image.
    pub refined: Option<Refined>,
}

/// Where the chains of images are to begin: at the best q of each, the product of its marginals, (N, 2*Z); or if the path begins
/// at the prior, `None`. What of the ELBOs was found on the way comes with it.
fn starts(
    device: &Device,
    model: Model,
    observed: Observed,
    path: Path,
    refining: Refining,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<(Vec<Refined>, Option<Vec<f32>>), EvaluateError> {
    let (refined, heads) = refine(device, model, observed, refining, progress)?;
    if path == Path::Prior {
        return Ok((refined, None));
    }
    let reader = Reader::of(model.architecture, model.parameters);
    let of_image = |heads: &[f32]| {
        let (mean, log_variance) = reader.density(heads).marginals();
        mean.into_iter().chain(log_variance).map(|v| v as f32).collect::<Vec<_>>()
    };
    let each: Vec<Vec<f32>> = heads.par_chunks_exact(reader.heads()).map(of_image).collect();
    Ok((refined, Some(each.concat())))
}

/// Finds the step sizes of the chains of these images.
///
/// # Errors
/// As [`find`].
pub fn prepare(
    device: &Device,
    model: Model,
    subjects: Subjects,
    finding: &Finding,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Tempering, EvaluateError> {
    let observed = match subjects {
        Subjects::Real(observed) => observed,
        Subjects::Simulated(simulated) => simulated.observed(),
    };
    let Finding { annealing, refining, .. } = *finding;
    let pilots = observed.count(model.architecture).min(IMAGES);
    let observed = observed.part(0..pilots, model.architecture);
    let refining = Refining { weighed: 0, ..refining };
    let told = &mut |share: f64| progress(0.5 * share);
    let (_, starts) = match annealing.path {
        Path::Prior => (Vec::new(), None),
        Path::Posterior => starts(device, model, observed, annealing.path, refining, told)?,
    };
    let observed = Observed { starts: starts.as_deref(), ..observed };
    tune(device, model, observed, annealing, &mut |share| progress(0.5 + 0.5 * share))
}

/// Finds it, of images of a range. `progress` is told the share that is done.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn find(
    device: &Device,
    model: Model,
    subjects: Subjects,
    range: Range<usize>,
    finding: &Finding,
    tempering: &Tempering,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Vec<GapsOfImage>, EvaluateError> {
    let architecture = model.architecture;
    let mut told = |part: usize, share: f64| progress((part as f64 + share) / 3.0);
    let (drawn, refined, annealed);
    match subjects {
        Subjects::Real(observed) => {
            let observed = observed.part(range, architecture);
            drawn = lower(device, model, observed, &finding.ks, &mut |s| told(0, s))?;
            let (path, refining) = (finding.annealing.path, finding.refining);
            let (found, starts) =
                starts(device, model, observed, path, refining, &mut |s| told(1, s))?;
            refined = Some(found);
            let observed = Observed { starts: starts.as_deref(), ..observed };
            annealed = anneal(device, model, observed, tempering, &mut |s| told(2, s))?;
        }
        Subjects::Simulated(simulated) => {
            let simulated = simulated.part(range, architecture);
            drawn = sandwich(device, model, &simulated, &finding.ks, None, &mut |s| told(0, s))?;
            refined = None;
            let (path, refining) = (finding.annealing.path, finding.refining);
            let refining = Refining { weighed: 0, ..refining };
            let observed = simulated.observed();
            let starts = match path {
                Path::Prior => None,
                Path::Posterior => {
                    starts(device, model, observed, path, refining, &mut |s| told(1, s))?.1
                }
            };
            let observed = Observed { starts: starts.as_deref(), ..observed };
            annealed = anneal(device, model, observed, tempering, &mut |s| told(2, s))?;
        }
    }
    let images = drawn.images.into_iter().zip(annealed.images).enumerate();
    let of_image = |(i, (drawn, weights)): (usize, (Bracket, Weights))| {
        let Bracket { lower, upper, effective_size } = drawn;
        GapsOfImage {
            lower,
            upper,
            effective_size,
            annealed: weights.lower(),
            annealed_upper: (!weights.backward.is_empty()).then(|| weights.upper()),
            acceptance: weights.acceptance,
            refined: refined.as_ref().map(|refined| refined[i]),
        }
    };
    Ok(images.map(of_image).collect())
}

/// A bound on log p(x) of an image, if it was found.
type BoundOf = fn(&GapsOfImage) -> Option<f64>;

/// What was found of one set of images: means, where any image is finished.
#[derive(Debug, Clone, Default)]
pub struct Gaps(pub Vec<GapsOfImage>);

impl Gaps {
    fn mean(&self, figure: impl Fn(&GapsOfImage) -> Option<f64>) -> Option<Estimate> {
        let each: Option<Vec<f64>> = self.0.iter().map(figure).collect();
        each.filter(|each| !each.is_empty()).map(|each| Estimate::of(each.into_iter()))
    }

    /// L_K
    pub fn importance_sampling(&self) -> Option<Estimate> {
        self.mean(|image| image.lower.last().copied())
    }

    /// L_K by draws from the best q of each image.
    pub fn importance_from_best(&self) -> Option<Estimate> {
        self.of_refined(|refined| refined.importance)
    }

    /// U_K - L_K
    pub fn importance_width(&self) -> Option<Estimate> {
        self.mean(|image| Some(image.upper.last()? - image.lower.last()?))
    }

    /// The annealed bound from below.
    pub fn annealing(&self) -> Option<Estimate> {
        self.mean(|image| Some(image.annealed))
    }

    /// The annealed bound from above.
    pub fn annealing_upper(&self) -> Option<Estimate> {
        self.mean(|image| image.annealed_upper)
    }

    /// How far the annealed bounds are apart.
    pub fn annealed_width(&self) -> Option<Estimate> {
        self.mean(|image| Some(image.annealed_upper? - image.annealed))
    }

    /// Mean probability that a proposal of the chains was accepted, forward and backward.
    pub fn acceptance(&self) -> [Option<f64>; 2] {
        [0, 1].map(|way| Some(self.mean(|image| image.acceptance[way])?.value))
    }

    /// (sum w)^2 / sum w^2 of all draws.
    pub fn effective_size(&self) -> Option<Estimate> {
        self.mean(|image| Some(image.effective_size))
    }

    /// How much L_K is above L of the k before it: how far it still grows.
    pub fn growth(&self) -> Option<Estimate> {
        self.mean(growth)
    }

    /// The bound from below that is the higher one on average.
    pub fn log_likelihood(&self) -> Option<Estimate> {
        self.mean(self.log_px())
    }

    /// That bound of an image.
    fn log_px(&self) -> BoundOf {
        let bounds: [(Option<Estimate>, BoundOf); 3] = [
            (self.importance_sampling(), |image| image.lower.last().copied()),
            (self.annealing(), |image| Some(image.annealed)),
            (self.importance_from_best(), |image| image.refined.as_ref()?.importance),
        ];
        let value = |estimate: Option<Estimate>| estimate.map_or(f64::NEG_INFINITY, |e| e.value);
        let highest = bounds.into_iter().max_by(|a, b| value(a.0).total_cmp(&value(b.0)));
        highest.expect("there are three").1
    }

    /// A figure of each image's ELBOs.
    pub fn of_refined(&self, figure: impl Fn(&Refined) -> Option<f64>) -> Option<Estimate> {
        self.mean(|image| figure(image.refined.as_ref()?))
    }

    /// log p(x) - `L[q*]`: what the best q of the family lacks.
    pub fn approximation(&self) -> Option<Estimate> {
        self.below(|refined| refined.best)
    }

    /// `L[q*] - L[q]`: what the encoder's q lacks beside it.
    pub fn amortization(&self) -> Option<Estimate> {
        self.of_refined(|refined| Some(refined.best - refined.encoder))
    }

    /// log p(x) - `L[q]`, the sum of the two.
    pub fn inference(&self) -> Option<Estimate> {
        self.below(|refined| refined.encoder)
    }

    fn below(&self, figure: impl Fn(&Refined) -> f64) -> Option<Estimate> {
        let log_px = self.log_px();
        self.mean(|image| Some(log_px(image)? - figure(image.refined.as_ref()?)))
    }

    /// By how much harder these images are than `easy` ones.
    pub fn harder_than(&self, easy: &Gaps) -> Option<Harder> {
        let each = |gaps: &Gaps, figure: fn(&GapsOfImage) -> Option<f64>| -> Option<Vec<f64>> {
            let each: Option<Vec<f64>> = gaps.0.iter().map(figure).collect();
            each.filter(|each| !each.is_empty())
        };
        let size = |image: &GapsOfImage| Some(image.effective_size);
        Some(Harder {
            effective_sample_size: auroc(&each(easy, size)?, &each(self, size)?),
            growth: auroc(&each(self, growth)?, &each(easy, growth)?),
        })
    }
}

/// How much L_K of an image is above L of the k before it.
fn growth(image: &GapsOfImage) -> Option<f64> {
    let before = image.lower.len().checked_sub(2)?;
    Some(image.lower[before + 1] - image.lower[before])
}

/// By how much harder images are than others for importance sampling, whatever the spread of either: 1/2 where they are
/// alike, 1 where each of them is harder than each of the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Harder {
    /// The share of pairs of an image of each kind in which this one has the smaller effective sample size.
    pub effective_sample_size: Estimate,
    /// In which its L_K has still grown more.
    pub growth: Estimate,
}
