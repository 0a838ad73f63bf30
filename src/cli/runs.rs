//! `elbo runs`

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::checkpoint::{
    BEGUN, CHECKPOINTS, CONFIG, CheckpointError, IMPORT, MAX_TEXT, METRICS, MODEL, RunFolder,
    SUMMARY,
};
use crate::device::Description;
use crate::read;
use crate::report::console::{figure, print, say};
use crate::report::table::{Column, lines};
use crate::train::{EpochReport, Settings, VALID, best};

/// List the run folders in a folder with their settings and results
///
/// A run is finished; or running, in a process that goes on; or interrupted, by Ctrl-C or whatever ended
/// its process, and elbo train --resume goes on with it; or imported, and never trained here; or saved by a
/// program that uses the library; or broken, with the reason below the table. The checksums of models and
/// checkpoints are looked at, of files above 64 MiB with --check only. ELBOs are nats per image of the test set
/// or, of runs with --valid, of the validation images. Learning rate, batch and seed are shown where they differ.
#[derive(clap::Args)]
pub struct Args {
    /// The folder that the run folders are in
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// What the rows are sorted by, downwards from the smallest or earliest; rows without it come last
    #[arg(long, value_enum, value_name = "KEY", default_value_t = Key::Begun)]
    sort: Key,
    /// Sort the other way round
    #[arg(long)]
    reverse: bool,
    /// Look at every byte of large models and checkpoints too
    #[arg(long)]
    check: bool,
    /// Print a JSON array with every setting instead of the table
    #[arg(long)]
    json: bool,
}

/// Bytes of a file from which on its length is looked at alone, if nothing else is asked for.
const LARGE: u64 = 64 << 20;

/// Most letters of an ELBO that is written out.
const WIDEST: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Key {
    Run,
    Begun,
    Data,
    Network,
    Objective,
    Epochs,
    Steps,
    Elbo,
    Best,
    Device,
    State,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Finished,
    Running,
    Interrupted,
    Imported,
    Saved,
    Broken,
}

/// One run, as `--json` has it.
#[derive(Serialize)]
struct Row {
    run: String,
    state: State,
    /// Why it is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    begun: Option<String>,
    settings: Option<Settings>,
    /// Epochs evaluated.
    epochs: usize,
    steps: u64,
    last: Option<EpochReport>,
    best: Option<EpochReport>,
    device: Option<Description>,
    parameters_sha256: Option<String>,
}

/// What is read of a summary.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    finished: bool,
    saved: bool,
    steps: u64,
    begun: Option<String>,
    device: Option<Description>,
    parameters_sha256: Option<String>,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let folders = folders(&args.folder)?;
    let mut rows: Vec<Row> = folders.par_iter().map(|path| Row::read(path, &args)).collect();
    rows.sort_by(|a, b| compare(a, b, args.sort, args.reverse));
    if args.json {
        let text = serde_json::to_string_pretty(&rows).map_err(Failure::run)?;
        print(&(text + "\n"));
        return Ok(0);
    }
    if rows.is_empty() {
        say(format_args!("{}: no run folder is in it", args.folder.display()));
        return Ok(0);
    }
    table(&rows);
    Ok(0)
}

/// The run folders: the folder itself if it is one, else those in it.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let is_run = |path: &Path| path.join(CONFIG).symlink_metadata().is_ok();
    if is_run(folder) {
        return Ok(vec![folder.to_path_buf()]);
    }
    let entries = fs::read_dir(folder).map_err(|e| {
        Failure::input(format!("{}: cannot list the folder: {e}", folder.display()))
    })?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = paths.filter(|path| is_run(path)).collect();
    all.sort();
    Ok(all)
}

impl Row {
    /// Whatever is wrong with a run is said in its row.
    fn read(path: &Path, args: &Args) -> Self {
        let name = path.strip_prefix(&args.folder).ok().filter(|rest| !rest.as_os_str().is_empty());
        let mut row = Row {
            run: name.unwrap_or(path).display().to_string(),
            state: State::Broken,
            reason: None,
            begun: None,
            settings: None,
            epochs: 0,
            steps: 0,
            last: None,
            best: None,
            device: None,
            parameters_sha256: None,
        };
        match row.fill(path, args.check) {
            Ok(state) => row.state = state,
            Err(reason) => row.reason = Some(reason),
        }
        row
    }

