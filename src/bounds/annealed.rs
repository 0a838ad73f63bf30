//! log p(x) from below and from above by annealed importance sampling.
//!
//! A chain goes through T temperatures, beta_0 = 0 to beta_T = 1, along log f = (1 - beta) log r(z) + beta (log p(x|z) + log
//! p(z)), r = q(z|x) or p(z): log w = sum_t (beta_t - beta_t-1) (log p(x|z_t-1) + log p(z_t-1) - log r(z_t-1)), z_0 ~ r,
//! z_t by a transition that leaves f at beta_t as it is. Then E w = p(x) (Neal 2001). Backwards from z* ~ p(z|x), through the
//! same transitions, E 1/w = 1/p(x) (Grosse et al. 2015, arXiv 1511.02543). That holds for any transitions that are reversible
//! and do not depend on the chain's past; so no step size changes within one.

use std::ops::ControlFlow;

use serde::Serialize;

use super::estimators::log_mean_exp;
use super::tempering::{Direction, Tempering};
use super::{Estimate, EvaluateError, Observed, UpperBounds, check_path, finite, unconditional};
use crate::device::Device;
use crate::kernels::annealed::{ACCEPTANCE, LOG_PX, LOG_W, TAIL};
use crate::kernels::clock;
use crate::loaded::{LoadedModel, Model, ModelProgram, rows_of};
use crate::plan::{Program, TensorId};
use crate::vae::Network;
use crate::vae::anneal::{AnnealProgram, Chains, Path};
use crate::vae::estimate::Chunks;
use crate::vae::step::Content;

/// First samples of chains whose noise no others have.
pub(super) const PILOT: u32 = 0x8000_0000;
const BACKWARD: u32 = 0x4000_0000;

/// How chains are annealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Annealing {
    /// Where their path begins.
    pub path: Path,
    /// T
    pub temperatures: usize,
    /// Chains an image.
    pub chains: usize,
    /// L, leapfrogs of a transition.
    pub leapfrogs: usize,
}

/// What is done to a program and to its schedules before they are used: nothing, but in tests of what notices it.
#[derive(Clone, Copy)]
pub struct Spoilt {
    pub program: fn(AnnealProgram) -> AnnealProgram,
    pub schedule: fn(&mut [f32]),
}

impl Spoilt {
    /// Nothing.
    pub const NOT: Spoilt = Spoilt { program: |program| program, schedule: |_| {} };
}

/// One image's log weights, a chain each.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Of chains that go to the posterior.
    pub forward: Vec<f64>,
    /// Of chains that come from it; none where no draw from it is known.
    pub backward: Vec<f64>,
    /// Mean probability that a proposal was accepted, forward and backward; 1 without any transition.
    pub acceptance: [Option<f64>; 2],
}

impl Weights {
    /// log of the mean of the weights: at most log p(x) on average.
    pub fn lower(&self) -> f64 {
        log_mean_exp(self.forward.iter().copied())
    }

    /// At least log p(x) on average: log of the mean of C weights, of which one is of a chain from the posterior, averaged
    /// over which. NaN without such.
    pub fn upper(&self) -> f64 {
        let chains = self.forward.len();
        let each = self.backward.iter().enumerate().map(|(own, &truth)| {
            let mut upper = UpperBounds::new(&[chains], truth);
            let others = self.forward.iter().enumerate().filter(|&(other, _)| other != own);
            others.for_each(|(_, &w)| upper.push(w));
            upper.values()[0]
        });
        each.sum::<f64>() / self.backward.len() as f64
    }
}

/// A point of the rate-distortion curve of a decoder (Huang et al. 2020, arXiv 2008.06653): what the codes of f at a
/// temperature tell, and how far off what they decode to is. Means over images, nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RatePoint {
    pub beta: f64,
    /// KL(f || p(z)), from above.
    pub rate: f64,
    /// -E_f log p(x|z)
    pub distortion: f64,
}

/// What annealing found.
#[derive(Debug, Clone, PartialEq)]
pub struct Annealed {
    pub tempering: Tempering,
    /// Of each image.
    pub images: Vec<Weights>,
    /// Of the temperatures that were looked at, where the path begins at the prior.
    pub curve: Vec<RatePoint>,
}

impl Annealed {
    /// The bound from below, the mean over images.
    pub fn lower(&self) -> Estimate {
        Estimate::of(self.images.iter().map(Weights::lower))
    }

    /// The bound from above, the mean over images.
    pub fn upper(&self) -> Option<Estimate> {
        let known = self.images.iter().all(|image| !image.backward.is_empty());
        known.then(|| Estimate::of(self.images.iter().map(Weights::upper)))
    }

    /// Mean probability that a proposal was accepted, forward and backward; 1 without any transition.
    pub fn acceptance(&self) -> [Option<f64>; 2] {
        let n = self.images.len() as f64;
        [0, 1].map(|way| {
            let each: Option<f64> = self.images.iter().map(|image| image.acceptance[way]).sum();
            each.map(|sum| sum / n)
        })
    }

