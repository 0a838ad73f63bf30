//! Minibatches, binarized four pixels to a word.

use crate::kernels::clock;
use crate::kernels::gather::{is_mirrored, window_row};
use crate::numeric::parallel;
use crate::numeric::philox::{QUADS, counter, following, permute, quads};
use crate::plan::Call;

pub(super) fn gather(c: &Call<f32>) {
    let (n, d) = (c.dim("N"), c.dim("D"));
    let (data, words, mut x) = (c.read_u8("data"), c.read_u32("clock"), c.write("x"));
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (first_epoch, position) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    let (binarization, stream) = (c.dim("BINARIZATION"), c.dim("STREAM") as u32);
    let (shuffle, held) = (c.dim("SHUFFLE") == 1, c.dim("ROWS"));
    let flips = (c.dim("FLIP") == 1).then(|| c.dim("FLIP_STREAM") as u32);
    let (width, channels) = (c.dim("WIDTH"), c.dim("CHANNELS"));
    let data = &data[..];
    parallel::rows(
        &mut x,
        d,
        #[inline(always)]
        |row, x| {
            let (epoch, place) =
                (first_epoch + ((position + row) / n) as u32, (position + row) % n);
            let image = match shuffle {
                _ if held < n => window_row(epoch, place, n, held),
                true => permute(place, n, key, epoch),
                false => place,
            };
            let pixels = &data[image * d..][..d];
            let mirror_image;
            let pixels = match flips {
                Some(of_flips) if is_mirrored(epoch, place, of_flips, key) => {
                    mirror_image = mirrored(pixels, width, channels);
                    &mirror_image[..]
                }
                _ => pixels,
            };
            match binarization {
                2 => binarize(x, pixels, counter(epoch, place, 0, stream, 0), key),
                1 => {
                    for (x, &v) in x.iter_mut().zip(pixels) {
                        *x = if v >= 128 { 1.0 } else { 0.0 };
                    }
                }
                _ => {
                    for (x, &v) in x.iter_mut().zip(pixels) {
                        *x = f32::from(v) / 255.0;
                    }
                }
            }
        },
    );
}

/// The mirror image, left to right.
fn mirrored(pixels: &[u8], width: usize, channels: usize) -> Vec<u8> {
    let rows = pixels.chunks_exact(width * channels);
    rows.flat_map(|row| row.chunks_exact(channels).rev()).flatten().copied().collect()
}

/// Pixels binarized at once.
const BLOCK: usize = 4 * QUADS;

/// x = 1 with probability v / 255.
#[inline(always)]
pub(super) fn binarize(x: &mut [f32], pixels: &[u8], mut at: [u32; 4], key: [u32; 2]) {
    let ((xs, x), (blocks, rest)) = (x.as_chunks_mut(), pixels.as_chunks());
    for (x, pixels) in xs.iter_mut().zip(blocks) {
        *x = binarize_block(pixels, at, key);
        at[3] += QUADS as u32;
    }
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    x.copy_from_slice(&binarize_block(&last, at, key)[..x.len()]);
}

#[inline(always)]
pub(super) fn binarize_block(pixels: &[u8; BLOCK], at: [u32; 4], key: [u32; 2]) -> [f32; BLOCK] {
    // Black and white pixels take no number; most of a digit's are.
    if pixels.iter().fold(0, |most, v| most.max(v.wrapping_add(1))) <= 1 {
        return pixels.map(|v| f32::from(v & 1));
    }
    // As in the shader, pixels stay four to a word: numbers change their order as bytes, which is cheaper.
    let (words, uniforms) = (pixels.as_chunks().0, quads(following(at), key));
    let mut ones = [[0_u8; 4]; QUADS];
    for i in 0..QUADS {
        let four = u32::from_le_bytes(words[i]);
        let mut packed = 0;
        for (j, uniforms) in uniforms.iter().enumerate() {
            let v = (four >> (8 * j)) & 255;
            let one = v == 255 || uniforms[i] < v * 0x0101_0101;
            packed |= u32::from(one) << (8 * j);
        }
        ones[i] = packed.to_le_bytes();
    }
    let mut x = [0.0; BLOCK];
    for (x, &one) in x.iter_mut().zip(ones.as_flattened()) {
        *x = if one == 1 { 1.0 } else { 0.0 };
    }
    x
}
