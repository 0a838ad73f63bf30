//! The checkpoints of a run: the last one, and the one before until the next is safely in place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{folder_of, remove_leftovers, sync_folder, temporary, unwritable};
use super::state::{Checkpoint, decode};
use super::{CHECKPOINTS, CheckpointError};
use crate::read;

pub const LAST: &str = "last.safetensors";
pub const PREVIOUS: &str = "previous.safetensors";

/// The folder of a run's checkpoints.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    /// The last one may take the place of the one before.
    last_is_whole: bool,
}

/// The newest checkpoint that is whole.
#[derive(Debug)]
pub struct Found {
    pub checkpoint: Checkpoint,
    /// A line for each that is not.
    pub damaged: Vec<String>,
}

impl Store {
    /// For the run in a folder.
    pub fn of(run: &Path) -> Self {
        Store { folder: run.join(CHECKPOINTS), last_is_whole: false }
    }

    /// Makes the folder, where it is not there yet.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn make_folder(&self) -> Result<(), CheckpointError> {
        let make = || -> io::Result<()> {
            if !self.folder.is_dir() {
                fs::create_dir(&self.folder)?;
                sync_folder(folder_of(&self.folder))?;
            }
            Ok(())
        };
        make().map_err(|source| unwritable(&self.folder, source))
    }

    /// Puts a checkpoint in the place of the last one. At every moment a whole one is there.
    ///
    /// # Errors
    /// The disk: then what was the last one is still there, under its name or as the previous one.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        self.make_folder()?;
        let last = self.folder.join(LAST);
        let write = || -> io::Result<()> {
            let file = temporary(&last, bytes)?;
            if self.last_is_whole && last.exists() {
                fs::rename(&last, self.folder.join(PREVIOUS))?;
            }
            file.persist(&last).map_err(|e| e.error)?;
            sync_folder(&self.folder)
        };
        write().map_err(|source| unwritable(&last, source))?;
        self.last_is_whole = true;
        Ok(())
    }

    /// Where the last one is.
    pub fn last(&self) -> PathBuf {
        self.folder.join(LAST)
    }

    /// Whether there is a checkpoint, whole or not.
    pub fn has_one(&self) -> bool {
        [LAST, PREVIOUS].iter().any(|name| self.folder.join(name).exists())
    }

    /// None if there is no checkpoint at all.
    ///
    /// # Errors
    /// None of those that are there is whole.
    pub fn newest(&mut self) -> Result<Option<Found>, CheckpointError> {
        let mut damaged = Vec::new();
        for name in [LAST, PREVIOUS] {
            let path = self.folder.join(name);
            let decoded = match read::safetensors(&path) {
                Ok(bytes) => decode(&bytes),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                // A sector that cannot be read is damage like any other.
                Err(e) => Err(format!("cannot read: {e}")),
            };
            match decoded {
                Ok(checkpoint) => {
                    self.last_is_whole = name == LAST;
                    return Ok(Some(Found { checkpoint, damaged }));
                }
                Err(message) => damaged.push(format!("{}: {message}", path.display())),
            }
        }
        match damaged.is_empty() {
            true => Ok(None),
            false => Err(CheckpointError::NoneWhole(damaged.join("; "))),
        }
    }

    /// Removes what killed processes have left half written.
    pub fn tidy(&self) {
        remove_leftovers(&self.folder);
    }
}
