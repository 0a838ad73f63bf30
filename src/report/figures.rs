//! PNG grids of images.

use std::io::Cursor;

use image::{GrayImage, ImageFormat, Luma};

/// Grey of the lines between tiles.
const LINE: u8 = 96;

/// How tiles are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row after row, near a square.
    Square,
    /// Images come in pairs, the second below the first.
    Pairs,
}

/// A PNG of images of `(height, width)` with values in [0, 1], white where 1. Small images are enlarged
/// by a whole factor, so that pixels stay pixels.
///
/// # Errors
/// The encoder's, which a picture in memory should not meet.
pub fn grid(
    images: &[Vec<f32>],
    (height, width): (usize, usize),
    layout: Layout,
) -> Result<Vec<u8>, String> {
    let n = images.len().max(1);
    let (columns, rows) = match layout {
        Layout::Square => {
            let columns = (n as f64).sqrt().ceil() as usize;
            (columns, n.div_ceil(columns))
        }
        Layout::Pairs => {
            let pairs = n.div_ceil(2);
            let columns = pairs.min(((2 * pairs) as f64).sqrt().ceil() as usize).max(1);
            (columns, 2 * pairs.div_ceil(columns))
        }
    };
    let zoom = (56 / height.max(width)).max(1);
    let (tile_height, tile_width) = (height * zoom + 1, width * zoom + 1);
    let size = |tiles: usize, tile: usize| {
        u32::try_from(tiles * tile + 1).map_err(|_| "the picture would be too large".to_string())
    };
    let mut picture =
        GrayImage::from_pixel(size(columns, tile_width)?, size(rows, tile_height)?, Luma([LINE]));
    for (i, image) in images.iter().enumerate() {
        let (row, column) = match layout {
            Layout::Square => (i / columns, i % columns),
            Layout::Pairs => (2 * (i / 2 / columns) + i % 2, i / 2 % columns),
        };
        for y in 0..height * zoom {
            for x in 0..width * zoom {
                let value = image[y / zoom * width + x / zoom].clamp(0.0, 1.0);
                let (left, top) = (column * tile_width + 1 + x, row * tile_height + 1 + y);
                picture.put_pixel(left as u32, top as u32, Luma([(value * 255.0).round() as u8]));
            }
        }
    }
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).map_err(|e| e.to_string())?;
    Ok(bytes.into_inner())
}
