//! PNG grids of images.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GrayImage, RgbImage, imageops};

use crate::image_shape::ImageShape;

/// Grey of the lines between tiles.
const LINE: u8 = 96;

/// How tiles are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row after row, near a square.
    Square,
    /// Images come in pairs, the second below the first.
    Pairs,
    /// Images of so many classes, one after the other, as many of each or one more of the first: a row for each.
    Classes(usize),
}

/// A PNG of images of `shape` with values in [0, 1], white where 1; in colour if they are. Small images are enlarged
/// by a whole factor, so that pixels stay pixels.
///
/// # Errors
/// The encoder's, which a picture in memory should not meet.
pub fn grid(
    images: &[Vec<f32>],
    shape: impl Into<ImageShape>,
    layout: Layout,
) -> Result<Vec<u8>, String> {
    let shape = shape.into();
    let n = images.len().max(1);
    let columns = match layout {
        Layout::Square => (n as f64).sqrt().ceil() as usize,
        Layout::Pairs => columns_of_pairs(n),
        Layout::Classes(classes) => n.div_ceil(classes),
    };
    let tiles: Vec<Option<&[f32]>> = match layout {
        Layout::Square => images.iter().map(|image| Some(&image[..])).collect(),
        Layout::Pairs => {
            rows_of_pairs(images, columns).flat_map(|row| padded(row, columns)).collect()
        }
        Layout::Classes(classes) => {
            rows_of_classes(images, classes).flat_map(|row| padded(row, columns)).collect()
        }
    };
    let zoom = (56 / shape.height.max(shape.width)).max(1);
    let gap = Gap { width: 1, grey: LINE, around: true };
    encode(&mosaic(&tiles, shape, columns, gap, zoom)?, CompressionType::default())
}

/// A PNG of one image as it is.
///
/// # Errors
/// The encoder's, which a picture in memory should not meet.
pub fn picture(image: &[f32], shape: ImageShape) -> Result<Vec<u8>, String> {
    let gap = Gap { width: 0, grey: 0, around: false };
    encode(&mosaic(&[Some(image)], shape, 1, gap, 1)?, CompressionType::default())
}

/// The level of a value in [0, 1] in a picture; values beyond are at the ends.
pub fn level(value: f32) -> u8 {
    (value.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// Pairs in a row of a picture of `images` images that come in pairs.
pub fn columns_of_pairs(images: usize) -> usize {
    let pairs = images.div_ceil(2);
    pairs.min(((2 * pairs) as f64).sqrt().ceil() as usize).max(1)
}

/// The rows of a picture of pairs: the first of `columns` pairs, below them the second of each.
pub fn rows_of_pairs(images: &[Vec<f32>], columns: usize) -> impl Iterator<Item = Vec<&[f32]>> {
    images.chunks(2 * columns).flat_map(|pairs| {
        [0, 1].map(|of| pairs.iter().skip(of).step_by(2).map(|image| &image[..]).collect())
    })
}

/// The images of each class, where they come as [`Layout::Classes`] says.
pub fn rows_of_classes(images: &[Vec<f32>], classes: usize) -> impl Iterator<Item = Vec<&[f32]>> {
    let (each, more) = (images.len() / classes, images.len() % classes);
    let rows = (0..classes.min(images.len())).map(move |class| {
        let first = class * each + class.min(more);
        images[first..][..each + usize::from(class < more)].iter().map(|image| &image[..])
    });
    rows.map(Iterator::collect)
}

/// The images of a row, then empty places.
pub fn padded<'a>(
    row: impl IntoIterator<Item = &'a [f32]>,
    columns: usize,
) -> impl Iterator<Item = Option<&'a [f32]>> {
    row.into_iter().map(Some).chain(std::iter::repeat(None)).take(columns)
}

/// What lies between tiles, in pixels of the picture.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    pub width: usize,
    pub grey: u8,
    /// Also outside of the outermost.
    pub around: bool,
}

