//! Images one after the other, as an animated GIF.

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, Frame};

use super::figures::{Gap, mosaic};
use crate::image_shape::ImageShape;

/// Pixels of the longer side at least, of images that are smaller.
const SIDE: usize = 224;
/// How carefully colours are chosen where a frame has more than 256, from 1, the slowest and best, to 30.
const SPEED: i32 = 10;

/// A GIF that shows `rate` images of `shape` a second, enlarged by a whole factor where they are small, over and over.
///
/// # Errors
/// Images that are larger than the format can hold.
pub fn gif(images: &[Vec<f32>], shape: ImageShape, rate: u32) -> Result<Vec<u8>, String> {
    let zoom = (SIDE / shape.height.max(shape.width)).max(1);
    let gap = Gap { width: 0, grey: 0, around: false };
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
    encoder.set_repeat(Repeat::Infinite).map_err(|e| e.to_string())?;
    for image in images {
        let picture = mosaic(&[Some(image)], shape, 1, gap, zoom)?.into_rgba8();
        let delay = Delay::from_numer_denom_ms(1000, rate);
        let frame = Frame::from_parts(picture, 0, 0, delay);
        encoder.encode_frame(frame).map_err(|e| e.to_string())?;
    }
    drop(encoder);
    Ok(bytes)
}
