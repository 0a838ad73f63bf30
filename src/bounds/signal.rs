//! How much of a training step's gradient is signal, and how that changes with the number of draws.
//!
//! The more draws the importance-weighted bound has, the better its gradient with respect to the decoder is known, and the
//! worse that with respect to the encoder: their signal-to-noise ratios grow as K^(1/2) and fall as K^(-1/2) (Rainforth et
//! al. 2018, arXiv 1802.04537). The doubly reparameterized gradient of the encoder grows as K^(1/2) too (Tucker et al. 2018, arXiv
//! 1810.04152).

use std::ops::ControlFlow;

use serde::Serialize;

use super::{EvaluateError, Observed, unconditional};
use crate::device::Device;
use crate::kernels::{clock, rates};
use crate::loaded::Model;
use crate::optim::{Adam, Optimizer, Update};
use crate::vae::Architecture;
use crate::vae::objective::{Bound, Estimator, Kl, Objective};
use crate::vae::step::{Source, TrainProgram};

/// The signal-to-noise ratios of a gradient: the length of its mean over the root of its variance, summed over all
/// parameters of a part.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Signal {
    /// K
    pub samples: usize,
    pub decoder: f64,
    pub encoder: f64,
}

/// The ratios for each number of draws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signals {
    /// Of the gradient of the bound itself.
    pub reparameterized: Vec<Signal>,
    /// Of the one whose encoder's part is doubly reparameterized.
    pub doubly_reparameterized: Vec<Signal>,
}

