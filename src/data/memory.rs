//! Images that a program has in memory.

use super::{Dataset, Images};
use crate::config_error::ConfigError;

impl Images {
    /// Images from their pixels, (N, height, width) in row-major order: grey levels, 0 black and 255 white.
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
        let n = pixels.len();
        match height.checked_mul(width) {
            Some(d) if d > 0 && n > 0 && n.is_multiple_of(d) => {
                Ok(Images { n_images: n / d, height, width, pixels: pixels.into(), labels: None })
            }
            _ => Err(ConfigError::range(
                "pixels",
                format!("must be whole images of {height}x{width}, one at least"),
                format!("{n} bytes"),
            )),
        }
    }

    /// Whether the sizes are those of the bytes.
    ///
    /// # Errors
    /// They are not, in what is called `name`.
    pub(crate) fn check(&self, name: &str) -> Result<(), ConfigError> {
        let (n, height, width, bytes) = (self.n_images, self.height, self.width, self.pixels.len());
        let expected = height.checked_mul(width).and_then(|d| d.checked_mul(n));
        match expected {
            Some(expected) if expected == bytes && bytes > 0 => Ok(()),
            _ => Err(ConfigError::conflict(
                "pixels",
                format!("of {name}: {n} images of {height}x{width}"),
                format!("cannot be {bytes} bytes"),
                "give a byte for each pixel",
            )),
        }
    }

    /// Whether they have that height and width.
    ///
    /// # Errors
    /// They have not.
    pub(crate) fn check_size(&self, (height, width): (usize, usize)) -> Result<(), ConfigError> {
        match (self.height, self.width) == (height, width) {
            true => Ok(()),
            false => Err(ConfigError::range(
                "images",
                format!("must be {height}x{width}"),
                format!("{}x{}", self.height, self.width),
            )),
        }
    }
}

impl Dataset {
    /// A training and a test set under a name that the figures are shown with.
    ///
    /// # Errors
    /// The images of the two differ in size.
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
        let size = (self.train.height, self.train.width);
        for images in [&self.train, &self.test].into_iter().chain(&self.valid) {
            images.check(&self.name)?;
            images.check_size(size)?;
        }
        Ok(())
    }
}
