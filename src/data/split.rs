//! What is done to images after they are read: their size, and the parts that are held out.

use super::fit::{self, Fit};
use super::known::KNOWN;
use super::{Channels, DataError, Dataset, Images, MAX_PIXELS, Part, Parts, TableOptions, shown};
use crate::config_error::ConfigError;
use crate::device::available_memory;
use std::path::Path;
use std::sync::Arc;

use image::{DynamicImage, GrayImage, RgbImage};
use rayon::prelude::*;

/// How images are to be read and parted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    /// Height and width that the images become, or of the images that are rows of pixels.
    pub size: Option<(usize, usize)>,
    /// How they become that, where they are of another shape.
    pub fit: Fit,
    /// What pixels are read as; `None`: in colour if any has one.
    pub channels: Option<Channels>,
    /// Share of the training images to hold out, in (0, 1): as validation images, or as test images where
    /// there are none.
    pub valid: Option<f64>,
    /// How tables are to be read; `None` as [`TableOptions::default`].
    pub table: Option<Arc<TableOptions>>,
    /// Of images: hold out nothing and look for no file beside the named one. Where there are no test images, all are both to
    /// train and to test on, in the order in which they are stored, pictures in that of their paths.
    pub whole: bool,
}

impl Options {
    /// # Errors
    ///
    /// A value out of its range.
    pub(super) fn check(&self) -> Result<(), DataError> {
        if let Some(share) = self.valid
            && !(share > 0.0 && share < 1.0)
        {
            let right = "must be a share between 0 and 1, such as 0.1";
            return Err(ConfigError::range("valid", right, share).into());
        }
        if let Some((height, width)) = self.size
            && !(1..=MAX_PIXELS).contains(&(height as u64).saturating_mul(width as u64))
        {
            let right = format!("must have from 1 to {MAX_PIXELS} pixels");
            return Err(ConfigError::range("size", right, format!("{height}x{width}")).into());
        }
        Ok(())
    }

    /// # Errors
    ///
    /// Something is asked that tables alone have.
    pub(super) fn check_of_images(&self) -> Result<(), DataError> {
        match &self.table {
            Some(table) => Ok(table.check_of_images()?),
            None => Ok(()),
        }
    }

    /// Fits the images of a set that has test images, and holds out validation images.
    pub(super) fn apply(self, mut dataset: Dataset) -> Result<Dataset, DataError> {
        if let Some(channels) = self.channels {
            dataset.train.become_channels(channels);
            dataset.test.become_channels(channels);
        }
        if let Some(size) = self.size {
            let name = dataset.name.clone();
            let sets = [Some(&mut dataset.train), Some(&mut dataset.test), dataset.valid.as_mut()];
            for images in sets.into_iter().flatten() {
                images.become_size(size, self.fit, Path::new(&name))?;
            }
        }
        if let Some(share) = self.valid {
            if dataset.valid.is_some() {
                return Err(ConfigError::conflict(
                    "valid",
                    share,
                    format!("is for data without validation images, and {} has some", dataset.name),
                    "leave `valid` out",
                )
                .into());
            }
            let name = dataset.name.clone();
            let n_held = held_by(share, dataset.train.n_images, Path::new(&name))?;
            dataset.valid = Some(hold_out(&mut dataset.train, n_held, Path::new(&name))?);
            dataset.name += &format!(" ({}{VALIDATES}", percent(share));
        }
        Ok(dataset)
    }
}

/// How what [`Dataset::name`] says of the parts ends.
const VALIDATES: &str = " held out as validation images)";
const TESTS: &str = " as test images)";
/// The same of tables.
pub(super) const VALIDATES_ROWS: &str = " held out as validation rows)";
pub(super) const TESTS_ROWS: &str = " as test rows)";

impl Dataset {
    /// Whether its test images were held out from the others.
    pub fn holds_out_tests(&self) -> bool {
        self.name.contains(TESTS)
    }

