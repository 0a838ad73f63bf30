//! The pictures of a run: what each shows, computed on the run's device, and where it is kept.

mod classes;
mod codes;
mod progress;

use std::fs;
use std::path::Path;

use crate::checkpoint::{
    CheckpointError, IMPORT, MAX_TEXT, METRICS, RECONSTRUCTIONS, RunFolder, SAMPLES, write_whole,
};
use crate::data::{Images, Labels, Table};
use crate::device::Device;
use crate::evaluate::{Model, Posteriors};
use crate::generate::{self, Draws, GenerateError, Shown};
use crate::read;
use crate::report::columns;
use crate::report::figures::{Layout, columns_of_pairs, grid, rows_of_pairs};
use crate::report::latent::{self, by_kl};
use crate::report::rows::csv_of_rows;
use crate::report::tiles::{Group, Tiles};
use crate::report::training::training;
use crate::train::{EpochReport, Settings};
use crate::vae::likelihood::Domain;
pub use progress::ProgressWriter;

/// [`SAMPLES`] and [`RECONSTRUCTIONS`] with words.
pub const SAMPLES_CHART: &str = "samples.svg";
pub const RECONSTRUCTIONS_CHART: &str = "reconstructions.svg";
/// The same of a table.
pub const SAMPLED_ROWS: &str = "samples.csv";
pub const RECONSTRUCTED_ROWS: &str = "reconstructions.csv";
pub const TRAINING: &str = "training.svg";
pub const UNITS: &str = "units.svg";
pub const MANIFOLD: &str = "manifold.svg";
pub const SCATTER: &str = "scatter.svg";
pub const COLUMNS: &str = "columns.svg";
pub const INTERPOLATION: &str = "interpolation.svg";
pub const TRAVERSALS: &str = "traversals.svg";
pub const STYLES: &str = "styles.svg";
pub use crate::checkpoint::PROGRESS;

/// Draws of `samples.png`.
const DRAWS: usize = 100;
/// Test images of `reconstructions.png`.
const PAIRS: usize = 50;
/// Test images whose posteriors are shown, at most.
const POSTERIORS: usize = 10_000;
/// Pairs that the interpolation goes between.
const WAYS: usize = 5;
/// Test images that these are chosen from.
const CHOICE: usize = 200;
/// Pixels of all images of a picture, at most: large images are fewer.
const BUDGET: usize = 1 << 25;

/// Why a picture is missing. One line.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error(transparent)]
    Generate(#[from] GenerateError),
    #[error(transparent)]
    Write(#[from] CheckpointError),
    #[error("test image {image}: its posterior is not finite: the encoder's numbers overflow")]
    NotFinite { image: usize },
    #[error("{0}")]
    Encode(String),
}

/// A run and what its pictures are made of.
#[derive(Clone, Copy)]
pub struct Pictures<'a> {
    pub device: &'a Device,
    pub folder: &'a RunFolder,
    pub settings: &'a Settings,
    /// None where they are not there: then what shows them is left out.
    pub test: Option<&'a Images>,
    /// The name of the data.
    pub data: &'a str,
    /// The name of the device that the run was trained on.
    pub trained_on: &'a str,
    /// The test images that pictures of chosen ones are of; none for those that they are of by themselves.
    pub images: &'a [usize],
}

/// Two PNGs, the same draws and the same test images whenever they are made.
pub struct Glimpse {
    pub samples: Vec<u8>,
    pub reconstructions: Vec<u8>,
}

