//! The ELBO of the best q of the trained family for each image, found from where the encoder puts it.

use std::f64::consts::PI;
use std::ops::ControlFlow;

use super::{Bounds, EvaluateError, Observed, finite, unconditional};
use crate::device::Device;
use crate::kernels::{clock, rates};
use crate::loaded::{LoadedModel, Model, ModelProgram, rows_of};
use crate::plan::{Program, TensorId};
use crate::vae::Network;
use crate::vae::posterior::Density;
use crate::vae::refine::{Draws, RefineProgram};

/// Samples of the draws that only look, and of those whose weights estimate log p(x).
const LOOKING: u32 = 0x4000_0000;
const WEIGHING: u32 = 0x8000_0000;
/// Draws an image of a run that scores.
const SCORED: usize = 50;
/// Runs by which the gradient at the end is averaged.
const GRADIENTS: usize = 20;

/// How q is optimized: Adam for a given number of steps, its learning rate falling to zero along half a cosine.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Refining {
    pub steps: usize,
    /// Draws of z an image in each.
    pub samples: usize,
    pub learning_rate: f64,
    /// Draws by which the ELBOs at both ends are estimated, the same noise for both.
    pub scored: usize,
    /// Draws from the best q by which log p(x) is estimated; 0 for none.
    pub weighed: usize,
    /// Also from where the encoder's output is zero, q = N(0, I), whichever end is the better one: an encoder that is far off
    /// may begin where no way leads up.
    pub from_prior: bool,
}

impl Default for Refining {
    fn default() -> Self {
        let (steps, samples, learning_rate) = (500, 5, 0.03);
        Refining { steps, samples, learning_rate, scored: 500, weighed: 0, from_prior: false }
    }
}

/// One image's ELBOs, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Refined {
    /// `L[q]`, q the encoder's.
    pub encoder: f64,
    /// `L[q*]`, the higher one of the two below.
    pub best: f64,
    /// L of the q that was reached from the encoder's.
    pub from_encoder: f64,
    /// L of the q that was reached from N(0, I), if it was.
    pub from_prior: Option<f64>,
    /// L of the q after nine tenths of the steps, which says whether the last tenth has moved it.
    pub before_last: f64,
    /// The length of the gradient at q* in what the encoder gives of it, with the noise of its draws.
    pub gradient_norm: f64,
    /// L_K by draws from q*, if it was asked for: of these no other draw is, nor does q* depend on them, so that it is at least
    /// `L[q*]` and at most log p(x) on average.
    pub importance: Option<f64>,
}

impl ModelProgram for RefineProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

/// Optimizes q of each image, and returns it with the ELBOs: (N, heads) [mu | l] and what else q has. `progress` is told the share that is done.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn refine(
    device: &Device,
    model: Model,
    Observed { x, first: place, content, .. }: Observed,
    refining: Refining,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<(Vec<Refined>, Vec<f32>), EvaluateError> {
    let (pixels, width) = (model.architecture.pixels(), model.architecture.heads());
    unconditional(model.architecture)?;
    let images = x.len() / pixels;
    let rows = rows_of(device);
    let batch = (rows / refining.samples).clamp(1, images);
    let scored = refining.scored.min(SCORED);
    let draws = Draws { batch, samples: refining.samples, scored };
    let program = RefineProgram::record(model.architecture, content, draws)?;
    let loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
    let mut batch_of = Batch { model: loaded, seed: model.seed, refining, first: 0 };
    let (mut found, mut posteriors) = (Vec::with_capacity(images), Vec::new());
    let batches = images.div_ceil(batch);
    let starts =
        if refining.from_prior { &[Start::Encoder, Start::Prior][..] } else { &[Start::Encoder] };
    for (i, first) in (0..images).step_by(batch).enumerate() {
        let wanted = batch.min(images - first);
        batch_of.observe(place + first, &x[first * pixels..][..wanted * pixels])?;
        let mut ascents = Vec::with_capacity(starts.len());
        for (s, &start) in starts.iter().enumerate() {
            let mut told = |share: f64| {
                let of_batch = (s as f64 + share) / starts.len() as f64;
                progress((i as f64 + of_batch) / batches as f64)
            };
            ascents.push(batch_of.ascend(start, wanted, &mut told)?);
        }
        let of_higher = |b: usize| {
            let mut higher = &ascents[0];
            for other in &ascents[1..] {
                if other.after[b] > higher.after[b] {
                    higher = other;
                }
            }
            higher
        };
        let rows = (0..wanted).map(|b| &of_higher(b).heads[b * width..][..width]);
        let best: Vec<f32> = rows.flatten().copied().collect();
        let importance = batch_of.importance(&best, wanted)?;
        posteriors.extend(best);
        for b in 0..wanted {
            let higher = of_higher(b);
            let refined = Refined {
                encoder: ascents[0].before[b],
                best: higher.after[b],
                from_encoder: ascents[0].after[b],
                from_prior: ascents.get(1).map(|ascent| ascent.after[b]),
                before_last: higher.before_last[b],
                gradient_norm: higher.gradient_norms[b],
                importance: importance.as_ref().map(|each| each[b]),
            };
            if !refined.best.is_finite() {
                let value = refined.best as f32;
                return Err(EvaluateError::NotFinite { image: place + first + b, value });
            }
            found.push(refined);
        }
    }
    Ok((found, posteriors))
}

