//! A run's folder: configuration, metrics, summary, parameters. Files are written whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::interchange::{Names, weights};
use crate::train::{EpochReport, Settings};
use crate::vae::Architecture;

pub const CONFIG: &str = "config.json";
pub const METRICS: &str = "metrics.jsonl";
pub const SUMMARY: &str = "summary.json";
pub const MODEL: &str = "model.safetensors";
pub const RECONSTRUCTIONS: &str = "reconstructions.png";
pub const SAMPLES: &str = "samples.png";

/// A run folder that cannot be made, written or read. One line, with the path.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: it exists already; a run is never overwritten, name another folder", .0.display())]
    Exists(PathBuf),
    #[error("{}: {action}: {source}", path.display())]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("{}: not a run folder: it has no {CONFIG} (elbo train --run writes one)", .0.display())]
    NoRun(PathBuf),
    #[error("{}: no {MODEL} yet: the run has not finished an epoch", .0.display())]
    NoModel(PathBuf),
    #[error("{}: {message}", path.display())]
    Invalid { path: PathBuf, message: String },
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    /// The folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl RunFolder {
    /// Whether the path is free for a new run: nothing is there, or an empty folder.
    ///
    /// # Errors
    /// Something else is there, or it is below a file.
    pub fn check_free(path: &Path) -> Result<(), CheckpointError> {
        let io = |action, source| CheckpointError::Io { path: path.to_path_buf(), action, source };
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
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
        Self::check_free(path)?;
        let made = path
            .ancestors()
            .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
            .map(Path::to_path_buf)
            .collect();
        let folder = RunFolder { path: path.to_path_buf(), made };
        let make = || {
            fs::create_dir_all(path)?;
            // Of two runs that begin at once, one finds that the file exists.
            OpenOptions::new().write(true).create_new(true).open(folder.file(CONFIG))
        };
        make().map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists if path.is_dir() => CheckpointError::Exists(path.into()),
            _ => {
                CheckpointError::Io { path: path.into(), action: "cannot make the folder", source }
            }
        })?;
        folder.write_json(CONFIG, settings).inspect_err(|_| folder.discard())?;
        Ok(folder)
    }

    /// Takes back what [`RunFolder::create`] did, for a run that came to nothing.
    pub fn discard(&self) {
        // What is still in use, or cannot be removed, stays: the failure that led here is told anyway.
        let _ = fs::remove_file(self.file(CONFIG));
        for folder in &self.made {
            let _ = fs::remove_dir(folder);
        }
    }

    /// An existing run and its configuration.
    ///
    /// # Errors
    /// Not a run folder, or its configuration cannot be read.
    pub fn open(path: &Path) -> Result<(Self, Settings), CheckpointError> {
        let config = path.join(CONFIG);
        let text = fs::read(&config).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                CheckpointError::NoRun(path.to_path_buf())
            }
            _ => CheckpointError::Io { path: config.clone(), action: "cannot read", source },
        })?;
        let invalid = |message: String| CheckpointError::Invalid { path: config.clone(), message };
        let settings: Settings = serde_json::from_slice(&text)
            .map_err(|e| invalid(format!("not a configuration: {e}")))?;
        settings.check().map_err(|e| invalid(e.to_string()))?;
        Ok((RunFolder { path: path.to_path_buf(), made: Vec::new() }, settings))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// # Errors
    /// The disk.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), CheckpointError> {
        let path = self.file(name);
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|e| CheckpointError::Invalid { path: path.clone(), message: e.to_string() })?;
        text.push(b'\n');
        write_whole(&path, &text)
    }

    /// Adds one line to `metrics.jsonl`.
    ///
    /// # Errors
    /// The disk.
    pub fn append_metrics(&self, report: &EpochReport) -> Result<(), CheckpointError> {
        let path = self.file(METRICS);
        let line = serde_json::to_string(report)
            .map_err(|e| CheckpointError::Invalid { path: path.clone(), message: e.to_string() })?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|source| CheckpointError::Io { path, action: "cannot write", source })
    }

    /// Writes `model.safetensors`.
    ///
    /// # Errors
    /// The disk.
    pub fn write_model(
        &self,
        architecture: &Architecture,
        parameters: &[Vec<f32>],
    ) -> Result<(), CheckpointError> {
        let path = self.file(MODEL);
        let bytes = weights::encode(architecture, Names::of(architecture), parameters)
            .map_err(|message| CheckpointError::Invalid { path: path.clone(), message })?;
        write_whole(&path, &bytes)
    }

    /// The parameters, in the order of [`Network::parameters`].
    ///
    /// # Errors
    /// No model, or one that does not fit the architecture: which tensor, expected, got.
    pub fn read_model(
        &self,
        architecture: &Architecture,
    ) -> Result<Vec<Vec<f32>>, CheckpointError> {
        let path = self.file(MODEL);
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => CheckpointError::NoModel(self.path.clone()),
            _ => CheckpointError::Io { path: path.clone(), action: "cannot read", source },
        })?;
        weights::decode(architecture, &bytes)
            .map_err(|message| CheckpointError::Invalid { path, message })
    }
}

/// Whether a file could be written there, as far as can be told beforehand.
///
/// # Errors
/// The path is a folder, or lies in none.
pub fn check_writable(path: &Path) -> Result<(), CheckpointError> {
    let invalid = |message| Err(CheckpointError::Invalid { path: path.to_path_buf(), message });
    if path.is_dir() {
        return invalid("it is a folder; name a file in it".to_string());
    }
    match folder_of(path) {
        folder if folder.is_dir() => Ok(()),
        folder => invalid(format!("there is no folder {}", folder.display())),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Writes a file under a temporary name beside it, then renames: it is there whole or not at all.
///
/// # Errors
/// The disk.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || -> io::Result<()> {
        // What a link names is replaced, not the link; a device or a pipe is written to.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        if target.exists() && !target.is_file() {
            return fs::write(&target, bytes);
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix(".elbo-");
        // A temporary file is private to its owner; this one is as readable as any other, by the umask.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(folder_of(&target))?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(target).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|source| CheckpointError::Io {
        path: path.to_path_buf(),
        action: "cannot write",
        source,
    })
}
