//! The bytes of images: in memory, or those of a large file where they lie on the disk; and the real values of tables.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

use super::Table;

/// Bytes of a file from which on it is mapped rather than read, so that the system may hold as little of
/// it as it likes.
const MAP_FROM: usize = 1 << 28;
/// Bytes of a real value.
const REAL: usize = size_of::<f32>();

/// Bytes that are shared by their copies and parts: levels of pixels, one each, or values of a table, four each.
#[derive(Clone)]
pub struct Pixels {
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

enum Bytes {
    Memory(Vec<u8>),
    Mapped(Mmap),
    /// The cells of a table, and what its columns are.
    Table(Vec<f32>, Arc<Table>),
}

impl Pixels {
    /// `length` bytes of a file from `offset` on.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or ends before.
    pub(super) fn open(path: &Path, offset: u64, length: usize) -> io::Result<Pixels> {
        let mut file = File::open(path)?;
        let bytes = if length < MAP_FROM {
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            file.take(length as u64).read_to_end(&mut bytes)?;
            Bytes::Memory(bytes)
        } else {
            // SAFETY: bytes may have any value. A file that is cut short while it is mapped ends the
            // process, as it does any that maps files; one that is written to changes the images.
            Bytes::Mapped(unsafe { MmapOptions::new().offset(offset).len(length).map(&file)? })
        };
        let pixels = Pixels::from(bytes);
        match pixels.len() == length {
            true => Ok(pixels),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Changes each byte, in its place where nobody shares them.
    pub(super) fn change(&mut self, change: impl Fn(u8) -> u8) {
        if let Some(Bytes::Memory(bytes)) = Arc::get_mut(&mut self.bytes) {
            bytes[self.range.clone()].iter_mut().for_each(|v| *v = change(*v));
        } else {
            *self = self.iter().map(|&v| change(v)).collect();
        }
    }

    /// The values of a table's cells, as a model sees them.
    pub(super) fn of_table(values: Vec<f32>, table: Arc<Table>) -> Pixels {
        Pixels::from(Bytes::Table(values, table))
    }

    /// What the columns are whose values they are; `None` of levels.
    pub fn table(&self) -> Option<&Arc<Table>> {
        match &*self.bytes {
            Bytes::Table(_, table) => Some(table),
            Bytes::Memory(_) | Bytes::Mapped(_) => None,
        }
    }

    /// The values themselves; `None` of levels.
    pub fn reals(&self) -> Option<&[f32]> {
        match &*self.bytes {
            Bytes::Table(values, _) => {
                Some(&values[self.range.start / REAL..self.range.end / REAL])
            }
            Bytes::Memory(_) | Bytes::Mapped(_) => None,
        }
    }

    /// Bytes of a value.
    pub fn value_bytes(&self) -> usize {
        if self.table().is_some() { REAL } else { 1 }
    }

    /// A part of them, without a copy.
    ///
    /// # Panics
    ///
    /// If the range is not within, or not of whole values.
    pub fn part(&self, range: Range<usize>) -> Pixels {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        assert!(range.start.is_multiple_of(self.value_bytes()), "{range:?} cuts a value");
        let start = self.range.start;
        Pixels { bytes: self.bytes.clone(), range: start + range.start..start + range.end }
    }
}

impl From<Bytes> for Pixels {
    fn from(bytes: Bytes) -> Pixels {
        let length = match &bytes {
            Bytes::Memory(bytes) => bytes.len(),
            Bytes::Mapped(map) => map.len(),
            Bytes::Table(values, _) => values.len() * REAL,
        };
        Pixels { bytes: Arc::new(bytes), range: 0..length }
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Pixels {
        Pixels::from(Bytes::Memory(bytes))
    }
}

impl FromIterator<u8> for Pixels {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Pixels {
        Vec::from_iter(bytes).into()
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.bytes {
            Bytes::Memory(bytes) => &bytes[self.range.clone()],
            Bytes::Mapped(map) => &map[self.range.clone()],
            Bytes::Table(values, _) => &bytemuck::cast_slice(values)[self.range.clone()],
        }
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Pixels) -> bool {
        **self == **other && self.table() == other.table()
    }
}

impl Eq for Pixels {}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Pixels {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}
