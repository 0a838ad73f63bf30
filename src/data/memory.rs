//! Images that a program has in memory.

use super::{Dataset, Images};
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;

impl Images {
    /// Grey images from their pixels, (N, height, width) in row-major order: grey levels, 0 black and 255 white.
    ///
    /// # Errors
    /// The bytes are no whole number of images, or none.
    ///
    /// ```
    /// let images = elbo::Images::new(2, 3, vec![0; 4 * 2 * 3])?;
    /// assert_eq!(images.n_images, 4);
    /// assert!(elbo::Images::new(2, 3, vec![0; 7]).is_err());
    /// # Ok::<(), elbo::ConfigError>(())
    /// ```
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Images, ConfigError> {
        Images::of((height, width).into(), pixels)
    }

    /// Images in colour, (N, height, width, 3) in row-major order: levels of red, green and blue.
    ///
    /// # Errors
    /// As [`Images::new`].
    pub fn colour(height: usize, width: usize, pixels: Vec<u8>) -> Result<Images, ConfigError> {
        Images::of(ImageShape { height, width, channels: 3 }, pixels)
    }

    /// Images of any shape, as [`Images::new`].
    ///
    /// # Errors
    /// As [`Images::new`].
    pub(crate) fn of(shape: ImageShape, pixels: Vec<u8>) -> Result<Images, ConfigError> {
        let (n, d) = (pixels.len(), shape.values());
        let ImageShape { height, width, channels } = shape;
        match d > 0 && n > 0 && n.is_multiple_of(d) {
            true => Ok(Images {
                n_images: n / d,
                height,
                width,
                channels,
                pixels: pixels.into(),
                labels: None,
            }),
            false => Err(ConfigError::range(
                "pixels",
                format!("must be whole images of {shape}, one at least"),
                format!("{n} bytes"),
            )),
        }
    }

    /// Whether the sizes are those of the bytes.
    ///
    /// # Errors
    /// They are not, in what is called `name`.
    pub(crate) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let (n, shape, bytes) = (self.n_images, self.shape(), self.pixels.len());
        let expected = n.checked_mul(self.image_bytes());
        match expected {
            Some(expected) if expected == bytes && bytes > 0 => Ok(()),
            _ => Err(ConfigError::conflict(
                "pixels",
                format!("of {name}: {n} images of {shape}"),
                format!("cannot be {bytes} bytes"),
                "give a byte for each pixel, of colour three",
            )),
        }
    }

    /// Whether they have that height, width and channels.
    ///
    /// # Errors
    /// They have not.
    pub(crate) fn check_shape(&self, shape: ImageShape) -> Result<(), ConfigError> {
        match self.shape() == shape {
            true => Ok(()),
            false => Err(ConfigError::range("images", format!("must be {shape}"), self.shape())),
        }
    }
}

impl Dataset {
    /// A training and a test set under a name that the figures are shown with.
    ///
    /// # Errors
    /// The images of the two differ in size, or in their channels.
    pub fn new(name: &str, train: Images, test: Images) -> Result<Dataset, ConfigError> {
        let dataset = Dataset { name: name.to_string(), train, test, valid: None };
        dataset.check()?;
        Ok(dataset)
    }

    /// Whether the sizes are those of the bytes, and the same in all sets.
    ///
    /// # Errors
    /// They are not.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        for images in [&self.train, &self.test].into_iter().chain(&self.valid) {
            images.check(&self.name)?;
            images.check_shape(self.train.shape())?;
            if images.table() != self.train.table() {
                let right = "must have the columns of the training rows, scaled as they are";
                return Err(ConfigError::range("images", right, "others"));
            }
        }
        Ok(())
    }
}
