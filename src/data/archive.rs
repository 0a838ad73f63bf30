//! Zip archives, which .npz files are.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zip::ZipArchive;

use super::DataError;
use super::error::unfit;

pub(super) fn open_archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let file = File::open(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    ZipArchive::new(BufReader::new(file)).map_err(|e| zip_error(path, e))
}

pub(super) fn zip_error(path: &Path, error: zip::result::ZipError) -> DataError {
    unfit(path, format!("this is no .npz file that can be read: {error}"))
}
