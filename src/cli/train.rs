//! `elbo train`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;

use super::options::{DeviceOption, MNIST, load_data};
use super::preset::{Preset, Target};
use super::{Failure, stop_on_interrupt};
use crate::checkpoint::{
    CheckpointError, MODEL, RECONSTRUCTIONS, RunFolder, SAMPLES, SUMMARY, write_whole,
};
use crate::data::Dataset;
use crate::device::{Description, Device, DeviceError};
use crate::generate;
use crate::kernels::linear::Activation;
use crate::report::console::{Console, note, say};
use crate::report::figures::{Layout, grid};
use crate::train::{
    self, EpochReport, Observer, Outcome, Schedule, Settings, TrainError, Trainer, digest,
};
use crate::vae::objective::{Bound, Estimator, Kl};
use crate::vae::{Adam, Architecture, Binarization, ConfigError, Init, Likelihood, Objective};
use crate::versions::versions;

/// Train a VAE and write a run folder: parameters, metrics, pictures
///
/// Without options: the classic VAE (784-400-20, ReLU, Adam 1e-3, batch 128) on MNIST with dynamic
/// binarization, 10 epochs. All figures are nats per image; ELBO = reconstruction - KL, where
/// reconstruction is E_q log p(x|z) with z sampled from q, and KL is KL(q(z|x) || N(0, I)). With
/// --objective iwae the table also has L_K, the importance-weighted bound of K samples.
///
/// The run folder gets config.json, metrics.jsonl (one object an epoch), summary.json,
/// model.safetensors (after every epoch), reconstructions.png and samples.png.
///
/// The same seed, settings and device give the same parameters, bit for bit. Ctrl-C finishes the
/// current step, writes the model and the summary, and exits with 130. Exit code 1 is a run that failed,
/// 2 is wrong input, of which nothing is left.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo train
  elbo train --preset pytorch-example
  elbo train --hidden 200,200 --latent 50 --epochs 20 --run runs/deep
  elbo train --preset iwae --samples 50 --schedule-stages 4
  elbo train --data path/to/fashion-mnist --steps 500 --device gpu")]
pub struct Args {
    /// Settings of a published run, whose figure the run is held to; options given beside it take
    /// precedence [default: none]
    #[arg(long, value_enum)]
    preset: Option<Preset>,

    /// Training and test images: mnist (built in), IDX files, raw or .gz, or text of zeros and ones
    /// (.amat): a folder with the names of MNIST's files or of the binarized MNIST's, or one file
    #[arg(long, value_name = "PATH", default_value = MNIST)]
    data: String,
    /// Seed of everything random: parameters, order, binarization, noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The folder to write, which must be new or empty [default: runs/<date-time>]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,

    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    objective: ObjectiveOptions,
    #[command(flatten)]
    optimizer: OptimizerOptions,
}

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Model")]
struct ModelOptions {
    /// What a pixel's byte v becomes; fixed where all are 0 or 255, none with a Gaussian likelihood, else
    /// [default: dynamic]
    #[arg(long, value_enum)]
    binarization: Option<Binarization>,
    /// Widths of the encoder's hidden layers, comma-separated as in 200,200, or none [default: 400]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    hidden: Option<Widths>,
    /// Widths of the decoder's hidden layers, from the latent side [default: --hidden reversed]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    decoder_hidden: Option<Widths>,
    /// Latent units [default: 20]
    #[arg(long, value_name = "Z")]
    latent: Option<usize>,
    /// Non-linearity of the hidden layers [default: relu]
    #[arg(long, value_enum)]
    activation: Option<Activation>,
    /// What the decoder's output means [default: bernoulli]
    #[arg(long, value_enum)]
    likelihood: Option<LikelihoodName>,
    /// Variance of the Gaussian likelihood [default: learned]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    variance: Option<f64>,
    /// How parameters begin [default: pytorch]
    #[arg(long, value_enum)]
    init: Option<Init>,
}

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Objective")]
struct ObjectiveOptions {
    /// The bound on log p(x) that is ascended [default: elbo]
    #[arg(long, value_enum)]
    objective: Option<Bound>,
    /// Samples of z an image: elbo is the mean over them, iwae's bound is L_K [default: 1]
    #[arg(long, value_name = "K")]
    samples: Option<usize>,
    /// How the encoder's gradient is estimated [default: reparameterized]
    #[arg(long, value_enum)]
    gradient: Option<Estimator>,
    /// How the KL enters the objective, iwae's is sampled; the KL shown is always the analytic one
    /// [default: analytic]
    #[arg(long, value_enum)]
    kl: Option<Kl>,
    /// Weight of the KL in the objective; the ELBOs shown have it at 1 [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    beta: Option<f64>,
    /// Let the weight of the KL rise from zero to beta over this many epochs [default: 0]
    #[arg(long, value_name = "EPOCHS")]
    warm_up: Option<u32>,
    /// Nats of each latent unit's KL, averaged over the minibatch, that cost nothing [default: 0]
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    free_bits: Option<f64>,
}

