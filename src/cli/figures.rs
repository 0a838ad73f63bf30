//! `elbo figures`

use std::io::ErrorKind;
use std::path::PathBuf;

use serde::Deserialize;

use super::Failure;
use super::options::DeviceOption;
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::{CheckpointError, MAX_TEXT, SAMPLES, SUMMARY, check_writable};
use crate::device::Description;
use crate::generate::GenerateError;
use crate::pictures::{PictureError, Pictures};
use crate::read;
use crate::report::console::say;

/// Draw all pictures of a run again, into its folder
///
/// The training curve from metrics.jsonl, all others from the model and the run's test images; where these are no
/// longer there, those that need none.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// The test images, by their numbers from 0 on, that interpolation.svg goes between, the first to the second and so on, and
    /// whose first traversals.svg begins at [default: of different classes; 0]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    images: Vec<usize>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOption,
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
    let trained = Trained::open(&args.run, &args.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    folder.check_own_files().map_err(Failure::input)?;
    check_writable(&folder.file(SAMPLES)).map_err(Failure::input)?; // all are written beside it
    let summary: Summary = match read::at_most(&folder.file(SUMMARY), MAX_TEXT) {
        Ok(text) => serde_json::from_slice(&text).map_err(|e| {
            Failure::input(format!("{}: not a summary: {e}", folder.file(SUMMARY).display()))
        })?,
        // A run that diverged has none.
        Err(e) if e.kind() == ErrorKind::NotFound => Summary::default(),
        Err(e) => {
            let path = folder.file(SUMMARY);
            return Err(Failure::input(format!("{}: cannot read: {e}", path.display())));
        }
    };
    let dataset = trained.data_if_there(&args.data, "no test images are drawn")?;
    if let Some(dataset) = &dataset {
        trained.has_other(dataset, &args.data);
    }
    let device = args.device.open()?;
    let trained_on = summary.device.as_ref().unwrap_or(device.description());
    let pictures = Pictures {
        device: &device,
        folder,
        settings,
        test: dataset.as_ref().map(|dataset| &dataset.test),
        data: dataset.as_ref().map_or(&settings.data, |dataset| &dataset.name),
        trained_on: &trained_on.name,
        images: &args.images,
    };
    if let Some(&last) = args.images.iter().max() {
        let Some(dataset) = &dataset else {
            return Err(Failure::input("--images: there are no test images"));
        };
        let there = pictures.choice(&dataset.test);
        if last >= there {
            return Err(Failure::input(format!(
                "--images {last}: pictures can be of the first {there} test images of {}, from 0 to {}",
                dataset.name,
                there - 1
            )));
        }
    }
    let steps = trained.after().map(|after| after.step).or(summary.steps);
    let written = pictures.write(parameters, steps).map_err(|error| match error {
        PictureError::Write(CheckpointError::Invalid { .. })
        | PictureError::Generate(GenerateError::Plan(_)) => Failure::input(error),
        PictureError::Generate(GenerateError::Device(device)) => Failure::device(&device, &device),
        _ => Failure::run(error),
    })?;
    for name in written {
        say(folder.file(name).display());
    }
    Ok(0)
}