    /// How far the bounds are apart.
    pub fn width(&self) -> Option<Estimate> {
        let known = self.images.iter().all(|image| !image.backward.is_empty());
        known.then(|| Estimate::of(self.images.iter().map(|i| i.upper() - i.lower())))
    }
}

impl ModelProgram for AnnealProgram {
    fn parts(&self) -> (&Program, &Network, Option<TensorId>) {
        (&self.program, &self.network, Some(self.clock))
    }
}

/// The chains of a batch on a device.
pub(super) struct Loaded {
    model: LoadedModel<AnnealProgram>,
    seed: u64,
    latent: usize,
}

impl Loaded {
    pub fn new(
        device: &Device,
        model: Model,
        content: Content,
        chains: Chains,
        spoilt: Spoilt,
    ) -> Result<Self, EvaluateError> {
        unconditional(model.architecture)?;
        check_path(model.architecture, chains.path)?;
        let program = (spoilt.program)(AnnealProgram::record(model.architecture, content, chains)?);
        let (seed, latent) = (model.seed, model.architecture.latent);
        let model = LoadedModel::load(device, program, model.parameters, seed)?;
        Ok(Loaded { model, seed, latent })
    }

    /// Writes a batch of images, (B, D) or fewer, and encodes it. Chains are to begin at the encoder's q, or at these means and
    /// log variances (B, 2*Z).
    pub fn observe(&mut self, x: &[f32], starts: Option<&[f32]>) -> Result<(), EvaluateError> {
        let AnnealProgram { x: tensor, marginals, encode, .. } = self.model.program;
        let n = self.model.program.program.get(tensor).len();
        let mut whole = x.to_vec();
        whole.resize(n, 0.0);
        self.model.executor.write_f32(tensor, &whole)?;
        self.model.run(encode)?;
        let Some(starts) = starts else { return Ok(()) };
        let mut whole = starts.to_vec();
        whole.resize(self.model.program.program.get(marginals).len(), 0.0);
        Ok(self.model.executor.write_f32(marginals, &whole)?)
    }

    pub fn write_schedule(&mut self, schedule: &[f32]) -> Result<(), EvaluateError> {
        Ok(self.model.executor.write_f32(self.model.program.schedule, schedule)?)
    }

    /// Puts the chains of the images from `first` on where their path begins, or at codes (B, Z).
    pub fn begin(
        &mut self,
        schedule: &[f32],
        first: usize,
        sample: u32,
        codes: Option<&[f32]>,
    ) -> Result<(), EvaluateError> {
        self.write_schedule(schedule)?;
        let AnnealProgram { clock: tensor, begin, z, chains, .. } = self.model.program;
        let mut words = clock::at(self.seed, first);
        words[clock::SAMPLE] = sample;
        self.model.executor.write_u32(tensor, &words)?;
        let Some(codes) = codes else {
            return Ok(self.model.run(begin)?);
        };
        let each = codes.chunks_exact(self.latent);
        let mut all: Vec<f32> = each.flat_map(|code| code.repeat(chains.samples)).collect();
        all.resize(chains.batch * chains.samples * self.latent, 0.0);
        Ok(self.model.executor.write_f32(z, &all)?)
    }

