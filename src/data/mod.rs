//! Data sets: the built-in MNIST, IDX files, arrays of NumPy and safetensors, folders of pictures, text of binarized
//! images, and tables.

mod amat;
mod archive;
mod array;
mod array_files;
mod cifar;
mod classes;
mod colour;
mod digest;
mod element;
mod error;
mod files;
mod fit;
mod idx;
mod known;
mod layout;
mod memory;
mod named;
mod npy;
mod picture;
mod pictures;
mod pixels;
mod records;
mod split;
mod table;
mod table_csv;
mod table_files;
mod table_fill;
mod table_rows;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use classes::bytes_of;
pub use colour::Channels;
pub use error::DataError;
use error::shown;
pub use fit::Fit;
use known::fashion_mnist;
pub use known::{FASHION_MNIST, MNIST, mnist};
pub use pixels::Pixels;
#[doc(hidden)]
pub use records::Records;
pub use split::Options;
pub use table::{Column, MISSING, Table, TableOptions};
#[doc(hidden)]
pub use table_fill::filled;

use crate::image_shape::ImageShape;

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";

/// Most images of a set: the device counts them in 32 bits, and half the range leaves room for sums.
const MAX_IMAGES: u64 = 1 << 31;
/// Most values of an image: its pixels, or three times as many in colour.
const MAX_PIXELS: u64 = 1 << 24;
/// Most bytes that are unpacked from the compressed files of a set: what it will unpack to is not known before.
const MAX_UNPACKED: u64 = 1 << 31;

/// Images as bytes, grey or in colour; or the rows of a table as real values, each an image of one row of pixels: height
/// 1, a width of as many values as there are columns, one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Number of images, N; at least 1.
    pub n_images: usize,
    /// Rows per image; at least 1.
    pub height: usize,
    /// Columns per image; at least 1.
    pub width: usize,
    /// Values of a pixel: 1, its grey level, or 3, its red, green and blue.
    pub channels: usize,
    /// Shape (N, height, width, channels) in row-major order, or (N, D); levels 0..=255, or the values of a table.
    pub pixels: Pixels,
    /// The classes of the images, or `None` if the data came without labels.
    pub labels: Option<Labels>,
}

/// The classes of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels {
    /// Shape (N,): the class of each image, an index into `names`.
    pub classes: Vec<u16>,
    /// Name of each class, in the order of their numbers; training and test images share them. Some
    /// classes may have no image.
    pub names: Arc<[String]>,
}

impl Labels {
    /// Classes that are known by their numbers alone, which become their names.
    pub fn numbered(classes: Vec<u16>) -> Labels {
        let count = classes.iter().max().map_or(0, |&last| usize::from(last) + 1);
        Labels { classes, names: (0..count).map(|class| class.to_string()).collect() }
    }

    /// The name of image `i`'s class.
    ///
    /// # Panics
    ///
    /// If there is no such image.
    pub fn name(&self, i: usize) -> &str {
        &self.names[usize::from(self.classes[i])]
    }

    /// Cuts off the labels from image `start` on.
    fn split_off(&mut self, start: usize) -> Labels {
        Labels { classes: self.classes.split_off(start), names: self.names.clone() }
    }
}

impl Images {
    /// Height, width and channels of an image.
    pub fn shape(&self) -> ImageShape {
        let Images { height, width, channels, .. } = *self;
        ImageShape { height, width, channels }
    }

    /// Values per image, D: its pixels, three times as many in colour.
    pub fn n_pixels(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Bytes of an image.
    pub fn image_bytes(&self) -> usize {
        self.n_pixels() * self.pixels.value_bytes()
    }

    /// The bytes of image `i`: its levels, shape (D,), row by row from the top, the channels of a pixel side by side.
    ///
    /// # Panics
    ///
    /// If `i >= n_images`.
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.image_bytes();
        &self.pixels[i * size..(i + 1) * size]
    }

