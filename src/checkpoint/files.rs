//! Files that are there whole or not at all, whatever happens while they are written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::CheckpointError;

/// How the names of files begin that are being written; a killed process leaves them.
const TEMPORARY: &str = ".elbo-";

/// Whether [`write_whole`] could write a file there, as far as can be told before there is anything to write.
///
/// # Errors
/// The path is a folder or lies in none, or the file or its folder is read-only.
pub fn check_writable(path: &Path) -> Result<(), CheckpointError> {
    let invalid = |message: String| CheckpointError::Invalid { path: path.to_path_buf(), message };
    let target = target(path);
    if target.is_dir() {
        return Err(invalid("it is a folder; name a file in it".to_string()));
    }
    let folder = folder_of(&target);
    match folder.metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            return Err(unwritable(path, source));
        }
        _ => return Err(invalid(format!("there is no folder {}", folder.display()))),
    }
    match target.metadata() {
        // A device or a pipe may take what it is given only once.
        Ok(metadata) if !metadata.is_file() => return Ok(()),
        Ok(metadata) if metadata.permissions().readonly() => {
            return Err(invalid("it is read-only".to_string()));
        }
        _ => {}
    }
    probe(folder).map_err(|source| unwritable(path, source))
}

/// Whether files can be made in a folder.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    temporary(&folder.join("probe"), b"").map(|_| ())
}

/// Writes a file under a temporary name beside it, then renames: it is there whole or not at all, after a
/// loss of power too.
///
/// # Errors
/// The disk.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let write = || -> io::Result<()> {
        let target = target(path);
        // A device or a pipe is written to.
        if target.exists() && !target.is_file() {
            return fs::write(&target, bytes);
        }
        temporary(&target, bytes)?.persist(&target).map_err(|e| e.error)?;
        sync_folder(folder_of(&target))
    };
    write().map_err(|source| unwritable(path, source))
}

/// A folder of files that is there with all of them or not at all: it has another name until then.
pub struct NewFolder {
    target: PathBuf,
    temporary: PathBuf,
    /// Whether it takes the place of one that has files.
    replaces: bool,
}

impl NewFolder {
    /// Whether one could be made there, as far as can be told before: nothing is there, or a folder with nothing in it.
    ///
    /// # Errors
    /// Something is there, or it cannot be written.
    pub fn check(path: &Path) -> Result<(), CheckpointError> {
        let invalid = |message: &str| CheckpointError::Invalid {
            path: path.to_path_buf(),
            message: message.to_string(),
        };
        match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => {
                return Err(invalid(
                    "it is a folder with files in it; name one that is new or empty",
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {}
            Err(_) => {
                return Err(invalid("it exists and is no folder that can be read; name a new one"));
            }
        }
        let within = folder_of(path);
        match within.is_dir() {
            true => probe(within).map_err(|source| unwritable(path, source)),
            false => Err(invalid(&format!("there is no folder {}", within.display()))),
        }
    }

    /// Begins it.
    ///
    /// # Errors
    /// As [`NewFolder::check`].
    pub fn begin(path: &Path) -> Result<Self, CheckpointError> {
        NewFolder::check(path)?;
        NewFolder::begin_at(path, false)
    }

    /// Begins one that takes the place of a folder with files, which stays as it is until the new one is whole.
    ///
    /// # Errors
    /// Nothing can be made beside it.
    pub fn begin_in_place_of(path: &Path) -> Result<Self, CheckpointError> {
        NewFolder::begin_at(&target(path), true)
    }

    fn begin_at(path: &Path, replaces: bool) -> Result<Self, CheckpointError> {
        let temporary = leftover(folder_of(path));
        fs::create_dir(&temporary).map_err(|source| unwritable(path, source))?;
        Ok(NewFolder { target: path.to_path_buf(), temporary, replaces })
    }

    /// Writes a file of it, or of a folder in it.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), CheckpointError> {
        let path = self.temporary.join(name);
        let made = fs::create_dir_all(folder_of(&path));
        let written = made.and_then(|()| fs::write(path, bytes));
        written.map_err(|source| unwritable(&self.target.join(name), source))
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// The disk, or something is there now.
    pub fn finish(self) -> Result<(), CheckpointError> {
        let rename = || -> io::Result<()> {
            sync_folder(&self.temporary)?;
            if self.replaces {
                let before = self.temporary.with_extension("before");
                fs::rename(&self.target, &before)?;
                if let Err(e) = fs::rename(&self.temporary, &self.target) {
                    fs::rename(&before, &self.target)?;
                    return Err(e);
                }
                let _ = fs::remove_dir_all(before); // it is in nobody's way
                return sync_folder(folder_of(&self.target));
            }
            // Not every system renames onto a folder, empty though it is.
            let _ = fs::remove_dir(&self.target);
            fs::rename(&self.temporary, &self.target)?;
            sync_folder(folder_of(&self.target))
        };
        rename().map_err(|source| unwritable(&self.target, source))
    }
}

impl Drop for NewFolder {
    /// Nothing is left of one that was not finished.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.temporary);
    }
}

/// What a link names is replaced, not the link.
fn target(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf())
}

/// As [`write_whole`], where nothing may be there yet: of two that write at once, one fails.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`], or the disk.
pub(super) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    temporary(path, bytes)?.persist_noclobber(path).map_err(|e| e.error)?;
    sync_folder(folder_of(path)).inspect_err(|_| {
        let _ = fs::remove_file(path); // it is nobody's else
    })
}

/// A file of these bytes, on the disk under a name that is not yet its own.
pub(super) fn temporary(target: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    // Opened and written here: the crate's own errors name the temporary file, which nobody has asked for,
    // and its files are private to their owner, where this one is as readable as any other.
    let open = |path: &Path| fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = tempfile::Builder::new().prefix(TEMPORARY).make_in(folder_of(target), open)?;
    // What is replaced may have been made private.
    if let Ok(metadata) = fs::metadata(target) {
        let _ = file.as_file().set_permissions(metadata.permissions());
    }
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Removes what killed processes have left half written in a folder that no other process writes.
pub(super) fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if is_leftover(&entry) {
            let _ = fs::remove_file(entry.path()); // it is in nobody's way
        }
    }
}

/// A name in a folder that [`remove_leftovers`] removes.
pub(super) fn leftover(folder: &Path) -> PathBuf {
    folder.join(format!("{TEMPORARY}{}", std::process::id()))
}

pub(super) fn is_leftover(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(TEMPORARY)
}

/// Makes what was renamed in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => fs::File::open(folder)?.sync_all(),
        false => Ok(()), // elsewhere a folder cannot be opened
    }
}

pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

pub(super) fn unwritable(path: &Path, source: io::Error) -> CheckpointError {
    CheckpointError::Io { path: PathBuf::from(path), action: "cannot write", source }
}
