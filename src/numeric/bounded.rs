//! A number that carries a bound on the error which single precision may make in computing it.
//!
//! A formula run on [`Bounded`] gives, element by element, the tolerance that a device's result is held to:
//! nothing is tuned by hand. The analysis is the usual first-order one (Higham, *Accuracy and Stability
//! of Numerical Algorithms*, chapter 3) with two additions. The rounding of a sum is charged with the sum
//! of the magnitudes of everything added so far, so that the bound holds for any order of summation.
//! Functions are charged what the WGSL specification allows a driver (section "Floating point accuracy").

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::Real;
use super::precision::{HALF_STEP, LARGEST_HALF, SMALLEST_HALF, to_half};

/// Unit roundoff of `f32`, 2^-24. One unit in the last place is up to twice that, relatively.
const U: f64 = 1.0 / 16_777_216.0;
/// What WGSL allows `log` on [0.5, 2], absolutely: 2^-21.
const LOG_ABSOLUTE: f64 = 8.0 * U;

#[derive(Debug, Clone, Copy)]
pub struct Bounded {
    /// The value in double precision.
    pub value: f64,
    /// Sum of the magnitudes of the terms that were added up to it.
    magnitude: f64,
    /// First-order bound on |single-precision result - value|.
    pub error: f64,
}

impl Bounded {
    fn new(value: f64, error: f64) -> Self {
        // Numbers below 2^-126 may be flushed to zero.
        Bounded { value, magnitude: value.abs(), error: error + f64::from(f32::MIN_POSITIVE) }
    }

    fn sum(self, other: Bounded, value: f64) -> Self {
        let magnitude = self.magnitude + other.magnitude;
        Bounded { value, magnitude, error: self.error + other.error + U * magnitude }
    }
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialOrd for Bounded {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl Add for Bounded {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.sum(other, self.value + other.value)
    }
}

impl Sub for Bounded {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self.sum(other, self.value - other.value)
    }
}

impl Mul for Bounded {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let value = self.value * other.value;
        let propagated = self.value.abs() * other.error
            + other.value.abs() * self.error
            + self.error * other.error;
        Bounded::new(value, propagated + U * value.abs())
    }
}

impl Div for Bounded {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let value = self.value / other.value;
        let propagated = (self.error + value.abs() * other.error) / other.value.abs();
        Bounded::new(value, propagated + 5.0 * U * value.abs()) // 2.5 units in the last place
    }
}

impl Neg for Bounded {
    type Output = Self;
    fn neg(self) -> Self {
        Bounded { value: -self.value, ..self }
    }
}

impl AddAssign for Bounded {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl SubAssign for Bounded {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}
impl MulAssign for Bounded {
    fn mul_assign(&mut self, other: Self) {
        *self = *self * other;
    }
}
impl DivAssign for Bounded {
    fn div_assign(&mut self, other: Self) {
        *self = *self / other;
    }
}

impl Real for Bounded {
    const ZERO: Self = Bounded { value: 0.0, magnitude: 0.0, error: 0.0 };
    const ONE: Self = Bounded { value: 1.0, magnitude: 1.0, error: 0.0 };

    /// Charged one rounding if `v` is not a single-precision number.
    fn from_f64(v: f64) -> Self {
        let exact = f64::from(v as f32) == v;
        Bounded { value: v, magnitude: v.abs(), error: if exact { 0.0 } else { U * v.abs() } }
    }
    fn to_f64(self) -> f64 {
        self.value
    }
    fn abs(self) -> Self {
        Bounded { value: self.value.abs(), ..self }
    }
    /// WGSL: 3 + 2 |x| units in the last place.
    fn exp(self) -> Self {
        let value = self.value.exp();
        Bounded::new(value, value * (self.error.exp_m1() + (6.0 + 4.0 * self.value.abs()) * U))
    }
    /// Near zero by a series, elsewhere by `exp`.
    fn exp_m1(self) -> Self {
        let value = self.value.exp_m1();
        let exp = self.value.exp();
        let own = if self.value.abs() < 0.5 {
            16.0 * value.abs()
        } else {
            value.abs() + exp * (8.0 + 4.0 * self.value.abs())
        };
        Bounded::new(value, exp * self.error.exp_m1() + own * U)
    }
    /// WGSL: 2^-21 absolutely on [0.5, 2], else 3 units in the last place.
    fn ln(self) -> Self {
        let value = self.value.ln();
        let own =
            if (0.5..=2.0).contains(&self.value) { LOG_ABSOLUTE } else { 6.0 * U * value.abs() };
        Bounded::new(value, self.error / self.value.abs() + own)
    }
    /// Within 2 units in the last place.
    fn ln_precise(self) -> Self {
        let value = self.value.ln();
        Bounded::new(value, self.error / self.value.abs() + 4.0 * U * value.abs())
    }
    /// As a shader has to: ln(1 + v), with the rounding of the sum.
    fn ln_1p(self) -> Self {
        (Bounded::ONE + self).ln().with_value(self.value.ln_1p())
    }
    /// (1 - e) / (1 + e) with e = exp(-2 |v|), or a series near zero.
    fn tanh(self) -> Self {
        let value = self.value.tanh();
        let v = self.value.abs();
        // far out e vanishes, and what exp may do to it
        let own =
            if v < 0.25 { 8.0 * value.abs() } else { 16.0 + (12.0 + 16.0 * v) * (-2.0 * v).exp() };
        // The slope where it is steepest within the argument's error (twice, as it is first order).
        let steepest = (v - 2.0 * self.error).max(0.0).tanh();
        Bounded::new(value, self.error * (1.0 - steepest * steepest) + own * U)
    }
    fn sqrt(self) -> Self {
        let value = self.value.sqrt();
        let propagated = match value > 0.0 {
            true => self.error / value, // twice the first-order term, so as to hold near zero too
            false => self.error.sqrt(),
        };
        Bounded::new(value, propagated.min(self.error.sqrt()) + 6.0 * U * value)
    }
    /// By a polynomial within 2 units in the last place of 1.
    fn cos_sin_turn(n: u32) -> (Self, Self) {
        let (cos, sin) = f64::cos_sin_turn(n);
        (Bounded::new(cos, 4.0 * U), Bounded::new(sin, 4.0 * U))
    }
    /// The argument's error, unless that leaves it negative (four times, as it is first order).
    fn relu(self) -> Self {
        match self.value < 0.0 {
            true if self.value + 4.0 * self.error < 0.0 => Bounded::ZERO,
            true => Bounded { value: 0.0, ..self },
            false => self,
        }
    }
    /// WGSL: either neighbour of a number that f16 has not, and subnormals may be flushed.
    fn to_half(self, scale: f64) -> Self {
        let size = (self.value * scale).abs();
        let exact = f64::from(to_half(size as f32)) == size;
        let own = match size {
            _ if size > LARGEST_HALF => f64::NAN,
            _ if size >= SMALLEST_HALF && exact => 0.0,
            _ if size >= SMALLEST_HALF => HALF_STEP * size,
            0.0 => 0.0,
            _ => size.max(HALF_STEP * SMALLEST_HALF),
        };
        let value = if own.is_nan() { f64::NAN } else { self.value };
        Bounded { value, error: self.error + own / scale, ..self }
    }
}

impl Bounded {
    fn with_value(self, value: f64) -> Self {
        Bounded { value, ..self }
    }
}
