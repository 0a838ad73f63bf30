//! Grey and colour: what images are read as, and one made of the other.

use image::{DynamicImage, RgbImage};
use rayon::prelude::*;

use super::Images;
use crate::named::named;

named! {
    /// What the pixels of images are read as.
    pub enum Channels {
        /// One value a pixel; of colours their luma (Rec. 709).
        Grey = "grey",
        /// Red, green and blue of each pixel; of grey three times the same.
        Colour = "colour",
    }
}

impl Channels {
    /// Values of a pixel.
    pub fn count(self) -> usize {
        match self {
            Channels::Grey => 1,
            Channels::Colour => 3,
        }
    }

    /// Those of `count` values a pixel.
    pub fn of(count: usize) -> Channels {
        if count == 1 { Channels::Grey } else { Channels::Colour }
    }
}

/// The luma of each (red, green, blue), as that of pictures.
pub(super) fn luma(colours: &[u8]) -> Vec<u8> {
    /// Pixels that are converted at a time.
    const MANY: usize = 1 << 16;
    let strip = |levels: &[u8]| {
        let picture = RgbImage::from_raw((levels.len() / 3) as u32, 1, levels.to_vec());
        DynamicImage::from(picture.expect("three levels a pixel")).into_luma8().into_raw()
    };
    colours.par_chunks(3 * MANY).flat_map_iter(strip).collect()
}

/// Each grey value three times.
pub(super) fn tripled(greys: &[u8]) -> Vec<u8> {
    greys.iter().flat_map(|&grey| [grey; 3]).collect()
}

/// Whether any (red, green, blue) is no grey.
pub(super) fn has_colour(colours: &[u8]) -> bool {
    let (pixels, _) = colours.as_chunks::<3>();
    pixels.iter().any(|[red, green, blue]| red != green || green != blue)
}

/// Images of (3, height, width) as images of (height, width, 3).
pub(super) fn interleaved(planes: &[u8], pixels: usize) -> Vec<u8> {
    let mut mixed = Vec::with_capacity(planes.len());
    for image in planes.chunks_exact(3 * pixels) {
        mixed
            .extend((0..pixels).flat_map(|i| [0, 1, 2].map(|channel| image[channel * pixels + i])));
    }
    mixed
}

impl Images {
    /// Makes them grey, or in colour.
    pub(super) fn become_channels(&mut self, channels: Channels) {
        if self.channels == channels.count() {
            return;
        }
        let pixels = match channels {
            Channels::Grey => luma(&self.pixels),
            Channels::Colour => tripled(&self.pixels),
        };
        self.pixels = pixels.into();
        self.channels = channels.count();
    }
}
