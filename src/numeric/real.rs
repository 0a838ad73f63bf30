//! The number types of the formulas, and the few loops that they share.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::precision;

/// What a formula may do with a number.
pub trait Real:
    Copy
    + Send
    + Sync
    + 'static
    + PartialOrd
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    const ZERO: Self;
    const ONE: Self;
    fn from_f64(v: f64) -> Self;
    /// The value, without any bound that comes with it.
    fn to_f64(self) -> f64;
    fn abs(self) -> Self;
    fn exp(self) -> Self;
    fn exp_m1(self) -> Self;
    fn ln(self) -> Self;
    /// ln where a shader does not leave it to the driver, see shaders/lib/normal.wgsl.
    fn ln_precise(self) -> Self {
        self.ln()
    }
    fn ln_1p(self) -> Self;
    fn tanh(self) -> Self;
    fn sqrt(self) -> Self;
    /// (cos, sin) of 2 pi n / 2^24 for n < 2^24.
    fn cos_sin_turn(n: u32) -> (Self, Self);
    /// The nearest number of which `scale` times is one of f16, see [`super::precision::to_half`]: as
    /// single precision has it. Double precision, which has no roundings, has none here.
    fn to_half(self, _scale: f64) -> Self {
        self
    }

    /// max(v, 0); NaN stays one.
    #[inline(always)]
    fn relu(self) -> Self {
        if self < Self::ZERO { Self::ZERO } else { self }
    }

    /// max(v, 0) + ln(1 + e^-|v|): no overflow, no logarithm of a probability.
    #[inline(always)]
    fn softplus(self) -> Self {
        (-self.abs()).exp().ln_1p() + if self < Self::ZERO { Self::ZERO } else { self }
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        let e = (-self.abs()).exp();
        (if self < Self::ZERO { e } else { Self::ONE }) / (Self::ONE + e)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    fn from_f64(v: f64) -> f64 {
        v
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn abs(self) -> f64 {
        f64::abs(self)
    }
    fn exp(self) -> f64 {
        f64::exp(self)
    }
    fn exp_m1(self) -> f64 {
        f64::exp_m1(self)
    }
    fn ln(self) -> f64 {
        f64::ln(self)
    }
    fn ln_1p(self) -> f64 {
        f64::ln_1p(self)
    }
    fn tanh(self) -> f64 {
        f64::tanh(self)
    }
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    fn cos_sin_turn(n: u32) -> (f64, f64) {
        let (sin, cos) = (std::f64::consts::TAU * f64::from(n) / f64::from(1 << 24)).sin_cos();
        (cos, sin)
    }
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    #[inline(always)]
    fn from_f64(v: f64) -> f32 {
        v as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }

    /// Within 2 units in the last place, without a branch, so that loops over it become vector
    /// instructions. Results below 1.2e-38 are that number, above 1.6e38 that one.
    #[inline(always)]
    fn exp(self) -> f32 {
        // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the sum.
        const ROUND: f32 = 12_582_912.0;
        let v = self.clamp(-87.336, 88.0);
        let shifted = v * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        // v - n ln 2, with ln 2 in two parts so that the product with n is exact
        let r = v - n * 0.693_359_4 + n * 2.121_944_4e-4;
        let mut p = 1.987_569_1e-4 * r + 1.398_2e-3;
        p = p * r + 8.333_452e-3;
        p = p * r + 4.166_579_6e-2;
        p = p * r + 1.666_666_5e-1;
        p = p * r + 0.5;
        let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
        (p * r * r + r + 1.0) * power
    }
    fn exp_m1(self) -> f32 {
        f32::exp_m1(self)
    }
    fn ln(self) -> f32 {
        f32::ln(self)
    }

    /// ln(1 + v) for v >= 0, without a branch; within 3 units in the last place of 1 + the result.
    #[inline(always)]
    fn ln_1p(self) -> f32 {
        let sum = 1.0 + self;
        // what rounding 1 + v lost, returned to the result to first order
        let lost = self - (sum - 1.0);
        // exponent such that the mantissa lies in [1/sqrt 2, sqrt 2)
        let bits = sum.to_bits().wrapping_sub(0x3f35_04f3);
        let exponent = ((bits as i32) >> 23) as f32;
        let mantissa = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3));
        let f = mantissa - 1.0;
        let ff = f * f;
        let y = f * ff * ln_polynomial(f) - 2.121_944_4e-4 * exponent - 0.5 * ff;
        y + f + 0.693_359_4 * exponent + lost / sum
    }

    /// By the exponential, so that it vectorizes; below 1/4, where 1 - e cancels, by the series.
    #[inline(always)]
    fn tanh(self) -> f32 {
        let e = Real::exp(-2.0 * f32::abs(self));
        let far = ((1.0 - e) / (1.0 + e)).copysign(self);
        let w = self * self;
        let near = self
            - self
                * w
                * (0.333_333_34 - w * (0.133_333_34 - w * (0.053_968_254 - w * 0.021_869_488)));
        if f32::abs(self) < 0.25 { near } else { far }
    }

    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }

    /// ln of a positive normal number within 2 units in the last place, without a branch (Cephes'
    /// polynomial, as in shaders/lib/normal.wgsl).
    #[inline(always)]
    fn ln_precise(self) -> f32 {
        let bits = self.to_bits().wrapping_sub(0x3f35_04f3);
        let exponent = ((bits as i32) >> 23) as f32;
        let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3)) - 1.0;
        f * f * f * ln_polynomial(f) - 2.121_944_4e-4 * exponent - 0.5 * f * f
            + f
            + 0.693_359_4 * exponent
    }

    /// By the octant and a polynomial on |a| <= pi / 4, without a branch, as in shaders/lib/normal.wgsl.
    #[inline(always)]
    fn cos_sin_turn(n: u32) -> (f32, f32) {
        let shifted = n + (1 << 21); // rounds to the nearest quarter turn
        let quarter = (shifted >> 22) & 3;
        let a = ((shifted & 0x003f_ffff) as i32 - (1 << 21)) as f32 * 3.745_070_3e-7;
        let aa = a * a;
        let s = a + a * aa * ((-1.951_529_6e-4 * aa + 8.332_161e-3) * aa - 1.666_665_5e-1);
        let c = 1.0 - 0.5 * aa
            + aa * aa * ((2.443_315_7e-5 * aa - 1.388_731_6e-3) * aa + 4.166_664_6e-2);
        let (cos, sin) = if quarter & 1 == 0 { (c, s) } else { (s, c) };
        let cos = if quarter == 1 || quarter == 2 { -cos } else { cos };
        (cos, if quarter >= 2 { -sin } else { sin })
    }

    #[inline(always)]
    fn to_half(self, scale: f64) -> f32 {
        let scale = scale as f32;
        precision::to_half(self * scale) / scale
    }
}

