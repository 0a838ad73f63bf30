//! What a run shows while it goes on: pictures of its progress, the figures of its steps, and TensorBoard's event file.

use std::io;
use std::num::NonZeroU64;

use super::{Glimpse, PictureError, Pictures};
use crate::checkpoint::{CheckpointError, ProgressOutput};
use crate::report::tensorboard::{EventFile, Value};
use crate::train::{EpochReport, Figures, StepReport};

/// Pictures that a whole run leaves in the event file at most, unless it is told how many.
const LOGGED: u32 = 20;

/// Listens to a run's epochs.
pub struct ProgressWriter<'a> {
    pictures: Pictures<'a>,
    shown: ProgressOutput,
    /// Made when there is something to write.
    events: Option<EventFile>,
    /// The epochs before, which an event file that is the run's first has to have too.
    before: Vec<EpochReport>,
}

impl<'a> ProgressWriter<'a> {
    /// `before` are the epochs of a run that goes on.
    pub fn new(pictures: Pictures<'a>, shown: ProgressOutput, before: &[EpochReport]) -> Self {
        ProgressWriter { pictures, shown, events: None, before: before.to_vec() }
    }

    /// Steps between the rows of `steps.jsonl`.
    pub fn log_every(&self) -> Option<NonZeroU64> {
        self.shown.log_every
    }

    /// Writes a row of `steps.jsonl`.
    ///
    /// # Errors
    /// The disk.
    pub fn steps_end(&mut self, report: &StepReport) -> Result<(), PictureError> {
        self.pictures.folder.append_steps(report)?;
        if self.shown.tensorboard {
            let written =
                self.events().and_then(|e| e.write(report.step, figures_of_steps(report)));
            written.map_err(|source| self.lost(source))?;
        }
        Ok(())
    }

    /// That TensorBoard's events could not be written.
    fn lost(&self, source: io::Error) -> CheckpointError {
        let path = match &self.events {
            Some(events) => events.path().to_path_buf(),
            None => self.pictures.folder.path().to_path_buf(),
        };
        CheckpointError::Io { path, action: "cannot write TensorBoard's events", source }
    }

    /// Writes what belongs to the end of an epoch.
    ///
    /// # Errors
    /// The device, or the disk; the run itself needs none of this.
    pub fn epoch_ends(
        &mut self,
        report: &EpochReport,
        parameters: &[Vec<f32>],
    ) -> Result<(), PictureError> {
        let epochs = self.pictures.settings.epochs;
        let ProgressOutput { figures_every: every, tensorboard, .. } = self.shown;
        let due = |every: u32| report.epoch.is_multiple_of(every) || report.epoch == epochs;
        let shown = every.is_some_and(due);
        let has_pictures = self.pictures.settings.table.is_none();
        let logged = tensorboard && has_pictures && due(every.unwrap_or(epochs.div_ceil(LOGGED)));
        let glimpse = match shown || logged {
            true => Some(self.pictures.glimpse(parameters)?),
            false => None,
        };
        if let Some(glimpse) = glimpse.as_ref().filter(|_| shown) {
            self.pictures.write_progress(report.epoch, glimpse)?;
        }
        if tensorboard {
            let written = self.log(report, glimpse.filter(|_| logged));
            written.map_err(|source| self.lost(source))?;
        }
        Ok(())
    }

    /// The event file, which begins with what the run is a function of and the epochs before, if these are in no other.
    fn events(&mut self) -> io::Result<&mut EventFile> {
        let before = std::mem::take(&mut self.before);
        Ok(match &mut self.events {
            Some(events) => events,
            none => {
                let folder = self.pictures.folder.path();
                let has_some = EventFile::is_in(folder);
                let events = none.insert(EventFile::create(folder)?);
                let settings = serde_json::to_value(self.pictures.settings)?;
                events.write(0, vec![Value::settings(&settings)])?;
                for report in before.iter().filter(|_| !has_some) {
                    events.write(report.step, figures(report))?;
                }
                events
            }
        })
    }

    fn log(&mut self, report: &EpochReport, glimpse: Option<Glimpse>) -> io::Result<()> {
        let mut values = figures(report);
        if let Some(Glimpse { samples, reconstructions }) = glimpse {
            values.push(Value::image("samples", samples)?);
            values.push(Value::image("reconstructions", reconstructions)?);
        }
        self.events()?.write(report.step, values)
    }
}

fn figures_of_steps(report: &StepReport) -> Vec<Value> {
    let Figures { elbo, reconstruction, kl, bound } = report.train;
    let mut values = vec![
        Value::scalar("ELBO/steps", elbo),
        Value::scalar("reconstruction/steps", reconstruction),
        Value::scalar("KL/steps", kl),
    ];
    values.extend(bound.map(|bound| Value::scalar("L_K/steps", bound)));
    values.extend(report.objective.map(|value| Value::scalar("objective/steps", value)));
    values.push(Value::scalar("schedule/learning_rate", report.learning_rate));
    values.push(Value::scalar("schedule/beta", report.beta));
    values
}

fn figures(report: &EpochReport) -> Vec<Value> {
    let mut values = Vec::new();
    for (set, figures) in [("train", &report.train), (report.set(), &report.test)] {
        let Figures { elbo, reconstruction, kl, bound } = *figures;
        values.push(Value::scalar(format!("ELBO/{set}"), elbo));
        values.push(Value::scalar(format!("reconstruction/{set}"), reconstruction));
        values.push(Value::scalar(format!("KL/{set}"), kl));
        values.extend(bound.map(|bound| Value::scalar(format!("L_K/{set}"), bound)));
    }
    values.push(Value::scalar("speed/images_per_second", report.images_per_second));
    values
}
