//! `elbo train`

mod ends;

use std::path::{Path, PathBuf};

use super::Failure;
use super::init_from::{self, Source};
use super::options::load_data;
use super::preset::Preset;
use super::resume::{self, Resumed};
use super::settings::{Args, ConfigFile};
use super::stop::Stop;
use super::watcher::Watcher;
use crate::checkpoint::{
    About, BEST, CheckpointError, Lock, Origin, ProgressOutput, RunFolder, Session, Store, Writer,
    begun, now,
};
use crate::data::Dataset;
use crate::device::{Device, Precision};
use crate::pictures::{Pictures, ProgressWriter};
use crate::report::console::{Console, detail, note};
use crate::report::details;
use crate::report::network;
use crate::train::{self, EpochReport, Settings, State, TrainError, Trainer};

/// `given` are the options on the command line.
pub fn run(mut args: Args, given: &[String]) -> Result<u8, Failure> {
    let config = match (&args.config, &args.resume) {
        (Some(path), None) => Some(ConfigFile::open(path)?),
        _ => None, // what may stand beside --resume is seen there
    };
    if let Some(config) = &config {
        config.fill(&mut args, given)?;
    }
    let (job, mut trainer, state) = match &args.resume {
        Some(path) => match resume::open(path, &args, given)? {
            Some(resumed) => go_on(&args, resumed, given)?,
            None => return Ok(0),
        },
        None => {
            let source = args.init_from.as_deref().map(Source::open).transpose()?;
            if let Some(Source::Run(_, settings)) = &source {
                args.begin_like(settings);
            }
            begin(&args, config.as_ref(), source, given)?
        }
    };
    let variants = trainer.executor().variants();
    details::of_training(trainer.program(), &variants).iter().for_each(detail);
    job.train(&mut trainer, state)
}

/// A run that is ready.
pub(super) struct Job {
    pub(super) settings: Settings,
    pub(super) dataset: Dataset,
    device: Device,
    folder: RunFolder,
    lock: Lock,
    store: Store,
    origin: Origin,
    /// The one that was asked for, or the one that a resumed run has the settings of.
    preset: Option<Preset>,
    /// Nothing was in its folder.
    fresh: bool,
    stop: Stop,
}

/// A run, its trainer, and what it goes on from.
type Ready = (Job, Trainer, Option<State>);

fn begin(
    args: &Args,
    config: Option<&ConfigFile>,
    source: Option<Source>,
    given: &[String],
) -> Result<Ready, Failure> {
    let (dataset, left_out) = load_data(&args.data, args.data_options()).map_err(Failure::input)?;
    let like = match &source {
        Some(Source::Run(_, settings)) => Some(Settings::clone(settings)),
        _ => None,
    };
    let base = match config {
        Some(config) => Some(config.over(&like.unwrap_or_else(|| Settings::of(&dataset)))?),
        None => like,
    };
    let mut settings = args.settings_like(base.as_ref(), &dataset).map_err(Failure::input)?;
    settings.check_with(&dataset).map_err(Failure::input)?;
    settings.data_sha256 = Some(dataset.digest());
    let classes = &settings.architecture.classes;
    settings.classes_sha256 = dataset.digest_of_classes(classes).map_err(Failure::input)?;
    if args.figures_every.is_some() && settings.table.is_some() {
        return Err(Failure::input(
            "--figures-every shows images, and the data is a table: leave it out",
        ));
    }
    let first = source.map(|source| source.parameters(&settings.architecture)).transpose()?;
    let first = first.map(|(parameters, from)| {
        settings.init_from = Some(from);
        parameters
    });
    let changed = changed_since(config, &settings, given);
    // Known at once if it is taken; made only when all is well.
    match &args.run {
        Some(path) => RunFolder::check_free(path).map_err(Failure::input)?,
        // Another run may have the name of this second: a free one is found when the folder is made.
        None => match RunFolder::check_free(&default_path()) {
            Err(CheckpointError::Exists(_)) | Ok(()) => {}
            Err(error) => return Err(Failure::input(error)),
        },
    }
    let device = args.device.open()?;
    let mut trainer =
        Trainer::within(&device, &dataset, &settings, args.resident_limit).map_err(failure)?;
    if let Some(parameters) = first {
        trainer.begin_with(&parameters).map_err(|e| failure(e.into()))?;
    }

    let stop = listen()?;

    let folder = match &args.run {
        Some(path) => RunFolder::create_to_show(path, &settings, shown(args)),
        None => create_default(&settings, shown(args)),
    }
    .map_err(Failure::input)?;
    let lock = folder.lock().inspect_err(|_| folder.discard()).map_err(Failure::input)?;
    folder.tidy(&lock);
    let (origin, store) = (origin(&mut trainer, args), folder.store());
    let job = Job {
        settings,
        dataset,
        device,
        folder,
        lock,
        store,
        origin,
        preset: args.preset,
        fresh: true,
        stop,
    };
    let from = job.settings.init_from.as_ref();
    job.announce(&from.map_or(String::new(), |from| format!("; begins as {}", from.path)));
    left_out.iter().for_each(note);
    if let Some(config) = config {
        note(config.said(given));
    }
    changed.iter().for_each(note);
    if !given.iter().any(|option| ["binarization", "preset", "config"].contains(&option.as_str())) {
        job.warn_of_grey();
    }
    Ok((job, trainer, None))
}

