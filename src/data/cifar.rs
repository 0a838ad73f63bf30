//! CIFAR-10's binary version (Krizhevsky 2009, cs.toronto.edu/~kriz/cifar.html): records of a byte of class and
//! 3072 of an image, its red, then its green, then its blue, each 32x32 in rows from the top.

use std::fs;
use std::path::{Path, PathBuf};

use super::colour::interleaved;
use super::error::unfit;
use super::{DataError, Images, Labels, Part, Parts};

/// Rows and columns of an image.
const SIDE: usize = 32;
/// Bytes of a record.
const RECORD: usize = 1 + 3 * SIDE * SIDE;
/// The folder that its archive unpacks to.
const FOLDER: &str = "cifar-10-batches-bin";
const TEST: &str = "test_batch.bin";
const NAMES: &str = "batches.meta.txt";

/// From `batches.meta.txt`, in the order of their numbers.
const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The set of a folder that holds `data_batch_1.bin` and so on, or the folder of its archive; `None` of any other.
///
/// # Errors
///
/// No test images, or files that are not whole.
pub(super) fn read(folder: &Path) -> Result<Option<Parts>, DataError> {
    let inner = folder.join(FOLDER);
    let folder = if inner.is_dir() { &inner } else { folder };
    let batches: Vec<PathBuf> = (1..=5)
        .map(|i| folder.join(format!("data_batch_{i}.bin")))
        .filter(|path| path.is_file())
        .collect();
    let test = folder.join(TEST);
    let Some(first) = batches.first() else {
        return match folder.join("data_batch_1").is_file() {
            true => Err(unfit(
                folder,
                "this is CIFAR-10 as Python objects; its binary version, cifar-10-binary.tar.gz, is read",
            )),
            false => Ok(None),
        };
    };
    if !test.is_file() {
        return Err(unfit(folder, format!("there are batches of CIFAR-10 but no {TEST}")));
    }
    let names = class_names(&folder.join(NAMES))?;
    let train = Part { path: first.clone(), images: images(&batches, &names)?, bytes: true };
    let images = images(std::slice::from_ref(&test), &names)?;
    let test = Part { path: test, images, bytes: true };
    Ok(Some(Parts { train, test: Some(test), valid: None }))
}

/// The names in a file of one a line, or those that it should hold where it is missing.
fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    if !path.is_file() {
        return Ok(CLASSES.map(String::from).to_vec());
    }
    let text = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(|line| line.escape_debug().to_string()).collect();
    match names.len() == CLASSES.len() {
        true => Ok(names),
        false => Err(unfit(path, format!("{} names of classes; CIFAR-10 has 10", names.len()))),
    }
}

/// The records of files, one after the other.
fn images(files: &[PathBuf], names: &[String]) -> Result<Images, DataError> {
    let (mut classes, mut pixels) = (Vec::new(), Vec::new());
    for path in files {
        let bytes = fs::read(path).map_err(|cause| DataError::Read { path: path.into(), cause })?;
        if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD) {
            return Err(unfit(
                path,
                format!(
                    "{} bytes are no whole number of records of {RECORD}, a class and {SIDE}x{SIDE}x3 levels; is \
                     the copy incomplete?",
                    bytes.len()
                ),
            ));
        }
        for (i, record) in bytes.chunks_exact(RECORD).enumerate() {
            let (class, planes) = (record[0], &record[1..]);
            if usize::from(class) >= names.len() {
                return Err(unfit(
                    path,
                    format!("record {i} is of class {class}; they are 0 to 9"),
                ));
            }
            classes.push(class.into());
            pixels.extend(interleaved(planes, SIDE * SIDE));
        }
    }
    Ok(Images {
        n_images: classes.len(),
        height: SIDE,
        width: SIDE,
        channels: 3,
        pixels: pixels.into(),
        labels: Some(Labels { classes, names: names.into() }),
    })
}
