//! `summary.json`: how far a run has come, and what came of it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::state::{Origin, Session, begun};
use crate::device::Description;
use crate::plan::variant::Choices;
use crate::train::{EpochReport, Settings, State, digest};
use crate::versions::versions;

/// What `summary.json` holds: of the last checkpoint while a run goes on, then of its end.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The last epoch's figures; absent if none was finished.
    pub last: Option<EpochReport>,
    /// Absent if no epoch was finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_test_elbo: Option<f64>,
    /// In its place where training is watched by validation images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best_valid_elbo: Option<f64>,
    /// The epoch that has it, whose parameters are in `best.safetensors`.
    pub best_epoch: Option<u32>,
    pub steps: u64,
    /// Whether the run came to its end, with all its files: false while it goes on.
    pub finished: bool,
    /// Whether Ctrl-C or SIGTERM has ended it.
    pub interrupted: bool,
    /// Whether it came to its end because no epoch was better, see [`Settings::early_stop`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopped_early: bool,
    /// Wall clock of training and evaluation.
    pub seconds: f64,
    /// Date and time of the first step.
    pub begun: String,
    /// The device that computed the last steps.
    pub device: Option<Description>,
    /// Each device and version in its turn, where there was more than one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub computed_on: Vec<Session>,
    /// Of the kernels that have several: they are part of what determines the run.
    #[serde(skip_serializing_if = "Choices::is_empty")]
    pub variants: Choices,
    pub seed: u64,
    /// SHA-256 of all parameters.
    pub parameters_sha256: String,
    pub versions: BTreeMap<&'static str, &'static str>,
    /// A preset's published figure beside the one obtained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<serde_json::Value>,
}

impl Summary {
    /// Of a run that goes on from `state`.
    pub fn new(settings: &Settings, origin: &Origin, state: &State) -> Self {
        let (sessions, best) = (&origin.computed_on, state.best());
        Summary {
            last: state.reports.last().cloned(),
            best_test_elbo: best.filter(|best| !best.validation).map(|best| best.test.elbo),
            best_valid_elbo: best.filter(|best| best.validation).map(|best| best.test.elbo),
            best_epoch: best.map(|best| best.epoch),
            steps: state.step(),
            finished: false,
            interrupted: false,
            stopped_early: state.has_stalled(settings.early_stop),
            seconds: state.seconds(),
            begun: origin.begun.clone(),
            device: sessions.last().map(|session| session.device.clone()),
            computed_on: if sessions.len() > 1 { sessions.clone() } else { Vec::new() },
            variants: sessions.last().map_or_else(Choices::default, |last| last.variants.clone()),
            seed: settings.seed,
            parameters_sha256: digest(&state.snapshot.values()),
            versions: versions(),
            target: None,
        }
    }
}

/// What `summary.json` holds of a model that a program has trained and saved: no run, so nothing goes on.
#[derive(Debug, Serialize)]
pub struct Saved {
    /// Always true.
    pub finished: bool,
    /// Always true: what a run's summary does not have.
    pub saved: bool,
    /// Date and time of the file.
    pub begun: String,
    pub seed: u64,
    /// SHA-256 of all parameters.
    pub parameters_sha256: String,
    pub versions: BTreeMap<&'static str, &'static str>,
}

impl Saved {
    /// In the order of [`crate::vae::Network::parameters`].
    pub fn new(settings: &Settings, parameters: &[Vec<f32>]) -> Self {
        Saved {
            finished: true,
            saved: true,
            begun: begun(),
            seed: settings.seed,
            parameters_sha256: digest(parameters),
            versions: versions(),
        }
    }
}
