//! The next minibatch from the resident data set, shuffled and binarized.

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::philox::{QUADS, counter, half_bits, permute, quads};
use crate::numeric::{Real, parallel};
use crate::plan::Constants;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};

/// What a pixel's byte v becomes: the number the shader calls BINARIZATION.
pub const GREY: f64 = 0.0;
pub const FIXED: f64 = 1.0;
pub const DYNAMIC: f64 = 2.0;

pub static GATHER: Kernel = single(Parts {
    file: "gather",
    source: include_str!("../../shaders/gather.wgsl"),
    entry: "gather",
    summary: "minibatch from the resident bytes: shuffle, binarize",
    grid: |c| [c.dim("D").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    twin: twin!(gather),
    cases,
    cost: |c: &Constants| {
        let n = (c.dim("B") * c.dim("D")) as u64;
        Cost { flops: n, bytes: 5 * n }
    },
});

pub static GATHER_REAL: Kernel = single(Parts {
    file: "gather",
    source: include_str!("../../shaders/gather.wgsl"),
    entry: "gather_real",
    summary: "minibatch of real values: shuffle",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    twin: twin!(gather_real),
    cases: || {
        let mut cases = Vec::new();
        for (n, d, b) in [(1, 1, 1), (3, 5, 7), (10, 784, 4), (129, 63, 128), (7, 65, 20)] {
            for shuffle in [0.0, 1.0] {
                let case = Case::new(&[("N", n), ("D", d), ("B", b)])
                    .constant("SHUFFLE", shuffle)
                    .constant("HALF_BITS", f64::from(half_bits(n)))
                    .fill("clock", clock_words(0x1234_5678_9abc_def0, 77, 3, n as u32 / 2));
                cases.push(case);
            }
        }
        cases
    },
    cost: |c: &Constants| {
        let n = (c.dim("B") * c.dim("D")) as u64;
        Cost { flops: 0, bytes: 8 * n }
    },
});

fn gather<T: Real>(c: &Call<T>) {
    let (n, d) = (c.dim("N"), c.dim("D"));
    let (data, words, mut x) = (c.read_u8("data"), c.read_u32("clock"), c.write("x"));
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (first_epoch, position) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    let (binarization, stream) = (c.dim("BINARIZATION"), c.dim("STREAM") as u32);
    let (shuffle, held) = (c.dim("SHUFFLE") == 1, c.dim("ROWS"));
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
            match binarization {
                2 => binarize(x, pixels, counter(epoch, place, 0, stream, 0), key),
                1 => {
                    for (x, &v) in x.iter_mut().zip(pixels) {
                        *x = if v >= 128 { T::ONE } else { T::ZERO };
                    }
                }
                _ => {
                    for (x, &v) in x.iter_mut().zip(pixels) {
                        *x = T::from_f64(f64::from(v)) / T::from_f64(255.0);
                    }
                }
            }
        },
    );
}

/// Pixels binarized at once.
const BLOCK: usize = 4 * QUADS;

/// x = 1 with probability v / 255.
#[inline(always)]
fn binarize<T: Real>(x: &mut [T], pixels: &[u8], mut at: [u32; 4], key: [u32; 2]) {
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
fn binarize_block<T: Real>(pixels: &[u8; BLOCK], at: [u32; 4], key: [u32; 2]) -> [T; BLOCK] {
    // As in the shader, pixels stay four to a word: numbers change their order as bytes, which is cheaper.
    let (words, uniforms) = (pixels.as_chunks().0, quads(at, key));
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
    let mut x = [T::ZERO; BLOCK];
    for (x, &one) in x.iter_mut().zip(ones.as_flattened()) {
        *x = if one == 1 { T::ONE } else { T::ZERO };
    }
    x
}

/// The row of a window of `rows` images, a power of two, with the image at a place of an epoch: draws are
/// counted on through the epochs, modulo 2^32.
pub fn window_row(epoch: u32, place: usize, n: usize, rows: usize) -> usize {
    epoch.wrapping_mul(n as u32).wrapping_add(place as u32) as usize & (rows - 1)
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let resident = [(1, 1, 1), (3, 5, 7), (10, 784, 4), (129, 63, 128), (7, 6, 20)];
    let window = [(11, 8, 5, 3), (1_000_003, 16, 63, 16)];
    let sizes = resident.map(|(n, d, b)| (n, n, d, b)).into_iter().chain(window);
    for (n, rows, d, b) in sizes {
        for mode in [GREY, FIXED, DYNAMIC] {
            for shuffle in [0.0, 1.0] {
                let case = Case::new(&[("ROWS", rows), ("D", d), ("B", b)])
                    .constant("N", n as f64)
                    .constant("BINARIZATION", mode)
                    .constant("SHUFFLE", shuffle)
                    .constant("HALF_BITS", f64::from(half_bits(n)))
                    .constant("STREAM", 2.0)
                    .fill("data", Fill::Bytes)
                    .fill("clock", clock_words(0x1234_5678_9abc_def0, 77, 3, n as u32 / 2));
                cases.push(case);
            }
        }
    }
    cases
}

fn gather_real<T: Real>(c: &Call<T>) {
    let (n, d, shuffle) = (c.dim("N"), c.dim("D"), c.dim("SHUFFLE") == 1);
    let (values, words) = (c.read("values"), c.read_u32("clock"));
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (first_epoch, position) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    let values = &values[..];
    parallel::rows(
        &mut c.write("x"),
        d,
        #[inline(always)]
        |row, x| {
            let (epoch, place) =
                (first_epoch + ((position + row) / n) as u32, (position + row) % n);
            let image = if shuffle { permute(place, n, key, epoch) } else { place };
            x.copy_from_slice(&values[image * d..][..d]);
        },
    );
}