/// The ratios by both estimators of the encoder's gradient, see [`signal`].
///
/// # Errors
/// As [`signal`].
pub fn signals(
    device: &Device,
    model: Model,
    observed: Observed,
    ks: &[usize],
    repeats: usize,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Signals, EvaluateError> {
    let mut find = |estimator, half: f64| {
        let told = &mut |share: f64| progress(0.5 * (half + share));
        signal(device, model, observed, estimator, ks, repeats, told)
    };
    Ok(Signals {
        reparameterized: find(Estimator::Reparameterized, 0.0)?,
        doubly_reparameterized: find(Estimator::DoublyReparameterized, 1.0)?,
    })
}

fn objective(estimator: Estimator) -> Objective {
    Objective { bound: Bound::Iwae, kl: Kl::Sampled, estimator, ..Objective::default() }
}

/// Whether q is one whose gradients have all estimators.
///
/// # Errors
/// A q of flows: they have no doubly reparameterized one.
pub fn check(architecture: &Architecture) -> Result<(), EvaluateError> {
    let doubly = objective(Estimator::DoublyReparameterized);
    Ok(architecture.posterior.check_objective(&doubly)?)
}

/// The ratios of the gradient of the importance-weighted bound, the mean over `observed` images, for each number of draws,
/// from `repeats` gradients at the model's parameters, each with other draws. `progress` is told the share that is done.
///
/// # Errors
/// The device failed, or `progress` said `Break`.
pub fn signal(
    device: &Device,
    model: Model,
    observed: Observed,
    estimator: Estimator,
    ks: &[usize],
    repeats: usize,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Vec<Signal>, EvaluateError> {
    unconditional(model.architecture)?;
    let objective = objective(estimator);
    model.architecture.posterior.check_objective(&objective)?;
    let total: usize = ks.iter().sum();
    let mut done = 0;
    let mut signals = Vec::with_capacity(ks.len());
    for &samples in ks {
        let mut told = |repeat: usize| {
            let share = repeat as f64 / repeats as f64;
            progress((done as f64 + samples as f64 * share) / total as f64)
        };
        signals.push(at(device, model, observed, &objective, samples, repeats, &mut told)?);
        done += samples;
    }
    Ok(signals)
}

/// The exponent b of K^b that the values, positive, follow best: the slope of a line through their logarithms.
pub fn slope(points: impl Iterator<Item = (usize, f64)> + Clone) -> f64 {
    let points = points.map(|(k, v)| ((k as f64).ln(), v.ln()));
    let n = points.clone().count() as f64;
    let (x, y) = points.clone().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let covariance: f64 = points.clone().map(|p| (p.0 - x) * (p.1 - y)).sum();
    covariance / points.map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

fn at(
    device: &Device,
    model: Model,
    Observed { x, content, .. }: Observed,
    objective: &Objective,
    samples: usize,
    repeats: usize,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Signal, EvaluateError> {
    let images = x.len() / model.architecture.pixels();
    let source = Source { images, window: None, content, flips: None, batch: images, samples };
    let adam = Adam::default();
    // A step of no length, so that the parameters stay: Adam's first moment is beta1 of the one before and (1 - beta1) of the
    // gradient.
    let update = Update {
        optimizer: Optimizer::Adam(adam),
        learning_rate: 0.0,
        warm_up: 0.0,
        weight_decay: 0.0,
        clip_norm: None,
        average: None,
    };
    let plan = TrainProgram::record(model.architecture, source, source, objective, &update)?;
    let mut executor = device.load(plan.program.clone())?;
    executor.write_f32(plan.train.data, x)?;
    for (tensor, values) in plan.network.parameters().into_iter().zip(model.parameters) {
        executor.write_f32(tensor, values)?;
    }
    executor.write_u32(plan.train.clock, &clock::at(model.seed, 0))?;
    let mut words = [0.0f32; rates::WORDS];
    words[rates::CORRECTION1] = (1.0 - adam.beta1) as f32;
    words[rates::CORRECTION2] = (1.0 - adam.beta2) as f32;
    words[rates::KL_WEIGHT] = 1.0;
    executor.write_f32(plan.train.rates, &words)?;
    let mut parts = [Moments::default(), Moments::default()];
    let mut before: [Vec<f32>; 2] = [Vec::new(), Vec::new()];
    for repeat in 0..repeats {
        if progress(repeat).is_break() {
            return Err(EvaluateError::Interrupted);
        }
        executor.run_all(plan.train.plan, 1)?;
        let mut moments = [Vec::new(), Vec::new()];
        for trained in plan.trained.iter().filter(|trained| !trained.frozen) {
            let name = &plan.program.get(trained.parameter).name;
            let of_encoder = ["encoder", "posterior"].iter().any(|part| name.starts_with(part));
            let planes = executor.read_f32(trained.state)?;
            moments[usize::from(of_encoder)].extend(&planes[..planes.len() / 2]);
        }
        for ((part, before), moments) in parts.iter_mut().zip(&mut before).zip(moments) {
            let gradient = moments.iter().enumerate().map(|(i, &moment)| {
                let before = before.get(i).map_or(0.0, |&v| f64::from(v));
                f64::from(moment) - f64::from(adam.beta1 as f32) * before
            });
            part.push(gradient);
            *before = moments;
        }
    }
    let [decoder, encoder] = parts.map(|part| part.signal_to_noise());
    Ok(Signal { samples, decoder, encoder })
}

/// Mean and variance of vectors as they come (Welford 1962).
#[derive(Default)]
struct Moments {
    count: usize,
    mean: Vec<f64>,
    /// Sum of squared distances to the mean, of all elements.
    squares: f64,
}

impl Moments {
    fn push(&mut self, values: impl ExactSizeIterator<Item = f64>) {
        self.mean.resize(values.len(), 0.0);
        self.count += 1;
        for (mean, v) in self.mean.iter_mut().zip(values) {
            let off = v - *mean;
            *mean += off / self.count as f64;
            self.squares += off * (v - *mean);
        }
    }

    /// The length of the mean over the root of the variance. The mean's own noise is taken off the square of its length.
    fn signal_to_noise(&self) -> f64 {
        let n = self.count as f64;
        let variance = self.squares / (n - 1.0);
        let length: f64 = self.mean.iter().map(|mean| mean * mean).sum();
        ((length - variance / n).max(0.0) / variance).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_slopes() {
        let mut moments = Moments::default();
        for v in [[1.0, 0.0], [3.0, 0.0], [1.0, 0.0], [3.0, 0.0]] {
            moments.push(v.into_iter());
        }
        // mean (2, 0), variance 4/3 of the sum, a quarter of which is the mean's
        assert!((moments.signal_to_noise() - ((4.0_f64 - 1.0 / 3.0) * 0.75).sqrt()).abs() < 1e-12);
        let power = [2_usize, 4, 16].map(|k| (k, 3.0 * (k as f64).powf(-0.5)));
        assert!((slope(power.into_iter()) + 0.5).abs() < 1e-12);
    }
}
