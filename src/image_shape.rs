//! The shape of an image.

use std::fmt::{self, Display};

/// Height, width and channels of an image, whose values are in rows from the top, the channels of a pixel
/// side by side: (height, width, channels).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Values of a pixel: 1 of grey, 3 of red, green and blue.
    pub channels: usize,
}

impl ImageShape {
    /// D, the values of an image; of a shape beyond all memory `usize::MAX`.
    pub fn values(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }
}

impl From<(usize, usize)> for ImageShape {
    /// Grey images of this height and width.
    fn from((height, width): (usize, usize)) -> ImageShape {
        ImageShape { height, width, channels: 1 }
    }
}

impl Display for ImageShape {
    /// As in 28x28 of grey, 32x32x3 of colour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)?;
        match self.channels {
            1 => Ok(()),
            channels => write!(f, "x{channels}"),
        }
    }
}