#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Optimizer")]
struct OptimizerOptions {
    /// Passes over the training images [default: 10]
    #[arg(long)]
    epochs: Option<u32>,
    /// End after this many steps, for a quick try [default: no limit]
    #[arg(long)]
    steps: Option<u64>,
    /// Images per minibatch [default: 128]
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Learning rate of Adam, in the first epoch [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// constant, cosine (down to 0 over the epochs), step:10=3e-4,20=1e-4 (from epoch 10 on 3e-4, and so
    /// on), or iwae (stages i = 0, 1, ... of 3^i epochs at 10^(-i/7) times --lr) [default: constant]
    #[arg(long, value_name = "SCHEDULE")]
    lr_schedule: Option<Schedule>,
    /// Stages of the iwae schedule: (3^N - 1) / 2 epochs, 3280 of the paper's 8 [default: 8]
    #[arg(long, value_name = "N", conflicts_with = "epochs", value_parser = clap::value_parser!(u32).range(1..=20))]
    schedule_stages: Option<u32>,
    /// Decay of Adam's mean gradient [default: 0.9]
    #[arg(long, value_name = "BETA1", allow_negative_numbers = true)]
    adam_beta1: Option<f64>,
    /// Decay of Adam's mean squared gradient [default: 0.999]
    #[arg(long, value_name = "BETA2", allow_negative_numbers = true)]
    adam_beta2: Option<f64>,
    /// What Adam adds to the root of the mean squared gradient [default: 1e-8]
    #[arg(long, value_name = "EPSILON", allow_negative_numbers = true)]
    adam_epsilon: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LikelihoodName {
    /// Logits of pixels in [0, 1]
    Bernoulli,
    /// Means of real values with one variance for all; shows densities, which can be above 1
    Gaussian,
}

#[derive(Clone)]
struct Widths(Vec<usize>);

fn widths(text: &str) -> Result<Widths, String> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    text.split(',')
        .map(|width| match width.trim().parse() {
            Ok(width) if width > 0 => Ok(width),
            _ => Err(format!("{width:?} is not a width; write for example 400, 200,200 or none")),
        })
        .collect::<Result<_, _>>()
        .map(Widths)
}

impl Args {
    /// The preset's settings, or the defaults, with what is given in their place.
    fn settings(&self, dataset: &Dataset) -> Result<Settings, ConfigError> {
        let base = self.preset.map_or_else(Settings::default, Preset::settings);
        let fail = |message: &str| Err(ConfigError(message.to_string()));
        let (model, objective, optimizer) = (&self.model, &self.objective, &self.optimizer);
        if self.preset == Some(Preset::Altosaar) && !dataset.train.is_binary() {
            return fail(
                "--preset altosaar is for binarized images, not grey ones: name them by --data",
            );
        }

        let likelihood = match (model.likelihood, model.variance) {
            (Some(LikelihoodName::Gaussian), variance) => Likelihood::Gaussian { variance },
            (_, Some(_)) => return fail("--variance needs --likelihood gaussian"),
            (Some(LikelihoodName::Bernoulli), None) => Likelihood::Bernoulli,
            (None, None) => base.architecture.likelihood,
        };
        let binarization = match (model.binarization, likelihood) {
            (Some(given), _) => given,
            (None, Likelihood::Gaussian { .. }) => Binarization::None,
            (None, _) if self.preset.is_none() && dataset.train.is_binary() => Binarization::Fixed,
            (None, _) => base.binarization,
        };
        let hidden = model.hidden.clone().map(|w| w.0);
        let decoder_hidden = match (&model.decoder_hidden, &hidden) {
            (Some(w), _) => w.0.clone(),
            (None, Some(hidden)) => hidden.iter().rev().copied().collect(),
            (None, None) => base.architecture.decoder_hidden,
        };

        let bound = objective.objective.unwrap_or(base.objective.bound);
        let kl = match (objective.kl, bound) {
            (Some(kl), _) => kl,
            (None, Bound::Iwae) => Kl::Sampled,
            (None, Bound::Elbo) => Kl::Analytic,
        };
        let schedule = optimizer.lr_schedule.clone().unwrap_or(base.schedule);
        let epochs = match (optimizer.epochs, optimizer.schedule_stages) {
            (Some(epochs), _) => epochs,
            (None, Some(_)) if schedule != Schedule::Iwae => {
                return fail("--schedule-stages needs --lr-schedule iwae");
            }
            (None, stages) if schedule == Schedule::Iwae => {
                Schedule::epochs_of_stages(stages.unwrap_or(8)).expect("clap bounds the stages")
            }
            (None, _) => base.epochs,
        };
        Ok(Settings {
            data: absolute(&self.data),
            architecture: Architecture {
                image: (dataset.train.height, dataset.train.width),
                hidden: hidden.unwrap_or(base.architecture.hidden),
                decoder_hidden,
                latent: model.latent.unwrap_or(base.architecture.latent),
                activation: model.activation.unwrap_or(base.architecture.activation),
                likelihood,
            },
            binarization,
            epochs,
            steps: optimizer.steps.or(base.steps),
            batch: optimizer.batch.unwrap_or(base.batch),
            samples: objective.samples.unwrap_or(base.samples),
            learning_rate: optimizer.lr.unwrap_or(base.learning_rate),
            schedule,
            adam: Adam {
                beta1: optimizer.adam_beta1.unwrap_or(base.adam.beta1),
                beta2: optimizer.adam_beta2.unwrap_or(base.adam.beta2),
                epsilon: optimizer.adam_epsilon.unwrap_or(base.adam.epsilon),
            },
            objective: Objective {
                bound,
                estimator: objective.gradient.unwrap_or(base.objective.estimator),
                kl,
                beta: objective.beta.unwrap_or(base.objective.beta),
                warm_up: objective.warm_up.unwrap_or(base.objective.warm_up),
                free_bits: objective.free_bits.unwrap_or(base.objective.free_bits),
            },
            init: model.init.unwrap_or(base.init),
            seed: self.seed,
        })
    }

