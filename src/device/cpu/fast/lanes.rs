//! Single precision in lanes, as the widest registers have it.

use crate::numeric::Real;

/// Numbers that are worked on together: a register of the widest kind.
pub const LANES: usize = 16;

/// Vector registers that products are cut for, by the lanes of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// 32 of 16 lanes: AVX-512.
    Of16,
    /// 16 of 8 lanes: AVX2 with FMA.
    Of8,
    /// 32 of 4 lanes: NEON.
    Of4,
}

impl Registers {
    /// Those of this processor; `gemm` knows how to live with fewer.
    pub fn of_processor() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        let (of16, of8) = (
            cfg!(not(elbo_avx2)) && is_x86_feature_detected!("avx512f"),
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        );
        #[cfg(not(target_arch = "x86_64"))]
        let (of16, of8) = (false, false);
        match () {
            () if of16 => Some(Registers::Of16),
            () if of8 => Some(Registers::Of8),
            () if cfg!(target_arch = "aarch64") => Some(Registers::Of4),
            () => None,
        }
    }
}

/// Sum of x eta - softplus(eta). The logarithms of a lane are one logarithm of the product of its
/// 1 + e^-|eta|, each in [1, 2].
pub struct LogBernoulli {
    total: f32,
    sums: [f32; LANES],
    products: [f32; LANES],
    factors: usize,
}

impl Default for LogBernoulli {
    fn default() -> Self {
        LogBernoulli { total: 0.0, sums: [0.0; LANES], products: [1.0; LANES], factors: 0 }
    }
}

impl LogBernoulli {
    /// Returns e^-|eta|.
    #[inline(always)]
    pub fn add(&mut self, x: &[f32; LANES], eta: &[f32; LANES]) -> [f32; LANES] {
        let mut e = [0.0; LANES];
        for i in 0..LANES {
            e[i] = Real::exp(-f32::abs(eta[i]));
            self.sums[i] += x[i] * eta[i] - if eta[i] < 0.0 { 0.0 } else { eta[i] };
            self.products[i] *= 1.0 + e[i];
        }
        self.factors += 1;
        // so few that a product stays below 2^64
        if self.factors == 64 {
            self.flush();
        }
        e
    }

    #[inline(always)]
    pub fn add_part(&mut self, x: &[f32], eta: &[f32]) {
        for (i, (&x, &eta)) in x.iter().zip(eta).enumerate() {
            self.sums[i] += x * eta - if eta < 0.0 { 0.0 } else { eta };
            self.products[i] *= 1.0 + Real::exp(-f32::abs(eta));
        }
    }

    #[inline(always)]
    fn flush(&mut self) {
        let mut lanes = [0.0; LANES];
        for (lane, (sum, product)) in lanes.iter_mut().zip(self.sums.iter().zip(self.products)) {
            *lane = sum - Real::ln_1p(product - 1.0);
        }
        self.total += halve(lanes, |a, b| a + b);
        (self.sums, self.products, self.factors) = ([0.0; LANES], [1.0; LANES], 0);
    }

    #[inline(always)]
    pub fn total(mut self) -> f32 {
        self.flush();
        self.total
    }

    /// Of three additions at most: the sum of x eta - max(eta, 0), and the product, below 2^64, whose
    /// logarithm is to be taken off.
    #[inline(always)]
    pub fn sum_and_product(self) -> (f32, f32) {
        (halve(self.sums, |a, b| a + b), halve(self.products, |a, b| a * b))
    }
}

/// Adds logits `d` to `sum`, and puts w (x - sigmoid(eta)) in their place.
#[inline(always)]
pub fn gradient_of_lanes(sum: &mut LogBernoulli, x: &[f32; LANES], d: &mut [f32; LANES], w: f32) {
    let (eta, e) = (*d, sum.add(x, d));
    // By way of a copy: the compiler cannot know that x and d do not overlap.
    let mut gradient = [0.0; LANES];
    for i in 0..LANES {
        let numerator = if eta[i] < 0.0 { e[i] } else { 1.0 };
        gradient[i] = w * (x[i] - numerator / (1.0 + e[i]));
    }
    *d = gradient;
}

/// Fills `out` with the differences of the first and the logarithm of the second of what `part` returns for
/// each place: 16 logarithms at once.
#[inline(always)]
pub fn less_logarithms(out: &mut [f32], mut part: impl FnMut(usize) -> (f32, f32)) {
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let (mut sums, mut products) = ([0.0; LANES], [1.0; LANES]);
        for i in 0..out.len() {
            (sums[i], products[i]) = part(group * LANES + i);
        }
        for (sum, product) in sums.iter_mut().zip(products) {
            *sum -= Real::ln_1p(product - 1.0);
        }
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// All lanes in one, by halves whose bounds the compiler sees.
#[inline(always)]
pub fn halve<const N: usize>(mut v: [f32; N], f: impl Fn(f32, f32) -> f32) -> f32 {
    const { assert!(N == 4 || N == 8 || N == 16) };
    for half in [8, 4] {
        if N > half {
            for i in 0..half {
                v[i] = f(v[i], v[i + half]);
            }
        }
    }
    f(f(v[0], v[2]), f(v[1], v[3]))
}

/// The sum of all lanes.
#[inline(always)]
pub fn sum_of<const N: usize>(v: [f32; N]) -> f32 {
    halve(v, |a, b| a + b)
}

/// (1 - e^-a) / a for a >= 0, 1 at 0, without a branch; by the series where the difference cancels.
#[inline(always)]
pub fn one_minus_exp_ratio(a: f32) -> f32 {
    let far = (1.0 - Real::exp(-a)) / a;
    let sixth = 1.0 - a / 6.0 * (1.0 - a / 7.0);
    let near = 1.0 - a / 2.0 * (1.0 - a / 3.0 * (1.0 - a / 4.0 * (1.0 - a / 5.0 * sixth)));
    if a < 0.5 { near } else { far }
}
