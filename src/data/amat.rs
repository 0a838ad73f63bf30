//! Reader for `.amat`, the text format of the binarized MNIST of Larochelle and Murray (2011): a line an
//! image, its pixels as zeros and ones with blanks between, raw or gzip-compressed.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::unfit;
use super::idx::GZIP;
use super::{DataError, Images, MAX_PIXELS, MAX_UNPACKED};

/// Longest line read: values of the largest image, as 1.0000000e+00 at most.
const MAX_LINE: u64 = 16 * MAX_PIXELS;
/// Lines without an image, at most: a packed file can have any number.
const MAX_EMPTY: usize = 1_000_000;

/// Whether the name is that of such a file.
pub(super) fn is_amat(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.strip_suffix(".gz").unwrap_or(&name).ends_with(".amat")
}

/// Reads square images; a one becomes 255, so that they are grey images like others.
/// `budget` is how many values may still be read, and is less by those afterwards.
pub(super) fn read(path: &Path, budget: &mut u64) -> Result<Images, DataError> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    let is_gzip = file.fill_buf().map_err(failed)?.starts_with(GZIP);
    let mut text: Box<dyn BufRead> = match is_gzip {
        true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file))),
        false => Box::new(file),
    };
    let read_failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof if is_gzip => {
            DataError::Gzip { path: path.into(), cause }
        }
        _ => failed(cause),
    };

    let mut pixels = Vec::new();
    let mut n_pixels = 0;
    let (mut n_images, mut empty) = (0, 0);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if text.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(read_failed)? == 0 {
            break;
        }
        let fail =
            |message: String| Err(DataError::Text { path: path.into(), line: number, message });
        if line.len() as u64 == MAX_LINE {
            return fail(format!(
                "it has more than {MAX_LINE} letters; no image has as many pixels"
            ));
        }
        let before = pixels.len();
        for word in line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            match bit(word) {
                Some(bit) => pixels.push(255 * bit),
                None => {
                    let place = pixels.len() - before + 1;
                    let shown: String = String::from_utf8_lossy(&word[..word.len().min(20)])
                        .escape_debug()
                        .collect();
                    return fail(format!("value {place} is \"{shown}\", expected 0 or 1"));
                }
            }
        }
        let n = pixels.len() - before;
        if n == 0 {
            empty += 1;
            match empty > MAX_EMPTY {
                true => return fail(format!("more than {MAX_EMPTY} lines are empty")),
                false => continue,
            }
        }
        if n_images == 0 {
            n_pixels = n;
            if n.isqrt().pow(2) != n {
                return fail(format!(
                    "{n} values, which are no square image (28 x 28 are 784); \
                     images of another shape need an IDX file"
                ));
            }
        } else if n != n_pixels {
            return fail(format!("{n} values, but the lines before have {n_pixels}"));
        }
        if pixels.len() as u64 > *budget {
            return fail(format!(
                "more than {MAX_UNPACKED} values in all; larger sets need another format"
            ));
        }
        n_images += 1;
    }
    if n_images == 0 {
        return Err(unfit(
            path,
            "the file is empty; expected a line of zeros and ones for each image",
        ));
    }
    *budget -= pixels.len() as u64;
    let side = n_pixels.isqrt();
    Ok(Images {
        n_images,
        height: side,
        width: side,
        channels: 1,
        pixels: pixels.into(),
        labels: None,
    })
}

/// 0 or 1, also where they are written as 0.0 or 1.0000000e+00.
fn bit(word: &[u8]) -> Option<u8> {
    match word {
        b"0" => Some(0),
        b"1" => Some(1),
        _ => match std::str::from_utf8(word).ok()?.parse::<f64>().ok()? {
            0.0 => Some(0),
            1.0 => Some(1),
            _ => None,
        },
    }
}
