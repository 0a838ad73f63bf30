//! Arrays of numbers in `.npy`, `.npz` and safetensors files, and the images and classes they hold.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use zip::ZipArchive;

use super::npy::{self, HeaderError};
use super::pixels::Pixels;
use super::{DataError, Images, MAX_IMAGES, MAX_PIXELS, MAX_UNPACKED};

/// Most arrays of a file that are looked at.
const MAX_ARRAYS: usize = 4096;
/// Bytes read at a time: a whole number of elements of any type.
const BUFFER: usize = 1 << 16;

/// What the elements of an array are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    Unsigned(Width),
    Signed(Width),
    Float(Width),
    /// By the name that its file has for it.
    Other(String),
}

/// Bytes of an element, and their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    bytes: usize,
    big_endian: bool,
}

impl Width {
    fn little(bytes: usize) -> Width {
        Width { bytes, big_endian: false }
    }

    /// The bits of an element, in the low ones of a word.
    fn bits(self, bytes: &[u8]) -> u64 {
        let mut word = [0; 8];
        word[..self.bytes].copy_from_slice(bytes);
        if self.big_endian {
            word[..self.bytes].reverse();
        }
        u64::from_le_bytes(word)
    }
}

impl Element {
    /// From NumPy's name for it, as in `<f4`.
    pub(super) fn from_numpy(name: &str) -> Element {
        let other = || Element::Other(format!("{name:.20}").escape_debug().to_string());
        let mut letters = name.chars();
        let (Some(order), Some(kind)) = (letters.next(), letters.next()) else {
            return other();
        };
        let width = |sizes: &[usize]| {
            let bytes = letters.as_str().parse().ok().filter(|bytes| sizes.contains(bytes))?;
            let big_endian = match order {
                '<' => false,
                '>' => true,
                '|' if bytes == 1 => false,
                _ => return None,
            };
            Some(Width { bytes, big_endian })
        };
        let element = match kind {
            'b' => width(&[1]).map(|_| Element::Bool),
            'u' => width(&[1, 2, 4, 8]).map(Element::Unsigned),
            'i' => width(&[1, 2, 4, 8]).map(Element::Signed),
            'f' => width(&[4, 8]).map(Element::Float),
            _ => None,
        };
        element.unwrap_or_else(other)
    }

    fn from_safetensors(dtype: Dtype) -> Element {
        match dtype {
            Dtype::BOOL => Element::Bool,
            Dtype::U8 => Element::Unsigned(Width::little(1)),
            Dtype::U16 => Element::Unsigned(Width::little(2)),
            Dtype::U32 => Element::Unsigned(Width::little(4)),
            Dtype::U64 => Element::Unsigned(Width::little(8)),
            Dtype::I8 => Element::Signed(Width::little(1)),
            Dtype::I16 => Element::Signed(Width::little(2)),
            Dtype::I32 => Element::Signed(Width::little(4)),
            Dtype::I64 => Element::Signed(Width::little(8)),
            Dtype::F32 => Element::Float(Width::little(4)),
            Dtype::F64 => Element::Float(Width::little(8)),
            other => Element::Other(format!("{other:?}")),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Element::Bool => 1,
            Element::Unsigned(width) | Element::Signed(width) | Element::Float(width) => {
                width.bytes
            }
            Element::Other(_) => 0,
        }
    }

    fn is_integer(&self) -> bool {
        matches!(self, Element::Unsigned(_) | Element::Signed(_))
    }

    fn name(&self) -> String {
        match self {
            Element::Bool => "bool".into(),
            Element::Unsigned(width) => format!("uint{}", 8 * width.bytes),
            Element::Signed(width) => format!("int{}", 8 * width.bytes),
            Element::Float(width) => format!("float{}", 8 * width.bytes),
            Element::Other(name) => name.clone(),
        }
    }
}

/// An array in a file: what it is, and where its elements are.
#[derive(Debug)]
pub(super) struct Array {
    pub path: PathBuf,
    /// Its name in a file of several.
    pub name: Option<String>,
    element: Element,
    shape: Vec<u64>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// From this byte of the file on.
    File(u64),
    /// From this byte on of what an entry of the zip archive unpacks to.
    Entry(usize, u64),
}

/// Whether the name is that of a file of arrays.
pub(super) fn is_array_file(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "npy" | "npz" | "safetensors")
}