    /// The preset alone, with nothing changed but what does not matter to its figure.
    fn of_preset(&self) -> Args {
        let data = match self.preset {
            Some(Preset::Altosaar) => self.data.clone(), // there is no copy of its own
            _ => MNIST.to_string(),
        };
        Args {
            preset: self.preset,
            data,
            seed: self.seed,
            run: None,
            device: DeviceOption::default(),
            model: ModelOptions::default(),
            objective: ObjectiveOptions::default(),
            optimizer: OptimizerOptions::default(),
        }
    }
}

/// The data's path as it can be found from any folder.
fn absolute(data: &str) -> String {
    match std::path::absolute(data) {
        Ok(path) if data != MNIST => path.to_str().map(str::to_string),
        _ => None,
    }
    .unwrap_or_else(|| data.to_string())
}

/// What `summary.json` holds.
#[derive(Serialize)]
struct Summary<'a> {
    /// The last epoch's figures; absent if none was finished.
    last: Option<&'a EpochReport>,
    best_test_elbo: Option<f64>,
    steps: u64,
    interrupted: bool,
    /// Wall clock from the first step to the last evaluation.
    seconds: f64,
    device: &'a Description,
    seed: u64,
    /// SHA-256 of all parameters.
    parameters_sha256: String,
    versions: BTreeMap<&'static str, &'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let dataset = load_data(&args.data).map_err(|e| Failure::input(format!("--data {e}")))?;
    let settings = args.settings(&dataset).map_err(Failure::input)?;
    settings.check_with(&dataset).map_err(Failure::input)?;
    // Known at once if it is taken; made only when all is well.
    args.run.as_deref().map_or(Ok(()), RunFolder::check_free).map_err(Failure::input)?;
    let device = args.device.open()?;
    let mut trainer = Trainer::new(&device, &dataset, &settings).map_err(failure)?;