impl Pictures<'_> {
    /// `most` images, or as many as the budget is enough for, and `least` at least.
    fn fitting(&self, least: usize, most: usize) -> usize {
        (BUDGET / self.settings.architecture.pixels()).clamp(least, most)
    }

    fn model<'a>(&'a self, parameters: &'a [Vec<f32>]) -> Model<'a> {
        Model {
            architecture: &self.settings.architecture,
            parameters,
            binarization: self.settings.binarization,
            seed: self.settings.seed,
        }
    }

    /// Draws from the prior, and test images with their reconstructions.
    ///
    /// # Errors
    /// The device.
    pub fn glimpse(&self, parameters: &[Vec<f32>]) -> Result<Glimpse, PictureError> {
        let pairs = match self.test {
            Some(test) => self.reconstruct(parameters, test, self.pairs())?,
            None => Vec::new(),
        };
        Ok(Glimpse {
            samples: self.png(&self.draw(parameters)?, self.layout())?,
            reconstructions: self.png(&pairs, Layout::Pairs)?,
        })
    }

    fn png(&self, images: &[Vec<f32>], layout: Layout) -> Result<Vec<u8>, PictureError> {
        grid(images, self.settings.architecture.shape(), layout).map_err(PictureError::Encode)
    }

    /// How many test images are shown beside their reconstructions.
    fn pairs(&self) -> usize {
        self.fitting(2, 2 * PAIRS) / 2
    }

    fn draw(&self, parameters: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let Settings { architecture, seed, table, .. } = self.settings;
        let (count, classes) = match (self.fitting(1, DRAWS), self.classes()) {
            (count, 0) => (count, Vec::new()),
            (most, _) => {
                let classes = self.drawn_classes(most);
                (classes.len(), classes)
            }
        };
        // Pictures are clearest as the decoder expects them; rows of a table are to vary as the data do.
        let shown = if table.is_some() { Shown::Drawn } else { Shown::Expected };
        let draws = Draws { count, classes: &classes, shown, seed: *seed };
        generate::draw_all(self.device, architecture, parameters, draws)
    }

    fn reconstruct(
        &self,
        parameters: &[Vec<f32>],
        test: &Images,
        count: usize,
    ) -> Result<Vec<Vec<f32>>, GenerateError> {
        let (s, device) = (self.settings, self.device);
        let architecture = &s.architecture;
        generate::reconstruct(device, architecture, parameters, s.binarization, test, count, s.seed)
    }

    /// Makes every picture and writes it into the folder; returns their names. The parameters are those
    /// after `steps`, or at the end of the last epoch.
    ///
    /// # Errors
    /// The device, or the disk: then some pictures may be there already.
    pub fn write(
        &self,
        parameters: &[Vec<f32>],
        steps: Option<u64>,
    ) -> Result<Vec<&'static str>, PictureError> {
        let epochs = read_metrics(&self.folder.file(METRICS))?;
        let when = match (epochs.last(), steps) {
            (Some(last), steps)
                if !last.cut_short && steps.is_none_or(|steps| steps == last.step) =>
            {
                format!("after epoch {}", last.epoch)
            }
            (Some(last), None) => format!("after step {}", last.step),
            (_, Some(steps)) => format!("after step {steps}"),
            (_, None) => "before the first epoch".to_string(),
        };
        let mut written = Vec::new();
        let mut write = |name: &'static str, bytes: &[u8]| {
            written.push(name);
            write_whole(&self.folder.file(name), bytes)
        };
        let note = self.note(&when);
        let what = if self.settings.table.is_some() { "row" } else { "image" };
        if let Some(svg) = training(&epochs, self.settings.bound_samples(), what, &note) {
            write(TRAINING, svg.as_bytes())?;
        }

        let draws = self.draw(parameters)?;
        if let Some(table) = &self.settings.table {
            write(SAMPLED_ROWS, csv_of_rows(table, &draws).as_bytes())?;
            if let Some(test) = self.test {
                let posteriors = self.posteriors(parameters, test)?;
                let files = self.rows(parameters, table, test, &posteriors, &note)?;
                files.iter().try_for_each(|(name, text)| write(name, text.as_bytes()))?;
            }
            return Ok(written);
        }
        write(SAMPLES, &self.png(&draws, self.layout())?)?;
        write(SAMPLES_CHART, self.samples(&draws, &note)?.as_bytes())?;
        let plane = self.settings.architecture.latent == 2;
        if plane {
            let manifold = match self.classes() {
                0 => self.manifold(parameters, &note)?,
                _ => self.manifold_of_classes(parameters, &note)?,
            };
            write(MANIFOLD, manifold.as_bytes())?;
        }
        let Some(test) = self.test else { return Ok(written) };

        let chosen = match self.images {
            [] => different(test.labels.as_ref(), self.choice(test)),
            images => images.to_vec(),
        };
        let most = chosen.iter().max().map_or(0, |&i| i + 1);
        let pairs = self.reconstruct(parameters, test, self.pairs().max(most))?;
        let shown = &pairs[..pairs.len().min(2 * self.pairs())];
        write(RECONSTRUCTIONS, &self.png(shown, Layout::Pairs)?)?;
        write(RECONSTRUCTIONS_CHART, self.reconstructions(shown, &note)?.as_bytes())?;

        let posteriors = self.posteriors(parameters, test)?;
        let told = self.told(test)?;
        if !told.is_empty() {
            let svg = self.styles(parameters, (&posteriors, &pairs), &chosen, &note)?;
            write(STYLES, svg.as_bytes())?;
        }
        let units = posteriors.units();
        let n = posteriors.images();
        let of = match n == test.n_images {
            true => format!("All {n} test images; {note}"),
            false => format!("The first {n} of {} test images; {note}", test.n_images),
        };
        write(UNITS, latent::units(&units, "image", &self.of_units(&of)).as_bytes())?;
        if plane {
            let labels = test.labels.as_ref();
            let of = (&*of, "images");
            write(SCATTER, latent::scatter(&posteriors, [0, 1], labels, of).as_bytes())?;
        } else {
            if chosen.len() >= 2 {
                let between = (&posteriors, &told[..]);
                let svg = self.interpolation(parameters, between, &chosen, &pairs, &note)?;
                write(INTERPOLATION, svg.as_bytes())?;
            }
            let first = self.images.first().copied().unwrap_or(0);
            let svg = self.traversals(parameters, (&posteriors, &told), first, &units, &note)?;
            write(TRAVERSALS, svg.as_bytes())?;
        }
        Ok(written)
    }

    /// How many test images, from the first on, pictures of chosen ones can be of.
    pub fn choice(&self, test: &Images) -> usize {
        test.n_images.min(self.fitting(4, 2 * CHOICE) / 2)
    }

    /// q(z|x) of the first test images.
    fn posteriors(
        &self,
        parameters: &[Vec<f32>],
        test: &Images,
    ) -> Result<Posteriors, PictureError> {
        let posteriors =
            generate::posteriors(self.device, self.model(parameters), test, POSTERIORS)?;
        let mut values = posteriors.mean.iter().zip(&posteriors.log_variance);
        match values.position(|(m, l)| !(m.is_finite() && l.is_finite())) {
            Some(bad) => Err(PictureError::NotFinite { image: bad / posteriors.latent }),
            None => Ok(posteriors),
        }
    }

    /// What is shown of test rows: each file's name and text.
    fn rows(
        &self,
        parameters: &[Vec<f32>],
        table: &Table,
        test: &Images,
        posteriors: &Posteriors,
        note: &str,
    ) -> Result<Vec<(&'static str, String)>, PictureError> {
        let n = posteriors.images();
        let of = match n == test.n_images {
            true => format!("All {n} test rows; {note}"),
            false => format!("The first {n} of {} test rows; {note}", test.n_images),
        };
        let pairs = self.reconstruct(parameters, test, n)?;
        let rebuilt: Vec<Vec<f32>> = pairs.iter().skip(1).step_by(2).cloned().collect();
        let units = posteriors.units();
        let mut files = vec![
            (RECONSTRUCTED_ROWS, csv_of_rows(table, &rebuilt)),
            (COLUMNS, columns::columns(table, &pairs, &of)),
            (UNITS, latent::units(&units, "row", &self.of_units(&of))),
        ];
        if let [first, second, ..] = by_kl(&units)[..] {
            let (units, of) = match posteriors.latent {
                2 => ([0, 1], of),
                _ => ([first, second], format!("The two units with the largest KL. {of}")),
            };
            let labels = test.labels.as_ref();
            files.push((SCATTER, latent::scatter(posteriors, units, labels, (&of, "rows"))));
        }
        Ok(files)
    }

    /// A note on the units, with a word where their KL is not to the prior.
    fn of_units(&self, note: &str) -> String {
        match self.settings.architecture.prior.is_normal() {
            true => note.to_string(),
            false => format!("The KL is that to N(0, 1), which is not the prior. {note}"),
        }
    }

    fn note(&self, when: &str) -> String {
        let Settings { architecture, binarization, objective, samples, .. } = self.settings;
        let data = without_folders(self.data);
        let binarization = match (&self.settings.table, architecture.likelihood.module().domain()) {
            (Some(_), Domain::Counts) => "counts",
            (Some(_), _) => "columns standardised",
            (None, _) => binarization.label(),
        };
        if self.folder.file(IMPORT).exists() {
            return format!("{data}; {architecture}, imported; {binarization}.");
        }
        format!(
            "{data}; {architecture}, trained on the {}; {binarization}; {when}; {}.",
            objective.describe(*samples),
            self.trained_on
        )
    }

    fn decode(
        &self,
        parameters: &[Vec<f32>],
        z: &[f32],
        classes: &[u32],
    ) -> Result<Vec<Vec<f32>>, PictureError> {
        Ok(generate::decode(self.device, &self.settings.architecture, parameters, z, classes)?)
    }

    fn samples(&self, draws: &[Vec<f32>], note: &str) -> Result<String, PictureError> {
        const COLUMNS: usize = 10;
        if self.classes() > 0 {
            return self.samples_of_classes(draws, note);
        }
        let rows = draws.chunks(COLUMNS).map(<[_]>::to_vec).collect();
        let groups = [Group { labels: vec![String::new(); COLUMNS], rows }];
        let prior = self.settings.architecture.prior;
        let of = prior.label().map_or(String::new(), |label| format!(", the {label}"));
        let from = format!("{} draws z from {}{of}", draws.len(), prior.symbol());
        let note = format!("Expected pixels at {from}. {note}");
        let title = "Draws from the prior";
        let tiles = Tiles { title, row_labels: &[], groups: &groups, note: &note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }

    fn reconstructions(&self, pairs: &[Vec<f32>], note: &str) -> Result<String, PictureError> {
        let columns = columns_of_pairs(pairs.len());
        let rows: Vec<Vec<Vec<f32>>> = rows_of_pairs(pairs, columns)
            .map(|row| row.into_iter().map(<[f32]>::to_vec).collect())
            .collect();
        let label = |row: usize| [["data", "reconstruction"][row % 2].to_string(), String::new()];
        let row_labels: Vec<[String; 2]> = (0..rows.len()).map(label).collect();
        let groups = [Group { labels: vec![String::new(); columns], rows }];
        let note = format!(
            "The first {} test images as the encoder sees them, each above its reconstruction, the expected \
             pixels at the posterior mean. {note}",
            pairs.len() / 2
        );
        let title = "Reconstructions of test images";
        let tiles = Tiles { title, row_labels: &row_labels, groups: &groups, note: &note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }

    /// Writes `progress/epoch-0005-samples.png` and the like.
    ///
    /// # Errors
    /// The disk.
    pub fn write_progress(&self, epoch: u32, glimpse: &Glimpse) -> Result<(), PictureError> {
        let folder = self.folder.file(PROGRESS);
        fs::create_dir_all(&folder).map_err(|source| CheckpointError::Io {
            path: folder.clone(),
            action: "cannot make the folder",
            source,
        })?;
        for (name, png) in
            [(SAMPLES, &glimpse.samples), (RECONSTRUCTIONS, &glimpse.reconstructions)]
        {
            write_whole(&folder.join(format!("epoch-{epoch:04}-{name}")), png)?;
        }
        Ok(())
    }
}

/// The name of a data set without the folders that it lies in.
fn without_folders(name: &str) -> &str {
    let separators = ['/', '\\'];
    name.trim_end_matches(separators).rsplit(separators).next().unwrap_or(name)
}

/// An even number of images, at most 2 [`WAYS`] of the first `n`: each of another class as long as there
/// are classes, else in their order.
fn different(labels: Option<&Labels>, n: usize) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::new();
    if let Some(labels) = labels {
        for image in 0..n {
            if chosen.iter().all(|&other| labels.classes[other] != labels.classes[image]) {
                chosen.push(image);
            }
        }
    }
    for image in 0..n {
        if !chosen.contains(&image) {
            chosen.push(image);
        }
    }
    chosen.truncate((2 * WAYS).min(n / 2 * 2));
    chosen
}

/// Every line of `metrics.jsonl`; none if there is no such file.
fn read_metrics(path: &Path) -> Result<Vec<EpochReport>, CheckpointError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = read::at_most(path, MAX_TEXT).map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        action: "cannot read",
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes); // a line that is damaged is no epoch
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| CheckpointError::Invalid {
            path: path.to_path_buf(),
            message: format!("line {}: {e}", i + 1),
        })
    };
    text.lines().enumerate().map(parse).collect()
}