/// (ln(1 + f) - f + f^2 / 2) / f^3 on [1/sqrt 2 - 1, sqrt 2 - 1) (Cephes).
#[inline(always)]
fn ln_polynomial(f: f32) -> f32 {
    let mut p = 7.037_684e-2 * f - 1.151_461e-1;
    p = p * f + 1.167_699_9e-1;
    p = p * f - 1.242_014_1e-1;
    p = p * f + 1.424_932_3e-1;
    p = p * f - 1.666_805_8e-1;
    p = p * f + 2.000_071_5e-1;
    p = p * f - 2.499_999_4e-1;
    p * f + 3.333_333e-1
}

/// The sum of the terms, in sixteen partial sums: the error bound of a sum is that of its longest chain of
/// additions, and no device makes one of all terms.
#[inline(always)]
pub fn sum<T: Real>(terms: impl Iterator<Item = T>) -> T {
    let mut partial = [T::ZERO; 16];
    for (i, term) in terms.enumerate() {
        partial[i % 16] += term;
    }
    partial.into_iter().fold(T::ZERO, |sum, part| sum + part)
}

/// sum_i a_i b_i.
#[inline(always)]
pub fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    a.iter().zip(b).fold(T::ZERO, |sum, (&a, &b)| sum + a * b)
}

/// `out` += factor * `values`.
#[inline(always)]
pub fn add_multiple<T: Real>(out: &mut [T], factor: T, values: &[T]) {
    for (out, &value) in out.iter_mut().zip(values) {
        *out += factor * value;
    }
}
