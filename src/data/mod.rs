//! Image data sets: the built-in MNIST, IDX files from disk, and text of binarized images.

mod amat;
mod digest;
mod idx;
mod mnist;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use idx::Input;
pub use mnist::mnist;

/// Grey images as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// Number of images, N; at least 1.
    pub n_images: usize,
    /// Rows per image; at least 1.
    pub height: usize,
    /// Columns per image; at least 1.
    pub width: usize,
    /// Shape (N, D) in row-major order with D = height * width; grey levels 0..=255 as stored
    /// in the file, at most 2^31 of them.
    pub pixels: Vec<u8>,
    /// Shape (N,): the class of each image, or `None` if the data came without labels.
    pub labels: Option<Vec<u8>>,
}

impl Images {
    /// Pixels per image, D.
    pub fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Pixels of image `i`, shape (D,), row by row from the top.
    ///
    /// # Panics
    ///
    /// If `i >= n_images`.
    pub fn image(&self, i: usize) -> &[u8] {
        let d = self.n_pixels();
        &self.pixels[i * d..(i + 1) * d]
    }

    /// Mean over the images of each pixel, (D), in [0, 1]; of bits where v >= 128 if `fixed`.
    pub fn means(&self, fixed: bool) -> Vec<f64> {
        let mut sums = vec![0_u64; self.n_pixels()];
        for image in self.pixels.chunks_exact(self.n_pixels()) {
            for (sum, &v) in sums.iter_mut().zip(image) {
                *sum += if fixed { u64::from(v >= 128) * 255 } else { u64::from(v) };
            }
        }
        sums.into_iter().map(|sum| sum as f64 / (255.0 * self.n_images as f64)).collect()
    }

    /// Whether every pixel is black or white.
    pub fn is_binary(&self) -> bool {
        self.pixels.iter().all(|&v| v == 0 || v == 255)
    }

    /// Cuts off the images from `start` on, with their labels.
    fn split_off(&mut self, start: usize) -> Images {
        let rest = Images {
            n_images: self.n_images - start,
            height: self.height,
            width: self.width,
            pixels: self.pixels.split_off(start * self.n_pixels()),
            labels: self.labels.as_mut().map(|labels| labels.split_off(start)),
        };
        self.n_images = start;
        rest
    }
}

/// A training and a test set whose images have the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// "MNIST", or the path that the data was loaded from.
    pub name: String,
    /// The images to learn from.
    pub train: Images,
    /// The images that are never trained on.
    pub test: Images,
}

