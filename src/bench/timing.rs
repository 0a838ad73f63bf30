//! Repeated measurements of one thing.

use std::time::Instant;

use serde::Serialize;

use crate::device::{DeviceError, TimedBy};

/// A measurement shorter than this says more about the clock than about what is measured.
const SHORTEST: f64 = 0.005;
/// Few enough that what runs over and over on the same state stays in range.
const MOST_RUNS: usize = 256;
/// Samples of training steps that `budget` is meant for.
const STEP_SAMPLES: f64 = 10.0;
const MOST_SAMPLES: usize = 200;
const LEAST_SAMPLES: usize = 5;

/// Seconds of one run of something: the distribution over samples, warm-up left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Timing {
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
    /// Samples.
    pub n: usize,
    /// Runs a sample is the mean of.
    pub runs: usize,
    pub clock: TimedBy,
}

impl Timing {
    /// # Panics
    /// If there are no samples.
    pub fn new(mut seconds: Vec<f64>, runs: usize, clock: TimedBy) -> Self {
        seconds.sort_by(f64::total_cmp);
        Timing {
            median: percentile(&seconds, 0.5),
            p10: percentile(&seconds, 0.1),
            p90: percentile(&seconds, 0.9),
            n: seconds.len(),
            runs,
            clock,
        }
    }

    /// The same for a part of what was run, of which there are `n`.
    pub fn share(self, n: usize) -> Self {
        let n = n as f64;
        Timing { median: self.median / n, p10: self.p10 / n, p90: self.p90 / n, ..self }
    }
}

/// The value below which this share of the sorted values lies, linear between neighbours.
///
/// # Panics
/// If there are none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (at - at.floor()) * (sorted[high] - sorted[low])
}

/// Samples `run(n)`, which runs something `n` times and returns the seconds of all, until the samples have
/// taken `budget` seconds, or four times that with what `run` does beside: at least [`LEAST_SAMPLES`] times,
/// after a warm-up that finds how many runs make a measurable sample.
pub fn sample(
    budget: f64,
    run: impl FnMut(usize) -> Result<(f64, TimedBy), DeviceError>,
) -> Result<Timing, DeviceError> {
    sample_of(budget, SHORTEST, MOST_RUNS, run)
}

/// The same of training steps: a sample is a tenth of the budget, of as many steps as it takes, so that its beginning and
/// its end weigh what they do in an epoch.
pub fn sample_steps(
    budget: f64,
    run: impl FnMut(usize) -> Result<(f64, TimedBy), DeviceError>,
) -> Result<Timing, DeviceError> {
    sample_of(budget, SHORTEST.max(budget / STEP_SAMPLES), usize::MAX, run)
}

fn sample_of(
    budget: f64,
    shortest: f64,
    most_runs: usize,
    mut run: impl FnMut(usize) -> Result<(f64, TimedBy), DeviceError>,
) -> Result<Timing, DeviceError> {
    run(1)?;
    let mut runs = 1;
    loop {
        let (seconds, _) = run(runs)?;
        if seconds >= shortest.min(budget) || runs == most_runs {
            break;
        }
        let wanted = 1.2 * shortest * runs as f64 / seconds.max(1e-9);
        runs = (wanted as usize).clamp(2 * runs, 64 * runs).min(most_runs);
    }
    let begin = Instant::now();
    let mut samples = Vec::new();
    let mut sum = 0.0;
    let clock = loop {
        let (seconds, clock) = run(runs)?;
        samples.push(seconds / runs as f64);
        sum += seconds;
        let spent = sum >= budget || begin.elapsed().as_secs_f64() >= 4.0 * budget;
        if spent && samples.len() >= LEAST_SAMPLES || samples.len() == MOST_SAMPLES {
            break clock;
        }
    };
    Ok(Timing::new(samples, runs, clock))
}
