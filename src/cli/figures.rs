//! `elbo figures`

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use super::Failure;
use super::options::{DeviceOption, load_run_data};
use crate::checkpoint::{CheckpointError, RunFolder, SUMMARY};
use crate::device::Description;
use crate::pictures::{PictureError, Pictures};
use crate::report::console::say;

/// Draw all pictures of a run again, into its folder
///
/// The training curve from metrics.jsonl, all others from the model and the run's test images.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    #[command(flatten)]
    device: DeviceOption,
}

/// What of `summary.json` the pictures say.
#[derive(Default, Deserialize)]
struct Summary {
    steps: Option<u64>,
    device: Option<Description>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let (folder, settings) = RunFolder::open(&args.run).map_err(Failure::input)?;
    let parameters = folder.read_model(&settings.architecture).map_err(Failure::input)?;
    let dataset = load_run_data(&folder, &settings)?;
    let summary: Summary = match fs::read(folder.file(SUMMARY)) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| {
            Failure::input(format!("{}: not a summary: {e}", folder.file(SUMMARY).display()))
        })?,
        // A run that diverged has none.
        Err(_) => Summary::default(),
    };
    let device = args.device.open()?;
    let trained_on = summary.device.as_ref().unwrap_or(device.description());
    let pictures = Pictures {
        device: &device,
        folder: &folder,
        settings: &settings,
        test: &dataset.test,
        data: &dataset.name,
        trained_on: &trained_on.name,
    };
    let written = pictures.write(&parameters, summary.steps).map_err(|error| match error {
        PictureError::Write(CheckpointError::Invalid { .. }) => Failure::input(error),
        _ => Failure::run(error),
    })?;
    for name in written {
        say(folder.file(name).display());
    }
    Ok(0)
}
