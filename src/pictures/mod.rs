//! The pictures of a run: what each shows, computed on the run's device, and where it is kept.

mod progress;

use std::fs;
use std::path::Path;

use crate::checkpoint::{
    CheckpointError, IMPORT, METRICS, RECONSTRUCTIONS, RunFolder, SAMPLES, write_whole,
};
use crate::data::{Images, Labels};
use crate::device::Device;
use crate::evaluate::{Model, Posteriors, Unit};
use crate::generate::{self, GenerateError};
use crate::report::figures::{Layout, columns_of_pairs, grid, rows_of_pairs};
use crate::report::latent::{self, by_kl};
use crate::report::tiles::{Group, Tiles};
use crate::report::training::training;
use crate::train::{EpochReport, Settings};
pub use progress::ProgressWriter;

/// [`SAMPLES`] and [`RECONSTRUCTIONS`] with words.
pub const SAMPLES_CHART: &str = "samples.svg";
pub const RECONSTRUCTIONS_CHART: &str = "reconstructions.svg";
pub const TRAINING: &str = "training.svg";
pub const UNITS: &str = "units.svg";
pub const MANIFOLD: &str = "manifold.svg";
pub const SCATTER: &str = "scatter.svg";
pub const INTERPOLATION: &str = "interpolation.svg";
pub const TRAVERSALS: &str = "traversals.svg";
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
/// Images on the way between two, both ends' reconstructions among them.
const STEPS: usize = 9;
/// Units that are traversed.
const TRAVERSED: usize = 10;

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
    pub test: &'a Images,
    /// The name of the data.
    pub data: &'a str,
    /// The name of the device that the run was trained on.
    pub trained_on: &'a str,
}

/// Two PNGs, the same draws and the same test images whenever they are made.
pub struct Glimpse {
    pub samples: Vec<u8>,
    pub reconstructions: Vec<u8>,
}

