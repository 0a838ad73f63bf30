//! The noise: Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), a pure function of seed
//! and counter, so that a run is a function of its seed on every device.

use super::Real;

/// Streams of noise, so that no two uses share a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stream {
    /// Binarization of training pixels.
    TrainPixels = 0,
    /// eps of training.
    TrainNoise = 1,
    /// Binarization of test pixels.
    TestPixels = 2,
    /// eps of evaluation.
    TestNoise = 3,
    /// Draws from the prior.
    Prior = 4,
    /// Which training images are mirrored.
    TrainFlips = 5,
    /// The codes of images that are drawn from a model.
    SimulatedCode = 16,
    /// The values of such images.
    SimulatedValues = 17,
    /// Where annealed chains begin.
    ChainStart = 18,
    /// Momenta of Hamiltonian Monte Carlo.
    Momentum = 19,
    /// Whether its proposals are accepted.
    Acceptance = 20,
    /// eps of the optimization of single posteriors.
    Refinement = 21,
}

/// Four independent uniform integers.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let p = 0xD251_1F53_u64 * u64::from(c0);
        let q = 0xCD9E_8D57_u64 * u64::from(c2);
        (c0, c1, c2, c3) =
            ((q >> 32) as u32 ^ c1 ^ k0, q as u32, (p >> 32) as u32 ^ c3 ^ k1, p as u32);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// The counter of a group of four units (or pixels) of one sample of the image at a place of an epoch.
/// It does not know the batch: an image meets the same noise in batches of any size.
#[inline(always)]
pub fn counter(epoch: u32, place: usize, sample: usize, stream: u32, quad: usize) -> [u32; 4] {
    [epoch, place as u32, sample as u32, (stream << 24) | quad as u32]
}

/// Four standard normal numbers, by Box and Muller.
#[inline(always)]
pub fn normal4<T: Real>(bits: [u32; 4]) -> [T; 4] {
    let ([a, b], [c, d]) = (box_muller(bits[0], bits[1]), box_muller(bits[2], bits[3]));
    [a, b, c, d]
}

/// r cos(t) and r sin(t) with r = sqrt(-2 ln u) and u in (0, 1] from `a`, t from `b`.
#[inline(always)]
fn box_muller<T: Real>(a: u32, b: u32) -> [T; 2] {
    let u = T::from_f64(f64::from((a >> 8) + 1) * (1.0 / 16_777_216.0));
    let radius = (T::from_f64(-2.0) * u.ln_precise()).sqrt();
    let (cos, sin) = T::cos_sin_turn(b >> 8);
    [radius * cos, radius * sin]
}

/// Groups of four units that are drawn at once, so that the generator fills vector registers.
pub const QUADS: usize = 16;

/// Standard normal numbers for [`QUADS`] groups of four units, the counter of each in a column of `counters`.
#[inline(always)]
pub fn normals<T: Real>(counters: [[u32; QUADS]; 4], key: [u32; 2]) -> [T; 4 * QUADS] {
    let words = quads(counters, key);
    let mut numbers = [[T::ZERO; QUADS]; 4];
    for pair in [0, 2] {
        for quad in 0..QUADS {
            let [a, b] = box_muller(words[pair][quad], words[pair + 1][quad]);
            (numbers[pair][quad], numbers[pair + 1][quad]) = (a, b);
        }
    }
    let mut out = [T::ZERO; 4 * QUADS];
    for quad in 0..QUADS {
        for j in 0..4 {
            out[4 * quad + j] = numbers[j][quad];
        }
    }
    out
}

/// The counters of [`QUADS`] groups that follow each other, from that of the first.
#[inline(always)]
pub fn following(counter: [u32; 4]) -> [[u32; QUADS]; 4] {
    let mut counters = counter.map(|word| [word; QUADS]);
    for (quad, word) in counters[3].iter_mut().enumerate() {
        *word = word.wrapping_add(quad as u32);
    }
    counters
}

/// [`philox`] of [`QUADS`] counters: word j of counter i is element `[j][i]`.
#[inline(always)]
pub fn quads(mut words: [[u32; QUADS]; 4], key: [u32; 2]) -> [[u32; QUADS]; 4] {
    let [mut k0, mut k1] = key;
    for _ in 0..10 {
        let [w0, w1, w2, w3] = words;
        for i in 0..QUADS {
            let p = 0xD251_1F53_u64 * u64::from(w0[i]);
            let q = 0xCD9E_8D57_u64 * u64::from(w2[i]);
            words[0][i] = (q >> 32) as u32 ^ w1[i] ^ k0;
            words[1][i] = q as u32;
            words[2][i] = (p >> 32) as u32 ^ w3[i] ^ k1;
            words[3][i] = p as u32;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    words
}

/// The image drawn at `position` of an epoch: a Feistel permutation of 0..n, walked along its cycle
/// until it lands inside (Black and Rogaway 2002, doi:10.1007/3-540-45760-7_9).
pub fn permute(position: usize, n: usize, key: [u32; 2], epoch: u32) -> usize {
    let half_bits = half_bits(n);
    let mask = (1u32 << half_bits) - 1;
    let base = scramble(key[0] ^ scramble(key[1] ^ scramble(epoch)));
    let mut v = position as u32;
    loop {
        let (mut left, mut right) = (v >> half_bits, v & mask);
        for round in 0..6u32 {
            let round_key = base.wrapping_add(round.wrapping_mul(0x9E37_79B9));
            (left, right) = (right, left ^ (scramble(right ^ round_key) & mask));
        }
        v = (left << half_bits) | right;
        if (v as usize) < n {
            return v as usize;
        }
    }
}

/// The smallest h with 4^h >= n: half the bits of the permutation's domain.
pub fn half_bits(n: usize) -> u32 {
    n.max(2).next_power_of_two().trailing_zeros().div_ceil(2)
}

/// The finalizer of MurmurHash3.
fn scramble(v: u32) -> u32 {
    let h = (v ^ (v >> 16)).wrapping_mul(0x85eb_ca6b);
    let h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

impl Stream {
    /// The number a shader calls STREAM.
    pub fn number(self) -> f64 {
        f64::from(self as u8)
    }
}
