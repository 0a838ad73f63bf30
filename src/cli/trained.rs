//! A run and its model, as the commands take them that use one.

use std::path::Path;

use super::Failure;
use super::options::load_data_of;
use crate::checkpoint::{BEST, CONFIG, RunFolder};
use crate::data::Dataset;
use crate::report::console::note;
use crate::train::{Moment, Settings};

#[derive(clap::Args)]
pub struct ModelOption {
    /// Take the parameters after the whole epoch with the best test (or validation) ELBO, best.safetensors,
    /// in place of the last ones
    #[arg(long)]
    best: bool,
}

/// A run and its parameters.
pub struct Trained {
    /// Where it is.
    pub folder: RunFolder,
    /// What it was trained with.
    pub settings: Settings,
    /// In the order of [`crate::vae::Network::parameters`].
    pub parameters: Vec<Vec<f32>>,
    /// What the parameters are the best of; None for the last ones.
    pub best: Option<Best>,
}

/// The epoch that the best parameters are of, if their file says it.
pub struct Best(Option<Moment>);

impl Trained {
    /// # Errors
    /// Not a run, or it has no such model that is whole.
    pub fn open(path: &Path, option: &ModelOption) -> Result<Self, Failure> {
        let (folder, settings) = RunFolder::open(path).map_err(Failure::input)?;
        let a = &settings.architecture;
        let (parameters, best) = match option.best {
            false => (folder.read_model(a).map_err(Failure::input)?, None),
            true => {
                let (parameters, moment) = folder.read_best(a).map_err(Failure::input)?;
                (parameters, Some(Best(moment)))
            }
        };
        if let Some(Best(Some(Moment { epoch, step }))) = best {
            let file = folder.file(BEST);
            note(format_args!(
                "{}: the parameters after epoch {epoch}, step {step}",
                file.display()
            ));
        }
        Ok(Trained { folder, settings, parameters, best })
    }

    /// The run as it was named, and which of its models this is.
    pub fn name(&self) -> String {
        let run = self.folder.path().display();
        match &self.best {
            None => run.to_string(),
            Some(Best(Some(Moment { epoch, .. }))) => format!("{run}, best epoch {epoch}"),
            Some(Best(None)) => format!("{run}, best epoch"),
        }
    }

    /// When the best parameters were reached; None for the last ones.
    pub fn after(&self) -> Option<Moment> {
        self.best.as_ref()?.0
    }

    /// The data of the run.
    ///
    /// # Errors
    /// They are no longer there, or their images have another size.
    pub fn data(&self) -> Result<Dataset, Failure> {
        let dataset = load_data_of(&self.folder.file(CONFIG), &self.settings)?;
        let (now, then) = (dataset.test.shape(), self.settings.architecture.shape());
        match now == then {
            true => Ok(dataset),
            false => Err(Failure::input(format!(
                "{}: its images are {now} now, those of the run were {then}",
                self.settings.data
            ))),
        }
    }

    /// Whether these are other images than the run was trained on; if so, says it. What was trained
    /// elsewhere does not say on what.
    pub fn has_other(&self, dataset: &Dataset) -> bool {
        let Some(expected) = &self.settings.data_sha256 else { return false };
        let digest = dataset.digest();
        let other = *expected != digest;
        if other {
            note(format_args!(
                "the data that {} names: {}: these are not the images that the run was trained on (SHA-256 \
                 {digest}, the run's {expected}): it may have learnt some of those that it is tested on",
                self.folder.file(CONFIG).display(),
                self.settings.data
            ));
        }
        other
    }
}

/// How many test images to take: `asked`, or all.
///
/// # Errors
/// There are not so many.
pub fn count(dataset: &Dataset, asked: Option<usize>) -> Result<usize, Failure> {
    let all = dataset.test.n_images;
    match asked {
        None => Ok(all),
        Some(n) if (1..=all).contains(&n) => Ok(n),
        Some(n) => Err(Failure::input(format!(
            "--images must be from 1 to {all}, the test images of {}, got {n}",
            dataset.name
        ))),
    }
}
