//! The MNIST digits, compiled in; assets/SOURCES.md says where they come from.

use super::idx::{self, Input};
use super::{DataError, Dataset};

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
        embedded!("train-images-idx3-ubyte.gz"),
        Some(embedded!("train-labels-idx1-ubyte.gz")),
    )?;
    let test = idx::read(
        embedded!("t10k-images-idx3-ubyte.gz"),
        Some(embedded!("t10k-labels-idx1-ubyte.gz")),
    )?;
    Ok(Dataset { name: "MNIST".into(), train, test })
}
