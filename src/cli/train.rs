//! `elbo train`

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::ValueEnum;
use serde::Serialize;

use super::Failure;
use super::options::{DeviceOption, MNIST, load_data};
use crate::checkpoint::{
    CheckpointError, MODEL, RECONSTRUCTIONS, RunFolder, SAMPLES, SUMMARY, write_whole,
};
use crate::data::Dataset;
use crate::device::{Description, Device};
use crate::generate;
use crate::kernels::linear::Activation;
use crate::report::console::{Console, note, say};
use crate::report::figures::{Layout, grid};
use crate::train::{
    self, EpochReport, Figures, Observer, Outcome, Settings, TrainError, Trainer, digest,
};
use crate::vae::{Architecture, Binarization};

/// Train a VAE and write a run folder: parameters, metrics, pictures
///
/// Without options: the classic VAE (784-400-20, ReLU, Adam 1e-3, batch 128) on MNIST with dynamic
/// binarization, 10 epochs. All figures are nats per image; ELBO = reconstruction - KL, where
/// reconstruction is E_q log p(x|z) with z sampled from q, and KL is KL(q(z|x) || N(0, I)).
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
  elbo train --data path/to/fashion-mnist --steps 500 --device gpu")]
pub struct Args {
    /// Settings of a published run, whose figure the run is held to; options given beside it take
    /// precedence [default: none]
    #[arg(long, value_enum)]
    preset: Option<Preset>,

    /// Training and test images: mnist (built in), or IDX files, raw or .gz: a folder with the names of
    /// MNIST's files, or one file
    #[arg(long, value_name = "PATH", default_value = MNIST)]
    data: String,
    /// What a pixel's byte v becomes [default: dynamic]
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

    /// Passes over the training images [default: 10]
    #[arg(long)]
    epochs: Option<u32>,
    /// End after this many steps, for a quick try [default: no limit]
    #[arg(long)]
    steps: Option<u64>,
    /// Images per minibatch [default: 128]
    #[arg(long, value_name = "B")]
    batch: Option<usize>,
    /// Samples of z per image; the objective is the mean over them [default: 1]
    #[arg(long, value_name = "K")]
    samples: Option<usize>,
    /// Learning rate of Adam [default: 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f64>,
    /// Weight of the KL in the objective; the ELBOs shown have it at 1 [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    beta: Option<f64>,
    /// Seed of everything random: parameters, order, binarization, noise
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// The folder to write, which must be new or empty [default: runs/<date-time>]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
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

/// A published run to be met.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preset {
    /// The VAE of github.com/pytorch/examples: 784-400-20 ReLU, grey pixels, batch 128, 10 epochs; its
    /// published test losses (= -ELBO) are 105.56, 105.59 and 105.61
    PytorchExample,
}

/// The figure that a preset is to meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Target {
    preset: &'static str,
    /// What is compared, lower is better.
    quantity: &'static str,
    target: f64,
    tolerance: f64,
    source: &'static str,
    obtained: f64,
    met: bool,
}

impl Preset {
    fn target(self, test: Figures) -> Target {
        match self {
            Preset::PytorchExample => {
                let (target, tolerance) = (105.6, 0.6);
                let obtained = -test.elbo;
                Target {
                    preset: "pytorch-example",
                    quantity: "test loss after 10 epochs",
                    target,
                    tolerance,
                    source: "three published runs of github.com/pytorch/examples vae: 105.56, 105.59, 105.61",
                    obtained,
                    met: (obtained - target).abs() <= tolerance,
                }
            }
        }
    }
}

impl Args {
    fn settings(&self, dataset: &Dataset) -> Settings {
        // Where a preset differs from the defaults.
        let binarization = match self.preset {
            Some(Preset::PytorchExample) => Binarization::None,
            None => Binarization::Dynamic,
        };
        let hidden = self.hidden.clone().map_or_else(|| vec![400], |w| w.0);
        let reversed = || hidden.iter().rev().copied().collect();
        let decoder_hidden = self.decoder_hidden.clone().map_or_else(reversed, |w| w.0);
        Settings {
            data: absolute(&self.data),
            architecture: Architecture {
                image: (dataset.train.height, dataset.train.width),
                hidden,
                decoder_hidden,
                latent: self.latent.unwrap_or(20),
                activation: self.activation.unwrap_or(Activation::Relu),
            },
            binarization: self.binarization.unwrap_or(binarization),
            epochs: self.epochs.unwrap_or(10),
            steps: self.steps,
            batch: self.batch.unwrap_or(128),
            samples: self.samples.unwrap_or(1),
            learning_rate: self.lr.unwrap_or(1e-3),
            beta: self.beta.unwrap_or(1.0),
            seed: self.seed,
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
    elbo_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let dataset = load_data(&args.data).map_err(|e| Failure::input(format!("--data {e}")))?;
    let settings = args.settings(&dataset);
    settings.check_with(&dataset).map_err(Failure::input)?;
    // Known at once if it is taken; made only when all is well.
    args.run.as_deref().map_or(Ok(()), RunFolder::check_free).map_err(Failure::input)?;
    let device = args.device.open()?;
    let mut trainer = Trainer::new(&device, &dataset, &settings).map_err(failure)?;

    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130); // asked twice
        }
    })
    .map_err(|e| Failure::run(format!("cannot listen for Ctrl-C: {e}")))?;

    let folder = match &args.run {
        Some(path) => RunFolder::create(path, &settings),
        None => create_default(&settings),
    }
    .map_err(Failure::input)?;
    note(format_args!(
        "{}: {} training and {} test images of {}x{}; {}; run folder {}",
        dataset.name,
        dataset.train.n_images,
        dataset.test.n_images,
        dataset.train.height,
        dataset.train.width,
        settings.architecture,
        folder.path().display()
    ));

    let begin = Instant::now();
    let mut watcher = Watcher {
        console: Console::new(trainer.steps_total(), settings.batch, settings.epochs),
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
    let own = !outcome.interrupted && *settings == Args::of_preset(args).settings(dataset);
    let target = match (args.preset, last) {
        (Some(preset), Some(last)) if own => Some(preset.target(last.test)),
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
        elbo_version: env!("CARGO_PKG_VERSION"),
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
    if settings.beta != 1.0 {
        let beta = settings.beta;
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
            if t.met { "met" } else { "missed" }
        )),
        (None, Some(_)) => say("the preset's target is not compared: its settings were changed"),
        (None, None) => {}
    }
    let path = folder.path().display();
    say(format_args!("{path}: {SAMPLES} and {RECONSTRUCTIONS} show what it learnt"));
    Ok(0)
}

impl Args {
    /// The preset alone, with nothing changed but what does not matter to its figure.
    fn of_preset(args: &Args) -> Args {
        Args {
            preset: args.preset,
            seed: args.seed,
            data: MNIST.to_string(),
            binarization: None,
            hidden: None,
            decoder_hidden: None,
            latent: None,
            activation: None,
            epochs: None,
            steps: None,
            batch: None,
            samples: None,
            lr: None,
            beta: None,
            run: None,
            device: DeviceOption::default(),
        }
    }
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
