//! The float types of the twins.

use std::cell::RefCell;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use super::lanes::{LogBernoulli, gradient_of_lanes, less_logarithms, ln_polynomial};
use super::matrix::{Matrix, multiply_tile};
use super::{gemm_skinny, grad_weight, precision};

/// Pixels of a row whose log p(x|z) is summed together.
pub const PART: usize = 32;

/// What a twin may do with a number.
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

    /// `out` (m, n) row-major = a (m, k) times b (k, n).
    fn multiply(m: usize, n: usize, k: usize, a: Matrix<Self>, b: Matrix<Self>, out: &mut [Self]) {
        a.check(m, k);
        b.check(k, n);
        crate::numeric::parallel::rows(
            &mut out[..m * n],
            n,
            #[inline(always)]
            |i, out| {
                for (j, out) in out.iter_mut().enumerate() {
                    let mut sum = Self::ZERO;
                    for p in 0..k {
                        let left = a.data[i * a.row_stride + p * a.column_stride];
                        sum += left * b.data[p * b.row_stride + j * b.column_stride];
                    }
                    *out = sum;
                }
            },
        );
    }

    /// Calls `f(row, column, values)` for pieces of a^T b that cover it, a (k, m) and b (k, n) row-major, on
    /// this thread. To be inlined inside [`Real::vectorized`], and only where
    /// [`Real::streams_outer_products`].
    fn outer_products(
        _dims: [usize; 3],
        _a: Matrix<Self>,
        _b: Matrix<Self>,
        _f: impl FnMut(usize, usize, &[Self]),
    ) {
        unreachable!("only where it beats multiply")
    }

    /// Whether [`Real::outer_products`] of these dimensions beats [`Real::multiply`] and a look at its result.
    fn streams_outer_products(_dims: [usize; 3]) -> bool {
        false
    }

    /// Calls `f` on `n` numbers of any value, which are not allocated anew where that would cost time. Not to
    /// be nested.
    fn with_scratch<R>(n: usize, f: impl FnOnce(&mut [Self]) -> R) -> R {
        f(&mut vec![Self::ZERO; n])
    }

    /// Runs `f` with the widest vector instructions of this processor, where that helps.
    fn vectorized<R>(f: impl FnOnce() -> R) -> R {
        f()
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

    /// Sum over pixels of x eta - softplus(eta).
    #[inline(always)]
    fn log_bernoulli(x: &[Self], logits: &[Self]) -> Self {
        crate::numeric::parallel::sum(x.len(), |i| x[i] * logits[i] - logits[i].softplus())
    }

    /// [`Real::log_bernoulli`] of each [`PART`] pixels.
    #[inline(always)]
    fn log_bernoulli_of_parts(x: &[Self], logits: &[Self], out: &mut [Self]) {
        for ((x, eta), out) in x.chunks(PART).zip(logits.chunks(PART)).zip(out) {
            *out = Self::log_bernoulli(x, eta);
        }
    }

    /// The same together with `d` = w (x - sigmoid(eta)); `d` holds the logits eta before.
    #[inline(always)]
    fn bernoulli_gradient(x: &[Self], d: &mut [Self], w: Self, out: &mut [Self]) {
        Self::log_bernoulli_of_parts(x, d, out);
        for (d, &x) in d.iter_mut().zip(x) {
            *d = w * (x - d.sigmoid());
        }
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
    fn multiply(m: usize, n: usize, k: usize, a: Matrix<f64>, b: Matrix<f64>, out: &mut [f64]) {
        a.check(m, k);
        b.check(k, n);
        assert!(out.len() >= m * n);
        let out = crate::numeric::parallel::Shared(out.as_mut_ptr());
        crate::numeric::parallel::tiles(
            [m, n],
            2 * m * n * k,
            #[inline(always)]
            |rows, columns| {
                // SAFETY: as that of f32.
                unsafe { multiply_tile(rows, columns, [n, k], a, b, out.get()) };
            },
        );
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
    fn log_bernoulli(x: &[f32], logits: &[f32]) -> f32 {
        let mut sum = LogBernoulli::default();
        let ((xs, x), (etas, eta)) = (x.as_chunks(), logits.as_chunks());
        for (x, eta) in xs.iter().zip(etas) {
            sum.add(x, eta);
        }
        sum.add_part(x, eta);
        sum.total()
    }

    #[inline(always)]
    fn log_bernoulli_of_parts(x: &[f32], logits: &[f32], out: &mut [f32]) {
        let ((xs, x), (etas, eta)) = (x.as_chunks::<PART>(), logits.as_chunks::<PART>());
        less_logarithms(
            out,
            #[inline(always)]
            |part| {
                let mut sum = LogBernoulli::default();
                if part < xs.len() {
                    for (x, eta) in xs[part].as_chunks().0.iter().zip(etas[part].as_chunks().0) {
                        sum.add(x, eta);
                    }
                } else {
                    let ((xs, x), (etas, eta)) = (x.as_chunks(), eta.as_chunks());
                    for (x, eta) in xs.iter().zip(etas) {
                        sum.add(x, eta);
                    }
                    sum.add_part(x, eta);
                }
                sum.sum_and_product()
            },
        );
    }

    #[inline(always)]
    fn bernoulli_gradient(x: &[f32], d: &mut [f32], w: f32, out: &mut [f32]) {
        let ((xs, x), (ds, d)) = (x.as_chunks::<PART>(), d.as_chunks_mut::<PART>());
        less_logarithms(
            out,
            #[inline(always)]
            |part| {
                let mut sum = LogBernoulli::default();
                if part < xs.len() {
                    for (x, d) in xs[part].as_chunks().0.iter().zip(ds[part].as_chunks_mut().0) {
                        gradient_of_lanes(&mut sum, x, d, w);
                    }
                } else {
                    let ((xs, x), (ds, d)) = (x.as_chunks(), d.as_chunks_mut());
                    for (x, d) in xs.iter().zip(ds) {
                        gradient_of_lanes(&mut sum, x, d, w);
                    }
                    sum.add_part(x, d);
                    for (d, &x) in d.iter_mut().zip(x) {
                        *d = w * (x - d.sigmoid());
                    }
                }
                sum.sum_and_product()
            },
        );
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

    /// By the `gemm` crate, or by dot products of few rows, a part of the output on each thread.
    fn multiply(m: usize, n: usize, k: usize, a: Matrix<f32>, b: Matrix<f32>, out: &mut [f32]) {
        a.check(m, k);
        b.check(k, n);
        assert!(out.len() >= m * n);
        let out = crate::numeric::parallel::Shared(out.as_mut_ptr());
        let rows_of_both =
            [a.row_stride, a.column_stride, b.row_stride, b.column_stride] == [k, 1, 1, k];
        crate::numeric::parallel::tiles(
            [m, n],
            2 * m * n * k,
            #[inline(always)]
            |rows, columns| {
                if rows_of_both && gemm_skinny::suits([m, n, k]) {
                    f32::vectorized(
                        #[inline(always)]
                        // SAFETY: as below, and the strides have just been looked at.
                        || unsafe {
                            let a = Matrix { data: &a.data[rows.start * k..], ..a };
                            let b = Matrix { data: &b.data[columns.start * k..], ..b };
                            let out = out.get().add(rows.start * n + columns.start);
                            gemm_skinny::multiply([rows.len(), columns.len(), k], a, b, out, n);
                        },
                    );
                    return;
                }
                // SAFETY: the checks above put every element that the strides reach inside its slice, `out`
                // is borrowed mutably, so it overlaps neither input, and no two tiles share an element.
                unsafe { multiply_tile(rows, columns, [n, k], a, b, out.get()) };
            },
        );
    }

    #[inline(always)]
    fn outer_products(
        dims: [usize; 3],
        a: Matrix<f32>,
        b: Matrix<f32>,
        f: impl FnMut(usize, usize, &[f32]),
    ) {
        grad_weight::products(dims, a, b, f);
    }

    fn streams_outer_products(dims: [usize; 3]) -> bool {
        grad_weight::suits(dims)
    }

    fn with_scratch<R>(n: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
        thread_local! {
            static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(scratch.len().max(n), 0.0);
            f(&mut scratch[..n])
        })
    }

    #[inline(always)]
    fn to_half(self, scale: f64) -> f32 {
        let scale = scale as f32;
        precision::to_half(self * scale) / scale
    }

    #[inline(always)]
    fn vectorized<R>(f: impl FnOnce() -> R) -> R {
        pulp::Arch::new().dispatch(f)
    }
}
