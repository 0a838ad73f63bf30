//! What flows between layers: units, or a map of pixels with channels.

use std::fmt;

/// A row of what a layer takes or gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Units in no order.
    Units(usize),
    /// Height, width and channels, the channels last.
    Map([usize; 3]),
}

impl Shape {
    /// Units of it.
    pub fn units(self) -> usize {
        match self {
            Shape::Units(n) => n,
            Shape::Map(sizes) => sizes.iter().fold(1, |n: usize, &size| n.saturating_mul(size)),
        }
    }

    /// Channels of each pixel: units are a single one's.
    pub fn channels(self) -> usize {
        match self {
            Shape::Units(n) | Shape::Map([_, _, n]) => n,
        }
    }

    /// The same pixels with other channels.
    pub fn with_channels(self, channels: usize) -> Self {
        match self {
            Shape::Units(_) => Shape::Units(channels),
            Shape::Map([height, width, _]) => Shape::Map([height, width, channels]),
        }
    }
}

impl fmt::Display for Shape {
    /// As people write it: 400, or 14x14x32.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Units(n) => write!(f, "{n}"),
            Shape::Map([height, width, channels]) => write!(f, "{height}x{width}x{channels}"),
        }
    }
}
