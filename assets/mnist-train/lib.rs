#![doc = include_str!("README.md")]

/// The gzipped IDX file: (60000, 28, 28) bytes once it is unpacked.
pub static IMAGES: &[u8] = include_bytes!("train-images-idx3-ubyte.gz");
