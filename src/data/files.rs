//! IDX and `.amat` files: their names in a folder, and what belongs to them beside them.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::idx::{self, Input};
use super::{DataError, Images, TEST_IMAGES, TRAIN_IMAGES, amat};

/// Names of training and test images in a folder, in the order they are looked for. Validation images
/// beside them are left alone.
const PAIRS: [(&str, &str); 3] = [
    (TRAIN_IMAGES, TEST_IMAGES),
    ("binarized_mnist_train-images-idx3-ubyte", "binarized_mnist_test-images-idx3-ubyte"),
    ("binarized_mnist_train.amat", "binarized_mnist_test.amat"),
];

/// Finds the train images, and the test images if they have a file of their own; `None` if a folder has
/// no such files.
pub(super) fn locate(
    path: &Path,
    is_folder: bool,
) -> Result<Option<(PathBuf, Option<PathBuf>)>, DataError> {
    if is_folder {
        // The first pair of which either is there; with none, the first is what is missed.
        let mut missing = None;
        for (train, test) in PAIRS {
            match (find(path, train)?, find(path, test)?) {
                (Some(train), Some(test)) => return Ok(Some((train, Some(test)))),
                (Some(_), None) => missing = missing.or(Some(test)),
                (None, Some(_)) => missing = missing.or(Some(train)),
                (None, None) => {}
            }
        }
        return match missing {
            Some(missing) => Err(DataError::NotInFolder { path: path.into(), missing }),
            None => Ok(None),
        };
    }
    for (train, test) in [
        ("train-images", "t10k-images"),
        ("train-images", "test-images"),
        ("train.amat", "test.amat"),
    ] {
        if let Some(found) = find_sibling(path, |name| name.replace(train, test))? {
            return Ok(Some((path.into(), Some(found))));
        }
    }
    Ok(Some((path.into(), None)))
}

/// Reads images, and their labels if there are any. `budget` as of [`idx::read`].
pub(super) fn read(path: &Path, budget: &mut u64) -> Result<Images, DataError> {
    if amat::is_amat(path) {
        return amat::read(path, budget);
    }
    let labels = find_sibling(path, |name| {
        name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1")
    })?;
    let labels = labels.as_deref().map(Input::open).transpose()?;
    idx::read(Input::open(path)?, labels, budget)
}

/// Looks beside `path` for the file whose name `rename` makes; `None` if it leaves it as it is.
pub(super) fn find_sibling(
    path: &Path,
    rename: impl Fn(&str) -> String,
) -> Result<Option<PathBuf>, DataError> {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return Ok(None);
    };
    let renamed = rename(name);
    if renamed == name {
        return Ok(None);
    }
    find(path.parent().unwrap_or(Path::new("")), &renamed)
}

/// Looks in `folder` for the file `name` in any of its spellings.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    for base in [name.replace(".idx", "-idx"), name.replace("-idx", ".idx")] {
        for suffix in ["", ".gz"] {
            let path = folder.join(format!("{base}{suffix}"));
            match path.metadata() {
                // Some archives unpack to folders that bear the names of the files in them.
                Ok(metadata) if metadata.is_dir() => {}
                Ok(metadata) if !metadata.is_file() => {
                    let cause = io::Error::new(io::ErrorKind::InvalidInput, "it is not a file");
                    return Err(DataError::Read { path, cause });
                }
                Ok(_) => return Ok(Some(path)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                // Passing over a file that is there but out of reach would hide the reason.
                Err(cause) => return Err(DataError::Read { path, cause }),
            }
        }
    }
    Ok(None)
}