    fn fill(&mut self, path: &Path, check: bool) -> Result<State, String> {
        let text = |e: CheckpointError| e.to_string();
        let (folder, settings) = RunFolder::open(path).map_err(text)?;
        let architecture = settings.architecture.clone();
        self.settings = Some(settings);
        // Asked first: what ends while it is read has ended well.
        let running = folder.is_locked();
        let told = summary(&folder)?;
        (self.begun, self.device) =
            (told.begun.or_else(|| written(&folder.file(CONFIG))), told.device);
        (self.steps, self.parameters_sha256) = (told.steps, told.parameters_sha256);
        let reports = metrics(&folder)?;
        self.epochs = reports.len();
        self.best = best(&reports).cloned();
        self.last = reports.into_iter().next_back();
        match folder.file(MODEL).metadata() {
            Ok(model) if model.len() > LARGE && !check => look(&folder.file(MODEL))?,
            Ok(_) => drop(folder.read_model(&architecture).map_err(text)?),
            Err(_) => {}
        }
        // Of a run that goes on they are replaced while they are read.
        let last = folder.store().last();
        let is_large = last.metadata().is_ok_and(|last| last.len() > LARGE);
        if !running && is_large && !check {
            look(&last)?;
        } else if !running && folder.file(CHECKPOINTS).exists() {
            let found = folder.store().newest().map_err(text)?;
            if let Some(line) = found.and_then(|found| found.damaged.into_iter().next()) {
                return Err(line);
            }
        }
        Ok(match (running, told.finished) {
            (true, _) => State::Running,
            (false, _) if told.saved => State::Saved,
            (false, true) => State::Finished,
            (false, false) if folder.file(IMPORT).exists() => State::Imported,
            (false, false) => State::Interrupted,
        })
    }
}

/// Whether a large file is as long as it says.
fn look(path: &Path) -> Result<(), String> {
    match read::is_whole(path) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(format!("{}: damaged or cut short: its length is not what it says", path.display()))
        }
        Err(e) => Err(format!("{}: cannot read: {e}", path.display())),
    }
}

fn summary(folder: &RunFolder) -> Result<Told, String> {
    let path = folder.file(SUMMARY);
    match read::at_most(&path, MAX_TEXT) {
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|e| format!("{}: not a summary: {e}", path.display())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Told::default()),
        Err(e) => Err(format!("{}: cannot read: {e}", path.display())),
    }
}

/// Date and time of a file's last change.
fn written(path: &Path) -> Option<String> {
    let time = fs::metadata(path).and_then(|m| m.modified()).ok()?;
    let zoned = jiff::Timestamp::try_from(time).ok()?.to_zoned(jiff::tz::TimeZone::system());
    Some(zoned.strftime(BEGUN).to_string())
}

/// The epochs of a run. A line that ends without a line break is being written, or was when the process
/// was killed.
fn metrics(folder: &RunFolder) -> Result<Vec<EpochReport>, String> {
    let path = folder.file(METRICS);
    let text = match read::at_most(&path, MAX_TEXT) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(format!("{}: cannot read: {e}", path.display())),
    };
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole
        .enumerate()
        .map(|(i, line)| {
            serde_json::from_str(line)
                .map_err(|e| format!("{}: line {}: not an epoch: {e}", path.display(), i + 1))
        })
        .collect()
}

/// Rows without the value come last, whichever way the others are sorted.
fn compare(a: &Row, b: &Row, key: Key, reverse: bool) -> Ordering {
    let turned = |order: Ordering| if reverse { order.reverse() } else { order };
    fn known<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Result<Ordering, Ordering> {
        match (a, b) {
            (Some(a), Some(b)) => Ok(a.partial_cmp(&b).unwrap_or(Ordering::Equal)),
            (a, b) => Err(b.is_some().cmp(&a.is_some())),
        }
    }
    let elbo = |report: &Option<EpochReport>| report.as_ref().map(|r| r.test.elbo);
    let text = |row: &Row, cell: fn(&Settings) -> String| row.settings.as_ref().map(cell);
    let order = match key {
        Key::Run => known(Some(&a.run), Some(&b.run)),
        Key::Begun => known(a.begun.as_ref(), b.begun.as_ref()),
        Key::Data => known(text(a, data), text(b, data)),
        Key::Network => known(text(a, network), text(b, network)),
        Key::Objective => known(text(a, objective), text(b, objective)),
        Key::Epochs => known(Some(a.epochs), Some(b.epochs)),
        Key::Steps => known(Some(a.steps), Some(b.steps)),
        Key::Elbo => known(elbo(&a.last), elbo(&b.last)),
        Key::Best => known(elbo(&a.best), elbo(&b.best)),
        Key::Device => {
            known(a.device.as_ref().map(|d| &d.name), b.device.as_ref().map(|d| &d.name))
        }
        Key::State => known(Some(a.state), Some(b.state)),
    };
    let order = order.map_or_else(|missing| missing, turned);
    order.then_with(|| a.run.cmp(&b.run))
}

