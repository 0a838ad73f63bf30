//! A run between two steps.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{EpochReport, Snapshot, Sums, Trainer};

/// What a run needs, besides its settings and its data, to go on as if it had never stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Parameters, moments, and where the noise stands.
    pub snapshot: Arc<Snapshot>,
    /// The epochs that are over, each with its evaluation.
    pub reports: Vec<EpochReport>,
    /// The epoch that the next step belongs to.
    pub open: OpenEpoch,
    /// Over the steps since the last [`super::StepReport`], where there are any.
    pub open_row: Sums,
}

/// What is known of the epoch that a run is in.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct OpenEpoch {
    /// Over its steps so far.
    pub sums: Sums,
    /// Wall clock of its training so far.
    pub seconds: f64,
}

/// The end of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The first is 1.
    pub epoch: u32,
    /// Steps finished.
    pub step: u64,
}

/// The epoch with the highest ELBO of the images that training is watched by, the first of equals. A last one
/// that a cap on the steps has cut short counts.
pub fn best(reports: &[EpochReport]) -> Option<&EpochReport> {
    reports.iter().reduce(|best, r| if r.test.elbo > best.test.elbo { r } else { best })
}

impl EpochReport {
    /// When in the run it was written.
    pub fn moment(&self) -> Moment {
        Moment { epoch: self.epoch, step: self.step }
    }
}

impl State {
    /// Of a run before its first step.
    pub fn beginning(snapshot: Snapshot) -> Self {
        let (reports, open, open_row) = Default::default();
        State { snapshot: Arc::new(snapshot), reports, open, open_row }
    }

    /// Steps finished.
    pub fn step(&self) -> u64 {
        self.snapshot.step
    }

    /// The epoch that the run is in; 1 is the first.
    pub fn epoch(&self) -> u32 {
        self.reports.last().map_or(1, |report| report.epoch + 1)
    }

    /// Steps up to the end of the last epoch that was evaluated.
    pub fn reported(&self) -> u64 {
        self.reports.last().map_or(0, |report| report.step)
    }

    /// The epoch with the highest ELBO of the images that training is watched by, the first of equals. One that
    /// a cap on the steps has cut short is the best only as long as it is the last: a run that goes on takes it back.
    pub fn best(&self) -> Option<&EpochReport> {
        best(&self.reports)
    }

    /// Whether the last `patience` whole epochs, if there is a patience, were no better than the best before them.
    pub fn has_stalled(&self, patience: Option<u32>) -> bool {
        let last = self.reports.last().filter(|report| !report.cut_short);
        match (patience, self.best(), last) {
            (Some(patience), Some(best), Some(last)) => last.epoch - best.epoch >= patience,
            _ => false,
        }
    }

    /// Wall clock of training and evaluation.
    pub fn seconds(&self) -> f64 {
        let over: f64 = self.reports.iter().map(|report| report.seconds).sum();
        // A cap on the steps may have left a report of the open epoch.
        over + if self.reported() < self.step() { self.open.seconds } else { 0.0 }
    }

    /// Takes back the report of an epoch that a cap on the steps had cut short, where the run goes on.
    pub fn reopen(&mut self, trainer: &Trainer) {
        let cut = |r: &EpochReport| r.step < trainer.steps_until(r.epoch);
        if self.reports.last().is_some_and(cut) && self.step() < trainer.steps_total() {
            self.reports.pop();
        }
    }
}
