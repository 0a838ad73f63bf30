//! `elbo eval`

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::options::{DeviceOption, load_data_of, seed};
use super::{Failure, stop_on_interrupt};
use crate::checkpoint::{CONFIG, RunFolder, check_writable, write_whole};
use crate::data::Dataset;
use crate::device::Device;
use crate::evaluate::{EvaluateError, Evaluation, Model, Request, evaluate};
use crate::report::console::note;
use crate::report::evaluation::{Subject, json, per_image, table};
use crate::report::progress::Progress;
use crate::train::Settings;

/// Evaluate a trained model on the test set: ELBO, log p(x) by importance sampling and by draws from
/// the prior, the gap between them, KL per latent unit
///
/// All figures are nats per test image, with their standard error over images. Of an image with K draws
/// z from q(z|x) and weights w = p(x|z) p(z) / q(z|x): L_k is the log of the mean of k weights, averaged
/// over the K/k disjoint groups of k draws; its expectation grows with k from the ELBO towards log p(x),
/// so L_K is the estimate of log p(x). The gap L_K - ELBO estimates KL(q(z|x) || p(z|x)) from below. The
/// effective sample size is (sum w)^2 / sum w^2. The prior's estimate is the log of the mean of p(x|z)
/// over as many draws z from N(0, I).
///
/// The pixels are binarized as they were for the test ELBO in training. No draw depends on the device or
/// on how the work is cut, and with --samples 1 the ELBO is training's.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Draws of z an image, K
    #[arg(long, value_name = "K", default_value_t = 5000)]
    samples: usize,
    /// Evaluate the first N test images [default: all]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Write the figures of each image to a CSV file
    #[arg(long, value_name = "FILE")]
    per_image: Option<PathBuf>,
    /// Seed of binarization and draws [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if let Some(path) = &args.per_image {
        check_writable(path).map_err(Failure::input)?;
    }
    let trained = Trained::open(&args.run)?;
    let dataset = trained.data()?;
    let images = trained.count(&dataset, args.images)?;
    let device = args.device.open()?;
    let ks = [1, 5, 50, 500].into_iter().filter(|&k| k < args.samples);
    let request =
        Request { images, ks: ks.chain([args.samples]).collect(), rows: None, resident: None };
    let stop = stop_on_interrupt()?;
    let begin = Instant::now();
    let label = format!("{images} images, {} samples each", args.samples);
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let Some(evaluation) = trained.evaluate(&device, &dataset, &request, seed, label, &stop)?
    else {
        note("interrupted; nothing was written");
        return Ok(130);
    };
    if let Some(path) = &args.per_image {
        write_whole(path, per_image(&evaluation).as_bytes()).map_err(Failure::run)?;
    }
    let subject = Subject {
        run: args.run.display().to_string(),
        model: trained.settings.architecture.to_string(),
        seed,
        device: device.description().clone(),
        seconds: begin.elapsed().as_secs_f64(),
    };
    let text = match args.json {
        true => json(&evaluation, &subject).map_err(Failure::run)? + "\n",
        false => table(&evaluation, &subject),
    };
    print(&text);
    Ok(0)
}

/// A run and its parameters.
pub struct Trained {
    path: PathBuf,
    pub settings: Settings,
    pub parameters: Vec<Vec<f32>>,
}

impl Trained {
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let (folder, settings) = RunFolder::open(path).map_err(Failure::input)?;
        let parameters = folder.read_model(&settings.architecture).map_err(Failure::input)?;
        Ok(Trained { path: path.to_path_buf(), settings, parameters })
    }

    /// The data of the run.
    pub fn data(&self) -> Result<Dataset, Failure> {
        load_data_of(&self.path.join(CONFIG), &self.settings)
    }

    /// How many test images to take: `asked`, or all.
    pub fn count(&self, dataset: &Dataset, asked: Option<usize>) -> Result<usize, Failure> {
        let (have, needed) = (dataset.test.n_pixels(), self.settings.architecture.pixels());
        if have != needed {
            return Err(Failure::input(format!(
                "{}: its images have {have} pixels now, {} was trained on {needed}",
                self.settings.data,
                self.path.display()
            )));
        }
        let all = dataset.test.n_images;
        match asked {
            None => Ok(all),
            Some(n) if (1..=all).contains(&n) => Ok(n),
            Some(n) => Err(Failure::input(format!(
                "--images must be from 1 to {all}, the test images of {}, got {n}",
                self.settings.data
            ))),
        }
    }

    /// None if it was interrupted.
    pub fn evaluate(
        &self,
        device: &Device,
        dataset: &Dataset,
        request: &Request,
        seed: u64,
        label: String,
        stop: &AtomicBool,
    ) -> Result<Option<Evaluation>, Failure> {
        let model = Model {
            architecture: &self.settings.architecture,
            parameters: &self.parameters,
            binarization: self.settings.binarization,
            seed,
        };
        let mut progress = Progress::new(label);
        let result = evaluate(device, model, &dataset.test, request, &mut |share| {
            progress.set(share);
            match stop.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match result {
            Ok(evaluation) => Ok(Some(evaluation)),
            Err(EvaluateError::Interrupted) => Ok(None),
            Err(e @ EvaluateError::Plan(_)) => Err(Failure::input(e)),
            Err(e) => Err(Failure::run(format!("{}: {e}", self.path.display()))),
        }
    }
}

pub fn check_samples(samples: usize) -> Result<(), Failure> {
    match samples {
        1..=1_000_000_000 => Ok(()), // a draw's number is a word of the noise's counter
        _ => Err(Failure::input(format!("--samples must be from 1 to 1000000000, got {samples}"))),
    }
}

/// A closed pipe is no failure.
pub fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
