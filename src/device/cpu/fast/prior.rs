//! Draws from the prior, many of Philox's numbers at once.

use crate::kernels::clock;
use crate::numeric::parallel;
use crate::numeric::philox::{QUADS, counter, following, normals};
use crate::plan::Call;

pub(super) fn sample(c: &Call<f32>) {
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
                z.copy_from_slice(&normals::<f32>(following(at), key)[..z.len()]);
            }
        },
    );
}