    /// The first `n` of them, or all if there are fewer, without a copy of their pixels.
    pub fn first(&self, n: usize) -> Images {
        let mut first = self.clone();
        first.split_off(n.min(self.n_images));
        first
    }

    /// Mean over the images of each value, (D), in [0, 1]; of bits where v >= 128 if `fixed`; of a table's observed values.
    pub fn means(&self, fixed: bool) -> Vec<f64> {
        if let Some(values) = self.pixels.reals() {
            return table::moments(values, self.n_pixels()).0;
        }
        let mut sums = vec![0_u64; self.n_pixels()];
        for image in self.pixels.chunks_exact(self.n_pixels()) {
            for (sum, &v) in sums.iter_mut().zip(image) {
                *sum += if fixed { u64::from(v >= 128) * 255 } else { u64::from(v) };
            }
        }
        sums.into_iter().map(|sum| sum as f64 / (255.0 * self.n_images as f64)).collect()
    }

    /// The variance of the pixels about their means, on average, of 2000 images that are spread over all; a pixel is in
    /// [0, 1]. Of a table that of its observed values.
    pub fn variance(&self) -> f64 {
        if let Some(values) = self.pixels.reals() {
            let variances = table::moments(values, self.n_pixels()).1;
            return variances.iter().sum::<f64>() / variances.len() as f64;
        }
        let mut sums = vec![(0_u64, 0_u64); self.n_pixels()];
        let mut seen = 0.0;
        let all = self.pixels.chunks_exact(self.n_pixels());
        for image in all.step_by(self.n_images.div_ceil(2000).max(1)) {
            for ((sum, squares), &v) in sums.iter_mut().zip(image) {
                *sum += u64::from(v);
                *squares += u64::from(v) * u64::from(v);
            }
            seen += 1.0;
        }
        let of_pixel = |&(sum, squares): &(u64, u64)| {
            let mean = sum as f64 / seen;
            squares as f64 / seen - mean * mean
        };
        sums.iter().map(of_pixel).sum::<f64>() / (255.0 * 255.0 * sums.len() as f64)
    }

    /// Whether every pixel is black or white.
    pub fn is_binary(&self) -> bool {
        self.pixels.table().is_none() && self.pixels.iter().all(|&v| v == 0 || v == 255)
    }

    /// Share of the pixels that are between 0.1 and 0.9 of white, of 2000 images that are spread over all.
    pub fn grey_share(&self) -> f64 {
        if self.pixels.table().is_some() {
            return 0.0;
        }
        let images = self.pixels.chunks_exact(self.n_pixels());
        let (mut grey, mut seen) = (0, 0);
        for image in images.step_by(self.n_images.div_ceil(2000).max(1)) {
            grey += image.iter().filter(|v| (26..=229).contains(*v)).count();
            seen += image.len();
        }
        grey as f64 / seen.max(1) as f64
    }

    /// Cuts off the images from `start` on, with their labels.
    fn split_off(&mut self, start: usize) -> Images {
        let middle = start * self.image_bytes();
        let rest = Images {
            n_images: self.n_images - start,
            height: self.height,
            width: self.width,
            channels: self.channels,
            pixels: self.pixels.part(middle..self.pixels.len()),
            labels: self.labels.as_mut().map(|labels| labels.split_off(start)),
        };
        self.n_images = start;
        self.pixels = self.pixels.part(0..middle);
        rest
    }
}

/// A training and a test set whose images have the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// "MNIST", "Fashion-MNIST", or the path that the data was loaded from, with what was held out.
    pub name: String,
    /// The images to learn from.
    pub train: Images,
    /// The images that are never trained on.
    pub test: Images,
    /// Images to watch the training by, if there is a test set besides: those that came as validation
    /// images, or training images that were held out.
    pub valid: Option<Images>,
}

impl Dataset {
    /// The images whose figures training shows, and what they are called.
    pub fn watched(&self) -> (&'static str, &Images) {
        match &self.valid {
            Some(valid) => ("valid", valid),
            None => ("test", &self.test),
        }
    }
}

