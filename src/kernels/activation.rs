//! Activations, by the numbers that shaders/lib/activation.wgsl knows them by.

use crate::named::named;
use crate::numeric::Real;
use crate::plan::Call;

named! {
    /// The non-linearity of a hidden layer.
    pub enum Activation {
        /// y = v
        Identity = "identity",
        /// y = max(v, 0)
        Relu = "relu",
        /// y = tanh(v)
        Tanh = "tanh",
        /// y = ln(1 + e^v)
        Softplus = "softplus",
    }
}

impl Activation {
    pub const ALL: [Activation; 4] =
        [Activation::Identity, Activation::Relu, Activation::Tanh, Activation::Softplus];

    /// The number the shader calls ACTIVATION.
    pub fn number(self) -> f64 {
        f64::from(self as u8)
    }

    /// The one that a call is given.
    pub(crate) fn of(c: &Call<impl Real>) -> Self {
        Activation::ALL[c.dim("ACTIVATION")]
    }

    #[inline(always)]
    pub(crate) fn apply<T: Real>(self, v: T) -> T {
        match self {
            Activation::Identity => v,
            Activation::Relu => v.relu(),
            Activation::Tanh => v.tanh(),
            Activation::Softplus => v.softplus(),
        }
    }

    /// The derivative, from the activation's value `y`.
    #[inline(always)]
    pub(crate) fn gradient<T: Real>(self, y: T) -> T {
        match self {
            Activation::Identity => T::ONE,
            Activation::Relu if y > T::ZERO => T::ONE,
            Activation::Relu => T::ZERO,
            Activation::Tanh => T::ONE - y * y,
            Activation::Softplus => T::ONE - (-y).exp(),
        }
    }
}
