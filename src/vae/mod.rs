//! What a variational autoencoder is made of: its parameters, and its steps as plans of kernels.
//!
//! Notation throughout: B images of a minibatch, D pixels, H hidden units, Z latent units, K samples an
//! image, R = B * K rows. `d_x` is the gradient of the objective with respect to `x`.

mod backward;
pub mod config;
#[doc(hidden)]
pub mod decode;
#[doc(hidden)]
pub mod estimate;
pub mod likelihood;
#[doc(hidden)]
pub mod network;
pub mod objective;
mod recorder;
#[doc(hidden)]
pub mod step;

pub use config::{Adam, Architecture, Binarization, ConfigError};
pub use likelihood::Likelihood;
pub use network::{Init, Layer, Network};
pub use objective::Objective;
