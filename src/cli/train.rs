//! `elbo train`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::options::{DeviceOption, load_data};
use super::preset::Preset;
use super::resume::{self, Resumed};
use super::settings::Args;
use super::{Failure, stop_on_interrupt};
use crate::checkpoint::{
    About, BEGUN, CheckpointError, Lock, MODEL, Origin, RECONSTRUCTIONS, RunFolder, SAMPLES,
    SUMMARY, Store, Stretch, Summary, Writer, write_whole,
};
use crate::data::Dataset;
use crate::device::{Device, DeviceError};
use crate::generate;
use crate::report::console::{Console, note, say};
use crate::report::figures::{Layout, grid};
use crate::train::{self, EpochReport, Observer, Settings, State, TrainError, Trainer};

/// `given` are the options on the command line.
pub fn run(args: Args, given: &[String]) -> Result<u8, Failure> {
    let job = match &args.resume {
        Some(path) => match resume::open(path, &args, given)? {
            Some(resumed) => go_on(&args, resumed, given)?,
            None => return Ok(0),
        },
        None => begin(&args)?,
    };
    job.train()
}

/// A run that is ready.
struct Job {
    settings: Settings,
    dataset: Dataset,
    device: Device,
    trainer: Trainer,
    folder: RunFolder,
    lock: Lock,
    store: Store,
    origin: Origin,
    /// What it goes on from.
    state: Option<State>,
    /// The one that was asked for, or the one that a resumed run has the settings of.
    preset: Option<Preset>,
    /// Nothing was in its folder.
    fresh: bool,
    stop: Arc<AtomicBool>,
}

fn begin(args: &Args) -> Result<Job, Failure> {
    let dataset = load_data(&args.data, args.data_options()).map_err(Failure::input)?;
    let mut settings = args.settings(&dataset).map_err(Failure::input)?;
    settings.check_with(&dataset).map_err(Failure::input)?;
    settings.data_sha256 = Some(dataset.digest());
    // Known at once if it is taken; made only when all is well.
    args.run.as_deref().map_or(Ok(()), RunFolder::check_free).map_err(Failure::input)?;
    let device = args.device.open()?;
    let trainer =
        Trainer::within(&device, &dataset, &settings, args.resident_limit).map_err(failure)?;

    let stop = stop_on_interrupt()?;

    let folder = match &args.run {
        Some(path) => RunFolder::create(path, &settings),
        None => create_default(&settings),
    }
    .map_err(Failure::input)?;
    let lock = folder.lock().map_err(Failure::input)?;
    let (origin, store) = (origin(&device), folder.store());
    let job = Job {
        settings,
        dataset,
        device,
        trainer,
        folder,
        lock,
        store,
        origin,
        state: None,
        preset: args.preset,
        fresh: true,
        stop,
    };
    job.announce("");
    Ok(job)
}

fn go_on(args: &Args, resumed: Resumed, given: &[String]) -> Result<Job, Failure> {
    let Resumed { folder, lock, store, settings, dataset, checkpoint, changed } = resumed;
    let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.origin.computed_on.last());
    let device = match before {
        Some(before) if !given.iter().any(|option| option == "device") => {
            DeviceOption::like(&before.device).open()?
        }
        _ => args.device.open()?,
    };
    let trainer =
        Trainer::within(&device, &dataset, &settings, args.resident_limit).map_err(failure)?;
    let stop = stop_on_interrupt()?;
    let (mut origin, mut state) = match checkpoint {
        Some(checkpoint) => (checkpoint.origin, Some(checkpoint.state)),
        None => (origin(&device), None),
    };
    let step = state.as_ref().map_or(0, State::step);
    let now = stretch(&device, step);
    if let Some(before) = origin.computed_on.last()
        && (&before.device, &before.elbo) != (&now.device, &now.elbo)
    {
        note(format_args!(
            "the steps before were taken on {} by elbo {}: from here on the run may differ, in the last bits \
             at first, from what it would have been there",
            before.device.name, before.elbo
        ));
        origin.computed_on.push(now);
    }
    if let Some(state) = &mut state {
        state.reopen(&trainer);
    }
    let write = || -> Result<(), CheckpointError> {
        folder.tidy(&lock);
        if let Some(state) = &state {
            folder.write_metrics(&state.reports)?;
        }
        match changed {
            true => folder.write_config(&settings),
            false => Ok(()),
        }
    };
    write().map_err(Failure::run)?;
    let preset = Args::preset_of(&settings, &dataset);
    let job = Job {
        settings,
        dataset,
        device,
        trainer,
        folder,
        lock,
        store,
        origin,
        state,
        preset,
        fresh: false,
        stop,
    };
    job.announce(&format!("; from step {step}"));
    Ok(job)
}

/// Of a run that begins now.
fn origin(device: &Device) -> Origin {
    let begun = jiff::Zoned::now().strftime(BEGUN).to_string();
    Origin { begun, computed_on: vec![stretch(device, 0)] }
}

fn stretch(device: &Device, from_step: u64) -> Stretch {
    let elbo = env!("CARGO_PKG_VERSION").to_string();
    Stretch { from_step, device: device.description().clone(), elbo }
}

