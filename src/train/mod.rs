//! Training: minibatch ascent on the ELBO, epoch after epoch, on whatever device holds the program.

mod begin;
mod metrics;
mod run;
mod schedule;
mod settings;
mod snapshot;
mod state;
mod trainer;
mod watchdog;

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::config_error::ConfigError;
use crate::device::DeviceError;
use crate::plan::PlanError;
use crate::vae::Binarization;
pub use begin::{begin, initialize, record, record_fused};
pub(crate) use begin::{first_rates, moments};
pub use metrics::{Metrics, Sums};
pub use run::{Outcome, resume, run};
pub use schedule::Schedule;
pub use settings::{FirstParameters, Settings};
pub use snapshot::{Saved, Snapshot, digest};
pub use state::{Moment, OpenEpoch, State, best};
pub use trainer::Trainer;
pub use watchdog::Divergence;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Settings that cannot be, or do not fit the data.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A NaN or an infinity, where it first appeared.
    #[error(transparent)]
    Diverged(Box<Divergence>),
    /// What the observer could not write.
    #[error("{0}")]
    Checkpoint(String),
}

/// One row of the table and of `metrics.jsonl`. Nats per image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The first is 1.
    pub epoch: u32,
    /// Steps finished at its end.
    pub step: u64,
    /// Averages over the epoch's minibatches, while the parameters moved.
    pub train: Figures,
    /// Of the whole test set, after the epoch, or of the validation images.
    pub test: Figures,
    /// Whether `test` is of images that were held out from the training images.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub validation: bool,
    /// Whether a cap on the steps ended it before every image was drawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut_short: bool,
    /// Share of the steps whose gradient was clipped, where it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// What the pixels' bytes became.
    pub binarization: Binarization,
    /// Training only.
    pub images_per_second: f64,
    /// Training and evaluation.
    pub seconds: f64,
}

/// One row of `steps.jsonl`: of the steps since the row before. Nats per image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The last of them; the first of a run is 1.
    pub step: u64,
    /// The epoch that it belongs to.
    pub epoch: u32,
    /// Averages over their minibatches, while the parameters moved.
    pub train: Figures,
    /// What is ascended: reconstruction - beta KL with the last step's beta, or L_K; absent with free bits, which depend
    /// on each unit's KL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// Weight of the KL in the last step.
    pub beta: f64,
    /// Of the last step.
    pub learning_rate: f64,
    /// Training only.
    pub images_per_second: f64,
}

/// What the images are called that [`EpochReport::test`] is of.
pub const TEST: &str = "test";
/// The same where they were held out from the training images.
pub const VALID: &str = "valid";

impl EpochReport {
    /// [`TEST`] or [`VALID`].
    pub fn set(&self) -> &'static str {
        if self.validation { VALID } else { TEST }
    }
}

/// ELBO = reconstruction - KL, the KL with weight 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// reconstruction - KL
    pub elbo: f64,
    /// E_q log p(x|z)
    pub reconstruction: f64,
    /// In closed form, also where training samples it.
    pub kl: f64,
    /// L_K with the K of training, where that is the objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
}

impl From<Metrics> for Figures {
    fn from(metrics: Metrics) -> Self {
        Figures {
            elbo: metrics.elbo(),
            reconstruction: metrics.reconstruction,
            kl: metrics.kl,
            bound: metrics.bound,
        }
    }
}

/// What a run tells while it goes on, and what may end it.
pub trait Observer {
    /// Epoch 1 is the first.
    fn epoch_begins(&mut self, _epoch: u32) {}
    /// `step` steps are finished. `true` asks for an end after the current step.
    fn step(&mut self, _step: u64) -> bool {
        false
    }
    /// The averages over the open epoch's steps so far: every few seconds.
    fn so_far(&mut self, _train: &Figures) {}
    /// Steps between the rows of [`Observer::steps_end`]; None for no rows.
    fn log_every(&self) -> Option<NonZeroU64> {
        None
    }
    /// As many steps are over as [`Observer::log_every`] says: every step whose number is a multiple of it ends a row.
    fn steps_end(&mut self, _report: &StepReport) {}
    /// The test set is being evaluated.
    fn evaluating(&mut self) {}
    /// An epoch is over, with the parameters at its end, all finite.
    ///
    /// # Errors
    /// What could not be written ends the run.
    fn epoch_ends(
        &mut self,
        _report: &EpochReport,
        _parameters: &[Vec<f32>],
    ) -> Result<(), String> {
        Ok(())
    }
    /// A state to go on from: after every epoch, and where the observer asked for an end.
    ///
    /// # Errors
    /// What could not be written ends the run.
    fn checkpoint(&mut self, _state: &State) -> Result<(), String> {
        Ok(())
    }
}