    /// What opens it again, where its name says that: the name of a known set or a path.
    pub fn source(&self) -> &str {
        let mut source = &*self.name;
        while let Some((before, _)) = [VALIDATES, TESTS, VALIDATES_ROWS, TESTS_ROWS]
            .iter()
            .find_map(|end| source.strip_suffix(end))
            .and_then(|rest| rest.rsplit_once(" ("))
        {
            source = before;
        }
        KNOWN.iter().find(|(name, _)| *name == source).map_or(source, |(_, opens)| opens)
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 100.0)
}

/// The data set of these parts. `mixed`: the images are in an order that has nothing to do with them.
pub(super) fn split(
    path: &Path,
    parts: Parts,
    mixed: bool,
    options: Options,
) -> Result<Dataset, DataError> {
    let Parts { mut train, mut test, mut valid } = parts;
    spread_bits([Some(&mut train), test.as_mut(), valid.as_mut()]);
    if let Some(channels) = options.channels {
        for part in [&mut train].into_iter().chain(&mut test).chain(&mut valid) {
            part.images.become_channels(channels);
        }
    }
    let mut name = shown(path);
    if test.is_none()
        && let Some(part) = valid.take()
    {
        let place = Path::new(part.path.file_name().unwrap_or_default());
        name += &format!(" ({}{TESTS}", shown(place));
        test = Some(part);
    }
    let Some(mut test) = test else {
        if let Some(size) = options.size {
            train.images.become_size(size, options.fit, &train.path)?;
        }
        if options.whole {
            return Ok(Dataset {
                name,
                test: train.images.clone(),
                train: train.images,
                valid: None,
            });
        }
        let n = train.images.n_images;
        let n_held = match options.valid {
            Some(share) => held_by(share, n, &train.path)?,
            None => ((n as f64 / 6.0).round() as usize).max(1),
        };
        let test = hold_out(&mut train.images, n_held, &train.path)?;
        let order = if mixed { ", in random order," } else { "" };
        let which =
            options.valid.map_or("its last sixth".into(), |v| format!("its last {}", percent(v)));
        name += &format!(" ({which}{order} held out{TESTS}");
        return Ok(Dataset { name, train: train.images, test, valid: None });
    };
    share_names([
        Some(&mut train.images),
        Some(&mut test.images),
        valid.as_mut().map(|v| &mut v.images),
    ]);
    for part in [Some(&test), valid.as_ref()].into_iter().flatten() {
        check_same_shape(&train.path, &train.images, &part.path, &part.images, options.size)?;
    }
    let valid = valid.map(|valid| valid.images);
    options.apply(Dataset { name, train: train.images, test: test.images, valid })
}

/// How many of `n` images a share is, rounded.
///
/// # Errors
///
/// None, or all of them.
pub(super) fn held_by(share: f64, n: usize, path: &Path) -> Result<usize, DataError> {
    let n_held = (n as f64 * share).round() as usize;
    let refuse = |problem: &str, right: String| {
        let value = format!("{share} of the {n} images of {}", shown(path));
        Err(ConfigError::conflict("valid", value, problem, right).into())
    };
    if n >= 2 && n_held == 0 {
        let right = format!("give {} or more", least_share(n));
        return refuse("is not one image", right);
    }
    if n >= 2 && n_held >= n {
        return refuse("leaves none to train on", "give less".to_string());
    }
    Ok(n_held)
}

/// The smallest share of few digits that is an image of `n`.
fn least_share(n: usize) -> f64 {
    let half = 0.5 / n as f64;
    let unit = 10.0_f64.powf(1.0 - half.log10().floor());
    (half * unit).ceil() / unit
}

/// Cuts off the last images.
///
/// # Errors
///
/// There would be none left, or the labels say that the last are other images than the rest.
fn hold_out(images: &mut Images, n_held: usize, path: &Path) -> Result<Images, DataError> {
    let n = images.n_images;
    if n < 2 {
        return Err(DataError::TooFew { path: path.into() });
    }
    if let Some(labels) = &images.labels {
        let (rest, held) = labels.classes.split_at(n - n_held);
        let ascends = labels.classes.is_sorted() && !labels.classes.is_sorted_by(|a, b| a < b);
        if ascends && rest.last() < held.last() {
            return Err(DataError::Unfit {
                path: path.into(),
                message:
                    "the images are sorted by class, so the last would be of other classes than \
                          the rest; shuffle them, or give test images of their own"
                        .into(),
            });
        }
    }
    Ok(images.split_off(n - n_held))
}

