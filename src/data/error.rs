//! Why data could not be loaded, in one line each.

use std::io;
use std::path::{Path, PathBuf};

use super::{MAX_IMAGES, MAX_PIXELS, MAX_UNPACKED, TEST_IMAGES, TRAIN_IMAGES};
use crate::config_error::ConfigError;
use crate::text::one_line;

/// Why a data set could not be loaded. Each message is one line that starts with the path.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the fields are what the messages call them")]
pub enum DataError {
    /// There is nothing at the path.
    #[error(
        "{}: no such file or folder; expected mnist, fashion-mnist, a folder of PNG or JPEG images or of \
         MNIST files, or a file of images: IDX, .npy, .npz, .safetensors or .amat, or a table: .csv or .tsv",
        shown(.path)
    )]
    NotFound { path: PathBuf },
    /// The operating system refused to open or read the path.
    #[error("{}: cannot be read: {cause}", shown(.path))]
    Read { path: PathBuf, cause: io::Error },
    /// There is nothing in a folder that could be images.
    #[error(
        "{}: no images in this folder; it must hold PNG or JPEG images (in it, in sub-folders by class, \
         or in train and test), arrays (train.npy and test.npy, .npz, .safetensors), tables (train.csv and test.csv), {TRAIN_IMAGES} \
         and {TEST_IMAGES}, or CIFAR-10's data_batch_1.bin and so on{but}",
        shown(.path)
    )]
    NothingInFolder {
        path: PathBuf,
        /// What else is there, if anything.
        but: String,
    },
    /// A named data set is in none of the places where it is looked for.
    #[error(
        "fashion-mnist is not in {}; on Debian and Ubuntu `apt-get install dataset-fashion-mnist` puts it \
         there; elsewhere put its four files, {TRAIN_IMAGES}.gz and so on, from \
         https://github.com/zalandoresearch/fashion-mnist into one of them",
        .places.join(" or ")
    )]
    NoFashionMnist { places: Vec<String> },
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
    /// The header promises more than can be.
    #[error(
        "{}: too large: the header gives the size {shape}, \
         but at most {MAX_IMAGES} images of {MAX_PIXELS} pixels can be, \
         and {MAX_UNPACKED} bytes in all from compressed data",
        shown(.path)
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
         but the train images of {} are {train}; they must be the same, and `size` HEIGHTxWIDTH brings both to one",
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
    /// What was asked of the data cannot be.
    #[error(transparent)]
    Options(#[from] ConfigError),
    /// An array or a picture that is not what is needed.
    #[error("{}: {message}", shown(.path))]
    Unfit { path: PathBuf, message: String },
    /// One image cannot be both the training and the test set.
    #[error("{}: has only 1 image; at least 2 are needed to hold out a test set", shown(.path))]
    TooFew { path: PathBuf },
}

/// The path as text for a message; a line break or an escape code in a name stays harmless.
pub(super) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        return "\"\"".into();
    }
    one_line(&path.to_string_lossy())
}

/// An [`DataError::Unfit`]; the message may quote what the file says.
pub(super) fn unfit(path: &Path, message: impl AsRef<str>) -> DataError {
    DataError::Unfit { path: path.into(), message: one_line(message.as_ref()) }
}