/// Images from one place.
struct Part {
    /// The file that held them.
    path: PathBuf,
    images: Images,
    /// Whether they came as bytes, which may be bits.
    bytes: bool,
}

/// Training images, and test and validation images if they have a place of their own.
struct Parts {
    train: Part,
    test: Option<Part>,
    valid: Option<Part>,
}

/// Opens a data set by name or path: [`MNIST`], [`FASHION_MNIST`], else as [`load`].
///
/// # Errors
///
/// As [`load`].
pub fn open(name: &str, options: Options) -> Result<Dataset, DataError> {
    open_with(name, options, &mut |_| {})
}

/// As [`open()`]; `note` is called with one line of what was left out of a folder of pictures, and one of grey
/// pictures among those in colour.
///
/// # Errors
///
/// As [`load`].
pub fn open_with(
    name: &str,
    options: Options,
    note: &mut dyn FnMut(String),
) -> Result<Dataset, DataError> {
    options.check()?;
    if [MNIST, FASHION_MNIST].contains(&name) {
        options.check_of_images()?;
    }
    match name {
        MNIST => options.apply(mnist()?),
        FASHION_MNIST => options.apply(fashion_mnist()?),
        path => load_with(Path::new(path), options, note),
    }
}

/// Loads a file or folder of images.
///
/// `path` is one of
///
/// - a folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or with
///   `binarized_mnist_train` and `binarized_mnist_test`, as `-images-idx3-ubyte` or as `.amat`;
/// - an IDX or `.amat` file with `train-images` in its name and a sibling named alike with
///   `t10k-images` or `test-images`, which becomes the test set (`train.amat`: `test.amat`);
/// - any other such file, raw or gzip-compressed, which is told by its content; `.gz` may follow a name and
///   `.idx3` may stand for `-idx3`, and of several spellings, the raw file and the one with a dash come
///   first; labels are read where a file named like the images, with `labels-idx1` for `images-idx3`,
///   lies beside them;
/// - an `.npy`, `.npz` or `.safetensors` file, or a folder of them: arrays of images (N, height, width),
///   (N, 1, height, width), (N, height, width, 1) or (N, D), in colour (N, height, width, 3) or
///   (N, 3, height, width), as uint8, bool, or floats in [0, 1], which are taken to the nearest of 256 levels.
///   Test images have `test` among the words of their name, validation images `val`, training images `train` or
///   none of these; arrays of classes (N,) have `y` or `labels`, or no other meaning. For a file alone with
///   `train` in its name, those of the same name with `test` and `val` count too;
/// - a folder of PNG and JPEG images, in it, in sub-folders by class, or either in `train`, `test` and `val`;
///   they become upright, and of the size asked for; what is transparent lies over white. They are read in colour
///   if any pixel of theirs has one;
/// - a folder with CIFAR-10's binary files, `data_batch_1.bin` and so on, `test_batch.bin` and `batches.meta.txt`, or
///   the folder `cifar-10-batches-bin` with them.
///
/// Validation images (`val`, `x_val`) are what training is watched by; where there are no test images they
/// take the place of these. Where there are neither, a part of the training images is held out: the last, of pictures the
/// last of a fixed random order. Where no byte of the sets is above 1, they are bits, and a 1 is read as 255.
///
/// # Errors
///
/// If something is missing, unreadable or not exactly what its header promises, if train
/// and test images differ in size, or if the labels are not one per image. Memory grows
/// with the data read, never by what a header claims.
pub fn load(path: &Path, options: Options) -> Result<Dataset, DataError> {
    load_with(path, options, &mut |_| {})
}

