//! Variational autoencoders trained by hand-written WGSL kernels, on any adapter or on the CPU.
//!
//! Data flows one way: [`cli`] → workflow ([`train`], [`generate`], [`evaluate`]) → [`vae`] → [`plan`] → [`device`] →
//! [`kernels`]. Nothing below [`vae`] knows what a VAE is; nothing above [`device`] knows what a buffer is.

pub mod checkpoint;
pub mod cli;
pub mod data;
pub mod device;
pub mod evaluate;
pub mod feed;
pub mod generate;
pub mod kernels;
pub mod plan;
pub mod report;
pub mod train;
pub mod vae;
pub mod verify;
pub mod versions;
