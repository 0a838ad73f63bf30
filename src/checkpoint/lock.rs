//! One process at a time trains in a run's folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::CheckpointError;
use crate::read;

/// Who looks whether a run goes on holds its lock for a moment.
const TRIES: u32 = 25;
const BETWEEN: Duration = Duration::from_millis(10);

/// The right to write a run's folder. The operating system takes it back when the process ends, however
/// it ends: a lock file that is left means nothing.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
    /// Some network file systems know no locks; a run there is better than none.
    pub works: bool,
}

impl Lock {
    /// # Errors
    /// Another process has it, or the folder cannot be written.
    pub(super) fn take(path: PathBuf) -> Result<Self, CheckpointError> {
        let io =
            |source| CheckpointError::Io { path: path.clone(), action: "cannot write", source };
        let mut tries = 1;
        loop {
            let mut options = OpenOptions::new();
            let opened = options.read(true).write(true).create(true).truncate(false).open(&path);
            let mut file = opened.map_err(io)?;
            let works = match file.try_lock() {
                // Its holder has removed it meanwhile; a file system may also give one file many identities.
                Ok(()) if !is_at(&file, &path) && tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN);
                    continue;
                }
                Ok(()) => true,
                Err(TryLockError::Error(_)) => false,
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(CheckpointError::Locked { path, process: holder(&mut file) });
                }
            };
            let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            let lock = Lock { path: path.clone(), _file: file, works };
            return written.map(|()| lock).map_err(io); // taken back where the disk is full
        }
    }

    /// Whether a process holds the lock.
    pub(super) fn is_taken(path: &Path) -> bool {
        read::open(path)
            .is_ok_and(|(file, _)| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path); // left, it means nothing
        }
    }
}

/// Whether an open file is still the one at the path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
    let own = identity(file.metadata());
    own.is_some() && own == identity(fs::metadata(path))
}

/// Elsewhere a lock file is never removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// What the holder wrote: its process number, where that can be read.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_string(),
    }
}