fn load_with(
    path: &Path,
    options: Options,
    note: &mut dyn FnMut(String),
) -> Result<Dataset, DataError> {
    options.check()?;
    let metadata = path.metadata().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path: path.into() },
        _ => DataError::Read { path: path.into(), cause },
    })?;
    let is_folder = metadata.is_dir();
    // A pipe is waited for, a device may have no end, and neither can be read again when a run goes on.
    if !is_folder && !metadata.is_file() {
        let problem = "it is not a file: write the data to one";
        let cause = io::Error::new(io::ErrorKind::InvalidInput, problem);
        return Err(DataError::Read { path: path.into(), cause });
    }
    if let Some(dataset) = table_files::load(path, &options, note)? {
        return Ok(dataset);
    }
    options.check_of_images()?;
    if !is_folder && array_files::is_array_file(path) {
        let mut arrays = array_files::list(path)?;
        for part in ["test", "val"] {
            let sibling = files::find_sibling(path, |name| name.replace("train", part))?;
            if let Some(sibling) = sibling.filter(|_| !options.whole) {
                arrays.extend(array_files::list(&sibling)?);
            }
        }
        return split::split(path, named::assign(path, &arrays, options.size)?, false, options);
    }
    if let Some((train, test)) = files::locate(path, is_folder)? {
        let mut budget = MAX_UNPACKED;
        let mut part = |path: PathBuf| -> Result<Part, DataError> {
            Ok(Part { images: files::read(&path, &mut budget)?, path, bytes: true })
        };
        let test = test.filter(|_| is_folder || !options.whole);
        let (train, test) = (part(train)?, test.map(part).transpose()?);
        let parts = Parts { train, test, valid: None };
        return split::split(path, parts, false, options);
    }
    if let Some(parts) = cifar::read(path)? {
        return split::split(path, parts, false, options);
    }
    let arrays = array_files::list_folder(path)?;
    if !arrays.is_empty() {
        return split::split(path, named::assign(path, &arrays, options.size)?, false, options);
    }
    let has_pictures = |path: &Path| Ok(!pictures::below(path)?.is_empty());
    let layout = layout::parts(path, pictures::entries(path)?, has_pictures)?;
    let (places, others) = match layout {
        Some(layout::Layout { train, test, valid, others }) => ([Some(train), test, valid], others),
        None => ([Some(path.to_path_buf()), None, None], Vec::new()),
    };
    let find = |place: Option<PathBuf>| -> Result<Option<(PathBuf, pictures::Found)>, DataError> {
        place.map(|place| Ok((place.clone(), pictures::find(&place)?))).transpose()
    };
    let mut found: Vec<Option<(PathBuf, pictures::Found)>> =
        places.into_iter().map(find).collect::<Result<_, _>>()?;
    let mut beside = Vec::new();
    for other in &others {
        beside.push(pictures::below(other)?);
    }
    let there = || found.iter().flatten().map(|(_, found)| found);
    let left_out = pictures::left_out(path, there(), &beside);
    if there().any(pictures::Found::is_empty) {
        let but = left_out.map_or(String::new(), |what| format!("; there are {what}"));
        return Err(DataError::NothingInFolder { path: path.into(), but });
    }
    let classes = pictures::all_classes(path, there())?;
    match &mut found[..] {
        _ if options.whole => {}
        [Some((_, train)), None, None] => train.shuffle(),
        // Of pictures that come class by class the last would be of the last classes alone.
        [Some((_, train)), ..] if options.valid.is_some() && train.has_classes() => train.shuffle(),
        _ => {}
    }
    let has_test = found[1].is_some();
    let (places, found): (Vec<PathBuf>, Vec<pictures::Found>) = found.into_iter().flatten().unzip();
    let all: Vec<&pictures::Found> = found.iter().collect();
    let (read, greys) = pictures::read(&all, &options, &classes)?;
    let mut read =
        read.into_iter().zip(places).map(|(images, path)| Part { path, images, bytes: false });
    let train = read.next().expect("the first place is always there");
    let test = if has_test { read.next() } else { None };
    let parts = Parts { train, test, valid: read.next() };
    let dataset = split::split(path, parts, true, options)?;
    if let Some(what) = left_out {
        note(format!("{}: left out are {what}", shown(path)));
    }
    if let Some(what) = greys {
        note(format!("{}: {what}", shown(path)));
    }
    Ok(dataset)
}