/// The arrays of a file, of which only the headers are read.
pub(super) fn list(path: &Path) -> Result<Vec<Array>, DataError> {
    let failed = |cause| DataError::Read { path: path.into(), cause };
    let mut magic = Vec::new();
    File::open(path).and_then(|f| f.take(4).read_to_end(&mut magic)).map_err(failed)?;
    let named = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match (named.as_str(), &magic[..]) {
        (_, []) => Err(DataError::Empty { path: path.into(), kind: "an array" }),
        (_, b"\x93NUM") => list_npy(path),
        ("npz", _) => list_npz(path),
        ("safetensors", _) => list_safetensors(path),
        _ => Err(unfit(path, "this is not a .npy file; numpy.save(FILE, array) writes one")),
    }
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

fn open_archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let file = File::open(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    ZipArchive::new(BufReader::new(file)).map_err(|e| zip_error(path, e))
}

fn zip_error(path: &Path, error: zip::result::ZipError) -> DataError {
    unfit(path, format!("this is no .npz file that can be read: {error}"))
}

fn header_error(path: &Path, error: HeaderError) -> DataError {
    match error {
        HeaderError::Read(cause) => unfit(path, format!("cannot be read: {cause}")),
        HeaderError::Wrong(message) => unfit(path, message),
    }
}

fn unfit(path: &Path, message: impl Into<String>) -> DataError {
    let message: String = message.into();
    DataError::Unfit { path: path.into(), message: message.replace(['\n', '\r'], " ") }
}

impl Array {
    /// An error of this array.
    pub fn unfit(&self, message: impl AsRef<str>) -> DataError {
        let message = message.as_ref();
        match &self.name {
            Some(name) => unfit(&self.path, format!("array {name}: {message}")),
            None => unfit(&self.path, message),
        }
    }

    /// "x_train", or the file's own name.
    pub fn shown(&self) -> String {
        let name = self.name.as_deref().map_or_else(
            || {
                self.path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .escape_debug()
                    .to_string()
            },
            str::to_string,
        );
        format!("{name} ({} {})", self.element.name(), self.size())
    }

    /// Whether it can only be one number an image, as (N,) or (N, 1) integers.
    pub fn is_column_of_integers(&self) -> bool {
        self.element.is_integer() && matches!(self.shape[..], [_] | [_, 1])
    }

    /// Whether it can be images by its shape.
    pub fn has_rows(&self) -> bool {
        self.shape.len() >= 2
    }

    fn size(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("({})", sizes.join(", "))
    }

    /// Elements, if they can be counted.
    fn count(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))
    }

    /// Checks that header and elements are as long as what holds them.
    fn check_length(&self, header: u64, got: u64) -> Result<(), DataError> {
        if let Element::Other(_) = self.element {
            return Ok(()); // refused if it is wanted
        }
        let needed = self
            .count()
            .and_then(|count| count.checked_mul(self.element.bytes() as u64))
            .and_then(|bytes| bytes.checked_add(header));
        match needed {
            Some(needed) if needed == got => Ok(()),
            _ => Err(self.unfit(format!(
                "{} of {} need {} bytes with the header, but there are {got}; \
                 is the copy incomplete?",
                self.size(),
                self.element.name(),
                needed.map_or("2^64".into(), |needed| needed.to_string()),
            ))),
        }
    }

    /// Grey images, and whether they came as bytes, which may be bits. Shapes are (N, height, width), with
    /// a 1 before or after the last two if need be, or (N, D) of squares or of `size`.
    ///
    /// # Errors
    ///
    /// Elements of another type or out of range, another shape, sizes that cannot be.
    pub fn images(&self, size: Option<(usize, usize)>) -> Result<(Images, bool), DataError> {
        let is_grey = match self.element {
            Element::Bool | Element::Float(_) => true,
            Element::Unsigned(width) => width.bytes == 1,
            _ => false,
        };
        if !is_grey {
            return Err(self.unfit(format!(
                "its elements are {}; images must be uint8 (0 to 255), float32 or float64 (0 to 1) \
                 or bool",
                self.element.name()
            )));
        }
        let (n, height, width) = match self.shape[..] {
            [n, d] => {
                let side = d.isqrt();
                match size {
                    Some((height, width)) if height as u64 * width as u64 == d => {
                        (n, height as u64, width as u64)
                    }
                    _ if side * side == d => (n, side, side),
                    _ => {
                        return Err(self.unfit(format!(
                            "{} are images of {d} pixels, which is no square; \
                             --size HEIGHTxWIDTH gives their size",
                            self.size()
                        )));
                    }
                }
            }
            [n, height, width] | [n, 1, height, width] | [n, height, width, 1] => {
                (n, height, width)
            }
            [_, 3 | 4, _, _] | [_, _, _, 3 | 4] => {
                return Err(self.unfit(format!(
                    "{} looks like colour images; grey ones are (N, height, width), \
                     for example the mean over the colours",
                    self.size()
                )));
            }
            _ => {
                return Err(self.unfit(format!(
                    "its shape is {}; images are (N, height, width), (N, 1, height, width) or (N, D)",
                    self.size()
                )));
            }
        };
        if [n, height, width].contains(&0) {
            return Err(
                self.unfit(format!("its shape is {}; each must be at least 1", self.size()))
            );
        }
        let d = height.saturating_mul(width);
        if n > MAX_IMAGES || d > MAX_PIXELS {
            return Err(self.unfit(format!(
                "its shape is {}; at most {MAX_IMAGES} images of {MAX_PIXELS} pixels can be",
                self.size()
            )));
        }
        let is_byte = matches!(self.element, Element::Unsigned(_));
        let pixels = match (&self.place, is_byte) {
            (Place::File(offset), true) => {
                Pixels::open(&self.path, *offset, (n * d) as usize).map_err(|e| self.failed(e))?
            }
            _ => self.grey_levels()?.into(),
        };
        let [n_images, height, width] = [n, height, width].map(|size| size as usize);
        Ok((Images { n_images, height, width, pixels, labels: None }, is_byte))
    }

    /// Every element as a byte; of a float v in [0, 1] that is 255 v, rounded.
    fn grey_levels(&self) -> Result<Vec<u8>, DataError> {
        let mut levels = Vec::new();
        self.elements(|bytes| {
            match self.element {
                Element::Bool => levels.extend(bytes.iter().map(|&b| 255 * u8::from(b != 0))),
                Element::Float(width) => {
                    for bytes in bytes.chunks_exact(width.bytes) {
                        let bits = width.bits(bytes);
                        let v = match width.bytes {
                            4 => f64::from(f32::from_bits(bits as u32)),
                            _ => f64::from_bits(bits),
                        };
                        if !(0.0..=1.0).contains(&v) {
                            return Err(self.unfit(format!(
                                "element {} is {v}; floats must be from 0 to 1{}",
                                self.index(levels.len() as u64),
                                match v > 1.0 && v <= 255.0 {
                                    true => ", or grey levels to 255 as uint8",
                                    false => "",
                                }
                            )));
                        }
                        levels.push((255.0 * v).round() as u8);
                    }
                }
                _ => levels.extend_from_slice(bytes),
            }
            Ok(())
        })?;
        Ok(levels)
    }

    /// Classes, shape (N,) or (N, 1), from 0 to 65535.
    ///
    /// # Errors
    ///
    /// Elements that are no such integers.
    pub fn classes(&self) -> Result<Vec<u16>, DataError> {
        let (Element::Unsigned(width) | Element::Signed(width)) = self.element else {
            return Err(self.unfit(format!(
                "its elements are {}; classes must be integers",
                self.element.name()
            )));
        };
        if !self.is_column_of_integers() {
            return Err(
                self.unfit(format!("its shape is {}; classes are (N,), one an image", self.size()))
            );
        }
        let mut classes = Vec::new();
        self.elements(|bytes| {
            for bytes in bytes.chunks_exact(width.bytes) {
                // A negative number of any width is out of range as it is of the widest.
                let class = u16::try_from(width.bits(bytes)).ok();
                let class = class.filter(|&class| {
                    self.element != Element::Signed(width) || width.bytes > 2 || {
                        class >> (8 * width.bytes - 1) == 0
                    }
                });
                classes.push(class.ok_or_else(|| {
                    self.unfit(format!(
                        "element [{}] is no class: they must be from 0 to 65535",
                        classes.len()
                    ))
                })?);
            }
            Ok(())
        })?;
        Ok(classes)
    }

    /// Where element `i` is, as in [3, 0, 27].
    fn index(&self, mut i: u64) -> String {
        let mut places = Vec::new();
        for &size in self.shape.iter().rev() {
            places.push((i % size).to_string());
            i /= size;
        }
        places.reverse();
        format!("[{}]", places.join(", "))
    }

    fn failed(&self, cause: io::Error) -> DataError {
        match self.place {
            Place::File(_) => DataError::Read { path: self.path.clone(), cause },
            Place::Entry(..) => {
                self.unfit(format!("corrupt zip data ({cause}); copy the file again"))
            }
        }
    }

    /// Passes the elements' bytes to `take`, many at a time. Memory grows by what `take` keeps alone.
    fn elements(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let needed = self.count().unwrap_or(u64::MAX).saturating_mul(self.element.bytes() as u64);
        let mut pass_on = |reader: &mut dyn Read| {
            let mut buffer = vec![0; BUFFER];
            let mut left = needed;
            while left > 0 {
                let part = &mut buffer[..left.min(BUFFER as u64) as usize];
                reader.read_exact(part).map_err(|e| self.failed(e))?;
                take(part)?;
                left -= part.len() as u64;
            }
            Ok(())
        };
        match self.place {
            Place::File(offset) => {
                let mut file = File::open(&self.path).map_err(|e| self.failed(e))?;
                file.seek(SeekFrom::Start(offset)).map_err(|e| self.failed(e))?;
                pass_on(&mut file)
            }
            Place::Entry(index, header) => {
                if needed > MAX_UNPACKED {
                    return Err(self.unfit(format!(
                        "{} of {} unpack to {needed} bytes; at most {MAX_UNPACKED} are, \
                         larger arrays need a .npy file",
                        self.size(),
                        self.element.name()
                    )));
                }
                let mut archive = open_archive(&self.path)?;
                let mut entry = archive.by_index(index).map_err(|e| zip_error(&self.path, e))?;
                io::copy(&mut entry.by_ref().take(header), &mut io::sink())
                    .map_err(|e| self.failed(e))?;
                pass_on(&mut entry)?;
                // The end of the entry is where its checksum is verified.
                match entry.read(&mut [0]).map_err(|e| self.failed(e))? {
                    0 => Ok(()),
                    _ => Err(self.unfit("it is longer than its header says")),
                }
            }
        }
    }
}
