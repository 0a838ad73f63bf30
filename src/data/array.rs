//! An array of numbers in a file, and the images or classes that it holds.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::archive::{open_archive, zip_error};
use super::colour::interleaved;
use super::element::Element;
use super::error::unfit;
use super::pixels::Pixels;
use super::{DataError, Images, MAX_IMAGES, MAX_PIXELS, MAX_UNPACKED};

/// Bytes read at a time: a whole number of elements of any type.
const BUFFER: usize = 1 << 16;

/// An array in a file: what it is, and where its elements are.
#[derive(Debug)]
pub(super) struct Array {
    pub path: PathBuf,
    /// Its name in a file of several.
    pub name: Option<String>,
    pub element: Element,
    pub shape: Vec<u64>,
    pub place: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    /// From this byte of the file on.
    File(u64),
    /// From this byte on of what an entry of the zip archive unpacks to.
    Entry(usize, u64),
}

/// How images lie in an array.
struct Layout {
    n: u64,
    height: u64,
    width: u64,
    channels: u64,
    /// Whether each channel is by itself: (N, channels, height, width).
    planes: bool,
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

    /// Bytes that its elements unpack to, where they are compressed.
    pub fn unpacked(&self) -> u64 {
        match self.place {
            Place::File(_) => 0,
            Place::Entry(..) => {
                self.count().unwrap_or(u64::MAX).saturating_mul(self.element.bytes() as u64)
            }
        }
    }

    /// Whether it can be images by its shape.
    pub fn has_rows(&self) -> bool {
        self.shape.len() >= 2
    }

    pub fn size(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(u64::to_string).collect();
        format!("({})", sizes.join(", "))
    }

