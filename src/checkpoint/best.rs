//! `best.safetensors`: the parameters after the epoch that the last checkpoint calls the best. New ones lie
//! beside the checkpoints until theirs is in place, and those before stay there: a run that goes on from
//! either checkpoint has the best of its own past.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;

use super::files::{self, sync_folder};
use super::layout::{BEST_BEFORE, BEST_NEXT};
use super::{BEST, CHECKPOINTS, CheckpointError, Lock, RunFolder, seal};
use crate::interchange::Trained;
use crate::read;
use crate::train::{Moment, Settings};
use crate::vae::Architecture;

impl RunFolder {
    fn next(&self) -> PathBuf {
        self.file(CHECKPOINTS).join(BEST_NEXT)
    }

    fn before(&self) -> PathBuf {
        self.file(CHECKPOINTS).join(BEST_BEFORE)
    }

    /// Writes the parameters that [`RunFolder::take_next_best`] puts in place, and when in the run they were
    /// reached.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn write_next_best(
        &self,
        settings: &Settings,
        parameters: &[Vec<f32>],
        moment: Moment,
    ) -> Result<(), CheckpointError> {
        self.store().make_folder()?;
        let name = Path::new(CHECKPOINTS).join(BEST_NEXT);
        self.write_parameters(name, settings, parameters, Some(moment))
    }

    /// Takes them back, where their checkpoint could not be written.
    pub(super) fn remove_next_best(&self) {
        let _ = fs::remove_file(self.next()); // left, it means nothing
    }

    /// Makes them `best.safetensors`, whose checkpoint is in place now.
    ///
    /// # Errors
    /// The disk.
    pub(super) fn take_next_best(&self) -> Result<(), CheckpointError> {
        let best = self.file(BEST);
        let take = || -> io::Result<()> {
            if best.exists() {
                // A second name where there are such, so that the best is there at every moment.
                let copy = files::leftover(&self.file(CHECKPOINTS));
                let _ = fs::remove_file(&copy);
                fs::hard_link(&best, &copy).or_else(|_| fs::copy(&best, &copy).map(|_| ()))?;
                fs::rename(&copy, self.before())?;
                // It may have been made private.
                fs::set_permissions(self.next(), fs::metadata(&best)?.permissions())?;
            }
            fs::rename(self.next(), &best)?;
            sync_folder(&self.file(CHECKPOINTS))?;
            sync_folder(self.path())
        };
        take().map_err(|source| files::unwritable(&best, source))
    }

    /// Sees to it that `best.safetensors` is of the epoch that is the best where a run goes on from `step` steps:
    /// the process before may have ended between it and its checkpoint. Returns whether it is, or will be at once.
    ///
    /// # Errors
    /// The disk.
    pub fn restore_best(
        &self,
        _lock: &Lock,
        best: Option<Moment>,
        step: u64,
    ) -> Result<bool, CheckpointError> {
        let path = self.file(BEST);
        let restore = || -> io::Result<bool> {
            let is = |path: &Path| match (best, moment(path)) {
                (Some(best), Some(of)) => of.is_none_or(|of| of == best), // of before they said it
                _ => false,
            };
            let found = if is(&path) {
                true
            } else if let Some(other) = [self.next(), self.before()].iter().find(|path| is(path)) {
                fs::rename(other, &path)?;
                true
            } else {
                remove(&path)?;
                best.is_none_or(|best| best.step == step) // it is written with the next checkpoint
            };
            remove(&self.next())?;
            if best.is_none() {
                remove(&self.before())?;
            }
            Ok(found)
        };
        restore().map_err(|source| files::unwritable(&path, source))
    }

    /// The parameters of `best.safetensors`, and when in the run they were reached, where the file says it.
    ///
    /// # Errors
    /// As [`RunFolder::read_model`].
    pub fn read_best(
        &self,
        architecture: &Architecture,
    ) -> Result<(Vec<Vec<f32>>, Option<Moment>), CheckpointError> {
        let missing = CheckpointError::NoBest(self.path().to_path_buf());
        let (parameters, bytes) = self.read_parameters(BEST, architecture, missing)?;
        Ok((parameters, said(&bytes)))
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// When in its run a file's parameters were reached, if it says it; None if it is not there or not whole.
fn moment(path: &Path) -> Option<Option<Moment>> {
    let bytes = read::safetensors(path).ok()?;
    let whole = seal::is_of_before(&bytes) || seal::check(&bytes).is_ok();
    whole.then(|| said(&bytes))
}

fn said(file: &[u8]) -> Option<Moment> {
    let (_, metadata) = SafeTensors::read_metadata(file).ok()?;
    Trained::read(metadata.metadata().as_ref()?).after
}