/// Images of `shape` side by side, `columns` in a row, enlarged `zoom` times.
///
/// # Errors
/// A picture of 2^32 pixels in a row or more.
pub(super) fn mosaic(
    tiles: &[Option<&[f32]>],
    shape: ImageShape,
    columns: usize,
    gap: Gap,
    zoom: usize,
) -> Result<DynamicImage, String> {
    let ImageShape { height, width, channels } = shape;
    let rows = tiles.len().div_ceil(columns).max(1);
    let border = if gap.around { gap.width } else { 0 };
    let extent = |tiles: usize, tile: usize| {
        u32::try_from(tiles * (tile * zoom + gap.width) - gap.width + 2 * border)
            .map_err(|_| "the picture would be too large".to_string())
    };
    let (across, down) = (extent(columns, width)?, extent(rows, height)?);
    let stride = across as usize * channels;
    let mut levels = vec![gap.grey; stride * down as usize];
    for (i, image) in tiles.iter().enumerate() {
        let Some(image) = image else { continue };
        let top = border + i / columns * (height * zoom + gap.width);
        let left = border + i % columns * (width * zoom + gap.width);
        for y in 0..height * zoom {
            let row =
                &mut levels[(top + y) * stride + left * channels..][..width * zoom * channels];
            for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
                let values = &image[(y / zoom * width + x / zoom) * channels..];
                for (level, value) in pixel.iter_mut().zip(values) {
                    *level = self::level(*value);
                }
            }
        }
    }
    let picture = match channels {
        1 => GrayImage::from_raw(across, down, levels).map(DynamicImage::from),
        _ => RgbImage::from_raw(across, down, levels).map(DynamicImage::from),
    };
    Ok(picture.expect("as many levels as rows, columns and channels"))
}

/// Height by width of a tile of images of this shape. Strips, as signals are, are shown broader than they are: a
/// picture could not be read that is a thousand times as high as it is wide.
pub fn shown_ratio(shape: ImageShape) -> f64 {
    (shape.height as f64 / shape.width as f64).clamp(1.0 / 16.0, 16.0)
}

/// A PNG of tiles as `mosaic` lays them out, to be shown in (width, height) pixels of a picture of its own:
/// enlarged by a whole factor where they are coarse, so that pixels stay pixels, reduced where they are
/// finer than a printer shows.
///
/// # Errors
/// As `mosaic`, and the encoder's.
pub fn embedded(
    tiles: &[Option<&[f32]>],
    shape: ImageShape,
    columns: usize,
    gap: Gap,
    (width, height): (f64, f64),
) -> Result<Vec<u8>, String> {
    /// Pixels in one of those that it is shown with: 180 and 600 in an inch of a column's picture.
    const COARSE: f64 = 1.5;
    const FINE: f64 = 5.0;
    let rows = tiles.len().div_ceil(columns).max(1);
    let coarse =
        |shown: f64, pixels: usize| (COARSE * shown / pixels as f64).ceil().max(1.0) as usize;
    let zoom = coarse(width, columns * shape.width);
    let is_strip = shown_ratio(shape) != shape.height as f64 / shape.width as f64;
    // Of a strip the longer side is fine enough as it is.
    let zoom = if is_strip { zoom.min(coarse(height, rows * shape.height)) } else { zoom };
    let mut picture = mosaic(tiles, shape, columns, gap, zoom)?;
    let share = |shown: f64, pixels: u32| FINE * shown / f64::from(pixels);
    let [across, down] = [share(width, picture.width()), share(height, picture.height())];
    if across.min(down) < 1.0 {
        let less =
            |pixels: u32, share: f64| ((f64::from(pixels) * share.min(1.0)).round() as u32).max(1);
        let (width, height) = (less(picture.width(), across), less(picture.height(), down));
        picture = picture.resize_exact(width, height, imageops::FilterType::Triangle);
    }
    encode(&picture, CompressionType::Best)
}

/// # Errors
/// The encoder's, which a picture in memory should not meet.
fn encode(picture: &DynamicImage, compression: CompressionType) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, compression, FilterType::Adaptive);
    picture.write_with_encoder(encoder).map_err(|e| e.to_string())?;
    Ok(bytes)
}
