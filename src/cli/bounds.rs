//! `elbo bounds`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use super::Failure;
use super::evaluate::check_samples;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{ModelOption, Trained};
use crate::bounds::{EvaluateError, sandwich, simulate};
use crate::loaded::Model;
use crate::report::bounds::{Subject, json, table};
use crate::report::console::{note, print};
use crate::report::progress::Progress;

/// Bounds on log p(x) from below and from above, on images drawn from the model itself
///
/// An image x is drawn from the model: z* ~ p(z), x ~ p(x|z*). With draws z_k from q(z|x) and weights w(z) =
/// p(x|z) p(z) / q(z|x), L_K = log (1/K) [w(z_1) + .. + w(z_K)] is at most log p(x) on average. z* is a draw from the
/// posterior p(z|x); so U_K = log (1/K) [w(z*) + w(z_2) + .. + w(z_K)] is at least log p(x) on average. The difference
/// says how far the estimate of log p(x) by `elbo eval` can be off for this model. Where it is large, more draws help.
///
/// All figures are nats per image, with their standard error over images. No data are needed: of images that the
/// model did not make z* is not known, and L_K is all that holds.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// Draws of z an image, K
    #[arg(long, value_name = "K", default_value_t = 5000)]
    samples: usize,
    /// Images to draw from the model
    #[arg(long, value_name = "N", default_value_t = 1000)]
    images: usize,
    /// Print one JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Seed of the images and the draws [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// Images that are drawn at most: they are on the device all at once.
const MOST: usize = 1_000_000;

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    if !(1..=MOST).contains(&args.images) {
        return Err(Failure::input(format!(
            "--images must be from 1 to {MOST}, got {}",
            args.images
        )));
    }
    let trained = Trained::open(&args.run, &args.model)?;
    let architecture = &trained.settings.architecture;
    let device = args.device.open()?;
    let seed = args.seed.unwrap_or(trained.settings.seed);
    let model = Model {
        architecture,
        parameters: &trained.parameters,
        binarization: trained.settings.binarization,
        seed,
    };
    let stop = Stop::listen()?;
    let begin = Instant::now();
    let failed = |error: EvaluateError| trained.failure(error);
    let simulated = simulate(&device, model, args.images).map_err(failed)?;
    if !architecture.likelihood.module().is_likelihood_of(model.binarization) {
        note(
            "warning: the run was trained on grey levels; the images drawn from the model are black and white, and \
              the encoder has not seen any such",
        );
    }
    let ks = [1, 5, 50, 500].into_iter().filter(|&k| k < args.samples);
    let ks: Vec<usize> = ks.chain([args.samples]).collect();
    let label = format!("{} images, {} samples each", args.images, args.samples);
    let mut progress = Progress::new(label);
    let result = sandwich(&device, model, &simulated, &ks, None, &mut |share| {
        progress.set(share);
        match stop.asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    drop(progress);
    let sandwich = match result {
        Err(EvaluateError::Interrupted) => {
            note("interrupted; nothing was written");
            return Ok(stop.code());
        }
        result => result.map_err(failed)?,
    };
    let subject = Subject {
        run: trained.name(),
        model: architecture.to_string(),
        seed,
        device: device.description().clone(),
        seconds: begin.elapsed().as_secs_f64(),
    };
    let text = match args.json {
        true => json(&sandwich, &subject).map_err(Failure::run)? + "\n",
        false => table(&sandwich, &subject),
    };
    print(&text);
    Ok(0)
}
