//! Arrays as NumPy reads them without pickles: one in a `.npy` file, several by their names in an `.npz`, which is a zip
//! archive of `.npy` files (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use std::io::{self, Cursor, Write};

use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, result::ZipError};

/// The magic number and the version of a `.npy` file.
const BEGINNING: [u8; 8] = *b"\x93NUMPY\x01\x00";
/// The elements begin at a multiple of so many bytes.
const ALIGNMENT: usize = 64;

/// The elements of an array, in row-major order.
#[derive(Debug, Clone, Copy)]
pub enum Elements<'a> {
    /// `float32`
    F32(&'a [f32]),
    /// `uint8`
    U8(&'a [u8]),
    /// `int64`
    I64(&'a [i64]),
    /// `str`, as wide as the longest
    Text(&'a [String]),
}

impl Elements<'_> {
    /// How many there are.
    fn count(self) -> usize {
        match self {
            Elements::F32(values) => values.len(),
            Elements::U8(values) => values.len(),
            Elements::I64(values) => values.len(),
            Elements::Text(texts) => texts.len(),
        }
    }

    /// Characters of the longest text; NumPy has no texts of none.
    fn widest(texts: &[String]) -> usize {
        texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1)
    }

    /// NumPy's name of their type, of bytes in this machine-independent order.
    fn descr(self) -> String {
        match self {
            Elements::F32(_) => "<f4".to_string(),
            Elements::U8(_) => "|u1".to_string(),
            Elements::I64(_) => "<i8".to_string(),
            Elements::Text(texts) => format!("<U{}", Self::widest(texts)),
        }
    }

    fn write(self, to: &mut Vec<u8>) {
        match self {
            Elements::F32(values) => values.iter().for_each(|v| to.extend(v.to_le_bytes())),
            Elements::U8(values) => to.extend_from_slice(values),
            Elements::I64(values) => values.iter().for_each(|v| to.extend(v.to_le_bytes())),
            Elements::Text(texts) => {
                let width = Self::widest(texts);
                for text in texts {
                    let letters = text.chars().map(u32::from).chain(std::iter::repeat(0));
                    letters.take(width).for_each(|letter| to.extend(letter.to_le_bytes()));
                }
            }
        }
    }
}

/// The bytes of a `.npy` file.
///
/// # Panics
/// If there are not as many elements as the shape says.
pub fn npy(shape: &[usize], elements: Elements) -> Vec<u8> {
    assert_eq!(shape.iter().product::<usize>(), elements.count(), "{shape:?}");
    // A tuple of one has a comma too.
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let dictionary = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
        elements.descr(),
        if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") }
    );
    let start = BEGINNING.len() + size_of::<u16>();
    let end = (start + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let header = format!("{dictionary:<width$}\n", width = end - start - 1);
    let mut bytes = BEGINNING.to_vec();
    let length = u16::try_from(header.len()).expect("a header of few dimensions");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.into_bytes());
    elements.write(&mut bytes);
    bytes
}

/// The bytes of an `.npz` file of arrays by their names. The same arrays make the same bytes.
///
/// # Errors
/// More bytes than an archive can hold.
pub fn npz(arrays: &[(&str, &[usize], Elements)]) -> io::Result<Vec<u8>> {
    let failed = |error: ZipError| io::Error::other(error);
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, shape, elements) in arrays {
        let bytes = npy(shape, *elements);
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(u32::try_from(bytes.len()).is_err());
        archive.start_file(format!("{name}.npy"), options).map_err(failed)?;
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish().map_err(failed)?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `numpy.save` writes them, byte for byte.
    #[test]
    fn headers_are_numpys() {
        let header = |shape: &[usize], elements: Elements| {
            let bytes = npy(shape, elements);
            let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
            assert!(bytes.starts_with(&BEGINNING) && (10 + length).is_multiple_of(ALIGNMENT));
            let text = String::from_utf8(bytes[10..10 + length].to_vec()).unwrap();
            (text.trim_end().to_string(), bytes[10 + length..].to_vec())
        };
        let (text, data) = header(&[3, 2], Elements::F32(&[0.0, 1.0, 2.0, 3.0, 4.0, -0.5]));
        assert_eq!(text, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }");
        assert_eq!(&data[20..], (-0.5f32).to_le_bytes());
        let (text, data) = header(&[2], Elements::I64(&[-1, 7]));
        assert_eq!(text, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }");
        assert_eq!(data, [[255u8; 8], [7, 0, 0, 0, 0, 0, 0, 0]].concat());
        let (text, data) = header(&[2], Elements::Text(&["a".into(), "né".into()]));
        assert_eq!(text, "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }");
        assert_eq!(data, [97u8, 0, 0, 0, 0, 0, 0, 0, 110, 0, 0, 0, 233, 0, 0, 0]);
        let (text, _) = header(&[0], Elements::Text(&[]));
        assert_eq!(text, "{'descr': '<U1', 'fortran_order': False, 'shape': (0,), }");
        let (text, data) = header(&[1, 2, 2, 3], Elements::U8(&[9; 12]));
        assert_eq!(text, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2, 3), }");
        assert_eq!(data, [9; 12]);
    }

    #[test]
    fn an_archive_has_its_arrays() {
        let arrays: [(&str, &[usize], Elements); 2] =
            [("mean", &[1, 2], Elements::F32(&[1.0, 2.0])), ("label", &[1], Elements::I64(&[3]))];
        let bytes = npz(&arrays).unwrap();
        assert_eq!(bytes, npz(&arrays).unwrap());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        for (name, shape, elements) in arrays {
            let mut read = Vec::new();
            let mut file = archive.by_name(&format!("{name}.npy")).unwrap();
            io::Read::read_to_end(&mut file, &mut read).unwrap();
            assert_eq!(read, npy(shape, elements));
        }
    }
}