impl Job {
    fn announce(&self, from: &str) {
        let Job { settings, dataset, folder, .. } = self;
        note(format_args!(
            "{}: {} training and {} test images of {}x{}; {}; {}; run folder {}{from}",
            dataset.name,
            dataset.train.n_images,
            dataset.test.n_images,
            dataset.train.height,
            dataset.train.width,
            settings.architecture,
            settings.objective.describe(settings.samples),
            folder.path().display()
        ));
        if !self.lock.works {
            note(format_args!(
                "{}: this file system has no locks: see to it that no other process trains here",
                folder.path().display()
            ));
        }
    }

    fn train(mut self) -> Result<u8, Failure> {
        let about = About { settings: self.settings.clone(), origin: self.origin.clone() };
        let state = self.state.take();
        let first = state.as_ref().map_or(0, State::step);
        let mut watcher = Watcher {
            console: Console::new(&self.settings, self.trainer.steps_total(), first),
            writer: Writer::start(&self.folder, about, self.store.clone(), state.as_ref()),
            state: state.clone(),
            stop: self.stop.clone(),
        };
        let result = match state {
            Some(state) => train::resume(&mut self.trainer, state, &mut watcher),
            None => train::run(&mut self.trainer, &mut watcher),
        };
        let Watcher { mut console, writer, state, .. } = watcher;
        console.finish();
        let (kept, written) = writer.finish();
        let ended = result.and_then(|outcome| {
            written.map_err(TrainError::Checkpoint)?;
            Ok(outcome.interrupted)
        });
        match (ended, state) {
            (Ok(true), Some(state)) => self.interrupted(&state),
            (Ok(false), Some(state)) => self.finished(&state),
            (Ok(_), None) => Err(Failure::run("no step was taken")),
            (Err(error), _) => Err(self.failed(&error, kept)),
        }
    }

    /// `kept` is the step of the last checkpoint.
    fn failed(self, error: &TrainError, kept: Option<u64>) -> Failure {
        let Job { folder, lock, fresh, .. } = self;
        let path = folder.path().display();
        let kept = match (error, kept) {
            (TrainError::Diverged(_), Some(_)) => {
                format!("{} keeps the last good epoch", folder.file(MODEL).display())
            }
            (TrainError::Device(_), Some(step)) => format!(
                "the checkpoint of step {step} is kept: elbo train --resume {path} goes on, \
                 on another --device too"
            ),
            (_, Some(step)) => {
                format!("the checkpoint of step {step} is kept: elbo train --resume {path} goes on")
            }
            (_, None) if !fresh => format!("elbo train --resume {path} begins anew"),
            (_, None) => {
                drop(lock);
                folder.discard();
                "no epoch was finished, so there is no run folder".to_string()
            }
        };
        Failure::run(format!("{error}; {kept}"))
    }

    fn interrupted(&self, state: &State) -> Result<u8, Failure> {
        let mut summary = Summary::new(&self.settings, &self.origin, state);
        summary.interrupted = true;
        self.folder.write_json(SUMMARY, &summary).map_err(Failure::run)?;
        let (step, path) = (state.step(), self.folder.path().display());
        say(format_args!(
            "interrupted after step {step}; elbo train --resume {path} goes on, \
             elbo sample {path} shows what it learnt"
        ));
        Ok(130)
    }

    /// Pictures, summary, last words.
    fn finished(&self, state: &State) -> Result<u8, Failure> {
        let Job { settings, dataset, folder, .. } = self;
        let last = state.reports.last();
        self.draw(&state.snapshot.values())?;
        // A preset's figure means something only for the preset's own settings, to their end.
        let own = Args::preset_of(settings, dataset);
        let target = match (own, last) {
            (Some(preset), Some(last)) if self.preset == own => preset.target(last.test),
            _ => None,
        };
        let summary = Summary {
            finished: true,
            target: target.as_ref().map(serde_json::to_value).transpose().map_err(Failure::run)?,
            ..Summary::new(settings, &self.origin, state)
        };
        folder.write_json(SUMMARY, &summary).map_err(Failure::run)?;
        let (part, watched) = dataset.watched();
        if let Some(last) = last {
            say(format_args!(
                "{part} ELBO {:.2} nats per image ({}, {} images, {:.1} s)",
                last.test.elbo,
                settings.binarization.label(),
                watched.n_images,
                summary.seconds
            ));
        }
        if let (Some(bound), Some(k)) =
            (last.and_then(|last| last.test.bound), settings.bound_samples())
        {
            say(format_args!(
                "{part} L_{k} {bound:.2}: the importance-weighted bound of {k} samples"
            ));
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
        match (&target, self.preset) {
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

    fn draw(&self, parameters: &[Vec<f32>]) -> Result<(), Failure> {
        let Job { settings, dataset, device, folder, .. } = self;
        let architecture = &settings.architecture;
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
        Ok(())
    }
}

/// Shows the run and has its folder written.
struct Watcher {
    console: Console,
    writer: Writer,
    /// The last one.
    state: Option<State>,
    stop: Arc<AtomicBool>,
}

impl Observer for Watcher {
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

    fn epoch_ends(&mut self, report: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        self.console.row(report);
        Ok(())
    }

    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.state = Some(state.clone());
        self.writer.save(state)
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