/// Gives all sets the longest of their lists of class names: the others may lack the last classes.
fn share_names(sets: [Option<&mut Images>; 3]) {
    let mut sets: Vec<&mut Images> = sets.into_iter().flatten().collect();
    let names =
        sets.iter().filter_map(|set| set.labels.as_ref()).map(|labels| labels.names.clone());
    let Some(longest) = names.reduce(|a, b| if a.len() < b.len() { b } else { a }) else { return };
    for labels in sets.iter_mut().filter_map(|set| set.labels.as_mut()) {
        labels.names = longest.clone();
    }
}

/// If no value is above 1, they are bits rather than grey levels: 1 becomes 255.
fn spread_bits(parts: [Option<&mut Part>; 3]) {
    let parts: Vec<&mut Part> = parts.into_iter().flatten().collect();
    if parts.iter().all(|part| part.bytes && part.images.pixels.iter().all(|&v| v <= 1)) {
        for part in parts {
            part.images.pixels.change(|v| v * 255);
        }
    }
}

/// `size`: what they become, whatever they are.
fn check_same_shape(
    train_path: &Path,
    train: &Images,
    test_path: &Path,
    test: &Images,
    size: Option<(usize, usize)>,
) -> Result<(), DataError> {
    let (of_train, of_test) = (train.shape(), test.shape());
    let channels = (of_train.channels, of_test.channels);
    if channels.0 != channels.1 {
        let called = |channels| if channels == 1 { "grey" } else { "in colour" };
        return Err(DataError::Unfit {
            path: test_path.into(),
            message: format!(
                "test images are {} but the train images of {} are {}; `channels` grey or colour reads both as \
                 one",
                called(channels.1),
                shown(train_path),
                called(channels.0)
            ),
        });
    }
    if of_train == of_test || size.is_some() {
        return Ok(());
    }
    Err(DataError::SizeMismatch {
        path: test_path.into(),
        test: format!("{}x{}", test.height, test.width),
        train_path: train_path.into(),
        train: format!("{}x{}", train.height, train.width),
    })
}

/// Whether there is memory for so many images of a size.
///
/// # Errors
/// There is not.
pub(super) fn check_memory(
    path: &Path,
    n_images: usize,
    (height, width): (usize, usize),
    channels: usize,
) -> Result<(), DataError> {
    let needed = n_images.saturating_mul(height * width * channels);
    match available_memory() {
        Some(free) if needed > free => {
            let message = format!(
                "{n_images} images of {height}x{width} need {needed} bytes of memory, more than is free \
                 ({free}); a smaller `size` HEIGHTxWIDTH needs less"
            );
            Err(DataError::Unfit { path: path.into(), message })
        }
        _ => Ok(()),
    }
}

impl Images {
    /// Brings every image to (height, width).
    ///
    /// # Errors
    /// There is no memory for so many pixels.
    fn become_size(
        &mut self,
        size: (usize, usize),
        fit: Fit,
        path: &Path,
    ) -> Result<(), DataError> {
        if (self.height, self.width) == size {
            return Ok(());
        }
        check_memory(path, self.n_images, size, self.channels)?;
        let (rows, columns, channels) = (self.height as u32, self.width as u32, self.channels);
        let pixels: Vec<u8> = self
            .pixels
            .par_chunks_exact(self.n_pixels())
            .flat_map_iter(|image| {
                let image = match channels {
                    1 => GrayImage::from_raw(columns, rows, image.to_vec()).map(DynamicImage::from),
                    _ => RgbImage::from_raw(columns, rows, image.to_vec()).map(DynamicImage::from),
                };
                let image = image.expect("as many values as rows, columns and channels");
                fit::resize(&image, size, fit).into_bytes()
            })
            .collect();
        self.pixels = pixels.into();
        (self.height, self.width) = size;
        Ok(())
    }
}
