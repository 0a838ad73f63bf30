//! Which sub-folders of a folder of pictures are its parts: `train`, `test` and `val`.

use std::path::{Path, PathBuf};

use super::DataError;
use super::error::{shown, unfit};
use super::named::Role;

/// The parts of a folder of pictures that has some.
#[derive(Debug)]
pub(super) struct Layout {
    pub train: PathBuf,
    pub test: Option<PathBuf>,
    pub valid: Option<PathBuf>,
    /// What else is in the folder.
    pub others: Vec<PathBuf>,
}

/// The parts that are among the entries of a folder. A folder of training images alone is one if nothing
/// that `has_pictures` lies beside it: else `train` is a class like others.
///
/// # Errors
/// Two sub-folders that are the same part.
pub(super) fn parts(
    folder: &Path,
    entries: Vec<PathBuf>,
    has_pictures: impl Fn(&Path) -> Result<bool, DataError>,
) -> Result<Option<Layout>, DataError> {
    let [mut train, mut test, mut valid] = [None, None, None];
    let mut others = Vec::new();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let part = match Role::of_word(&name).filter(|_| path.is_dir()) {
            Some(Role::Train) => &mut train,
            Some(Role::Test) => &mut test,
            Some(Role::Validation) => &mut valid,
            Some(Role::Whole) | None => {
                others.push(path);
                continue;
            }
        };
        if let Some(first) = part.replace(path.clone()) {
            let (first, second) = (shown(&first), shown(&path));
            return Err(unfit(folder, format!("{first} and {second} could be the same part")));
        }
    }
    let Some(train) = train else { return Ok(None) };
    if test.is_none() && valid.is_none() {
        for path in &others {
            if has_pictures(path)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(Layout { train, test, valid, others }))
}
