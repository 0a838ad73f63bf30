//! A run's folder: configuration, metrics, summary, parameters, checkpoints. Files are written whole or not
//! at all, and what is computed from later has a checksum.

mod best;
mod files;
mod layout;
mod lock;
mod seal;
mod state;
mod store;
mod summary;
mod writer;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::interchange::{Names, Trained, weights};
use crate::read;
use crate::text::one_line;
use crate::train::{EpochReport, Moment, Settings, StepReport};
use crate::vae::Architecture;
pub use files::{NewFolder, check_writable, write_whole};
pub use layout::{
    BEST, CHECKPOINTS, CONFIG, EVENTS, IMPORT, METRICS, MODEL, PROGRESS, RECONSTRUCTIONS, SAMPLES,
    STEPS, SUMMARY,
};
use layout::{BEST_BEFORE, BEST_NEXT, LOCK};
pub use lock::Lock;
pub use state::{BEGUN, Checkpoint, Origin, ProgressOutput, Session, begun, now};
pub use store::{Found, Store};
pub use summary::{Saved, Summary};
pub use writer::{About, Writer};

/// A run folder that cannot be made, written or read. One line, with the path.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: it exists already; a run is never overwritten, name another folder", .0.display())]
    Exists(PathBuf),
    #[error("{}: {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{}: not a run folder: it has no {CONFIG} (`Vae::save` writes one)", .0.display())]
    NoRun(PathBuf),
    #[error("{}: no {MODEL} yet: the run has not finished an epoch", .0.display())]
    NoModel(PathBuf),
    #[error("{}: no {BEST}: it is written after an epoch (the last parameters are in {MODEL})", .0.display())]
    NoBest(PathBuf),
    #[error("{}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
    #[error("{}: {process} trains in this folder; one at a time can", path.display())]
    Locked { path: PathBuf, process: String },
    #[error("no checkpoint is whole: {0}")]
    NoneWhole(String),
}

/// Most bytes of a text in a run folder: half a million epochs' metrics.
pub const MAX_TEXT: u64 = 1 << 28;

