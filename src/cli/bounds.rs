//! `elbo bounds`

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;

use super::Failure;
use super::evaluate::check_samples;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{ModelOption, Trained};
use crate::bounds::{
    Annealed, Annealing, EvaluateError, Observed, anneal, check_path, sandwich, simulate, tune,
    unconditional,
};
use crate::checkpoint::{check_writable, write_whole};
use crate::device::Device;
use crate::loaded::Model;
use crate::report::bounds::{Subject, json, rate_distortion, table};
use crate::report::console::{note, print};
use crate::report::progress::Progress;
use crate::vae::anneal::Path;

/// Bounds on log p(x) from below and from above, on images drawn from the model itself
///
/// An image x is drawn from the model: z* ~ p(z), x ~ p(x|z*). With draws z_k from q(z|x) and weights w(z) =
/// p(x|z) p(z) / q(z|x), L_K = log (1/K) [w(z_1) + .. + w(z_K)] is at most log p(x) on average. z* is a draw from the
/// posterior p(z|x); so U_K = log (1/K) [w(z*) + w(z_2) + .. + w(z_K)] is at least log p(x) on average. The difference
/// says how far the estimate of log p(x) by `elbo eval` can be off for this model. Where it is large, more draws help.
///
/// --temperatures adds annealed importance sampling with Hamiltonian Monte Carlo, which is tighter: chains from q(z|x) (or
/// --path prior) to the posterior bound log p(x) from below, chains back from z* from above. Step sizes are found on pilot
/// chains and then stay as they are. With --path prior, --curve FILE draws the decoder's rate-distortion curve.
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
    #[command(flatten)]
    annealing: AnnealingOptions,
    /// Write the rate-distortion curve, an SVG
    #[arg(long, value_name = "FILE", requires = "temperatures")]
    curve: Option<PathBuf>,
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

/// How chains are annealed.
#[derive(clap::Args)]
pub struct AnnealingOptions {
    /// Temperatures of annealed importance sampling [default: none of it]
    #[arg(long, value_name = "T")]
    temperatures: Option<usize>,
    /// Annealed chains an image
    #[arg(long, value_name = "C", default_value_t = 10)]
    chains: usize,
    /// Leapfrog steps of a transition
    #[arg(long, value_name = "L", default_value_t = 10)]
    leapfrogs: usize,
    /// Where annealed chains begin
    #[arg(long, value_name = "WHERE", default_value = "posterior", value_parser = ["posterior", "prior"])]
    path: String,
}

impl AnnealingOptions {
    /// None where no chains are asked for, unless there is a number of temperatures for that.
    ///
    /// # Errors
    /// A number out of its range.
    pub fn settings(&self, default: Option<usize>) -> Result<Option<Annealing>, Failure> {
        for (name, value, most) in [
            ("--temperatures", self.temperatures.unwrap_or(1), 1_000_000),
            ("--chains", self.chains, 1_000_000),
            ("--leapfrogs", self.leapfrogs, 10_000),
        ] {
            if !(1..=most).contains(&value) {
                return Err(Failure::input(format!(
                    "{name} must be from 1 to {most}, got {value}"
                )));
            }
        }
        let path = if self.path == "prior" { Path::Prior } else { Path::Posterior };
        let (chains, leapfrogs) = (self.chains, self.leapfrogs);
        let temperatures = self.temperatures.or(default);
        Ok(temperatures.map(|temperatures| Annealing { path, temperatures, chains, leapfrogs }))
    }
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
    let annealing = args.annealing.settings(None)?;
    if let Some(file) = &args.curve {
        if annealing.is_some_and(|annealing| annealing.path != Path::Prior) {
            return Err(Failure::input(
                "--curve needs --path prior: along the path from q(z|x) no rate can be told",
            ));
        }
        check_writable(file).map_err(Failure::input)?;
    }
    let trained = Trained::open(&args.run, &args.model)?;
    let architecture = &trained.settings.architecture;
    unconditional(architecture).map_err(|e| trained.failure(e))?;
    if let Some(Annealing { path, .. }) = annealing {
        check_path(architecture, path).map_err(|e| trained.failure(e))?;
    }
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
    let told = &mut |share: f64| told(&mut progress, &stop, share);
    let result = sandwich(&device, model, &simulated, &ks, None, told);
    drop(progress);
    let Some(sandwich) = unless_interrupted(result, failed)? else {
        return Ok(stop.code());
    };
    let annealed = match annealing {
        None => None,
        Some(settings) => {
            let observed = simulated.observed();
            let result = anneal_with_progress(&device, model, observed, settings, &stop);
            let Some(annealed) = unless_interrupted(result, failed)? else {
                return Ok(stop.code());
            };
            Some(annealed)
        }
    };
    let subject = Subject {
        run: trained.name(),
        model: architecture.to_string(),
        seed,
        device: device.description().clone(),
        seconds: begin.elapsed().as_secs_f64(),
    };
    if let (Some(file), Some(annealed)) = (&args.curve, &annealed)
        && let Some(chart) = rate_distortion(annealed, &subject.run)
    {
        write_whole(file, chart.as_bytes()).map_err(Failure::run)?;
        note(format_args!("{}: the rate-distortion curve", file.display()));
    }
    let text = match args.json {
        true => json(&sandwich, annealed.as_ref(), &subject).map_err(Failure::run)? + "\n",
        false => table(&sandwich, annealed.as_ref(), &subject),
    };
    print(&text);
    Ok(0)
}

/// Finds step sizes, then anneals, each with a progress bar.
pub fn anneal_with_progress(
    device: &Device,
    model: Model,
    observed: Observed,
    settings: Annealing,
    stop: &Stop,
) -> Result<Annealed, EvaluateError> {
    let Annealing { temperatures, chains, leapfrogs, .. } = settings;
    let mut progress = Progress::new(format!("step sizes at {temperatures} temperatures"));
    let on = &mut |share: f64| told(&mut progress, stop, share);
    let tempering = tune(device, model, observed, settings, on)?;
    drop(progress);
    let label =
        format!("{chains} chains an image, {temperatures} temperatures x {leapfrogs} leapfrogs");
    let mut progress = Progress::new(label);
    anneal(device, model, observed, &tempering, &mut |share| told(&mut progress, stop, share))
}

/// Shows how much is done; whether to go on.
pub fn told(progress: &mut Progress, stop: &Stop, share: f64) -> ControlFlow<()> {
    progress.set(share);
    match stop.asked() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// None, which is said, where the work was interrupted.
fn unless_interrupted<T>(
    result: Result<T, EvaluateError>,
    failed: impl Fn(EvaluateError) -> Failure,
) -> Result<Option<T>, Failure> {
    match result {
        Err(EvaluateError::Interrupted) => {
            note("interrupted; nothing was written");
            Ok(None)
        }
        result => result.map(Some).map_err(failed),
    }
}