/// Why a data set could not be loaded. Each message is one line that starts with the path.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is nothing at the path.
    #[error(
        "{}: no such file or folder; \
         expected an IDX images file, an .amat file, or a folder of MNIST files",
        shown(.path)
    )]
    NotFound { path: PathBuf },
    /// The operating system refused to open or read the path.
    #[error("{}: cannot be read: {cause}", shown(.path))]
    Read { path: PathBuf, cause: io::Error },
    /// A folder lacks one of the two required files.
    #[error(
        "{}: no {missing} in this folder; it must hold {TRAIN_IMAGES} and {TEST_IMAGES}, \
         each with or without .gz (.idx3 instead of -idx3 is fine); or, binarized, \
         binarized_mnist_train and binarized_mnist_test, as -images-idx3-ubyte or as .amat",
        shown(.path)
    )]
    NotInFolder { path: PathBuf, missing: &'static str },
    /// The file, or what its gzip data unpacks to, has no bytes.
    #[error("{}: the file is empty; expected an IDX file of {kind}", shown(.path))]
    Empty { path: PathBuf, kind: &'static str },
    /// A line of a text file is not an image like the others.
    #[error("{}: line {line}: {message}", shown(.path))]
    Text { path: PathBuf, line: usize, message: String },
    /// The first four bytes are not those of the wanted kind of IDX file.
    #[error(
        "{}: wrong magic number {got:#010x}, \
         expected {expected:#010x} for {kind}: {hint}",
        shown(.path)
    )]
    Magic { path: PathBuf, got: u32, expected: u32, kind: &'static str, hint: String },
    /// The file ends within the header.
    #[error(
        "{}: the header is cut off: \
         expected {expected} bytes for {kind}, got {got}",
        shown(.path)
    )]
    HeaderTruncated { path: PathBuf, kind: &'static str, expected: usize, got: usize },
    /// The header has a zero among its sizes.
    #[error(
        "{}: the header gives the size {shape} (count x height x width); \
         each must be at least 1",
        shown(.path)
    )]
    ZeroSize { path: PathBuf, shape: String },
    /// The header promises more than the device can index.
    #[error(
        "{}: too large: the header gives the size {shape}, \
         but at most {} values fit the device's 32-bit indices",
        shown(.path),
        idx::MAX_VALUES
    )]
    TooLarge { path: PathBuf, shape: String },
    /// There is less data than the header promises. Lengths are in bytes, header included,
    /// after unpacking.
    #[error(
        "{}: too short: a size of {shape} needs {expected} bytes with the header, \
         but there are {got}; is the copy incomplete?",
        shown(.path)
    )]
    TooShort { path: PathBuf, shape: String, expected: u64, got: u64 },
    /// There is more data than the header promises. Lengths as in `TooShort`; reading stops
    /// early, so `got` is a lower bound.
    #[error(
        "{}: too long: a size of {shape} needs {expected} bytes with the header, \
         but there are at least {got}",
        shown(.path)
    )]
    TooLong { path: PathBuf, shape: String, expected: u64, got: u64 },
    /// The file starts like gzip but does not unpack.
    #[error("{}: corrupt gzip data ({cause}); copy or download the file again", shown(.path))]
    Gzip { path: PathBuf, cause: io::Error },
    /// The images of the two sets differ in size.
    #[error(
        "{}: test images are {test} (height x width) \
         but the train images of {} are {train}; they must be the same",
        shown(.path),
        shown(.train_path)
    )]
    SizeMismatch { path: PathBuf, test: String, train_path: PathBuf, train: String },
    /// The labels do not belong to the images.
    #[error(
        "{}: {n_labels} labels for the {n_images} images of {}; \
         expected one per image",
        shown(.path),
        shown(.images)
    )]
    LabelCount { path: PathBuf, n_labels: usize, images: PathBuf, n_images: usize },
    /// One image cannot be both the training and the test set.
    #[error("{}: has only 1 image; at least 2 are needed to hold out a test set", shown(.path))]
    TooFew { path: PathBuf },
}

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";

/// Names of training and test images in a folder, in the order they are looked for. Validation images
/// beside them are left alone.
const PAIRS: [(&str, &str); 3] = [
    (TRAIN_IMAGES, TEST_IMAGES),
    ("binarized_mnist_train-images-idx3-ubyte", "binarized_mnist_test-images-idx3-ubyte"),
    ("binarized_mnist_train.amat", "binarized_mnist_test.amat"),
];

/// Loads IDX files of unsigned bytes, or `.amat` text of zeros and ones, raw or gzip-compressed (told by
/// content, not by name).
///
/// `path` is one of
///
/// - a folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, or with
///   `binarized_mnist_train` and `binarized_mnist_test`, as `-images-idx3-ubyte` or as `.amat`;
/// - an images file with `train-images` in its name and a sibling named alike with
///   `t10k-images` or `test-images`, which becomes the test set (`train.amat`: `test.amat`);
/// - any other images file: its last sixth (rounded, at least one image) becomes the test set.
///
/// `.gz` may follow a name and `.idx3` may stand for `-idx3`; of several spellings, the raw file
/// and the one with a dash come first. Where no value of the two sets is above 1, they are bits, and
/// a 1 is read as 255. Labels are read where a file named like the images, with
/// `labels-idx1` for `images-idx3`, lies beside them.
///
/// # Errors
///
/// If a required file is missing, unreadable or not exactly what its header promises, if train
/// and test images differ in size, or if the labels are not one per image. Memory grows
/// with the data read, never by what a header claims.
pub fn load(path: &Path) -> Result<Dataset, DataError> {
    let (train_path, test_path) = locate(path)?;
    let mut train = read(&train_path)?;
    let held_out =
        if test_path.is_none() { " (its last sixth held out as test images)" } else { "" };
    let test = match test_path {
        Some(test_path) => {
            let test = read(&test_path)?;
            check_same_size(&train_path, &train, &test_path, &test)?;
            test
        }
        None if train.n_images < 2 => return Err(DataError::TooFew { path: train_path }),
        None => {
            let n_test = ((train.n_images + 3) / 6).max(1);
            train.split_off(train.n_images - n_test)
        }
    };
    let mut dataset = Dataset { name: format!("{}{held_out}", shown(path)), train, test };
    dataset.spread_bits();
    Ok(dataset)
}

