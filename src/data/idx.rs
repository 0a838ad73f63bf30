//! Reader for IDX, the format of the MNIST files, raw or gzip-compressed.
//!
//! An IDX file is big-endian: a magic number `00 00 TT RR` (element type, number of dimensions),
//! `RR` sizes of four bytes each, then the elements in row-major order.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{DataError, Images, Labels, MAX_IMAGES, MAX_PIXELS, MAX_UNPACKED, Pixels};

pub(super) const GZIP: &[u8] = &[0x1f, 0x8b];

/// What other files start with, to tell the user what was passed by mistake.
const SIGNATURES: [(&[u8], &str); 14] = [
    (b"\x89PNG", "a PNG image; name the folder it is in"),
    (b"\xff\xd8\xff", "a JPEG image; name the folder it is in"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"\x93NUM", "a NumPy .npy file without that ending"),
    (b"PK", "a zip archive (or a NumPy .npz file without that ending)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\xfd7zX", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
    (b"BZh", "a bzip2 file"),
    (b"%PDF", "a PDF document"),
    (b"<", "an HTML or XML page"),
    (GZIP, "gzip data within gzip data"),
];

/// The bytes of a file and the path to name in errors.
pub(super) struct Input {
    path: PathBuf,
    bytes: Box<dyn BufRead>,
    /// Length of `bytes`, if known before they are read.
    length: Option<u64>,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Input, DataError> {
        let failed = |cause| DataError::Read { path: path.into(), cause };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        Ok(Input {
            path: path.into(),
            bytes: Box::new(BufReader::new(file)),
            // A pipe reports a length of 0.
            length: metadata.is_file().then_some(metadata.len()),
        })
    }

    pub(super) fn embedded(name: &str, bytes: &'static [u8]) -> Input {
        Input { path: format!("built-in {name}").into(), bytes: Box::new(bytes), length: None }
    }
}

/// Reads images of shape (N, height, width) and, if given, labels of shape (N,). `budget` is how many bytes of
/// images may still be unpacked, and is less by those afterwards.
pub(super) fn read(
    images: Input,
    labels: Option<Input>,
    budget: &mut u64,
) -> Result<Images, DataError> {
    let path = images.path.clone();
    let ([n_images, height, width], pixels) = decode::<3>(images, budget)?;
    let labels = match labels {
        None => None,
        Some(input) => {
            let labels_path = input.path.clone();
            let ([n_labels], labels) = decode::<1>(input, &mut MAX_UNPACKED.clone())?;
            if n_labels != n_images {
                return Err(DataError::LabelCount {
                    path: labels_path,
                    n_labels,
                    images: path,
                    n_images,
                });
            }
            Some(Labels::numbered(labels.iter().map(|&class| class.into()).collect()))
        }
    };
    Ok(Images { n_images, height, width, channels: 1, pixels, labels })
}

/// Reads the sizes and the elements of an array of unsigned bytes with `RANK` dimensions:
/// 3 for images, 1 for labels. What is unpacked is taken off the budget.
fn decode<const RANK: usize>(
    input: Input,
    budget: &mut u64,
) -> Result<([usize; RANK], Pixels), DataError> {
    let Input { path, mut bytes, mut length } = input;
    let kind = if RANK == 1 { "labels" } else { "images" };

    let start =
        read_up_to(&mut bytes, 2).map_err(|cause| DataError::Read { path: path.clone(), cause })?;
    let is_gzip = start == GZIP;
    let bytes = io::Cursor::new(start).chain(bytes);
    let mut data: Box<dyn Read> = if is_gzip {
        length = None;
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let read_failed = |cause: io::Error| {
        use io::ErrorKind::{InvalidInput, UnexpectedEof};
        let path = path.clone();
        // These are the kinds by which the decoder reports bad data; others come from the disk.
        if is_gzip && matches!(cause.kind(), InvalidInput | UnexpectedEof) {
            DataError::Gzip { path, cause }
        } else {
            DataError::Read { path, cause }
        }
    };

    let header_len = 4 + 4 * RANK;
    let header = read_up_to(&mut data, header_len as u64).map_err(read_failed)?;
    if header.is_empty() {
        return Err(DataError::Empty { path, kind });
    }
    let (words, _) = header.as_chunks::<4>();
    let expected_magic = 0x0800 | RANK as u32;
    if let Some(&magic) = words.first()
        && u32::from_be_bytes(magic) != expected_magic
    {
        return Err(DataError::Magic {
            path,
            got: u32::from_be_bytes(magic),
            expected: expected_magic,
            kind,
            hint: explain(magic),
        });
    }
    if header.len() < header_len {
        return Err(DataError::HeaderTruncated {
            path,
            kind,
            expected: header_len,
            got: header.len(),
        });
    }

    let mut sizes = [0; RANK];
    for (size, &word) in sizes.iter_mut().zip(&words[1..]) {
        *size = u32::from_be_bytes(word);
    }
    let shape = sizes.map(|size| size.to_string()).join("x");
    if sizes.contains(&0) {
        return Err(DataError::ZeroSize { path, shape });
    }
    let n_images = u64::from(sizes[0]);
    let n_values = sizes[1..]
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size.into()))
        .filter(|&n_pixels| n_images <= MAX_IMAGES && n_pixels <= MAX_PIXELS)
        .map(|n_pixels| n_images * n_pixels)
        .filter(|&n_values| length.is_some() || n_values <= *budget);
    let Some(n_values) = n_values else {
        return Err(DataError::TooLarge { path, shape });
    };

    let expected = header_len as u64 + n_values;
    let check_length = |got: u64| {
        let (path, shape) = (path.clone(), shape.clone());
        match got.cmp(&expected) {
            std::cmp::Ordering::Less => Err(DataError::TooShort { path, shape, expected, got }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(DataError::TooLong { path, shape, expected, got }),
        }
    };
    let sizes = sizes.map(|size| size as usize);
    if let Some(length) = length {
        check_length(length)?;
        let pixels = Pixels::open(&path, header_len as u64, n_values as usize)
            .map_err(|cause| DataError::Read { path, cause })?;
        return Ok((sizes, pixels));
    }
    // One byte more than promised shows surplus data, and has gzip's checksum verified.
    let values = read_up_to(&mut data, n_values + 1).map_err(read_failed)?;
    check_length(header_len as u64 + values.len() as u64)?;
    *budget -= n_values;
    Ok((sizes, values.into()))
}

/// Reads `limit` bytes, or all if there are fewer. The buffer grows with what arrives, so a
/// forged `limit` costs no memory.
fn read_up_to(reader: &mut dyn Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    reader.take(limit).read_to_end(&mut buffer)?;
    Ok(buffer)
}

/// Says what a wrong magic number belongs to.
fn explain(magic: [u8; 4]) -> String {
    match magic {
        [0, 0, 8, 1] => "this is a labels file".into(),
        [0, 0, 8, 3] => "this is an images file".into(),
        [0, 0, 8, rank] => format!("this array has {rank} dimensions"),
        [0, 0, element, _] => {
            let name = match element {
                0x09 => "i8",
                0x0b => "i16",
                0x0c => "i32",
                0x0d => "f32",
                0x0e => "f64",
                _ => "unknown",
            };
            format!("the element type is {element:#04x} ({name}), not 0x08 (u8)")
        }
        [1..=4, 8, 0, 0] => "the bytes are in little-endian order".into(),
        _ => SIGNATURES
            .iter()
            .find(|(signature, _)| magic.starts_with(signature))
            .map_or("this is not an IDX file".into(), |(_, name)| {
                format!("this looks like {name}")
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a set's files together no more is unpacked than its budget.
    #[test]
    fn files_share_a_budget() {
        const PACKED: &[u8] = &[
            0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0,
            0xff, // a header of gzip, and one stored block:
            0x01, 20, 0, 0xeb, 0xff, // 20 bytes
            0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2, 5, 6, 7, 8, // one image of 2x2
            0x13, 0x5e, 0x77, 0xb0, 20, 0, 0, 0,
        ];
        let mut budget = 7;
        let read = |budget: &mut u64| read(Input::embedded("a", PACKED), None, budget);
        let first = read(&mut budget);
        assert!(matches!(&first, Ok(images) if images.pixels[..] == [5, 6, 7, 8]), "{first:?}");
        assert_eq!(budget, 3);
        assert!(matches!(read(&mut budget), Err(DataError::TooLarge { .. })));
    }
}