/// Where an ascent begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// At the encoder's q.
    Encoder,
    /// At N(0, I), which is what every family has where the encoder's output is zero.
    Prior,
}

/// What an ascent found of each image of a batch.
struct Ascent {
    /// The ELBO where it began.
    before: Vec<f64>,
    /// After nine tenths of the steps.
    before_last: Vec<f64>,
    after: Vec<f64>,
    gradient_norms: Vec<f64>,
    /// (B, heads) where it ended
    heads: Vec<f32>,
}

/// Posteriors of a batch on a device.
struct Batch {
    model: LoadedModel<RefineProgram>,
    seed: u64,
    refining: Refining,
    /// The place of its first image.
    first: usize,
}

impl Batch {
    fn observe(&mut self, first: usize, x: &[f32]) -> Result<(), EvaluateError> {
        self.first = first;
        let tensor = self.model.program.x;
        let n = self.model.program.program.get(tensor).len();
        let mut whole = x.to_vec();
        whole.resize(n, 0.0);
        Ok(self.model.executor.write_f32(tensor, &whole)?)
    }

    /// Puts the posteriors on where they begin.
    fn begin(&mut self, start: Start) -> Result<(), EvaluateError> {
        let RefineProgram { state, heads, encode, .. } = self.model.program;
        let zeros = |tensor| vec![0.0; self.model.program.program.get(tensor).len()];
        let (of_state, of_heads) = (zeros(state), zeros(heads));
        self.model.executor.write_f32(state, &of_state)?;
        match start {
            Start::Encoder => self.model.run(encode)?,
            Start::Prior => self.model.executor.write_f32(heads, &of_heads)?,
        }
        Ok(())
    }

