//! Data sets known by name: the MNIST digits, compiled in (assets/SOURCES.md says where they come from), and
//! Fashion-MNIST where it is installed.

use std::env;
use std::path::PathBuf;

use super::idx::{self, Input};
use super::{DataError, Dataset, MAX_UNPACKED, Options, load};

/// The name of the embedded data set.
pub const MNIST: &str = "mnist";
/// The name of the data set of Xiao et al. 2017 (arXiv 1708.07747).
pub const FASHION_MNIST: &str = "fashion-mnist";

/// What [`Dataset::name`] calls them, and what opens them.
pub(super) const KNOWN: [(&str, &str); 2] = [("MNIST", MNIST), ("Fashion-MNIST", FASHION_MNIST)];

/// Where Debian's package puts it.
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

/// From its authors' README, in the order of the numbers.
const FASHION_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// An embedded file as an [`Input`].
macro_rules! embedded {
    ($name:literal) => {
        Input::embedded($name, include_bytes!(concat!("../../assets/mnist/", $name)))
    };
}

/// The embedded MNIST: 60000 training and 10000 test images of 28 x 28 pixels, labels 0..=9.
///
/// Each call unpacks it anew, in about 0.1 s.
///
/// # Errors
///
/// Only if the files were damaged before they were compiled in.
pub fn mnist() -> Result<Dataset, DataError> {
    let train = idx::read(
        Input::embedded("train-images-idx3-ubyte.gz", elbo_mnist_train::IMAGES),
        Some(embedded!("train-labels-idx1-ubyte.gz")),
        &mut MAX_UNPACKED.clone(),
    )?;
    let test = idx::read(
        embedded!("t10k-images-idx3-ubyte.gz"),
        Some(embedded!("t10k-labels-idx1-ubyte.gz")),
        &mut MAX_UNPACKED.clone(),
    )?;
    Ok(Dataset { name: "MNIST".into(), train, test, valid: None })
}

/// Fashion-MNIST from the user's cache or the system's folder of data sets.
///
/// # Errors
///
/// It is in neither, or as [`load`].
pub(super) fn fashion_mnist() -> Result<Dataset, DataError> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    let cache = cache.map(|cache| cache.join("elbo/fashion-mnist"));
    let places: Vec<PathBuf> = cache.into_iter().chain([PathBuf::from(DEBIAN)]).collect();
    let Some(place) = places.iter().find(|place| place.is_dir()) else {
        let places = places.iter().map(|place| super::shown(place)).collect();
        return Err(DataError::NoFashionMnist { places });
    };
    let mut dataset = load(place, Options::default())?;
    dataset.name = "Fashion-MNIST".into();
    for labels in [&mut dataset.train.labels, &mut dataset.test.labels].into_iter().flatten() {
        if labels.names.len() == FASHION_CLASSES.len() {
            labels.names = FASHION_CLASSES.map(String::from).into();
        }
    }
    Ok(dataset)
}
