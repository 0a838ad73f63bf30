//! The loop over epochs: steps, figures, evaluation, checkpoints, and when it ends.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{EpochReport, Observer, OpenEpoch, State, TrainError, Trainer};
use crate::device::DeviceError;
use crate::plan::variant::Choices;

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Of every finished epoch in their order, those before a resume too.
    pub epochs: Vec<EpochReport>,
    /// The parameters at the end, all finite.
    pub parameters: Vec<Vec<f32>>,
    /// Steps finished.
    pub steps: u64,
    /// Whether the observer asked for the end.
    pub interrupted: bool,
    /// Whether it ended because the validation images' ELBO had not improved for [`super::Settings::early_stop`] epochs.
    pub stalled: bool,
    /// Of the kernels that have several on this device: they are part of what determines the run.
    pub variants: Choices,
}

/// Between looks at the metrics, which are shown then: bounds the time that a run goes on after a NaN.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Trains to the end of the settings' epochs or steps, or until the observer asks for an end.
///
/// # Errors
/// The device failed, the numbers did, or the observer could not write.
pub fn run(trainer: &mut Trainer, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
    let state = State::beginning(trainer.snapshot()?);
    go_on(trainer, state, observer)
}

/// Goes on from a state of the same run as if it had never stopped: on the same device, bit for bit.
///
/// # Errors
/// As [`run`].
pub fn resume(
    trainer: &mut Trainer,
    mut state: State,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    trainer.restore(&state.snapshot)?;
    state.reopen(trainer);
    go_on(trainer, state, observer)
}

fn go_on(
    trainer: &mut Trainer,
    mut state: State,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let total = trainer.steps_total();
    let mut interrupted = false;
    let patience = trainer.settings().early_stop;
    let every = observer.log_every();
    // What this process has taken for the open row, and the images that it has drawn in it.
    let mut row = (Duration::ZERO, 0.0);
    while !interrupted
        && !state.has_stalled(patience)
        && (trainer.step() < total || state.reported() < trainer.step())
    {
        let epoch = state.epoch();
        let whole = trainer.steps_until(epoch);
        let end = whole.min(total);
        observer.epoch_begins(epoch);
        let begin = Instant::now();
        while trainer.step() < end && !interrupted {
            let (watched, before) = (Instant::now(), trainer.step());
            let row_ends = every.map_or(u64::MAX, |every| (before / every + 1) * every.get());
            trainer.advance(end.min(row_ends), |step| {
                interrupted = observer.step(step);
                match interrupted || watched.elapsed() > WATCH_EVERY {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
            let steps = match trainer.steps_since(before)? {
                Ok(steps) => steps,
                Err(step) => return Err(trainer.explain(&state.snapshot, step)),
            };
            let images: f64 = steps.iter().map(|step| step.images).sum();
            // Every step counts an image at least; a driver without its GPU drops them all and reports nothing.
            if images < steps.len() as f64 {
                let adapter = trainer.executor().description().name.clone();
                let message =
                    format!("it has not run the steps from {before} on, and reported no failure");
                return Err(DeviceError::Adapter { adapter, message }.into());
            }
            state.open.sums = state.open.sums.and(&steps);
            observer.so_far(&trainer.average(state.open.sums).into());
            if every.is_some() {
                state.open_row = state.open_row.and(&steps);
                row = (row.0 + watched.elapsed(), row.1 + images);
                if trainer.step() == row_ends {
                    let (seconds, images) = std::mem::take(&mut row);
                    let speed = images / seconds.as_secs_f64();
                    let sums = std::mem::take(&mut state.open_row);
                    observer.steps_end(&trainer.report_steps(sums, speed));
                }
            }
        }
        state.open.seconds += begin.elapsed().as_secs_f64();
        let after = trainer.snapshot()?;
        if !after.is_finite() {
            return Err(trainer.explain_state(&state.snapshot));
        }
        state.snapshot = Arc::new(after);
        if !interrupted {
            let evaluating = Instant::now();
            observer.evaluating();
            let test = trainer.evaluate()?;
            interrupted = observer.step(trainer.step()); // asked for meanwhile
            let train = trainer.average(state.open.sums);
            let report = EpochReport {
                epoch,
                step: trainer.step(),
                train: train.into(),
                test: test.into(),
                validation: trainer.validates(),
                cut_short: end < whole,
                clipped: train.clipped,
                binarization: trainer.settings().binarization,
                images_per_second: train.images as f64 / state.open.seconds,
                seconds: state.open.seconds + evaluating.elapsed().as_secs_f64(),
            };
            let parameters = state.snapshot.values();
            observer.epoch_ends(&report, &parameters).map_err(TrainError::Checkpoint)?;
            state.reports.push(report);
            if end == whole {
                state.open = OpenEpoch::default();
            }
        }
        observer.checkpoint(&state).map_err(TrainError::Checkpoint)?;
    }
    let (parameters, steps) = (state.snapshot.values(), state.step());
    let variants = trainer.executor().variants();
    let stalled = state.has_stalled(patience);
    Ok(Outcome { epochs: state.reports, parameters, steps, interrupted, stalled, variants })
}
