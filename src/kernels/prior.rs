//! Draws from the prior N(0, I).

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::philox::{counter, normal4, philox};
use crate::numeric::{Real, parallel};
use crate::plan::case::clock_words;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static SAMPLE: Kernel = single(Parts {
    file: "prior",
    source: include_str!("../../shaders/prior.wgsl"),
    entry: "sample",
    summary: "z ~ N(0, I), from Philox",
    grid: |c| [c.dim("Z").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(sample),
    cases: || {
        let case = |b, k, z| {
            Case::new(&[("B", b), ("K", k), ("Z", z)])
                .constant("K", k as f64)
                .constant("STREAM", 4.0)
                .fill("clock", clock_words(u64::MAX - 1, 9, 2, 5)) // the halves of the key differ
        };
        vec![case(1, 1, 1), case(3, 1, 7), case(1, 100, 20), case(2, 3, 259), case(4, 250, 50)]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 30 * n, bytes: 4 * n }
    },
});

/// z ~ N(0, I), K draws an image.
fn sample<T: Real>(c: &Call<T>) {
    let (words, k, stream) = (&c.read_u32("clock")[..], c.dim("K"), c.dim("STREAM") as u32);
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    parallel::rows(&mut c.write("z"), c.dim("Z"), |row, z| {
        let place = words[clock::POSITION] as usize + row / k;
        let sample = words[clock::SAMPLE] as usize + row % k;
        for (unit, z) in z.iter_mut().enumerate() {
            let at = counter(words[clock::EPOCH], place, sample, stream, unit / 4);
            *z = normal4::<T>(philox(at, key))[unit % 4];
        }
    });
}
