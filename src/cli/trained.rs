//! A run and its model, as the commands take them that use one.

use std::path::Path;
use std::sync::Arc;

use super::Failure;
use super::options::{load_data, load_data_of};
use crate::checkpoint::{BEST, CONFIG, RunFolder};
use crate::data::{self, Dataset, FASHION_MNIST, Images, MNIST, Records, Table, TableOptions};
use crate::report::console::note;
use crate::train::{Moment, Settings};

#[derive(clap::Args)]
pub struct ModelOption {
    /// Take the parameters after the epoch with the best test (or validation) ELBO, best.safetensors,
    /// in place of the last ones
    #[arg(long)]
    best: bool,
}

/// Where the images of a run are.
#[derive(clap::Args, Default)]
pub struct DataOption {
    /// The images, as train's --data: where they have moved to, or others of their size, of which all are taken if they have
    /// no test images of their own; or a table with the run's columns, of which every row is taken [default: those of the
    /// run, where they were]
    #[arg(long, value_name = "PATH")]
    data: Option<String>,
}

impl DataOption {
    /// These data, or the run's own.
    pub fn named(data: Option<String>) -> Self {
        DataOption { data }
    }

    /// Whether the images are those that the run names.
    pub fn is_default(&self) -> bool {
        self.data.is_none()
    }
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

/// Records of a data set, part by part.
pub struct Taken {
    /// Of the data set.
    pub name: String,
    /// What opens it again: without what its name says of parts.
    pub source: String,
    pub sets: Vec<(Records, Images)>,
}

impl Taken {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.sets.iter().map(|(_, images)| images.n_images).sum()
    }
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

    /// The data of the run, or those that are named.
    ///
    /// # Errors
    /// They are no longer there, or their images have another size.
    pub fn data(&self, option: &DataOption) -> Result<Dataset, Failure> {
        let dataset = match &option.data {
            Some(named) if self.settings.table.is_some() => self.all_rows(named)?,
            Some(named) => self.named_images(named)?,
            None => self.own_data(self.settings.data_options())?,
        };
        self.check(&dataset, option)?;
        Ok(dataset)
    }

    /// The images or rows that are asked for, part by part: of the data of the run, or of those that are named.
    ///
    /// # Errors
    /// As [`Trained::data`], or there are none of them.
    pub fn records(&self, option: &DataOption, which: Records) -> Result<Taken, Failure> {
        let is_table = self.settings.table.is_some();
        let is_folder = || Path::new(&self.settings.data).is_dir();
        let dataset = match (which, &option.data) {
            (Records::All, named) if !is_table => {
                let own = self.settings.data_options();
                let options = data::Options { whole: true, valid: None, ..own };
                match named {
                    Some(named) => load_data(named, options).map_err(Failure::input)?.0,
                    None => self.own_data(options)?,
                }
            }
            (Records::All, None) if !is_folder() => self.all_rows(&self.settings.data)?,
            _ => {
                let dataset = self.data(option)?;
                self.has_other(&dataset, option);
                dataset
            }
        };
        self.check(&dataset, option)?;
        let parts = dataset.records(which);
        if parts.is_empty() {
            let name = &dataset.name;
            return Err(Failure::input(format!("--split {which}: there are none in {name}")));
        }
        let sets = parts.into_iter().map(|(part, images)| (part, images.clone())).collect();
        let (name, source) = (dataset.name.clone(), dataset.source().to_string());
        Ok(Taken { name, source, sets })
    }

    /// Images that are named: the run's own at another place, parted as for the run, or others. Of these nothing is held out: the
    /// test images are theirs, or all of them where they have none.
    fn named_images(&self, named: &str) -> Result<Dataset, Failure> {
        let options = self.settings.data_options();
        let (dataset, _) = load_data(named, options.clone()).map_err(Failure::input)?;
        let is_own = self.settings.data_sha256.as_ref().is_none_or(|own| *own == dataset.digest());
        if is_own || !dataset.holds_out_tests() {
            return Ok(dataset);
        }
        let options = data::Options { whole: true, valid: None, ..options };
        Ok(load_data(named, options).map_err(Failure::input)?.0)
    }

