//! What becomes of a pixel's byte.

use crate::kernels::gather;
use crate::named::named;

named! {
    /// How a pixel's byte v becomes an observation. A likelihood means nothing without it.
    pub enum Binarization {
        /// 1 with probability v / 255, drawn anew each time an image is drawn.
        Dynamic = "dynamic",
        /// 1 where v >= 128.
        Fixed = "fixed",
        /// v / 255 itself: then the "likelihood" is a cross entropy, not a probability.
        None = "none",
    }
}

impl Binarization {
    /// The number the gather kernel calls BINARIZATION.
    pub fn number(self) -> f64 {
        match self {
            Binarization::Dynamic => gather::DYNAMIC,
            Binarization::Fixed => gather::FIXED,
            Binarization::None => gather::GREY,
        }
    }

    /// As it stands beside a number: "dynamic binarization" and so on.
    pub fn label(self) -> &'static str {
        match self {
            Binarization::Dynamic => "dynamic binarization",
            Binarization::Fixed => "fixed binarization (v ≥ 128)",
            Binarization::None => "pixels not binarized",
        }
    }
}
