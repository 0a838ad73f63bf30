//! Files of arrays, `.npy`, `.npz` and safetensors: which arrays are in them, and where.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use safetensors::SafeTensors;

use super::DataError;
use super::archive::{open_archive, zip_error};
use super::array::{Array, Place};
use super::element::Element;
use super::error::unfit;
use super::npy::{self, HeaderError};
use super::pixels::Pixels;
use crate::read;

/// Most arrays of a file that are looked at.
const MAX_ARRAYS: usize = 4096;

/// Whether the name is that of a file of arrays.
pub(super) fn is_array_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "npy" | "npz" | "safetensors")
}

/// The arrays of a file, of which only the headers are read.
pub(super) fn list(path: &Path) -> Result<Vec<Array>, DataError> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let mut magic = Vec::new();
    read::open(path).and_then(|(f, _)| f.take(4).read_to_end(&mut magic)).map_err(failed)?;
    let named = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match (named.as_str(), &magic[..]) {
        (_, []) => Err(DataError::Empty { path: path.into(), kind: "an array" }),
        (_, b"\x93NUM") => list_npy(path),
        ("npz", _) => list_npz(path),
        ("safetensors", _) => list_safetensors(path),
        _ => Err(unfit(path, "this is not a .npy file; numpy.save(FILE, array) writes one")),
    }
}

/// The arrays of all files of arrays in a folder.
pub(super) fn list_folder(folder: &Path) -> Result<Vec<Array>, DataError> {
    let failed = |cause| DataError::Read { path: folder.into(), cause };
    let mut paths = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_array_file(&path) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    let mut arrays = Vec::new();
    for path in paths {
        arrays.extend(list(&path)?);
    }
    Ok(arrays)
}

fn list_npy(path: &Path) -> Result<Vec<Array>, DataError> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let file = File::open(path).map_err(failed)?;
    let got = file.metadata().map_err(failed)?.len();
    let header =
        npy::read_header(&mut BufReader::new(file)).map_err(|error| header_error(path, error))?;
    let place = Place::File(header.length);
    let array = Array {
        path: path.into(),
        name: None,
        element: header.element,
        shape: header.shape,
        place,
    };
    array.check_length(header.length, got)?;
    Ok(vec![array])
}

fn list_npz(path: &Path) -> Result<Vec<Array>, DataError> {
    let mut archive = open_archive(path)?;
    let mut arrays = Vec::new();
    for index in 0..archive.len().min(MAX_ARRAYS) {
        let mut entry = archive.by_index(index).map_err(|e| zip_error(path, e))?;
        let name = entry.name().map_err(|e| zip_error(path, e))?.into_owned();
        let Some(name) = name.strip_suffix(".npy") else { continue };
        let name: String = name.escape_debug().to_string();
        let header = npy::read_header(&mut entry).map_err(|error| match error {
            HeaderError::Wrong(message) => unfit(path, format!("array {name}: {message}")),
            error => header_error(path, error),
        })?;
        let array = Array {
            path: path.into(),
            name: Some(name),
            element: header.element,
            shape: header.shape,
            place: Place::Entry(index, header.length),
        };
        array.check_length(header.length, entry.size())?;
        arrays.push(array);
    }
    Ok(arrays)
}

fn list_safetensors(path: &Path) -> Result<Vec<Array>, DataError> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    let bytes = Pixels::open(path, 0, length as usize).map_err(failed)?;
    let (header, metadata) = SafeTensors::read_metadata(&bytes)
        .map_err(|e| unfit(path, format!("this is not a safetensors file: {e}")))?;
    let array = |(name, info): (String, &safetensors::tensor::TensorInfo)| Array {
        path: path.into(),
        name: Some(name.escape_debug().to_string()),
        element: Element::from_safetensors(info.dtype),
        shape: info.shape.iter().map(|&size| size as u64).collect(),
        place: Place::File((8 + header + info.data_offsets.0) as u64),
    };
    let mut arrays: Vec<Array> = metadata.tensors().into_iter().map(array).collect();
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(arrays)
}

fn header_error(path: &Path, error: HeaderError) -> DataError {
    match error {
        HeaderError::Read(cause) => unfit(path, format!("cannot be read: {cause}")),
        HeaderError::Wrong(message) => unfit(path, message),
    }
}