    fn own_data(&self, options: data::Options) -> Result<Dataset, Failure> {
        load_data_of(&self.folder.file(CONFIG), &self.settings, options)
    }

    /// Whether a data set is one for this model.
    ///
    /// # Errors
    /// Its images have another size, or classes that the model is not told.
    fn check(&self, dataset: &Dataset, option: &DataOption) -> Result<(), Failure> {
        let (now, then) = (dataset.test.shape(), self.settings.architecture.shape());
        match now == then {
            true => {
                let what = format!("the test images of {}", dataset.name);
                let classes = &self.settings.architecture.classes;
                dataset.test.classes_among(classes, &what).map_err(Failure::input)?;
                Ok(())
            }
            false if self.settings.table.is_some() != dataset.table().is_some() => {
                let what = |is: bool| if is { "a table" } else { "images" };
                Err(Failure::input(format!(
                    "{}: these are {}, and the run's data are {}",
                    option.data.as_ref().unwrap_or(&self.settings.data),
                    what(dataset.table().is_some()),
                    what(self.settings.table.is_some())
                )))
            }
            false => Err(Failure::input(format!(
                "{}: its images are {now} now, those of the run were {then}",
                option.data.as_ref().unwrap_or(&self.settings.data)
            ))),
        }
    }

    /// A table with the columns of the run's, every row of it.
    ///
    /// # Errors
    /// It cannot be read, or lacks a column.
    pub fn all_rows(&self, path: &str) -> Result<Dataset, Failure> {
        let mut options = self.settings.data_options();
        if let Some(table) = &options.table {
            options.table =
                Some(Arc::new(TableOptions { whole: true, ..TableOptions::clone(table) }));
        }
        options.valid = None;
        Ok(load_data(path, options).map_err(Failure::input)?.0)
    }

    /// The columns, if the run is of a table; else `command` says that it is not for images.
    ///
    /// # Errors
    /// The run is of images.
    pub fn table(&self, command: &str) -> Result<&Table, Failure> {
        let run = self.folder.path().display();
        self.settings.table.as_ref().ok_or_else(|| {
            Failure::input(format!("{run} is a run of images; elbo {command} is for tables"))
        })
    }

    /// The same, or None where they are no longer at the place that the run names, which is said then with what is
    /// done `instead`.
    pub fn data_if_there(
        &self,
        option: &DataOption,
        instead: &str,
    ) -> Result<Option<Dataset>, Failure> {
        match self.data(option) {
            Err(Failure { message, code: 2 }) if option.is_default() && self.data_is_gone() => {
                note(format_args!("{message}; {instead}"));
                Ok(None)
            }
            data => data.map(Some),
        }
    }

    fn data_is_gone(&self) -> bool {
        let Settings { data, .. } = &self.settings;
        data != MNIST && data != FASHION_MNIST && !Path::new(data).exists()
    }

    /// Whether these are other images than the run was trained on; if so, says it. What was trained
    /// elsewhere does not say on what.
    pub fn has_other(&self, dataset: &Dataset, option: &DataOption) -> bool {
        let Some(expected) = &self.settings.data_sha256 else { return false };
        // Other rows than those of the training are what another table is named for.
        if self.settings.table.is_some() && option.data.is_some() {
            return false;
        }
        let digest = dataset.digest();
        let other = *expected != digest;
        if other {
            let named = match &option.data {
                Some(data) => format!("--data {data}"),
                None => {
                    let config = self.folder.file(CONFIG);
                    format!("the data that {} names: {}", config.display(), self.settings.data)
                }
            };
            note(format_args!(
                "{named}: these are not the images that the run was trained on (SHA-256 {digest}, the run's \
                 {expected}): it may have learnt some of those that it is tested on"
            ));
        }
        let classes = dataset.digest_of_classes(&self.settings.architecture.classes).ok().flatten();
        let expected = &self.settings.classes_sha256;
        if !other && expected.is_some() && *expected != classes {
            let name = &dataset.name;
            note(format_args!("{name}: the classes of the images are not those of the training"));
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
