//! `elbo train`

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::Serialize;

use super::options::load_data;
use super::preset::Target;
use super::settings::Args;
use super::{Failure, stop_on_interrupt};
use crate::checkpoint::{CheckpointError, MODEL, RunFolder, SUMMARY};
use crate::data::Dataset;
use crate::device::{Description, DeviceError};
use crate::kernels::variant::Choices;
use crate::pictures::{Live, Pictures};
use crate::report::console::{Console, note, say};
use crate::train::{self, EpochReport, Observer, Outcome, Settings, TrainError, Trainer, digest};
use crate::vae::Architecture;
use crate::versions::versions;

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
    /// Of the kernels that have several: they are part of what determines the run.
    #[serde(skip_serializing_if = "Choices::is_empty")]
    variants: Choices,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let dataset = load_data(&args.data, args.data_options()).map_err(Failure::input)?;
    let settings = args.settings(&dataset).map_err(Failure::input)?;
    settings.check_with(&dataset).map_err(Failure::input)?;
    // Known at once if it is taken; made only when all is well.
    args.run.as_deref().map_or(Ok(()), RunFolder::check_free).map_err(Failure::input)?;
    let device = args.device.open()?;
    let mut trainer =
        Trainer::within(&device, &dataset, &settings, args.resident_limit).map_err(failure)?;

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

    let pictures = Pictures {
        device: &device,
        folder: &folder,
        settings: &settings,
        test: &dataset.test,
        data: &dataset.name,
        trained_on: &device.description().name,
    };
    let begin = Instant::now();
    let mut watcher = Watcher {
        console: Console::new(&settings, trainer.steps_total()),
        folder: &folder,
        architecture: &settings.architecture,
        live: Some(Live::new(pictures, args.figures_every, args.tensorboard)),
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
    finish(&args, &dataset, pictures, &outcome, begin.elapsed().as_secs_f64())
}

/// Summary, pictures, last words.
fn finish(
    args: &Args,
    dataset: &Dataset,
    pictures: Pictures,
    outcome: &Outcome,
    seconds: f64,
) -> Result<u8, Failure> {
    let Pictures { device, folder, settings, .. } = pictures;
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
        variants: outcome.variants.clone(),
        target: target.clone(),
    };
    let write = || -> Result<(), CheckpointError> {
        if outcome.interrupted {
            folder.write_model(architecture, parameters)?;
        }
        folder.write_json(SUMMARY, &summary)
    };
    write().map_err(Failure::run)?;
    // What matters is safe by now.
    let path = folder.path().display();
    let drawn = pictures.write(parameters, Some(outcome.steps)).map_err(|e| {
        format!(
            "{e}; the model is kept, and elbo figures {path} draws the pictures that are missing"
        )
    });
    if outcome.interrupted {
        let step = outcome.steps;
        match drawn {
            Ok(names) => say(format_args!(
                "interrupted after step {step}; {path}: {} show what it learnt",
                list(&names)
            )),
            Err(error) => {
                say(format_args!("interrupted after step {step}"));
                note(format_args!("error: {error}"));
            }
        }
        return Ok(130);
    }

    let (part, watched) = dataset.watched();
    if let Some(last) = last {
        say(format_args!(
            "{part} ELBO {:.2} nats per image ({}, {} images, {:.1} s)",
            last.test.elbo,
            settings.binarization.label(),
            watched.n_images,
            seconds
        ));
    }
    if let (Some(bound), Some(k)) =
        (last.and_then(|last| last.test.bound), settings.bound_samples())
    {
        say(format_args!("{part} L_{k} {bound:.2}: the importance-weighted bound of {k} samples"));
    }
    if dataset.valid.is_some() {
        let path = folder.path().display();
        say(format_args!(
            "elbo eval {path} shows the test set's figures, which training left alone"
        ));
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
    say(format_args!("{path}: {} show what it learnt", list(&drawn.map_err(Failure::run)?)));
    Ok(0)
}

/// a, b and c
fn list(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// Shows the run and writes its folder.
struct Watcher<'a> {
    console: Console,
    folder: &'a RunFolder,
    architecture: &'a Architecture,
    /// None once it has failed.
    live: Option<Live<'a>>,
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
        write().map_err(|e: CheckpointError| e.to_string())?;
        if let Some(Err(error)) = self.live.as_mut().map(|live| live.epoch_ends(report, parameters))
        {
            self.live = None;
            note(format_args!("{error}; the run goes on without"));
        }
        Ok(())
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
pub fn create_default(settings: &Settings) -> Result<RunFolder, CheckpointError> {
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
