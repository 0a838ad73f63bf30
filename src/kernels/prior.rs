//! Draws from the prior N(0, I).

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::philox::{QUADS, counter, normals};
use crate::numeric::{Real, parallel};
use crate::plan::case::clock_words;
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};

pub static SAMPLE: Kernel = single(Parts {
    file: "prior",
    source: include_str!("../../shaders/prior.wgsl"),
    entry: "sample",
    summary: "z ~ N(0, I), from Philox",
    grid: |c| [c.dim("Z").div_ceil(4).div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    twin: twin!(sample),
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

fn sample<T: Real>(c: &Call<T>) {
    let (words, mut z) = (c.read_u32("clock"), c.write("z"));
    let key = [words[clock::SEED_LOW], words[clock::SEED_HIGH]];
    let (epoch, place) = (words[clock::EPOCH], words[clock::POSITION] as usize);
    let (before, stream) = (words[clock::SAMPLE] as usize, c.dim("STREAM") as u32);
    let k = c.dim("K");
    parallel::rows(
        &mut z,
        c.dim("Z"),
        #[inline(always)]
        |row, z| {
            for (i, z) in z.chunks_mut(4 * QUADS).enumerate() {
                let at = counter(epoch, place + row / k, before + row % k, stream, i * QUADS);
                z.copy_from_slice(&normals::<T>(at, key)[..z.len()]);
            }
        },
    );
}
