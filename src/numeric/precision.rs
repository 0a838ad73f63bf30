//! In what a product of matrices is computed, and how numbers are rounded for it.

use crate::named::named;

named! {
    /// How products of matrices are computed; all else, parameters and moments too, is in f32 always.
    #[derive(Default)]
    pub enum Precision {
        /// In f32.
        F32 = "f32" (default),
        /// Of numbers rounded to f16, summed in f32, by the cooperative matrices of a GPU (tensor cores);
        /// the CPU imitates it.
        Mixed = "mixed",
    }
}

/// The largest number of f16.
pub const LARGEST_HALF: f64 = 65504.0;
/// The smallest normal number of f16, 2^-14. Smaller ones may be flushed to zero.
pub const SMALLEST_HALF: f64 = 1.0 / 16_384.0;
/// What lies between two f16 numbers from 1 on: WGSL lets a conversion go to either neighbour.
pub const HALF_STEP: f64 = 1.0 / 1024.0;

/// The nearest f16 number; NaN beyond the largest, for an infinity would be lost in a ReLU.
#[inline(always)]
pub fn to_half(v: f32) -> f32 {
    let magnitude = v.abs();
    let bits = v.to_bits();
    // Eleven bits of the significand, ties to even; subnormals are multiples of 2^-24, as are sums of this
    // size.
    let normal = f32::from_bits(bits.wrapping_add(0x0fff + (bits >> 13 & 1)) & !0x1fff);
    let subnormal = (v + 0.75) - 0.75;
    let rounded = if magnitude < SMALLEST_HALF as f32 { subnormal } else { normal };
    if magnitude <= LARGEST_HALF as f32 { rounded } else { f32::NAN }
}

/// What brings the gradient of a mean over so many rows into the range of f16, whose smallest normal number
/// is 6e-5, while an element is at most about 1 / rows: a power of two, so that nothing is rounded by it. As
/// in shaders/lib/mean_scale.wgsl.
pub fn mean_scale(rows: usize) -> f64 {
    rows.next_power_of_two() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_nearest() {
        for (v, half) in [
            (0.0, 0.0),
            (1.0, 1.0),
            (-0.1, -0.099_975_586),
            (1.0 + 0.5 / 1024.0, 1.0), // ties to even
            (1.0 + 1.5 / 1024.0, 1.0 + 2.0 / 1024.0),
            (1.999_9, 2.0),
            (2049.0, 2048.0),
            (65504.0, 65504.0),
            (65503.0, 65504.0),
            (6.103_515_6e-5, 6.103_515_6e-5), // 2^-14
            (5.960_464_5e-8, 5.960_464_5e-8), // 2^-24
            (2.9e-8, 0.0),
            (-3.1e-8, -5.960_464_5e-8),
            (6.1e-5, 1023.0 / 16_777_216.0),
            (1e-38, 0.0),
        ] {
            assert_eq!(to_half(v), half, "{v}");
            assert_eq!(to_half(-v), -half, "{}", -v);
        }
        for v in [65504.01, 7e4, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            assert!(to_half(v).is_nan(), "{v}");
        }
    }

    #[test]
    fn the_scale_of_a_mean_is_the_next_power_of_two() {
        let scales = [1, 2, 3, 4, 20, 128, 4096, 65_535].map(mean_scale);
        assert_eq!(scales, [1.0, 2.0, 4.0, 4.0, 32.0, 128.0, 4096.0, 65_536.0]);
    }
}
