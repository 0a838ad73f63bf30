//! What listens to a run: its lines, its files, its progress, and the wish to end it.

use super::stop::Stop;
use crate::checkpoint::Writer;
use crate::pictures::ProgressWriter;
use crate::report::console::{Console, note};
use crate::train::{EpochReport, Observer, State};

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

impl Observer for Watcher<'_> {
    fn epoch_begins(&mut self, epoch: u32) {
        self.console.epoch_begins(epoch);
    }

    fn step(&mut self, step: u64) -> bool {
        self.console.step(step);
        // Nobody should compute for hours what cannot be kept: the next checkpoint says why.
        self.stop.asked() || self.writer.has_failed()
    }

    fn evaluating(&mut self) {
        self.console.evaluating();
    }

    fn epoch_ends(&mut self, report: &EpochReport, parameters: &[Vec<f32>]) -> Result<(), String> {
        self.console.row(report);
        if let Some(Err(error)) =
            self.progress.as_mut().map(|progress| progress.epoch_ends(report, parameters))
        {
            self.progress = None;
            note(format_args!("{error}; the run goes on without"));
        }
        Ok(())
    }

    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.state = Some(state.clone());
        self.writer.save(state)
    }
}
