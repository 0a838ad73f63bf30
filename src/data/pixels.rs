//! The bytes of images: in memory, or those of a large file where they lie on the disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use memmap2::{Mmap, MmapOptions};

/// Bytes of a file from which on it is mapped rather than read, so that the system may hold as little of
/// it as it likes.
const MAP_FROM: usize = 1 << 28;

/// Bytes that are shared by their copies and parts.
#[derive(Clone)]
pub struct Pixels {
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

enum Bytes {
    Memory(Vec<u8>),
    Mapped(Mmap),
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

    /// A part of them, without a copy.
    ///
    /// # Panics
    ///
    /// If the range is not within.
    pub fn part(&self, range: Range<usize>) -> Pixels {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {}", self.len());
        let start = self.range.start;
        Pixels { bytes: self.bytes.clone(), range: start + range.start..start + range.end }
    }
}

impl From<Bytes> for Pixels {
    fn from(bytes: Bytes) -> Pixels {
        let length = match &bytes {
            Bytes::Memory(bytes) => bytes.len(),
            Bytes::Mapped(map) => map.len(),
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
        **self == **other
    }
}

impl Eq for Pixels {}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Pixels {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}
