//! What `elbo train --resume` goes on from.

use std::path::Path;

use serde_json::Value;

use super::Failure;
use super::options::{load_data, load_data_of};
use super::settings::Args;
use crate::checkpoint::{
    CONFIG, Checkpoint, Found, Lock, MAX_TEXT, METRICS, MODEL, RunFolder, SUMMARY, Store,
};
use crate::data::Dataset;
use crate::read;
use crate::report::console::{note, say};
use crate::train::{Schedule, Settings};

/// What may stand beside --resume: nothing of it changes what the steps compute.
const ALLOWED: [&str; 14] = [
    "resume",
    "epochs",
    "steps",
    "early-stop",
    "device",
    "no-autotune",
    "data",
    "resident-limit",
    "figures-every",
    "log-every",
    "tensorboard",
    "threads",
    "quiet",
    "verbose",
];

/// A run that goes on.
pub struct Resumed {
    /// Where it is.
    pub folder: RunFolder,
    /// Held while it trains.
    pub lock: Lock,
    /// Where its checkpoints go.
    pub store: Store,
    /// As in config.json, with the end that was asked for.
    pub settings: Settings,
    /// What it is trained on.
    pub dataset: Dataset,
    /// None if the run had ended before its first.
    pub checkpoint: Option<Checkpoint>,
    /// Whether config.json has to be written again.
    pub changed: bool,
}

/// Opens the run, and compares everything with what its checkpoint was made of. None if the run is
/// finished.
pub fn open(path: &Path, args: &Args, given: &[String]) -> Result<Option<Resumed>, Failure> {
    if let Some(option) = given.iter().find(|option| !ALLOWED.contains(&option.as_str())) {
        return Err(Failure::input(format!(
            "--{option} cannot be given with --resume: the settings are those of {}; \
             only --epochs, --steps, --early-stop, --device, --no-autotune, --figures-every, --log-every, \
             --tensorboard and --data (the same images, moved) may be",
            path.join(CONFIG).display()
        )));
    }
    let (folder, config) = RunFolder::open(path).map_err(Failure::input)?;
    let lock = folder.lock().map_err(Failure::input)?;
    let mut store = folder.store();
    let found = store
        .newest()
        .map_err(|e| Failure::input(format!("{}: it cannot be resumed: {e}", path.display())))?;
    let moved = given.iter().any(|option| option == "data");
    let settings = args.extend(&config, moved).map_err(Failure::input)?;
    let checkpoint = found.map(|Found { checkpoint, damaged }| {
        for line in damaged {
            note(format_args!(
                "{line}; the one before it, of step {}, is used",
                checkpoint.state.step()
            ));
        }
        checkpoint
    });
    match &checkpoint {
        Some(checkpoint) => compare(&folder, &config, &checkpoint.settings)?,
        None if folder.file(METRICS).exists() || folder.file(MODEL).exists() => {
            return Err(Failure::input(format!(
                "{}: it has no checkpoint to go on from, only a model",
                path.display()
            )));
        }
        None => note(format_args!(
            "{}: the run ended before its first checkpoint; it begins anew",
            path.display()
        )),
    }
    let dataset = match moved {
        true => load_data(&settings.data, settings.data_options()).map_err(Failure::input)?.0,
        false => load_data_of(&folder.file(CONFIG), &settings, settings.data_options())?,
    };
    let digest = dataset.digest();
    if let Some(expected) = &settings.data_sha256
        && *expected != digest
    {
        let source = match moved {
            true => "--data".to_string(),
            false => format!("the data that {} names:", folder.file(CONFIG).display()),
        };
        return Err(Failure::input(format!(
            "{source} {}: these are not the images that the run was trained on: \
             their SHA-256 is {digest}, that of the run's {expected}",
            settings.data
        )));
    }
    settings.check_with(&dataset).map_err(Failure::input)?;
    let classes = dataset.digest_of_classes(&settings.architecture.classes);
    let classes = classes.map_err(Failure::input)?;
    if settings.classes_sha256.is_some() && settings.classes_sha256 != classes {
        return Err(Failure::input(format!(
            "{}: the images are those that the run was trained on, but their classes are others: write the labels of \
             before back",
            dataset.name
        )));
    }
    if let Some(checkpoint) = &checkpoint {
        let total = settings.steps_total(dataset.train.n_images as u64);
        let (state, shown) = (&checkpoint.state, path.display());
        let (epochs, steps) = (state.reports.len(), state.step());
        if steps > total {
            return Err(Failure::input(format!(
                "{shown}: it has taken {steps} steps already, more than the {total} that are asked for"
            )));
        }
        let stalled = state.has_stalled(settings.early_stop);
        if (state.reported() == total || stalled) && is_finished(&folder) {
            let cap = match (settings.early_stop, settings.steps) {
                (Some(patience), _) if stalled => {
                    format!("a larger --early-stop than {patience} goes")
                }
                (_, Some(steps)) if steps == total => format!("more --steps than {total} go"),
                _ => format!("more --epochs than {} go", settings.epochs),
            };
            if settings.data != config.data {
                // Its images have moved: eval and the others find them too.
                let moved = Settings { data: settings.data.clone(), ..config.clone() };
                folder.write_config(&moved).map_err(Failure::run)?;
            }
            say(format_args!(
                "{shown} is finished: {epochs} epochs, {steps} steps; {cap} on from there"
            ));
            return Ok(None);
        }
    }
    let changed = settings != config;
    Ok(Some(Resumed { folder, lock, store, settings, dataset, checkpoint, changed }))
}

/// Whether the run has all its files.
fn is_finished(folder: &RunFolder) -> bool {
    let summary = read::at_most(&folder.file(SUMMARY), MAX_TEXT).unwrap_or_default();
    let summary: Value = serde_json::from_slice(&summary).unwrap_or_default();
    summary["finished"] == true
}

/// The configuration is a text that people can change; the checkpoint knows what the steps were taken with.
fn compare(folder: &RunFolder, config: &Settings, made_with: &Settings) -> Result<(), Failure> {
    let values = |settings| match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Ok(serde_json::Map::new()),
        Err(e) => Err(Failure::run(e)),
    };
    let (config, made_with) = (values(config)?, values(made_with)?);
    let mut free = vec!["steps", "early_stop", "data"];
    if config.get("schedule") != serde_json::to_value(Schedule::Cosine).ok().as_ref() {
        free.push("epochs");
    }
    let keys = config.keys().chain(made_with.keys());
    for key in keys.filter(|key| !free.contains(&key.as_str())) {
        let (now, then) = (config.get(key), made_with.get(key));
        if now != then {
            let text = |value: Option<&Value>| value.map_or("absent".to_string(), Value::to_string);
            return Err(Failure::input(format!(
                "{}: {key:?} is {}, but the run's steps were taken with {}; write that back",
                folder.file(CONFIG).display(),
                text(now),
                text(then)
            )));
        }
    }
    Ok(())
}
