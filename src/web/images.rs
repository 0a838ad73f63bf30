//! A data set as files of a page: bits or levels, packed as browsers unpack.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::Serialize;

use crate::data::Images;

/// Images in a file: zlib (`DecompressionStream("deflate")`) of N images, each D bits, the first the highest of its byte and the
/// last byte filled up with zeros, or D bytes.
#[derive(Debug, Clone, Serialize)]
pub struct PackedImages {
    /// N
    pub images: usize,
    /// Of a value: 1 or 8.
    pub bits: usize,
    /// Where they are.
    pub file: String,
    /// Of the file.
    pub bytes: usize,
    /// Where the classes are, (N) u16, little-endian, packed alike.
    pub labels: Option<String>,
    /// Names of the classes.
    pub names: Vec<String>,
}

/// A file's path on the page, and what it holds.
pub type Packed = (String, Vec<u8>);

/// The first `n` images as bits where a level is at least 128, or as levels; and their classes. With the file of each.
///
/// # Errors
/// None that memory does not have.
pub fn pack(
    images: &Images,
    n: usize,
    as_bits: bool,
    name: &str,
) -> io::Result<(PackedImages, Vec<Packed>)> {
    let n = n.min(images.n_images);
    let mut packed = Vec::new();
    for i in 0..n {
        match as_bits {
            false => packed.extend_from_slice(images.image(i)),
            true => packed.extend(images.image(i).chunks(8).map(|values| {
                let bit = |(at, &v): (usize, &u8)| u8::from(v >= 128) << (7 - at);
                values.iter().enumerate().map(bit).sum::<u8>()
            })),
        }
    }
    let file = format!("data/{name}.{}", if as_bits { "bits" } else { "levels" });
    let packed = zlib(&packed)?;
    let bytes = packed.len();
    let mut files = vec![(file.clone(), packed)];
    let mut labels = None;
    let mut names = Vec::new();
    if let Some(known) = &images.labels {
        let path = format!("data/{name}.classes");
        files.push((path.clone(), pack_classes(&known.classes[..n])?));
        labels = Some(path);
        names = known.names.to_vec();
    }
    let bits = if as_bits { 1 } else { 8 };
    Ok((PackedImages { images: n, bits, file, bytes, labels, names }, files))
}

/// Classes as [`PackedImages::labels`] has them.
///
/// # Errors
/// None that memory does not have.
pub fn pack_classes(classes: &[u16]) -> io::Result<Vec<u8>> {
    zlib(&classes.iter().flat_map(|class| class.to_le_bytes()).collect::<Vec<u8>>())
}

fn zlib(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}
