//! The next minibatch from the resident data set, shuffled, some mirrored, and binarized.

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::philox::{counter, half_bits, permute, philox};
use crate::numeric::{Real, parallel};
use crate::plan::Constants;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

/// What a pixel's byte v becomes: the number the shader calls BINARIZATION.
pub const GREY: f64 = 0.0;
pub const FIXED: f64 = 1.0;
pub const DYNAMIC: f64 = 2.0;

pub static GATHER: Kernel = single(Parts {
    file: "gather",
    source: include_str!("../../shaders/gather.wgsl"),
    entry: "gather",
    summary: "minibatch from the resident bytes: shuffle, flip, binarize",
    grid: |c| [c.dim("D").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(gather),
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
    formula: formula!(gather_real),
    cases: || {
        let mut cases = Vec::new();
        let resident = [(1, 1, 1), (3, 5, 7), (10, 784, 4), (129, 63, 128), (7, 65, 20)];
        let window = [(11, 8, 5, 3), (1_000_003, 16, 63, 16)];
        let sizes = resident.map(|(n, d, b)| (n, n, d, b)).into_iter().chain(window);
        for (n, rows, d, b) in sizes {
            for shuffle in [0.0, 1.0] {
                let case = Case::new(&[("ROWS", rows), ("D", d), ("B", b)])
                    .constant("N", n as f64)
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

pub static GATHER_CLASSES: Kernel = single(Parts {
    file: "gather",
    source: include_str!("../../shaders/gather.wgsl"),
    entry: "gather_classes",
    summary: "the classes of a minibatch's images",
    grid: |c| [c.dim("B").div_ceil(c.dim("WORKGROUP")), 1, 1],
    formula: formula!(gather_classes),
    cases: || {
        let mut cases = Vec::new();
        let resident = [(1, 1, 1), (3, 3, 7), (10, 10, 4), (129, 129, 128)];
        let window = [(11, 8, 3), (1_000_003, 16, 16)];
        for (n, rows, b) in resident.into_iter().chain(window) {
            for shuffle in [0.0, 1.0] {
                let case = Case::new(&[("ROWS", rows), ("B", b)])
                    .constant("N", n as f64)
                    .constant("SHUFFLE", shuffle)
                    .constant("HALF_BITS", f64::from(half_bits(n)))
                    .fill("labels", Fill::Bytes)
                    .fill("clock", clock_words(0x1234_5678_9abc_def0, 77, 3, n as u32 / 2));
                cases.push(case);
            }
        }
        cases
    },
    cost: |c: &Constants| Cost { flops: 0, bytes: 6 * c.dim("B") as u64 },
});

/// x of row b: the image at the b-th place from the clock's on, shuffled by epoch, mirrored by a bit of noise,
/// binarized.
fn gather<T: Real>(c: &Call<T>) {
    let (n, d, held) = (c.dim("N"), c.dim("D"), c.dim("ROWS"));
    let (data, words) = (&c.read_u8("data")[..], &c.read_u32("clock")[..]);
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (binarization, stream) = (c.dim("BINARIZATION") as f64, c.dim("STREAM") as u32);
    let (shuffle, flip) = (c.dim("SHUFFLE") == 1, c.dim("FLIP") == 1);
    let (width, channels, of_flips) =
        (c.dim("WIDTH"), c.dim("CHANNELS"), c.dim("FLIP_STREAM") as u32);
    parallel::rows(&mut c.write("x"), d, |row, x| {
        let drawn = words[clock::POSITION] as usize + row;
        let (epoch, place) = (words[clock::EPOCH] + (drawn / n) as u32, drawn % n);
        let image = match shuffle {
            _ if held < n => window_row(epoch, place, n, held),
            true => permute(place, n, key, epoch),
            false => place,
        };
        let mirrored = flip && is_mirrored(epoch, place, of_flips, key);
        for (pixel, x) in x.iter_mut().enumerate() {
            // (row, column, channel) of the image, and the column as far from the other end
            let (row, column, channel) =
                (pixel / channels / width, pixel / channels % width, pixel % channels);
            let from = match mirrored {
                true => (row * width + width - 1 - column) * channels + channel,
                false => pixel,
            };
            let v = data[image * d + from];
            // 1 with probability v / 255: u < v / 255 for u in [0, 1), both times 2^32 - 1
            let drawn = || {
                let bits = philox(counter(epoch, place, 0, stream, pixel / 4), key);
                v == 255 || bits[pixel % 4] < u32::from(v) * 0x0101_0101
            };
            let one = |is: bool| if is { T::ONE } else { T::ZERO };
            *x = match binarization {
                DYNAMIC => one(drawn()),
                FIXED => one(v >= 128),
                _ => T::from_f64(f64::from(v)) / T::from_f64(255.0),
            };
        }
    });
}

/// Whether the image at a place of an epoch is shown as its mirror image.
pub fn is_mirrored(epoch: u32, place: usize, stream: u32, key: [u32; 2]) -> bool {
    philox(counter(epoch, place, 0, stream, 0), key)[0] & 1 == 1
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
    // Mirrored: (N, ROWS, B) of (height, width, channels).
    for ([n, rows, b], [height, width, channels]) in [
        ([1, 1, 1], [1, 1, 1]),
        ([7, 7, 20], [3, 5, 1]),
        ([5, 5, 9], [2, 4, 3]),
        ([11, 8, 6], [2, 2, 3]),
        ([129, 129, 16], [32, 32, 3]),
    ] {
        for mode in [GREY, FIXED, DYNAMIC] {
            let case = Case::new(&[("ROWS", rows), ("D", height * width * channels), ("B", b)])
                .constant("N", n as f64)
                .constant("BINARIZATION", mode)
                .constant("HALF_BITS", f64::from(half_bits(n)))
                .constant("STREAM", 2.0)
                .constant("FLIP", 1.0)
                .constant("FLIP_STREAM", 5.0)
                .constant("WIDTH", width as f64)
                .constant("CHANNELS", channels as f64)
                .fill("data", Fill::Bytes)
                .fill("clock", clock_words(0x1234_5678_9abc_def0, 77, 3, n as u32 / 2));
            cases.push(case);
        }
    }
    cases
}

fn gather_real<T: Real>(c: &Call<T>) {
    let (n, d, held, shuffle) = (c.dim("N"), c.dim("D"), c.dim("ROWS"), c.dim("SHUFFLE") == 1);
    let (values, words) = (&c.read("values")[..], &c.read_u32("clock")[..]);
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (first_epoch, position) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    parallel::rows(&mut c.write("x"), d, |row, x| {
        let (epoch, place) = (first_epoch + ((position + row) / n) as u32, (position + row) % n);
        let image = match shuffle {
            _ if held < n => window_row(epoch, place, n, held),
            true => permute(place, n, key, epoch),
            false => place,
        };
        x.copy_from_slice(&values[image * d..][..d]);
    });
}

fn gather_classes<T: Real>(c: &Call<T>) {
    let (n, held, shuffle) = (c.dim("N"), c.dim("ROWS"), c.dim("SHUFFLE") == 1);
    let (labels, words) = (c.read_u8("labels"), c.read_u32("clock"));
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    for (row, class) in c.write_u32("classes").iter_mut().enumerate() {
        let drawn = words[clock::POSITION] as usize + row;
        let (epoch, place) = (words[clock::EPOCH] + (drawn / n) as u32, drawn % n);
        let image = match shuffle {
            _ if held < n => window_row(epoch, place, n, held),
            true => permute(place, n, key, epoch),
            false => place,
        };
        *class = u32::from(u16::from_le_bytes([labels[2 * image], labels[2 * image + 1]]));
    }
}
