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
        /// y = v, or v / 100 below 0
        LeakyRelu = "leaky-relu",
        /// y = v, or e^v - 1 below 0
        Elu = "elu",
        /// y = v / (1 + e^-v)
        Silu = "silu",
    }
}

impl Activation {
    pub const ALL: [Activation; 7] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Tanh,
        Activation::Softplus,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Silu,
    ];

    /// Those whose derivative follows from their value: the kernels of a layer compute them.
    pub const IN_LAYERS: [Activation; 6] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Tanh,
        Activation::Softplus,
        Activation::LeakyRelu,
        Activation::Elu,
    ];

    /// What of it the kernels of a layer compute: all of it or nothing.
    pub fn in_layer(self) -> Self {
        if Activation::IN_LAYERS.contains(&self) { self } else { Activation::Identity }
    }

    /// The number the shader calls ACTIVATION, of one that it computes.
    pub fn number(self) -> f64 {
        debug_assert!(Activation::IN_LAYERS.contains(&self));
        f64::from(self as u8)
    }

    /// The one that a call is given.
    pub(crate) fn of(c: &Call<impl Real>) -> Self {
        Activation::IN_LAYERS[c.dim("ACTIVATION")]
    }

    /// Where values of it lie that the tests take: [low, high).
    pub(crate) fn range(self) -> (f64, f64) {
        match self {
            Activation::Tanh | Activation::LeakyRelu | Activation::Elu => (-1.0, 1.0),
            _ => (0.0, 9.0),
        }
    }

    /// Runs `loops` for the kind, compiled for each kind by itself: no loop of it branches.
    pub(crate) fn specialize(self, loops: impl PerActivation) {
        match self {
            Activation::Identity => loops.run(|v| v),
            Activation::Relu => loops.run(|v| Activation::Relu.apply(v)),
            Activation::Tanh => loops.run(|v| Activation::Tanh.apply(v)),
            Activation::Softplus => loops.run(|v| Activation::Softplus.apply(v)),
            Activation::LeakyRelu => loops.run(|v| Activation::LeakyRelu.apply(v)),
            Activation::Elu => loops.run(|v| Activation::Elu.apply(v)),
            Activation::Silu => loops.run(|v| Activation::Silu.apply(v)),
        }
    }

    #[inline(always)]
    pub(crate) fn apply<T: Real>(self, v: T) -> T {
        match self {
            Activation::Identity => v,
            Activation::Relu => v.relu(),
            Activation::Tanh => v.tanh(),
            Activation::Softplus => v.softplus(),
            Activation::LeakyRelu => v.relu() - T::from_f64(LEAK) * (-v).relu(),
            Activation::Elu => v.relu() + (-(-v).relu()).exp_m1(),
            Activation::Silu => v * v.sigmoid(),
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
            Activation::LeakyRelu | Activation::Elu if y > T::ZERO => T::ONE,
            Activation::LeakyRelu => T::from_f64(LEAK),
            Activation::Elu => y + T::ONE,
            Activation::Silu => unreachable!("two values of v have the same y"),
        }
    }
}

/// The slope of the leaky ReLU below 0: PyTorch's and ONNX's default.
const LEAK: f64 = 0.01;

/// Loops that apply an activation, see [`Activation::specialize`].
pub(crate) trait PerActivation {
    fn run(self, apply: impl Fn(f32) -> f32 + Sync);
}