    let stop = stop_on_interrupt()?;

    let folder = match &args.run {
        Some(path) => RunFolder::create(path, &settings),
        None => create_default(&settings),
    }
    .map_err(Failure::input)?;
    note(format_args!(
        "{}: {} training and {} test images of {}x{}; {}; {}; run folder {}",
        dataset.name,
        dataset.train.n_images,
        dataset.test.n_images,
        dataset.train.height,
        dataset.train.width,
        settings.architecture,
        settings.objective.describe(settings.samples),
        folder.path().display()
    ));

    let begin = Instant::now();
    let mut watcher = Watcher {
        console: Console::new(&settings, trainer.steps_total()),
        folder: &folder,
        architecture: &settings.architecture,
        stop,
    };
    let result = train::run(&mut trainer, &mut watcher);
    watcher.console.finish();
    let outcome = result.map_err(|error| {
        let model = folder.file(MODEL);
        let kept = match model.exists() {
            true => format!("{} keeps the last good epoch", model.display()),
            false => {
                folder.discard();
                "no epoch was finished, so there is no run folder".to_string()
            }
        };
        Failure::run(format!("{error}; {kept}"))
    })?;
    finish(&args, &settings, &dataset, &device, &folder, &outcome, begin.elapsed().as_secs_f64())
}

