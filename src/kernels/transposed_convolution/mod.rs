//! Transposed convolutions: a convolution walked from its places back to its pixels. The input has P x Q pixels and O
//! channels, the output H x W and I: the names of [`super::convolution`], whose loops these are.

pub mod backward_input;
pub mod backward_weight;
pub mod forward;

pub use backward_input::BACKWARD_INPUT;
pub use backward_weight::BACKWARD_WEIGHT;
pub use forward::FORWARD;
