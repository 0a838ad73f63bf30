//! What can go wrong, as one type.

use crate::checkpoint::CheckpointError;
use crate::config_error::ConfigError;
use crate::data::DataError;
use crate::device::DeviceError;
use crate::evaluate::EvaluateError;
use crate::generate::GenerateError;
use crate::train::TrainError;

/// What can go wrong. Each message is one line that says what was wrong, where, and what would be right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings or sizes that cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Images that could not be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A device that could not be had, or that failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Training that could not begin or go on: the settings, the device, or numbers that overflow.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A model that could not be evaluated.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Images that could not be computed.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// A run folder or a file that could not be read or written.
    #[error(transparent)]
    Run(#[from] CheckpointError),
}
