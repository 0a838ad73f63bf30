//! L_K of any images, and U_K of those that were drawn from the model.

use std::ops::ControlFlow;

use rayon::prelude::*;

use super::{
    Bounds, Estimate, EvaluateError, Observed, Simulated, UpperBounds, Work, finite, unconditional,
};
use crate::device::Device;
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::posterior::Reader;

/// More than any set has.
const PLACES: usize = 1 << 31;

/// One image's log p(x) from both sides, nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Bracket {
    /// L_k for each k.
    pub lower: Vec<f64>,
    /// U_k for each k; none where the code that made the image is not known.
    pub upper: Vec<f64>,
    /// (sum w)^2 / sum w^2 of the weights of all draws.
    pub effective_size: f64,
}

/// What is known of log p(x) of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Sandwich {
    /// Numbers k of draws, ascending; the last is K, all of them.
    pub ks: Vec<usize>,
    /// Of each image.
    pub images: Vec<Bracket>,
}

impl Sandwich {
    /// L_k of the k of this index, the mean over images.
    pub fn lower(&self, k: usize) -> Estimate {
        Estimate::of(self.images.iter().map(|image| image.lower[k]))
    }

    /// U_k of the k of this index, the mean over images.
    pub fn upper(&self, k: usize) -> Estimate {
        Estimate::of(self.images.iter().map(|image| image.upper[k]))
    }

    /// The effective sample size of all draws, the mean over images.
    pub fn effective_size(&self) -> Estimate {
        Estimate::of(self.images.iter().map(|image| image.effective_size))
    }

    /// U_k - L_k, of the same images: what varies from image to image alike cancels.
    pub fn width(&self, k: usize) -> Estimate {
        Estimate::of(self.images.iter().map(|image| image.upper[k] - image.lower[k]))
    }
}

/// log w(z) = log p(x|z) + log p(z) - log q(z|x) for one z, in double precision: q by the encoder's output.
pub fn log_weight(reader: &Reader, heads: &[f32], z: &[f32], log_px: f32) -> f64 {
    let q = reader.density(heads);
    let z: Vec<f64> = z.iter().map(|&z| f64::from(z)).collect();
    f64::from(log_px) + q.log_ratio(&z)
}

/// L_k and U_k for `ks`, ascending, of which the last is the number of draws from q. `rows` are those of a run of
/// the plan, if not the device's usual number; no draw depends on it.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn sandwich(
    device: &Device,
    model: Model,
    simulated: &Simulated,
    ks: &[usize],
    rows: Option<usize>,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Sandwich, EvaluateError> {
    let latent = model.architecture.latent;
    let reader = Reader::of(model.architecture, model.parameters);
    let truth = |image: usize, heads: &[f32]| {
        let z = &simulated.z[image * latent..][..latent];
        finite(simulated.first + image, simulated.log_px[image])?;
        Ok(Some(log_weight(&reader, heads, z, simulated.log_px[image])))
    };
    draw(device, model, simulated.observed(), truth, ks, rows, progress)
}

/// L_k of images of whose codes nothing is known: the same without U_k.
///
/// # Errors
/// As [`sandwich`].
pub fn lower(
    device: &Device,
    model: Model,
    observed: Observed,
    ks: &[usize],
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Sandwich, EvaluateError> {
    draw(device, model, observed, |_, _| Ok(None), ks, None, progress)
}

/// `truth` gives log w(z*) of an image from its heads.
fn draw(
    device: &Device,
    model: Model,
    Observed { x, first: place, content, .. }: Observed,
    truth: impl Fn(usize, &[f32]) -> Result<Option<f64>, EvaluateError>,
    ks: &[usize],
    rows: Option<usize>,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Sandwich, EvaluateError> {
    unconditional(model.architecture)?;
    let (images, width) = (x.len() / model.architecture.pixels(), model.architecture.heads());
    let samples = *ks.last().expect("at least one k");
    let chunks = Chunks::new(rows.unwrap_or(rows_of(device)), images, samples);
    // A window onto a set without end: an image has its place in it, and its noise, whatever is beside it.
    let window = images.next_power_of_two();
    let program =
        EstimateProgram::record(model.architecture, content, PLACES, Some(window), chunks)?;
    let mut loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
    let EstimateProgram { data, importance, log_w, .. } = loaded.program;
    let mut held = x.to_vec();
    held.resize(window * model.architecture.pixels(), 0.0);
    held.rotate_right(place % window * model.architecture.pixels());
    loaded.executor.write_f32(data, &held)?;
    let total = (images.div_ceil(chunks.batch) * samples.div_ceil(chunks.samples)) as u64;
    let mut work = Work { progress, done: 0, total };
    let mut brackets = Vec::with_capacity(images);
    for first in (0..images).step_by(chunks.batch) {
        let batch = chunks.batch.min(images - first);
        loaded.begin_at(place + first)?;
        let heads = loaded.encode()?;
        let mut draws = Vec::with_capacity(batch);
        for (b, heads) in heads.chunks_exact(width).take(batch).enumerate() {
            let upper = truth(first + b, heads)?.map(|truth| UpperBounds::new(ks, truth));
            draws.push((Bounds::new(ks), upper));
        }
        let executor = &mut *loaded.executor;
        work.draw(executor, importance, [log_w], chunks, samples, |run, [log_w]| {
            draws.par_iter_mut().enumerate().try_for_each(|(b, (lower, upper))| {
                for &log_w in run.of_image(log_w, b) {
                    finite(place + first + b, log_w)?;
                    lower.push(f64::from(log_w));
                    if let Some(upper) = upper {
                        upper.push(f64::from(log_w));
                    }
                }
                Ok(())
            })
        })?;
        brackets.extend(draws.iter().map(|(lower, upper)| Bracket {
            lower: lower.values(),
            upper: upper.as_ref().map_or_else(Vec::new, UpperBounds::values),
            effective_size: lower.effective_size(),
        }));
    }
    Ok(Sandwich { ks: ks.to_vec(), images: brackets })
}