/// Summary, pictures, last words.
fn finish(
    args: &Args,
    settings: &Settings,
    dataset: &Dataset,
    device: &Device,
    folder: &RunFolder,
    outcome: &Outcome,
    seconds: f64,
) -> Result<u8, Failure> {
    let architecture = &settings.architecture;
    let parameters = &outcome.parameters;
    let last = outcome.epochs.last();
    // A preset's figure means something only for the preset's own settings, to their end.
    let own = !outcome.interrupted
        && args.of_preset().settings(dataset).is_ok_and(|own| own == *settings);
    let target = match (args.preset, last) {
        (Some(preset), Some(last)) if own => preset.target(last.test),
        _ => None,
    };
    let summary = Summary {
        last,
        best_test_elbo: outcome.epochs.iter().map(|e| e.test.elbo).reduce(f64::max),
        steps: outcome.steps,
        interrupted: outcome.interrupted,
        seconds,
        device: device.description(),
        seed: settings.seed,
        parameters_sha256: digest(parameters),
        versions: versions(),
        target: target.clone(),
    };
    let write = || -> Result<(), CheckpointError> {
        if outcome.interrupted {
            folder.write_model(architecture, parameters)?;
        }
        folder.write_json(SUMMARY, &summary)
    };
    write().map_err(Failure::run)?;
    if outcome.interrupted {
        let (step, path) = (outcome.steps, folder.path().display());
        say(format_args!("interrupted after step {step}; elbo sample {path} shows what it learnt"));
        return Ok(130);
    }

    let pairs = generate::reconstruct(
        device,
        architecture,
        parameters,
        settings.binarization,
        &dataset.test,
        50,
        settings.seed,
    )
    .map_err(Failure::run)?;
    let drawn = generate::sample(device, architecture, parameters, 100, settings.seed)
        .map_err(Failure::run)?;
    for (name, images, layout) in
        [(RECONSTRUCTIONS, pairs, Layout::Pairs), (SAMPLES, drawn, Layout::Square)]
    {
        let png = grid(&images, architecture.image, layout).map_err(Failure::run)?;
        write_whole(&folder.file(name), &png).map_err(Failure::run)?;
    }
    if let Some(last) = last {
        say(format_args!(
            "test ELBO {:.2} nats per image ({}, {} images, {:.1} s)",
            last.test.elbo,
            settings.binarization.label(),
            dataset.test.n_images,
            seconds
        ));
    }
    if let (Some(bound), Some(k)) =
        (last.and_then(|last| last.test.bound), settings.bound_samples())
    {
        say(format_args!("test L_{k} {bound:.2}: the importance-weighted bound of {k} samples"));
    }
    if settings.objective.beta != 1.0 {
        let beta = settings.objective.beta;
        say(format_args!("trained with beta = {beta}; the ELBOs above weigh the KL with 1"));
    }
    match (&target, args.preset) {
        (Some(t), _) => say(format_args!(
            "{}: {}: target {} ± {}, obtained {:.2}: {}",
            t.preset,
            t.quantity,
            t.target,
            t.tolerance,
            t.obtained,
            match t.met {
                true if t.obtained < t.target - t.tolerance => "surpassed",
                true => "met",
                false => "missed",
            }
        )),
        (None, Some(preset)) => {
            let changed = "the preset's target is not compared: its settings were changed";
            say(preset.hint().unwrap_or(changed));
        }
        (None, None) => {}
    }
    let path = folder.path().display();
    say(format_args!("{path}: {SAMPLES} and {RECONSTRUCTIONS} show what it learnt"));
    Ok(0)
}

/// Shows the run and writes its folder.
struct Watcher<'a> {
    console: Console,
    folder: &'a RunFolder,
    architecture: &'a Architecture,
    stop: Arc<AtomicBool>,
}

impl Observer for Watcher<'_> {
    fn epoch_begins(&mut self, epoch: u32) {
        self.console.epoch_begins(epoch);
    }

    fn step(&mut self, step: u64) -> bool {
        self.console.step(step);
        self.stop.load(Ordering::Relaxed)
    }

    fn evaluating(&mut self) {
        self.console.evaluating();
    }

    fn epoch_ends(&mut self, report: &EpochReport, parameters: &[Vec<f32>]) -> Result<(), String> {
        self.console.row(report);
        let write = || {
            self.folder.write_model(self.architecture, parameters)?;
            self.folder.append_metrics(report)
        };
        write().map_err(|e: CheckpointError| e.to_string())
    }
}

fn failure(error: TrainError) -> Failure {
    match error {
        TrainError::Config(_) | TrainError::Plan(_) => Failure::input(error),
        // Sizes that somebody asked for.
        TrainError::Device(DeviceError::TooLarge { .. } | DeviceError::OutOfMemory { .. }) => {
            Failure::input(error)
        }
        _ => Failure::run(error),
    }
}

/// Makes runs/2026-11-23-142501, with a number behind it if that is taken.
fn create_default(settings: &Settings) -> Result<RunFolder, CheckpointError> {
    let stamp = jiff::Zoned::now().strftime("%Y-%m-%d-%H%M%S").to_string();
    let mut path = Path::new("runs").join(&stamp);
    let mut n = 2;
    loop {
        // Another run may begin in the same moment.
        match RunFolder::create(&path, settings) {
            Err(CheckpointError::Exists(_)) => path.set_file_name(format!("{stamp}-{n}")),
            made => return made,
        }
        n += 1;
    }
}