/// What `config.json` holds.
#[derive(Serialize)]
struct Config<'a> {
    #[serde(flatten)]
    settings: &'a Settings,
    #[serde(flatten)]
    shown: ProgressOutput,
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl RunFolder {
    /// Whether the path is free for a new run: nothing is there, or an empty folder. What a process has
    /// left half written that was killed before it had begun is nothing.
    ///
    /// # Errors
    /// Something else is there, it is below a file, or the folder that it is to be made in is read-only.
    pub fn check_free(path: &Path) -> Result<(), CheckpointError> {
        let io = |action, source| CheckpointError::Io { path: path.to_path_buf(), action, source };
        let nothing = |entry: io::Result<fs::DirEntry>| entry.is_ok_and(|e| files::is_leftover(&e));
        match fs::read_dir(path).map(|mut entries| entries.all(nothing)) {
            Ok(true) => files::probe(path).map_err(|e| io("cannot write", e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let within = path.ancestors().skip(1).find(|p| p.exists());
                let probed = files::probe(within.unwrap_or(Path::new(".")));
                probed.map_err(|e| io("cannot make the folder", e))
            }
            Err(e) if path.symlink_metadata().is_err() => Err(io("cannot make the folder", e)),
            Err(e) if path.is_dir() => Err(io("cannot open the folder", e)),
            _ => Err(CheckpointError::Exists(path.to_path_buf())),
        }
    }

    /// Makes a new folder and writes the configuration.
    ///
    /// # Errors
    /// The path is not free, or cannot be written.
    pub fn create(path: &Path, settings: &Settings) -> Result<Self, CheckpointError> {
        Self::create_to_show(path, settings, ProgressOutput::default())
    }

    /// The same of a run that shows itself while it goes on, which its configuration says too.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn create_to_show(
        path: &Path,
        settings: &Settings,
        shown: ProgressOutput,
    ) -> Result<Self, CheckpointError> {
        Self::check_free(path)?;
        let made = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .map(Path::to_path_buf)
            .collect();
        let folder = RunFolder { path: path.to_path_buf(), made };
        let text = json(&folder.file(CONFIG), &Config { settings, shown })?;
        let make = || {
            fs::create_dir_all(path)?;
            // Of two runs that begin at once, one finds that the file exists.
            files::write_new(&folder.file(CONFIG), &text)
        };
        make().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists if path.is_dir() => CheckpointError::Exists(path.into()),
            // Another run was quicker, and has tidied up the folder that is its own now.
            io::ErrorKind::NotFound if folder.file(CONFIG).exists() => {
                CheckpointError::Exists(path.into())
            }
            _ => {
                folder.remove_made();
                CheckpointError::Io { path: path.into(), action: "cannot make the folder", source }
            }
        })?;
        Ok(folder)
    }

    /// Takes back what [`RunFolder::create`] did, for a run that came to nothing: not to a checkpoint.
    pub fn discard(&self) {
        // What is still in use, or cannot be removed, stays: the failure that led here is told anyway.
        for name in [BEST_NEXT, BEST_BEFORE] {
            let _ = fs::remove_file(self.file(CHECKPOINTS).join(name));
        }
        let _ = fs::remove_dir(self.file(CHECKPOINTS));
        for name in [MODEL, BEST, STEPS] {
            let _ = fs::remove_file(self.file(name));
        }
        let _ = fs::remove_dir_all(self.file(PROGRESS));
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(EVENTS) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let _ = fs::remove_file(self.file(CONFIG));
        self.remove_made();
    }

    fn remove_made(&self) {
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }

    /// The right to train in the folder, until it is dropped.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be written.
    pub fn lock(&self) -> Result<Lock, CheckpointError> {
        self.check_own_files()?;
        Lock::take(self.file(LOCK))
    }

    /// Whether what the folder holds may be written over: a folder from elsewhere can hold links, and what one
    /// names would be replaced.
    ///
    /// # Errors
    /// A link, in the folder or in one of its own.
    pub fn check_own_files(&self) -> Result<(), CheckpointError> {
        let subfolders = [CHECKPOINTS, PROGRESS].map(|name| self.file(name));
        for folder in std::iter::once(&self.path).chain(&subfolders) {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                    let message = "it is a link, and what it names would be written over: a run's own \
                                   files are none; remove it";
                    let message = message.to_string();
                    return Err(CheckpointError::Invalid { path: entry.path(), message });
                }
            }
        }
        Ok(())
    }

    /// Whether a process trains in the folder.
    pub fn is_locked(&self) -> bool {
        Lock::is_taken(&self.file(LOCK))
    }

    /// The folder's checkpoints.
    pub fn store(&self) -> Store {
        Store::of(&self.path)
    }

    /// Removes what killed processes have left half written; for the holder of the lock.
    pub fn tidy(&self, _lock: &Lock) {
        files::remove_leftovers(&self.path);
        files::remove_leftovers(&self.file(PROGRESS));
        self.store().tidy();
    }

    /// An existing run and its configuration.
    ///
    /// # Errors
    /// Not a run folder, or its configuration cannot be read.
    pub fn open(path: &Path) -> Result<(Self, Settings), CheckpointError> {
        let config = path.join(CONFIG);
        let text = read::at_most(&config, MAX_TEXT).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                CheckpointError::NoRun(path.to_path_buf())
            }
            _ => CheckpointError::Io { path: config.clone(), action: "cannot read", source },
        })?;
        let invalid = |message: String| CheckpointError::Invalid { path: config.clone(), message };
        let settings: Settings = serde_json::from_slice(&text)
            .map_err(|e| invalid(format!("not a configuration: {}", one_line(&e.to_string()))))?;
        settings.check().map_err(|e| invalid(e.to_string()))?;
        Ok((RunFolder { path: path.to_path_buf(), made: Vec::new() }, settings))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes the configuration anew, where a run goes on to another end.
    ///
    /// # Errors
    /// The disk.
    pub fn write_config(&self, settings: &Settings) -> Result<(), CheckpointError> {
        self.write_json(CONFIG, &Config { settings, shown: self.shown() })
    }

    /// What the run shows while it goes on, as far as its configuration says it.
    pub fn shown(&self) -> ProgressOutput {
        let text = read::at_most(&self.file(CONFIG), MAX_TEXT).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// # Errors
    /// The disk.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), CheckpointError> {
        let path = self.file(name);
        write_whole(&path, &json(&path, value)?)
    }

    /// Adds lines to `metrics.jsonl`.
    ///
    /// # Errors
    /// The disk.
    pub fn append_metrics(&self, reports: &[EpochReport]) -> Result<(), CheckpointError> {
        let path = self.file(METRICS);
        let text = lines(&path, reports)?;
        let append = || append(&path, &text)?.sync_data();
        append().map_err(|source| files::unwritable(&path, source))
    }

    /// Adds a line to `steps.jsonl`, which is not synced: a run that goes on has the steps of its checkpoint.
    ///
    /// # Errors
    /// The disk.
    pub fn append_steps(&self, report: &StepReport) -> Result<(), CheckpointError> {
        let path = self.file(STEPS);
        let text = lines(&path, std::slice::from_ref(report))?;
        append(&path, &text).map_err(|source| files::unwritable(&path, source))?;
        Ok(())
    }

    /// Leaves the lines of `steps.jsonl` up to this step: those after it are computed again.
    ///
    /// # Errors
    /// It cannot be read, or the disk.
    pub fn keep_steps(&self, until: u64) -> Result<(), CheckpointError> {
        let path = self.file(STEPS);
        let text = match read::at_most(&path, MAX_TEXT) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(CheckpointError::Io { path, action: "cannot read", source }),
        };
        let is_kept = |line: &&[u8]| {
            serde_json::from_slice(line).is_ok_and(|row: StepReport| row.step <= until)
        };
        let kept: Vec<&[u8]> =
            text.split_inclusive(|&byte| byte == b'\n').filter(is_kept).collect();
        write_whole(&path, &kept.concat())
    }

    /// Writes `metrics.jsonl` anew: a process that was killed may have left half a line, or lines that are
    /// ahead of its last checkpoint.
    ///
    /// # Errors
    /// The disk.
    pub fn write_metrics(&self, reports: &[EpochReport]) -> Result<(), CheckpointError> {
        let path = self.file(METRICS);
        write_whole(&path, &lines(&path, reports)?)
    }

    /// Writes `model.safetensors`, with a checksum.
    ///
    /// # Errors
    /// The disk.
    pub fn write_model(
        &self,
        settings: &Settings,
        parameters: &[Vec<f32>],
    ) -> Result<(), CheckpointError> {
        self.write_parameters(MODEL, settings, parameters, None)
    }

    fn write_parameters(
        &self,
        name: impl AsRef<Path>,
        settings: &Settings,
        parameters: &[Vec<f32>],
        after: Option<Moment>,
    ) -> Result<(), CheckpointError> {
        let path = self.path.join(name);
        let a = &settings.architecture;
        let trained = Trained { after, ..Trained::of(settings) };
        let bytes = weights::encode(a, Names::of(a), parameters, &trained)
            .and_then(|bytes| seal::seal(&bytes))
            .map_err(|message| CheckpointError::Invalid { path: path.clone(), message })?;
        write_whole(&path, &bytes)
    }

    /// The parameters, in the order of [`Network::parameters`].
    ///
    /// # Errors
    /// No model, one whose bytes are not as they were written, or one that does not fit the architecture:
    /// which tensor, expected, got.
    pub fn read_model(
        &self,
        architecture: &Architecture,
    ) -> Result<Vec<Vec<f32>>, CheckpointError> {
        let missing = CheckpointError::NoModel(self.path.clone());
        self.read_parameters(MODEL, architecture, missing).map(|(parameters, _)| parameters)
    }

    fn read_parameters(
        &self,
        name: &str,
        architecture: &Architecture,
        missing: CheckpointError,
    ) -> Result<(Vec<Vec<f32>>, Vec<u8>), CheckpointError> {
        let path = self.file(name);
        let bytes = match read::safetensors(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(missing),
            Err(source) => return Err(CheckpointError::Io { path, action: "cannot read", source }),
        };
        let whole = if seal::is_of_before(&bytes) { Ok(()) } else { seal::check(&bytes) };
        let decoded = whole
            .map_err(str::to_string)
            .and_then(|()| weights::decode(architecture, &bytes))
            .map_err(|message| CheckpointError::Invalid { path, message })?;
        Ok((decoded, bytes))
    }
}

fn json(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, CheckpointError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| CheckpointError::Invalid { path: path.into(), message: e.to_string() })?;
    text.push(b'\n');
    Ok(text)
}

/// Adds to a file, which is made if need be.
fn append(path: &Path, text: &[u8]) -> io::Result<fs::File> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text)?;
    Ok(file)
}

/// One line of JSON for each.
fn lines(path: &Path, reports: &[impl Serialize]) -> Result<Vec<u8>, CheckpointError> {
    let mut text = Vec::new();
    for report in reports {
        serde_json::to_writer(&mut text, report)
            .map_err(|e| CheckpointError::Invalid { path: path.into(), message: e.to_string() })?;
        text.push(b'\n');
    }
    Ok(text)
}