impl Dataset {
    /// If no value is above 1, they are bits rather than grey levels: 1 becomes 255.
    fn spread_bits(&mut self) {
        let mut values = self.train.pixels.iter().chain(&self.test.pixels);
        if values.all(|&v| v <= 1) {
            for v in self.train.pixels.iter_mut().chain(&mut self.test.pixels) {
                *v *= 255;
            }
        }
    }
}

/// Finds the train images, and the test images if they have a file of their own.
fn locate(path: &Path) -> Result<(PathBuf, Option<PathBuf>), DataError> {
    let metadata = path.metadata().map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => DataError::NotFound { path: path.into() },
        _ => DataError::Read { path: path.into(), cause },
    })?;
    if metadata.is_dir() {
        // The first pair of which either is there; with none, the first is what is missed.
        let mut missing = None;
        for (train, test) in PAIRS {
            match (find(path, train)?, find(path, test)?) {
                (Some(train), Some(test)) => return Ok((train, Some(test))),
                (Some(_), None) => missing = missing.or(Some(test)),
                (None, Some(_)) => missing = missing.or(Some(train)),
                (None, None) => {}
            }
        }
        let missing = missing.unwrap_or(TRAIN_IMAGES);
        return Err(DataError::NotInFolder { path: path.into(), missing });
    }
    for (train, test) in [
        ("train-images", "t10k-images"),
        ("train-images", "test-images"),
        ("train.amat", "test.amat"),
    ] {
        if let Some(found) = find_sibling(path, |name| name.replace(train, test))? {
            return Ok((path.into(), Some(found)));
        }
    }
    Ok((path.into(), None))
}

/// Reads images, and their labels if there are any.
fn read(path: &Path) -> Result<Images, DataError> {
    if amat::is_amat(path) {
        return amat::read(path);
    }
    let labels = find_sibling(path, |name| {
        name.replace("images-idx3", "labels-idx1").replace("images.idx3", "labels.idx1")
    })?;
    let labels = labels.as_deref().map(Input::open).transpose()?;
    idx::read(Input::open(path)?, labels)
}

fn check_same_size(
    train_path: &Path,
    train: &Images,
    test_path: &Path,
    test: &Images,
) -> Result<(), DataError> {
    if (train.height, train.width) == (test.height, test.width) {
        return Ok(());
    }
    let size = |images: &Images| format!("{}x{}", images.height, images.width);
    Err(DataError::SizeMismatch {
        path: test_path.into(),
        test: size(test),
        train_path: train_path.into(),
        train: size(train),
    })
}

/// Looks beside `path` for the file whose name `rename` makes; `None` if it leaves it as it is.
fn find_sibling(
    path: &Path,
    rename: impl Fn(&str) -> String,
) -> Result<Option<PathBuf>, DataError> {
    let Some(name) = path.file_name().and_then(OsStr::to_str) else {
        return Ok(None);
    };
    let renamed = rename(name);
    if renamed == name {
        return Ok(None);
    }
    find(path.parent().unwrap_or(Path::new("")), &renamed)
}

/// Looks in `folder` for the file `name` in any of its spellings.
fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>, DataError> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    for base in [name.replace(".idx", "-idx"), name.replace("-idx", ".idx")] {
        for suffix in ["", ".gz"] {
            let path = folder.join(format!("{base}{suffix}"));
            match path.metadata() {
                // Some archives unpack to folders that bear the names of the files in them.
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Ok(Some(path)),
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                // Passing over a file that is there but out of reach would hide the reason.
                Err(cause) => return Err(DataError::Read { path, cause }),
            }
        }
    }
    Ok(None)
}

/// The path as text for a message; a line break or an escape code in a name stays harmless.
fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        return "\"\"".into();
    }
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    text
}
