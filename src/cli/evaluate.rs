//! `elbo eval`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use super::Failure;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained, count};
use crate::checkpoint::{check_writable, write_whole};
use crate::data::{Dataset, Table};
use crate::device::Device;
use crate::evaluate::{EvaluateError, Evaluation, Model, Request, evaluate};
use crate::report::console::{note, print};
use crate::report::evaluation::{Subject, json, per_image, table, warnings};
use crate::report::progress::Progress;

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
/// Of a run of a table, --data names another with its columns, whose rows are all scored. Figures are of
/// standardised cells, those that are there.
///
/// Of a model that was trained with --condition labels all figures are of log p(x|y), y the class of the image.
///
/// Where the likelihood is one of 256 levels, bits per dimension stand beside the nats: -log2 p(x) / D.
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
    /// Write the figures of each image, or of each row of a table, to a CSV file
    #[arg(long, value_name = "FILE")]
    per_image: Option<PathBuf>,
    /// Seed of binarization and draws [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if let Some(path) = &args.per_image {
        check_writable(path).map_err(Failure::input)?;
    }
    let trained = Trained::open(&args.run, &args.model)?;
    let dataset = trained.data(&args.data)?;
    let images = count(&dataset, args.images)?;
    let other_data = trained.has_other(&dataset, &args.data);
    let device = args.device.open()?;
    let ks = [1, 5, 50, 500].into_iter().filter(|&k| k < args.samples);
    let request =
        Request { images, ks: ks.chain([args.samples]).collect(), rows: None, resident: None };
    let stop = Stop::listen()?;
    let begin = Instant::now();
    let what = if dataset.table().is_some() { "rows" } else { "images" };
    let label = format!("{images} {what}, {} samples each", args.samples);
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let Some(evaluation) = trained.evaluate(&device, &dataset, &request, seed, label, &stop)?
    else {
        note("interrupted; nothing was written");
        return Ok(stop.code());
    };
    if let Some(path) = &args.per_image {
        let rows = per_image(&evaluation, &dataset.test);
        write_whole(path, rows.as_bytes()).map_err(Failure::run)?;
    }
    let subject = Subject {
        normal: trained.settings.architecture.prior.is_normal(),
        closed_kl: trained.settings.architecture.has_closed_kl(),
        run: trained.name(),
        model: trained.settings.architecture.to_string(),
        seed,
        other_data,
        is_likelihood: trained
            .settings
            .architecture
            .likelihood
            .module()
            .is_likelihood_of(trained.settings.binarization),
        likelihood: trained.settings.architecture.likelihood,
        pixels: trained.settings.architecture.pixels(),
        classes: trained.settings.architecture.classes.len(),
        log_scale: trained.settings.table.as_ref().map(Table::log_scale),
        device: device.description().clone(),
        seconds: begin.elapsed().as_secs_f64(),
    };
    let text = match args.json {
        true => json(&evaluation, &subject).map_err(Failure::run)? + "\n",
        false => table(&evaluation, &subject),
    };
    print(&text);
    warnings(&evaluation).iter().for_each(|line| note(format_args!("warning: {line}")));
    Ok(0)
}

impl Trained {
    /// None if it was interrupted.
    pub fn evaluate(
        &self,
        device: &Device,
        dataset: &Dataset,
        request: &Request,
        seed: u64,
        label: String,
        stop: &Stop,
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
            match stop.asked() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        match result {
            Ok(evaluation) => Ok(Some(evaluation)),
            Err(EvaluateError::Interrupted) => Ok(None),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// How an evaluation's error is told.
    pub fn failure(&self, error: EvaluateError) -> Failure {
        let named = |e: EvaluateError| format!("{}: {e}", self.folder.path().display());
        match error {
            EvaluateError::Device(e) => Failure::device(&e, &e),
            EvaluateError::Plan(_) | EvaluateError::Config(_) => Failure::input(error),
            EvaluateError::Sized { .. }
            | EvaluateError::Conditional
            | EvaluateError::NoPathFromPrior => Failure::input(named(error)),
            _ => Failure::run(named(error)),
        }
    }
}

pub fn check_samples(samples: usize) -> Result<(), Failure> {
    match samples {
        1..=1_000_000_000 => Ok(()), // a draw's number is a word of the noise's counter
        _ => Err(Failure::input(format!("--samples must be from 1 to 1000000000, got {samples}"))),
    }
}
