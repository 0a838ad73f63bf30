//! One PNG or JPEG picture: its header and its pixels.

use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageReader, Limits, RgbImage};

use super::error::unfit;
use super::{Channels, DataError};
use crate::read;

/// Longest side of a picture, in pixels.
const MAX_SIDE: u32 = 1 << 15;
/// Most pixels of a picture, and most memory that unpacking one may take, in bytes: each core unpacks its own.
const MAX_PICTURE: u64 = 1 << 26;
const MAX_ALLOCATION: u64 = 1 << 29;
/// Longest file of a picture, in bytes.
const MAX_FILE: u64 = 1 << 29;
/// More pixels no byte of a picture can stand for: PNG packs 8 in one, and deflate shrinks 1032 times at
/// most. A JPEG decoder would compute for minutes what a forged header promises.
const MAX_PIXELS_A_BYTE: u64 = 8 * 1032;

/// A reader of a picture that is no larger than one can be.
fn reader<R: BufRead + Seek>(source: R) -> io::Result<ImageReader<R>> {
    let mut reader = ImageReader::new(source).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOCATION);
    reader.limits(limits);
    Ok(reader)
}

/// Height and width of a picture that is upright, from its header.
pub(super) fn size_of(path: &Path) -> image::ImageResult<(usize, usize)> {
    let mut decoder = reader(BufReader::new(read::open(path)?.0))?.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let (height, width) = (height as usize, width as usize);
    Ok(match decoder.orientation().unwrap_or(Orientation::NoTransforms) {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (width, height),
        _ => (height, width),
    })
}

/// Whether a picture can have colours by its header; one that cannot be read has none.
pub(super) fn has_colour_by_header(path: &Path) -> bool {
    let read = || -> image::ImageResult<bool> {
        let decoder = reader(BufReader::new(read::open(path)?.0))?.into_decoder()?;
        Ok(decoder.color_type().has_color())
    };
    read().unwrap_or(false)
}

/// A picture, upright, what is transparent over white: grey (luma of Rec. 709) as `ImageLuma8`, or in colour as
/// `ImageRgb8`.
pub(super) fn decode(path: &Path, channels: Channels) -> Result<DynamicImage, DataError> {
    let bytes = read::at_most(path, MAX_FILE)
        .map_err(|cause| DataError::Read { path: path.into(), cause })?;
    if let Some(what) = refused(&bytes) {
        return Err(unfit(path, what));
    }
    let decoded = || -> image::ImageResult<DynamicImage> {
        let mut decoder = reader(Cursor::new(&bytes))?.into_decoder()?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MAX_PIXELS_A_BYTE * bytes.len() as u64 {
            let forged = format!("it claims {width}x{height} pixels in {} bytes", bytes.len());
            return Err(ImageError::IoError(io::Error::other(forged)));
        }
        if u64::from(width) * u64::from(height) > MAX_PICTURE {
            let large = format!("{width}x{height} are more than {MAX_PICTURE} pixels; shrink it");
            return Err(ImageError::IoError(io::Error::other(large)));
        }
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut picture = DynamicImage::from_decoder(decoder)?;
        picture.apply_orientation(orientation);
        Ok(picture)
    };
    let picture = decoded().map_err(|e| {
        unfit(
            path,
            format!("this is no PNG or JPEG picture that can be read: {}", e.to_string().trim()),
        )
    })?;
    Ok(match (channels, picture.color().has_alpha()) {
        (Channels::Grey, false) => picture.into_luma8().into(),
        (Channels::Colour, false) => picture.into_rgb8().into(),
        (Channels::Grey, true) => {
            let with_alpha = picture.into_luma_alpha8();
            let (width, height) = with_alpha.dimensions();
            let over = |x, y| {
                let [grey, alpha] = with_alpha.get_pixel(x, y).0;
                image::Luma([over_white(grey, alpha)])
            };
            GrayImage::from_fn(width, height, over).into()
        }
        (Channels::Colour, true) => {
            let with_alpha = picture.into_rgba8();
            let (width, height) = with_alpha.dimensions();
            let over = |x, y| {
                let [red, green, blue, alpha] = with_alpha.get_pixel(x, y).0;
                image::Rgb([red, green, blue].map(|level| over_white(level, alpha)))
            };
            RgbImage::from_fn(width, height, over).into()
        }
    })
}

fn over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// Why a picture is not read that a decoder would read, as something else than what its viewers see.
fn refused(bytes: &[u8]) -> Option<&'static str> {
    if is_animated(bytes) {
        return Some("this picture is animated; save one frame of it");
    }
    if jpeg_components(bytes) == Some(4) {
        return Some(
            "this JPEG has four inks (CMYK), whose colours depend on a printer's profile; save it as RGB",
        );
    }
    None
}

/// Whether a PNG has the chunk that says it is animated, which comes before its pixels.
fn is_animated(bytes: &[u8]) -> bool {
    let Some(mut rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") else { return false };
    // A chunk is its length, its name, as many bytes, and four of a checksum.
    while let Some((&length, after)) = rest.split_first_chunk::<4>() {
        match after.get(..4) {
            Some(b"acTL") => return true,
            Some(b"IDAT") | None => return false,
            Some(_) => {}
        }
        let skipped = u32::from_be_bytes(length) as usize + 8;
        rest = after.get(skipped..).unwrap_or_default();
    }
    false
}

/// Components of a JPEG's pixels, as its frame's header (SOFn, ITU T.81) has them.
fn jpeg_components(bytes: &[u8]) -> Option<u8> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        match marker {
            0xff => rest = &rest[1..],                      // filling
            0x01 | 0xd0..=0xd7 => rest = after,             // of no length
            0xc4 | 0xc8 | 0xcc => rest = segment(after)?.1, // tables among the numbers of frames
            0xc0..=0xcf => return segment(after)?.0.get(5).copied(),
            0xd9 | 0xda => return None, // the end, or pixels without a frame
            _ => rest = segment(after)?.1,
        }
    }
}

/// A segment of a JPEG, without its length, and what follows it.
fn segment(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, after) = bytes.split_first_chunk::<2>()?;
    after.split_at_checked(usize::from(u16::from_be_bytes(length)).checked_sub(2)?)
}
