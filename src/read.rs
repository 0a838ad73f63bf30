//! Whole files from elsewhere: what a folder holds that somebody sent may be a pipe, which would be waited for,
//! a device without an end, or a file with more holes than bytes.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of the header of a safetensors file, its format's own limit.
const HEADER: u64 = 100_000_000;
/// As many bytes show that a file is not what it should be.
const SOME: u64 = 4096;

/// All bytes of a file.
///
/// # Errors
/// It is no file, or longer than `limit` bytes, or cannot be read.
pub fn at_most(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, length) = open(path)?;
    if length > limit {
        let problem = format!("it has {length} bytes, {limit} at most can be");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    read(file, length)
}

/// All bytes of a safetensors file; of one whose length is not what its header says, the first.
///
/// # Errors
/// It is no file, or cannot be read.
pub fn safetensors(path: &Path) -> io::Result<Vec<u8>> {
    let (file, mut start, left) = beginning(path)?;
    if let Some(left) = left {
        start.try_reserve_exact(left as usize).map_err(io::Error::other)?;
        file.take(left).read_to_end(&mut start)?;
    }
    Ok(start)
}

/// Whether a safetensors file is as long as its header says.
///
/// # Errors
/// As [`safetensors()`].
#[cfg(feature = "program")]
pub fn is_whole(path: &Path) -> io::Result<bool> {
    beginning(path).map(|(_, _, left)| left.is_some())
}

/// A safetensors file, what of it is read already, and the bytes that follow, where these are as many as its
/// header says.
fn beginning(path: &Path) -> io::Result<(fs::File, Vec<u8>, Option<u64>)> {
    let (mut file, length) = open(path)?;
    let mut start = read(&mut file, 8.min(length))?;
    let header = start.first_chunk().map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
    if header > HEADER.min(length) {
        start.extend(read(&mut file, SOME.min(length.saturating_sub(8)))?);
        return Ok((file, start, None));
    }
    start.extend(read(&mut file, header)?);
    let left = length.saturating_sub(start.len() as u64);
    let expected = end_of_data(start.get(8..).unwrap_or_default());
    Ok((file, start, Some(left).filter(|_| expected == Some(left))))
}

/// Where the last tensor ends, from the header's beginning on.
fn end_of_data(header: &[u8]) -> Option<u64> {
    let tensors: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(header).ok()?;
    let ends = tensors.iter().filter(|(name, _)| *name != "__metadata__");
    ends.map(|(_, tensor)| tensor["data_offsets"][1].as_u64())
        .try_fold(0, |last, end| end.map(|end| last.max(end)))
}

/// A file and its length.
pub fn open(path: &Path) -> io::Result<(fs::File, u64)> {
    // Before it is opened: opening a pipe waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
    let file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Up to `length` bytes. No more memory is taken than there is.
fn read(reader: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let capacity = usize::try_from(length).map_err(io::Error::other)?;
    bytes.try_reserve_exact(capacity).map_err(io::Error::other)?;
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_what_it_says_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let data = [1u8; 16];
        let view =
            ::safetensors::tensor::TensorView::new(::safetensors::Dtype::U8, vec![16], &data)
                .unwrap();
        let whole = ::safetensors::serialize([("t", view)], None).unwrap();
        fs::write(at("whole"), &whole).unwrap();
        assert_eq!(safetensors(&at("whole")).unwrap(), whole);
        // Holes cost nothing on the disk: a terabyte after the last tensor, and one of nothing.
        for (name, bytes) in [("longer", &whole[..]), ("empty", &[])] {
            fs::write(at(name), bytes).unwrap();
            fs::File::options().write(true).open(at(name)).unwrap().set_len(1 << 40).unwrap();
            let read = safetensors(&at(name)).unwrap();
            assert!(read.len() < 8192 && bytes.starts_with(&read[..read.len().min(bytes.len())]));
            assert!(at_most(&at(name), 1 << 20).is_err());
        }
        fs::write(at("cut"), &whole[..whole.len() - 1]).unwrap();
        assert!(safetensors(&at("cut")).unwrap().len() < whole.len());
        assert_eq!(at_most(&at("cut"), 1 << 20).unwrap(), whole[..whole.len() - 1]);
        assert!(at_most(folder.path(), 1).is_err() && safetensors(Path::new("/dev/null")).is_err());
    }
}
