//! What a variational autoencoder is made of: its parameters, and its steps as plans of kernels.
//!
//! Notation throughout: B images of a minibatch, D pixels, H hidden units, Z latent units, K samples an
//! image, R = B * K rows. `d_x` is the gradient of the objective with respect to `x`.

#[doc(hidden)]
pub mod anneal;
mod architecture;
mod binarization;
mod bound;
#[doc(hidden)]
pub mod decode;
#[doc(hidden)]
pub mod estimate;
#[doc(hidden)]
pub mod impute;
pub mod likelihood;
mod minibatch;
#[doc(hidden)]
pub mod network;
pub mod objective;
pub mod posterior;
#[doc(hidden)]
pub mod prior;
#[doc(hidden)]
pub mod refine;
#[doc(hidden)]
pub mod simulate;
#[doc(hidden)]
pub mod step;

pub use crate::config_error::ConfigError;
pub use crate::nn::Init;
pub use crate::optim::{Adam, Optimizer};
pub use architecture::Architecture;
pub use binarization::Binarization;
pub use likelihood::{Likelihood, Variance};
pub use network::Network;
pub use objective::Objective;
pub use posterior::Family;
pub use prior::Prior;