impl Pictures<'_> {
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
        self.glimpse_of(&self.draw(parameters)?, &self.reconstruct(parameters, PAIRS)?)
    }

    fn glimpse_of(&self, draws: &[Vec<f32>], pairs: &[Vec<f32>]) -> Result<Glimpse, PictureError> {
        let png = |images: &[Vec<f32>], layout| {
            grid(images, self.settings.architecture.shape(), layout).map_err(PictureError::Encode)
        };
        Ok(Glimpse {
            samples: png(draws, Layout::Square)?,
            reconstructions: png(pairs, Layout::Pairs)?,
        })
    }

    fn draw(&self, parameters: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, GenerateError> {
        let Settings { architecture, seed, .. } = self.settings;
        generate::sample(self.device, architecture, parameters, DRAWS, *seed)
    }

    fn reconstruct(
        &self,
        parameters: &[Vec<f32>],
        count: usize,
    ) -> Result<Vec<Vec<f32>>, GenerateError> {
        let s = self.settings;
        let (device, test) = (self.device, self.test);
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
            (Some(last), steps) if steps.is_none_or(|steps| steps == last.step) => {
                format!("after epoch {}", last.epoch)
            }
            (_, Some(steps)) => format!("after step {steps}"),
            (_, None) => "before the first epoch".to_string(),
        };
        let mut written = Vec::new();
        let mut write = |name: &'static str, bytes: &[u8]| {
            written.push(name);
            write_whole(&self.folder.file(name), bytes)
        };
        let note = self.note(&when);
        if let Some(svg) = training(&epochs, self.settings.bound_samples(), &note) {
            write(TRAINING, svg.as_bytes())?;
        }

        let chosen = different(self.test.labels.as_ref(), self.test.n_images.min(CHOICE));
        let most = chosen.iter().max().map_or(0, |&i| i + 1);
        let pairs = self.reconstruct(parameters, PAIRS.max(most))?;
        let (draws, shown) = (self.draw(parameters)?, &pairs[..pairs.len().min(2 * PAIRS)]);
        let glimpse = self.glimpse_of(&draws, shown)?;
        write(SAMPLES, &glimpse.samples)?;
        write(SAMPLES_CHART, self.samples(&draws, &note)?.as_bytes())?;
        write(RECONSTRUCTIONS, &glimpse.reconstructions)?;
        write(RECONSTRUCTIONS_CHART, self.reconstructions(shown, &note)?.as_bytes())?;

        let model = self.model(parameters);
        let posteriors = generate::posteriors(self.device, model, self.test, POSTERIORS)?;
        let mut values = posteriors.mean.iter().zip(&posteriors.log_variance);
        if let Some(bad) = values.position(|(m, l)| !(m.is_finite() && l.is_finite())) {
            return Err(PictureError::NotFinite { image: bad / posteriors.latent });
        }
        let units = posteriors.units();
        let n = posteriors.images();
        let of = match n == self.test.n_images {
            true => format!("All {n} test images; {note}"),
            false => format!("The first {n} of {} test images; {note}", self.test.n_images),
        };
        write(UNITS, latent::units(&units, &of).as_bytes())?;
        if self.settings.architecture.latent == 2 {
            let labels = self.test.labels.as_ref();
            write(SCATTER, latent::scatter(&posteriors, labels, &of).as_bytes())?;
            write(MANIFOLD, self.manifold(parameters, &note)?.as_bytes())?;
        } else {
            if chosen.len() >= 2 {
                let svg = self.interpolation(parameters, &posteriors, &chosen, &pairs, &note)?;
                write(INTERPOLATION, svg.as_bytes())?;
            }
            let svg = self.traversals(parameters, &posteriors, &units, &note)?;
            write(TRAVERSALS, svg.as_bytes())?;
        }
        Ok(written)
    }

    fn note(&self, when: &str) -> String {
        let Settings { architecture, binarization, objective, samples, .. } = self.settings;
        let (data, binarization) = (without_folders(self.data), binarization.label());
        if self.folder.file(IMPORT).exists() {
            return format!("{data}; {architecture}, imported; {binarization}.");
        }
        format!(
            "{data}; {architecture}, trained on the {}; {binarization}; {when}; {}.",
            objective.describe(*samples),
            self.trained_on
        )
    }

    fn decode(&self, parameters: &[Vec<f32>], z: &[f32]) -> Result<Vec<Vec<f32>>, PictureError> {
        Ok(generate::decode(self.device, &self.settings.architecture, parameters, z)?)
    }

    fn samples(&self, draws: &[Vec<f32>], note: &str) -> Result<String, PictureError> {
        const COLUMNS: usize = 10;
        let rows = draws.chunks(COLUMNS).map(<[_]>::to_vec).collect();
        let groups = [Group { labels: vec![String::new(); COLUMNS], rows }];
        let note = format!("Expected pixels at {} draws z from N(0, I). {note}", draws.len());
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

    fn manifold(&self, parameters: &[Vec<f32>], note: &str) -> Result<String, PictureError> {
        let images = self.decode(parameters, &latent::manifold_codes())?;
        let note = format!(
            "Decoded at {0} × {0} codes, each unit at quantiles of N(0,1): equal areas are equally \
             likely under the prior. {note}",
            latent::MANIFOLD
        );
        latent::manifold(&images, self.settings.architecture.shape(), &note)
            .map_err(PictureError::Encode)
    }

    /// `pairs` are reconstructed test images, up to the last of the `chosen`.
    fn interpolation(
        &self,
        parameters: &[Vec<f32>],
        posteriors: &Posteriors,
        chosen: &[usize],
        pairs: &[Vec<f32>],
        note: &str,
    ) -> Result<String, PictureError> {
        let width = posteriors.latent;
        let mean = |image: usize| &posteriors.mean[image * width..][..width];
        let mut z = Vec::new();
        for ends in chosen.chunks_exact(2) {
            for step in 0..STEPS {
                let share = step as f64 / (STEPS - 1) as f64;
                let between = mean(ends[0]).iter().zip(mean(ends[1]));
                z.extend(between.map(|(a, b)| (a + share * (b - a)) as f32));
            }
        }
        let images = self.decode(parameters, &z)?;
        let ways = || chosen.chunks_exact(2);
        let seen = |image: usize| vec![pairs[2 * image].clone()];
        let shares = (0..STEPS).map(|step| match step * 8 / (STEPS - 1) {
            0 => "0",
            2 => "¼",
            4 => "½",
            6 => "¾",
            8 => "1",
            _ => "",
        });
        let groups = [
            Group { labels: vec!["x".to_string()], rows: ways().map(|w| seen(w[0])).collect() },
            Group {
                labels: shares.map(str::to_string).collect(),
                rows: images.chunks_exact(STEPS).map(<[_]>::to_vec).collect(),
            },
            Group { labels: vec!["x′".to_string()], rows: ways().map(|w| seen(w[1])).collect() },
        ];
        let note = format!(
            "Decoded on the straight line from the posterior mean of a test image x to that of another, \
             x′; above each column the share of x′. {note}"
        );
        let title = "Interpolation between test images";
        let tiles = Tiles { title, row_labels: &[], groups: &groups, note: &note };
        tiles.svg(self.settings.architecture.shape()).map_err(PictureError::Encode)
    }

    fn traversals(
        &self,
        parameters: &[Vec<f32>],
        posteriors: &Posteriors,
        units: &[Unit],
        note: &str,
    ) -> Result<String, PictureError> {
        let order = by_kl(units);
        let order = &order[..order.len().min(TRAVERSED)];
        let values: Vec<f64> = (-6..=6).map(|half| f64::from(half) / 2.0).collect();
        let mut z = Vec::new();
        for &unit in order {
            for &value in &values {
                let mut code = posteriors.mean[..posteriors.latent].to_vec();
                code[unit] = value;
                z.extend(code.into_iter().map(|v| v as f32));
            }
        }
        let images = self.decode(parameters, &z)?;
        let label =
            |&unit: &usize| [format!("unit {unit}"), format!("{:.2} nats", units[unit].kl.value)];
        let row_labels: Vec<[String; 2]> = order.iter().map(label).collect();
        let labels = values.iter().map(|value| match value.fract() {
            0.0 => crate::report::svg::number(*value, 0),
            _ => String::new(),
        });
        let groups = [Group {
            labels: labels.collect(),
            rows: images.chunks_exact(values.len()).map(<[_]>::to_vec).collect(),
        }];
        let title = match order.len() {
            n if n < units.len() => {
                format!("Traversals of the {n} latent units with the largest KL")
            }
            _ => "Traversals of the latent units".to_string(),
        };
        let note = format!(
            "One unit goes from −3 to 3, the others stay at the posterior mean of the first test image. {note}"
        );
        let tiles = Tiles { title: &title, row_labels: &row_labels, groups: &groups, note: &note };
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
    let text = fs::read_to_string(path).map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        action: "cannot read",
        source,
    })?;
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| CheckpointError::Invalid {
            path: path.to_path_buf(),
            message: format!("line {}: {e}", i + 1),
        })
    };
    text.lines().enumerate().map(parse).collect()
}