fn go_on(args: &Args, resumed: Resumed, given: &[String]) -> Result<Ready, Failure> {
    let Resumed { folder, lock, store, settings, dataset, checkpoint, changed } = resumed;
    let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.origin.computed_on.last());
    let device = match before {
        Some(before) if !given.iter().any(|option| option == "device") => {
            args.device.like(&before.device).open()?
        }
        _ => args.device.open()?,
    };
    let device = match before {
        Some(before) if before.device == *device.description() => {
            device.with_variants(before.variants.clone())
        }
        _ => device,
    };
    let mut trainer =
        Trainer::within(&device, &dataset, &settings, args.resident_limit).map_err(failure)?;
    let stop = listen()?;
    let (mut origin, mut state) = match checkpoint {
        Some(checkpoint) => (checkpoint.origin, Some(checkpoint.state)),
        None => {
            if let Some(parameters) = init_from::again(&settings)? {
                trainer.begin_with(&parameters).map_err(|e| failure(e.into()))?;
            }
            let origin = origin(&mut trainer, args);
            (Origin { shown: folder.shown(), ..origin }, None)
        }
    };
    origin.shown.figures_every = args.figures_every.or(origin.shown.figures_every);
    origin.shown.log_every = args.log_every.or(origin.shown.log_every);
    origin.shown.tensorboard |= args.tensorboard;
    let step = state.as_ref().map_or(0, State::step);
    let here = session(&mut trainer, step);
    if let Some(before) = origin.computed_on.last()
        && (&before.device, &before.elbo) != (&here.device, &here.elbo)
    {
        note(format_args!(
            "the steps before were taken on {} by elbo {}: from here on the run may differ, in the last bits \
             at first, from what it would have been there",
            before.device.name, before.elbo
        ));
        origin.computed_on.push(here);
    } else if let Some(before) = origin.computed_on.last_mut() {
        before.variants = here.variants; // with those of sizes that were not known then
    }
    if let Some(state) = &mut state {
        state.reopen(&trainer);
    }
    let write = || -> Result<(), CheckpointError> {
        folder.tidy(&lock);
        let best = state.as_ref().and_then(State::best).map(EpochReport::moment);
        if !folder.restore_best(&lock, best, step)?
            && let Some(best) = best
        {
            note(format_args!(
                "{}: the parameters after epoch {}, the best so far, are lost; the next best are written there",
                folder.file(BEST).display(),
                best.epoch
            ));
        }
        if let Some(state) = &state {
            folder.write_metrics(&state.reports)?;
        }
        folder.keep_steps(step)?;
        match changed {
            true => folder.write_config(&settings),
            false => Ok(()),
        }
    };
    write().map_err(Failure::run)?;
    let preset = Args::preset_of(&settings, &dataset);
    let job =
        Job { settings, dataset, device, folder, lock, store, origin, preset, fresh: false, stop };
    job.announce(&format!("; from step {step}"));
    Ok((job, trainer, state))
}

/// What a configuration was made with and is another thing now, though nobody has named another, a line each.
fn changed_since(config: Option<&ConfigFile>, now: &Settings, given: &[String]) -> Vec<String> {
    let Some(config) = config else { return Vec::new() };
    let first = now.init_from.as_ref();
    let pairs = [
        ("data_sha256", "data", now.data_sha256.as_ref(), &now.data),
        (
            "init_from",
            "init-from",
            first.map(|first| &first.sha256),
            first.map_or(&now.data, |f| &f.path),
        ),
    ];
    let is_other = |(of, option, now, _): &(&str, &str, Option<&String>, &String)| {
        let is_given = given.iter().any(|given| given == option);
        !is_given && config.sha256(of).is_some_and(|before| now.is_none_or(|now| now != before))
    };
    let line =
        |(_, _, _, path)| format!("{path}: it is another than the configuration was made with");
    pairs.into_iter().filter(is_other).map(line).collect()
}

/// Listens for signals, and answers the first at once: a step of a large network takes its time.
fn listen() -> Result<Stop, Failure> {
    Stop::listen_and(|| {
        note(
            "interrupted: the current step is finished, then its checkpoint is written; a second signal ends \
             the run at once, without",
        );
    })
}

fn shown(args: &Args) -> ProgressOutput {
    let Args { figures_every, log_every, tensorboard, .. } = *args;
    ProgressOutput { figures_every, log_every, tensorboard }
}