    /// Elements, if they can be counted.
    fn count(&self) -> Option<u64> {
        self.shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size))
    }

    /// Checks that header and elements are as long as what holds them.
    pub fn check_length(&self, header: u64, got: u64) -> Result<(), DataError> {
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

    /// Images, and whether they came as bytes, which may be bits. Shapes are (N, height, width), with
    /// a 1 before or after the last two if need be, in colour with a 3 there, or (N, D) of grey squares or of
    /// `size`.
    ///
    /// # Errors
    ///
    /// Elements of another type or out of range, another shape, sizes that cannot be.
    pub fn images(&self, size: Option<(usize, usize)>) -> Result<(Images, bool), DataError> {
        let is_level = match self.element {
            Element::Bool | Element::Float(_) => true,
            Element::Unsigned(width) => width.bytes == 1,
            _ => false,
        };
        if !is_level {
            return Err(self.unfit(format!(
                "its elements are {}; images must be uint8 (0 to 255), float32, float64 or float16 (0 to 1) \
                 or bool{}",
                self.element.name(),
                self.or_table()
            )));
        }
        let Layout { n, height, width, channels, planes } = self.layout(size)?;
        if [n, height, width].contains(&0) {
            return Err(
                self.unfit(format!("its shape is {}; each must be at least 1", self.size()))
            );
        }
        let d = height.saturating_mul(width).saturating_mul(channels);
        if n > MAX_IMAGES || d > MAX_PIXELS {
            return Err(self.unfit(format!(
                "its shape is {}; at most {MAX_IMAGES} images of {} pixels can be",
                self.size(),
                MAX_PIXELS / channels
            )));
        }
        let is_byte = matches!(self.element, Element::Unsigned(_));
        let mut pixels = match (&self.place, is_byte) {
            (Place::File(offset), true) => {
                Pixels::open(&self.path, *offset, (n * d) as usize).map_err(|e| self.failed(e))?
            }
            _ => self.grey_levels()?.into(),
        };
        if planes {
            pixels = interleaved(&pixels, (height * width) as usize).into();
        }
        let [n_images, height, width, channels] =
            [n, height, width, channels].map(|size| size as usize);
        Ok((Images { n_images, height, width, channels, pixels, labels: None }, is_byte))
    }

    /// What else an array can be.
    fn or_table(&self) -> &'static str {
        match self.shape.len() {
            2 if self.element.bytes() > 0 => "; `table` reads them as a table's",
            _ => "",
        }
    }

    /// What the shape says.
    fn layout(&self, size: Option<(usize, usize)>) -> Result<Layout, DataError> {
        let grey = |n, height, width| Layout { n, height, width, channels: 1, planes: false };
        let shape = self.size();
        Err(self.unfit(match self.shape[..] {
            [n, d] => {
                let side = d.isqrt();
                match size {
                    Some((height, width)) if height as u64 * width as u64 == d => {
                        return Ok(grey(n, height as u64, width as u64));
                    }
                    Some((height, width)) if 3 * height as u64 * width as u64 == d => format!(
                        "{shape} could be colour images of {height}x{width} with each pixel's colours side by \
                         side, or with each colour by itself; reshape it to (N, {height}, {width}, 3) or \
                         (N, 3, {height}, {width})"
                    ),
                    _ if side * side == d => return Ok(grey(n, side, side)),
                    _ => format!(
                        "{shape} are images of {d} pixels, which is no square; \
                         `size` HEIGHTxWIDTH gives their size, and `table` reads them as rows of a table"
                    ),
                }
            }
            [n, height, width] | [n, 1, height, width] | [n, height, width, 1] => {
                return Ok(grey(n, height, width));
            }
            [_, 3, _, 3] => format!(
                "{shape} has 3 both where colours come first and where they come last; images of 3 rows or 3 \
                 columns in colour cannot be told from one another"
            ),
            [n, height, width, 3] => {
                return Ok(Layout { channels: 3, ..grey(n, height, width) });
            }
            [n, 3, height, width] => {
                return Ok(Layout { channels: 3, planes: true, ..grey(n, height, width) });
            }
            [_, 4, _, _] | [_, _, _, 4] => format!(
                "{shape} looks like colours with an alpha; images in colour are (N, height, width, 3) or \
                 (N, 3, height, width)"
            ),
            _ => format!(
                "its shape is {shape}; images are (N, height, width), (N, 1, height, width) or (N, D), in colour \
                 (N, height, width, 3) or (N, 3, height, width)"
            ),
        }))
    }

    /// Every element as a byte; of a float v in [0, 1] that is 255 v, rounded.
    fn grey_levels(&self) -> Result<Vec<u8>, DataError> {
        let mut levels = Vec::new();
        self.elements(|bytes| {
            match self.element {
                Element::Bool => levels.extend(bytes.iter().map(|&b| 255 * u8::from(b != 0))),
                Element::Float(width) => {
                    for bytes in bytes.chunks_exact(width.bytes) {
                        let v = self.element.number(bytes);
                        if !(0.0..=1.0).contains(&v) {
                            return Err(self.unfit(format!(
                                "element {} is {v}; floats must be from 0 to 1{}{}",
                                self.index(levels.len() as u64),
                                match v > 1.0 && v <= 255.0 {
                                    true => ", or grey levels to 255 as uint8",
                                    false => "",
                                },
                                self.or_table()
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

    /// Every element as a number, in the order of the file. NaN is a missing cell.
    ///
    /// # Errors
    ///
    /// Elements that are no numbers, or an infinite one.
    pub fn numbers(&self) -> Result<Vec<f64>, DataError> {
        let numbers = self.numbers_or_infinite()?;
        match numbers.iter().position(|v| v.is_infinite()) {
            None => Ok(numbers),
            Some(i) => Err(self.unfit(format!(
                "element {} is {}; cells must be finite, or NaN where one is missing",
                self.index(i as u64),
                numbers[i]
            ))),
        }
    }

    /// Whether it can be a table by its elements.
    pub fn can_be_table(&self) -> bool {
        match &self.element {
            Element::Float(_) | Element::Signed(_) => true,
            Element::Unsigned(width) => width.bytes > 1,
            Element::Bool | Element::Other(_) => false,
        }
    }

    /// Every element as a number, infinite ones too.
    pub fn numbers_or_infinite(&self) -> Result<Vec<f64>, DataError> {
        if let Element::Other(_) = self.element {
            let name = self.element.name();
            return Err(self.unfit(format!("its elements are {name}; a table's are numbers")));
        }
        let mut numbers = Vec::new();
        self.elements(|bytes| {
            let elements = bytes.chunks_exact(self.element.bytes());
            numbers.extend(elements.map(|bytes| self.element.number(bytes)));
            Ok(())
        })?;
        Ok(numbers)
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
