//! How a picture of another shape becomes one of the size that is asked for.

use image::DynamicImage;
use image::imageops::{self, FilterType};

use crate::named::named;

named! {
    /// What happens to images of another shape than the size that is asked for.
    #[derive(Default)]
    pub enum Fit {
        /// The middle of an image as large as that shape can be in it; what lies beyond is cut off.
        Crop = "crop" (default),
        /// The whole image, in the middle of black.
        Pad = "pad",
        /// The whole image, out of proportion.
        Stretch = "stretch",
    }
}

impl Fit {
    /// How it is where files do not say, because there was nothing else.
    pub(crate) fn unsaid() -> Fit {
        Fit::Stretch
    }
}

/// A picture of (height, width), by a triangle filter that is as wide as what it shrinks.
pub(super) fn resize(picture: &DynamicImage, size: (usize, usize), fit: Fit) -> DynamicImage {
    let (height, width) = (size.0 as u32, size.1 as u32);
    let scaled = |picture: &DynamicImage, height, width| {
        picture.resize_exact(width, height, FilterType::Triangle)
    };
    let (rows, columns) = (u64::from(picture.height()), u64::from(picture.width()));
    let (down, across) = (u64::from(height), u64::from(width));
    // a * b / c, rounded, at least 1
    let part = |a: u64, b: u64, c: u64| ((2 * a * b + c) / (2 * c)).max(1) as u32;
    let is_wider = columns * down > across * rows;
    if columns * down == across * rows {
        return scaled(picture, height, width);
    }
    match fit {
        Fit::Stretch => scaled(picture, height, width),
        Fit::Crop => {
            let (rows, columns) = (rows as u32, columns as u32);
            let (tall, wide) = match is_wider {
                true => (rows, part(rows.into(), across, down).min(columns)),
                false => (part(columns.into(), down, across).min(rows), columns),
            };
            let middle = picture.crop_imm((columns - wide) / 2, (rows - tall) / 2, wide, tall);
            scaled(&middle, height, width)
        }
        Fit::Pad => {
            let (tall, wide) = match is_wider {
                true => (part(across, rows, columns).min(height), width),
                false => (height, part(down, columns, rows).min(width)),
            };
            let mut whole = DynamicImage::new(width, height, picture.color());
            let (left, top) = ((width - wide) / 2, (height - tall) / 2);
            imageops::replace(&mut whole, &scaled(picture, tall, wide), left.into(), top.into());
            whole
        }
    }
}