/// Of a run that begins now.
fn origin(trainer: &mut Trainer, args: &Args) -> Origin {
    Origin { begun: begun(), computed_on: vec![session(trainer, 0)], shown: shown(args) }
}

fn session(trainer: &mut Trainer, from_step: u64) -> Session {
    let executor = trainer.executor();
    let (device, variants) = (executor.description().clone(), executor.variants());
    Session { from_step, device, elbo: env!("CARGO_PKG_VERSION").to_string(), variants }
}

impl Job {
    fn announce(&self, from: &str) {
        let Job { settings, dataset, folder, .. } = self;
        let precision = match settings.precision {
            Precision::F32 => "",
            Precision::Mixed => "; mixed precision",
        };
        if settings.precision == Precision::Mixed && matches!(self.device, Device::Cpu(_)) {
            note(
                "mixed precision is imitated on the CPU: the same roundings as on a GPU, and no faster",
            );
        }
        let what = match &settings.table {
            None => format!("images of {}", dataset.train.shape()),
            Some(table) => {
                let cells = dataset.train.n_images * dataset.train.n_pixels();
                let missing = match dataset.train.missing() {
                    0 => String::new(),
                    n => format!(
                        ", {:.1}% of the training cells missing",
                        100.0 * n as f64 / cells as f64
                    ),
                };
                format!("rows of {} columns{missing}", table.columns.len())
            }
        };
        note(format_args!(
            "{}: {} training and {} test {what}; {}; {}{precision}; run folder {}{from}",
            dataset.name,
            dataset.train.n_images,
            dataset.test.n_images,
            settings.architecture,
            settings.objective.describe(settings.samples),
            folder.path().display()
        ));
        network::network(&settings.architecture).iter().for_each(note);
        self.warn_of_warm_up();
        if !self.lock.works {
            note(format_args!(
                "{}: this file system has no locks: see to it that no other process trains here",
                folder.path().display()
            ));
        }
    }

    fn train(self, trainer: &mut Trainer, state: Option<State>) -> Result<u8, Failure> {
        let about = About { settings: self.settings.clone(), origin: self.origin.clone() };
        let first = state.as_ref().map_or(0, State::step);
        let writer = Writer::start(&self.folder, about, self.store.clone(), state.as_ref());
        let writer =
            writer.map_err(|e| Failure::run(format!("no thread for the checkpoints: {e}")))?;
        let mut watcher = Watcher {
            console: Console::new(&self.settings, trainer.steps_total(), first),
            writer,
            state: state.clone(),
            progress: Some(ProgressWriter::new(
                self.pictures(),
                self.origin.shown,
                state.as_ref().map_or(&[], |state| &state.reports),
            )),
            stop: self.stop.clone(),
        };
        let result = match state {
            Some(state) => train::resume(trainer, state, &mut watcher),
            None => train::run(trainer, &mut watcher),
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

    fn pictures(&self) -> Pictures<'_> {
        Pictures {
            device: &self.device,
            folder: &self.folder,
            settings: &self.settings,
            test: Some(&self.dataset.test),
            data: &self.dataset.name,
            trained_on: &self.device.description().name,
            images: &[],
        }
    }

    /// The names of the pictures, or why one could not be drawn. Model and checkpoint are safe by now.
    fn draw(&self, state: &State) -> Result<Vec<&'static str>, String> {
        let path = self.folder.path().display();
        self.pictures().write(&state.snapshot.values(), Some(state.step())).map_err(|e| {
            format!(
                "{e}; the model is kept, and elbo figures {path} draws the pictures that are missing"
            )
        })
    }
}

fn failure(error: TrainError) -> Failure {
    match error {
        TrainError::Config(_) => Failure::input(error),
        TrainError::Plan(_) => Failure::input(format!(
            "{error}; smaller images (--size), a smaller --batch or narrower layers (--hidden) fit"
        )),
        TrainError::Device(device) => Failure::device(&device, &device),
        _ => Failure::run(error),
    }
}

/// runs/2026-11-23-142501
fn default_path() -> PathBuf {
    Path::new("runs").join(now().strftime("%Y-%m-%d-%H%M%S").to_string())
}

/// Makes [`default_path`], with a number behind it if that is taken.
pub fn create_default(
    settings: &Settings,
    shown: ProgressOutput,
) -> Result<RunFolder, CheckpointError> {
    let first = default_path();
    let mut path = first.clone();
    let mut n = 2;
    loop {
        // Another run may begin in the same moment.
        match RunFolder::create_to_show(&path, settings, shown) {
            Err(CheckpointError::Exists(_)) => {
                let mut name = first.as_os_str().to_owned();
                name.push(format!("-{n}"));
                path = name.into();
            }
            made => return made,
        }
        n += 1;
    }
}