fn data(settings: &Settings) -> String {
    let path = Path::new(&settings.data);
    path.file_name().map_or(settings.data.clone(), |name| name.to_string_lossy().into_owned())
}

fn network(settings: &Settings) -> String {
    settings.architecture.to_string()
}

fn objective(settings: &Settings) -> String {
    settings.objective.describe(settings.samples)
}

/// Epochs and steps, each with its end where that is what ends the run.
fn progress(row: &Row) -> [String; 2] {
    let (epochs, steps) = (row.epochs.to_string(), row.steps.to_string());
    let Some(settings) = row.settings.as_ref() else { return [String::new(), steps] };
    let finished = row.state == State::Finished;
    match settings.steps {
        _ if matches!(row.state, State::Imported | State::Saved) => [String::new(), String::new()],
        Some(cap) if finished && row.steps >= cap => [epochs, format!("{steps}/{cap}")],
        Some(cap) if !finished => {
            [format!("{epochs}/{}", settings.epochs), format!("{steps}/{cap}")]
        }
        _ => [format!("{epochs}/{}", settings.epochs), steps],
    }
}

/// A setting that a column may show: its title and its text.
type Setting = (&'static str, fn(&Settings) -> String);

/// A column of words, or of numbers.
fn words(title: &'static str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Column {
    Column { title, is_number: false, cells: rows.iter().map(cell).collect() }
}

fn numbers(title: &'static str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Column {
    Column { is_number: true, ..words(title, rows, cell) }
}

fn table(rows: &[Row]) {
    let text = |cell: fn(&Settings) -> String| {
        move |row: &Row| row.settings.as_ref().map_or(String::new(), cell)
    };
    let elbo = |report: &Option<EpochReport>| {
        report.as_ref().map_or(String::new(), |r| figure(r.test.elbo, 2, WIDEST))
    };
    let set = |row: &Row| row.last.as_ref().map(|last| last.set());
    let sets: BTreeSet<&str> = rows.iter().filter_map(set).collect();
    let mixed = sets.len() > 1;
    let title = match sets.first() {
        _ if mixed => "ELBO",
        Some(&VALID) => "valid ELBO",
        _ => "test ELBO",
    };
    let mut columns = vec![
        words("run", rows, |row| row.run.clone()),
        words("begun", rows, |row| {
            let begun = row.begun.as_deref().unwrap_or_default();
            begun.get(..16).unwrap_or(begun).replace('T', " ")
        }),
        words("data", rows, text(data)),
        words("network", rows, text(network)),
        // Of a run that was not trained here it is not known.
        words("objective", rows, |row| match row.state {
            State::Imported => String::new(),
            _ => text(objective)(row),
        }),
        numbers("epochs", rows, |row| progress(row)[0].clone()),
        numbers("steps", rows, |row| progress(row)[1].clone()),
        numbers(title, rows, |row| elbo(&row.last)),
        numbers("best", rows, |row| elbo(&row.best)),
        words("device", rows, |row| row.device.as_ref().map_or(String::new(), |d| d.name.clone())),
        words("state", rows, |row| {
            let state = serde_json::to_value(row.state).unwrap_or_default();
            state.as_str().unwrap_or_default().to_string()
        }),
    ];
    let differing: [Setting; 3] = [
        ("lr", |s| s.learning_rate.to_string()),
        ("batch", |s| s.batch.to_string()),
        ("seed", |s| s.seed.to_string()),
    ];
    let mut at = columns.iter().position(|column| column.title == "epochs").unwrap_or_default();
    for (title, cell) in differing {
        // Of a run that was not trained here they are not known.
        let setting = |row: &Row| match row.state {
            State::Imported => None,
            _ => row.settings.as_ref().map(cell),
        };
        let values: BTreeSet<String> = rows.iter().filter_map(setting).collect();
        if values.len() > 1 {
            columns.insert(at, numbers(title, rows, |row| setting(row).unwrap_or_default()));
            at += 1;
        }
    }
    if mixed {
        let of = words("of", rows, |row| set(row).unwrap_or_default().to_string());
        columns.insert(columns.len() - 2, of);
    }
    for line in lines(&columns) {
        say(line);
    }
    for row in rows {
        if let Some(reason) = &row.reason {
            say(format_args!("{} is broken: {reason}", row.run));
        }
    }
}