    fn ascend(
        &mut self,
        start: Start,
        images: usize,
        progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Ascent, EvaluateError> {
        let steps = self.refining.steps;
        self.begin(start)?;
        let before = self.elbos(images)?;
        self.steps(0..steps * 9 / 10, progress)?;
        let before_last = self.elbos(images)?;
        self.steps(steps * 9 / 10..steps, progress)?;
        let after = self.elbos(images)?;
        let gradient_norms = self.gradient_norms()?;
        let heads = self.model.read(self.model.program.heads)?;
        Ok(Ascent { before, before_last, after, gradient_norms, heads })
    }

    /// Before draws from this sample on.
    fn at(&mut self, sample: u32) -> Result<(), EvaluateError> {
        let mut words = clock::at(self.seed, self.first);
        words[clock::SAMPLE] = sample;
        Ok(self.model.executor.write_u32(self.model.program.clock, &words)?)
    }

    fn steps(
        &mut self,
        range: std::ops::Range<usize>,
        progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<(), EvaluateError> {
        let Refining { steps, samples, learning_rate, .. } = self.refining;
        self.at((range.start * samples) as u32)?;
        for step in range {
            if progress(step as f64 / steps as f64).is_break() {
                return Err(EvaluateError::Interrupted);
            }
            let along = step as f64 / steps as f64;
            self.write_rates(learning_rate * 0.5 * (1.0 + (PI * along).cos()), step + 1)?;
            self.model.run(self.model.program.step)?;
        }
        Ok(())
    }

    /// What the step of this number, the first being 1, is to have.
    fn write_rates(&mut self, rate: f64, number: usize) -> Result<(), EvaluateError> {
        let RefineProgram { rates: tensor, adam, draws, .. } = self.model.program;
        let mut words = [0.0f32; rates::WORDS];
        words[rates::LEARNING_RATE] = rate as f32;
        words[rates::CORRECTION1] = (1.0 - adam.beta1.powi(number as i32)) as f32;
        words[rates::CORRECTION2] = (1.0 - adam.beta2.powi(number as i32)) as f32;
        // In closed form it is that of the mean over the batch.
        let closed = self.model.program.network.architecture.posterior.has_closed_kl();
        words[rates::KL_WEIGHT] = if closed { draws.batch as f32 } else { 1.0 };
        Ok(self.model.executor.write_f32(tensor, &words)?)
    }

    /// The ELBO of each image, with the KL in closed form where it has one, and the same noise each time.
    fn elbos(&mut self, images: usize) -> Result<Vec<f64>, EvaluateError> {
        let RefineProgram { score, log_px, heads, draws, .. } = self.model.program;
        self.at(LOOKING)?;
        let runs = self.refining.scored.div_ceil(draws.scored);
        let mut sums = vec![0.0; images];
        for _ in 0..runs {
            self.model.run(score)?;
            let values = self.model.read(log_px)?;
            for (sum, values) in sums.iter_mut().zip(values.chunks_exact(draws.scored)) {
                *sum += values.iter().map(|&v| f64::from(v)).sum::<f64>();
            }
        }
        let heads = self.model.read(heads)?;
        let of = &self.model.program.network.architecture;
        let kl = |heads: &[f32]| match of.posterior.has_closed_kl() {
            true => Density::of(of.posterior, heads, of.latent).kl(),
            false => 0.0, // what was scored are log weights
        };
        let each = sums.into_iter().zip(heads.chunks_exact(of.heads()));
        Ok(each.map(|(sum, heads)| sum / (runs * draws.scored) as f64 - kl(heads)).collect())
    }

    /// L_K of each image by draws from the q of these heads, if it is asked for.
    fn importance(
        &mut self,
        heads: &[f32],
        images: usize,
    ) -> Result<Option<Vec<f64>>, EvaluateError> {
        let RefineProgram { weigh, log_w, heads: tensor, draws, .. } = self.model.program;
        let weighed = self.refining.weighed;
        if weighed == 0 {
            return Ok(None);
        }
        let mut whole = heads.to_vec();
        whole.resize(self.model.program.program.get(tensor).len(), 0.0);
        self.model.executor.write_f32(tensor, &whole)?;
        self.at(WEIGHING)?;
        let mut bounds: Vec<Bounds> = (0..images).map(|_| Bounds::new(&[weighed])).collect();
        for run in 0..weighed.div_ceil(draws.scored) {
            self.model.run(weigh)?;
            let values = self.model.read(log_w)?;
            let of_run = draws.scored.min(weighed - run * draws.scored);
            let rows = bounds.iter_mut().zip(values.chunks_exact(draws.scored));
            for (b, (bounds, values)) in rows.enumerate() {
                for &log_w in &values[..of_run] {
                    finite(self.first + b, log_w)?;
                    bounds.push(f64::from(log_w));
                }
            }
        }
        Ok(Some(bounds.iter().map(|bounds| bounds.values()[0]).collect()))
    }

    fn gradient_norms(&mut self) -> Result<Vec<f64>, EvaluateError> {
        let RefineProgram { gradient, d_heads, .. } = self.model.program;
        self.at(LOOKING)?;
        self.write_rates(0.0, 1)?;
        let mut sums: Vec<f64> = Vec::new();
        for _ in 0..GRADIENTS {
            self.model.run(gradient)?;
            let values = self.model.read(d_heads)?;
            sums.resize(values.len(), 0.0);
            sums.iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(v));
        }
        let length = |g: &[f64]| g.iter().map(|v| v * v).sum::<f64>().sqrt() / GRADIENTS as f64;
        let heads = self.model.program.network.architecture.heads();
        Ok(sums.chunks_exact(heads).map(length).collect())
    }
}
