//! What listens to a run: its lines, its files, its progress, and the wish to end it.

use std::num::NonZeroU64;

use super::stop::Stop;
use crate::checkpoint::Writer;
use crate::pictures::{PictureError, ProgressWriter};
use crate::report::console::{Console, note};
use crate::train::{EpochReport, Figures, Observer, State, StepReport};

/// Shows the run and has its folder written.
pub struct Watcher<'a> {
    pub console: Console,
    pub writer: Writer,
    /// The last state that was given to it.
    pub state: Option<State>,
    /// None once it has failed.
    pub progress: Option<ProgressWriter<'a>>,
    pub stop: Stop,
}

impl<'a> Watcher<'a> {
    /// Has progress written, which the run can do without.
    fn show(&mut self, write: impl FnOnce(&mut ProgressWriter<'a>) -> Result<(), PictureError>) {
        if let Some(Err(error)) = self.progress.as_mut().map(write) {
            self.progress = None;
            note(format_args!("{error}; the run goes on without"));
        }
    }
}

impl Observer for Watcher<'_> {
    fn epoch_begins(&mut self, epoch: u32) {
        self.console.epoch_begins(epoch);
    }

    fn step(&mut self, step: u64) -> bool {
        self.console.step(step);
        // Nobody should compute for hours what cannot be kept: the next checkpoint says why.
        self.stop.asked() || self.writer.has_failed()
    }

    fn so_far(&mut self, train: &Figures) {
        self.console.so_far(train);
    }

    fn log_every(&self) -> Option<NonZeroU64> {
        self.progress.as_ref().and_then(ProgressWriter::log_every)
    }

    fn steps_end(&mut self, report: &StepReport) {
        self.show(|progress| progress.steps_end(report));
    }

    fn evaluating(&mut self) {
        self.console.evaluating();
    }

    fn epoch_ends(&mut self, report: &EpochReport, parameters: &[Vec<f32>]) -> Result<(), String> {
        self.console.row(report);
        self.show(|progress| progress.epoch_ends(report, parameters));
        Ok(())
    }

    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.state = Some(state.clone());
        self.writer.save(state)
    }
}