    /// Runs so many steps. False if `progress` ended them.
    pub fn steps(
        &mut self,
        n: u64,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<bool, EvaluateError> {
        let mut on = true;
        self.model.executor.run(self.model.program.step, n, &mut |done| {
            let flow = progress(done);
            on &= flow.is_continue();
            flow
        })?;
        Ok(on)
    }

    /// A number of the state of every chain, (B*K).
    pub fn tail(&mut self, place: usize) -> Result<Vec<f32>, EvaluateError> {
        Ok(self.tails()?.iter().map(|tail| tail[place]).collect())
    }

    fn tails(&mut self) -> Result<Vec<[f32; TAIL]>, EvaluateError> {
        let state = self.model.read(self.model.program.state)?;
        let rows = state.chunks_exact(2 * self.latent + TAIL);
        let tail = |row: &[f32]| std::array::from_fn(|i| row[2 * self.latent + i]);
        Ok(rows.map(tail).collect())
    }

    /// The mean of a number of the state over the chains.
    pub fn mean(&mut self, place: usize) -> Result<f64, EvaluateError> {
        let values = self.tail(place)?;
        Ok(values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64)
    }
}

/// Temperatures at which the rate-distortion curve is looked at.
const POINTS: usize = 40;

/// Anneals chains of images: forward, and backward where the codes that made them are known. `progress` is told the share
/// that is done.
///
/// # Errors
/// The device failed, the numbers did, or `progress` said `Break`.
pub fn anneal(
    device: &Device,
    model: Model,
    observed: Observed,
    tempering: &Tempering,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Annealed, EvaluateError> {
    anneal_spoilt(device, model, observed, tempering, Spoilt::NOT, progress)
}

/// The same with an error planted.
///
/// # Errors
/// As [`anneal`].
pub fn anneal_spoilt(
    device: &Device,
    model: Model,
    Observed { x, first: place, content, z, starts }: Observed,
    tempering: &Tempering,
    spoilt: Spoilt,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Annealed, EvaluateError> {
    let Annealing { path, temperatures, chains, leapfrogs } = tempering.settings;
    let (pixels, latent) = (model.architecture.pixels(), model.architecture.latent);
    let images = x.len() / pixels;
    let chunks = Chunks::new(rows_of(device), images, chains);
    let Chunks { batch, samples, .. } = chunks;
    let parts = chains.div_ceil(samples);
    let each = Chains { batch, samples, path, temperatures, leapfrogs };
    let mut loaded = Loaded::new(device, model, content, each, spoilt)?;
    let steps = ((temperatures - 1) * leapfrogs + 1) as u64;
    let directions: &[Direction] = match z {
        Some(_) => &[Direction::Forward, Direction::Backward],
        None => &[Direction::Forward],
    };
    let total = images.div_ceil(batch) * parts * directions.len();
    // where a run ends to look at the weights: behind the share that leads to one of these temperatures
    let points: Vec<usize> = match path {
        Path::Prior => (1..=POINTS.min(temperatures))
            .map(|i| i * temperatures / POINTS.min(temperatures))
            .collect(),
        Path::Posterior => vec![temperatures],
    };
    let transitions = ((temperatures - 1) * chains) as f64;
    let share = |sum: f64| if transitions > 0.0 { sum / transitions } else { 1.0 };
    let mut done = 0;
    let mut found = Vec::with_capacity(images);
    let mut curve = vec![(0.0, 0.0); points.len()];
    for first in (0..images).step_by(batch) {
        let wanted = batch.min(images - first);
        let starts = starts.map(|starts| &starts[2 * first * latent..][..2 * wanted * latent]);
        loaded.observe(&x[first * pixels..][..wanted * pixels], starts)?;
        let none = Weights { forward: Vec::new(), backward: Vec::new(), acceptance: [None; 2] };
        let mut weights = vec![none; wanted];
        let mut accepted = vec![[0.0, 0.0]; wanted];
        // (points, wanted) of pairs log w, log p(x|z)
        let mut seen = vec![vec![Vec::new(); wanted]; points.len()];
        for &direction in directions {
            let mut schedule = tempering.schedule(direction);
            (spoilt.schedule)(&mut schedule);
            for part in 0..parts {
                let backward = direction == Direction::Backward;
                let sample = (part * samples) as u32 + if backward { BACKWARD } else { 0 };
                let codes = z.filter(|_| backward);
                let codes = codes.map(|z| &z[first * latent..][..wanted * latent]);
                loaded.begin(&schedule, place + first, sample, codes)?;
                let of_part = samples.min(chains - part * samples);
                let mut ran = 0;
                for (i, &point) in points.iter().enumerate() {
                    let end = ((point - 1) * leapfrogs + 1) as u64;
                    let on = loaded.steps(end - ran, &mut |now| {
                        let share = (ran + now) as f64 / steps as f64;
                        progress((done as f64 + share) / total as f64)
                    })?;
                    if !on {
                        return Err(EvaluateError::Interrupted);
                    }
                    ran = end;
                    let tails = loaded.tails()?;
                    for (b, image) in weights.iter_mut().enumerate() {
                        for tail in &tails[b * samples..][..of_part] {
                            finite(place + first + b, tail[LOG_W])?;
                            let log_w = f64::from(tail[LOG_W]);
                            match direction {
                                Direction::Forward => {
                                    seen[i][b].push((log_w, f64::from(tail[LOG_PX])));
                                    if point == temperatures {
                                        image.forward.push(log_w);
                                        accepted[b][0] += f64::from(tail[ACCEPTANCE]);
                                    }
                                }
                                Direction::Backward if point == temperatures => {
                                    image.backward.push(log_w);
                                    accepted[b][1] += f64::from(tail[ACCEPTANCE]);
                                }
                                Direction::Backward => {}
                            }
                        }
                    }
                }
                debug_assert_eq!(ran, steps);
                done += 1;
            }
        }
        for (i, &point) in points.iter().enumerate() {
            for pairs in &seen[i] {
                let log_z = log_mean_exp(pairs.iter().map(|p| p.0));
                let n = pairs.len() as f64;
                let of_image: f64 = pairs.iter().map(|(w, px)| (w - log_z).exp() / n * px).sum();
                curve[i].0 += tempering.betas[point] * of_image - log_z;
                curve[i].1 -= of_image;
            }
        }
        for (image, [forward, backward]) in weights.iter_mut().zip(accepted) {
            image.acceptance = [Some(share(forward)), z.map(|_| share(backward))];
        }
        found.extend(weights);
    }
    let curve = points.iter().zip(curve).map(|(&point, (rate, distortion))| RatePoint {
        beta: tempering.betas[point],
        rate: rate / images as f64,
        distortion: distortion / images as f64,
    });
    Ok(Annealed {
        tempering: tempering.clone(),
        images: found,
        curve: if path == Path::Prior { curve.collect() } else { Vec::new() },
    })
}
