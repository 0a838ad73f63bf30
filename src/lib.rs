//! Variational autoencoders trained by hand-written WGSL kernels, on any adapter or on the CPU.
//!
//! [`Trainer`] trains a network by [`Settings`] on a [`Dataset`] and gives a [`Vae`], on a [`Device`]. A [`Vae`]
//! samples, encodes, decodes and is evaluated, which gives an [`Evaluation`]; it is saved as a run folder,
//! which the program's commands know, as safetensors or as ONNX. All figures are nats per image.
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use elbo::{Dataset, Device, Images, Settings, Trainer};
//!
//! // 60 images of 4x4 pixels, each a bright half and a dark one.
//! let pixels = (0..60 * 16).map(|p| if (p / 16 + p % 4 / 2) % 2 == 0 { 255 } else { 0 }).collect();
//! let images = Images::new(4, 4, pixels)?;
//! let data = Dataset::new("halves", images.clone(), images)?;
//!
//! let mut settings = Settings { epochs: 2, batch: 20, ..Settings::of(&data) };
//! settings.architecture.latent = 2;
//! let device = Device::cpu()?;
//! let vae = Trainer::new(&device, &data, &settings)?.train(|report| {
//!     println!("epoch {}: test ELBO {:.2}", report.epoch, report.test.elbo);
//!     ControlFlow::Continue(())
//! })?;
//!
//! let drawn = vae.sample(&device, 3, 0)?;
//! assert!(drawn.len() == 3 && drawn[0].len() == 16);
//! let evaluation = vae.evaluate(&device, &data.test, 10)?;
//! assert!(evaluation.log_likelihood().value >= evaluation.elbo().value - 1.0);
//! # Ok::<(), elbo::Error>(())
//! ```
//!
//! What is hidden here is public for the program's tests only, without any promise.

#![warn(missing_docs)]

#[doc(hidden)]
pub mod bench;
#[doc(hidden)]
pub mod bounds;
#[doc(hidden)]
pub mod checkpoint;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod cli;
mod config_error;
pub mod data;
#[doc(hidden)]
pub mod data_stream;
pub mod device;
mod error;
pub mod evaluate;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod explore;
#[doc(hidden)]
pub mod generate;
mod image_shape;
#[doc(hidden)]
pub mod interchange;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod loaded;
mod model;
#[doc(hidden)]
pub mod named;
#[doc(hidden)]
pub mod nn;
#[doc(hidden)]
pub mod numeric;
#[doc(hidden)]
pub mod optim;
#[doc(hidden)]
pub mod pictures;
#[doc(hidden)]
pub mod plan;
mod read;
#[doc(hidden)]
pub mod report;
mod text;
pub mod train;
pub mod vae;
#[doc(hidden)]
pub mod verify;
#[doc(hidden)]
pub mod versions;
#[cfg(feature = "program")]
#[doc(hidden)]
pub mod web;

#[doc(inline)]
pub use checkpoint::CheckpointError;
pub use config_error::ConfigError;
#[doc(inline)]
pub use data::{DataError, Dataset, Images, Table, mnist};
#[doc(inline)]
pub use device::{Description, Device, DeviceError, Precision};
pub use error::Error;
#[doc(inline)]
pub use evaluate::{
    Estimate, EvaluateError, Evaluation, ImageFigures, Information, Posteriors, Unit,
};
#[doc(inline)]
pub use generate::GenerateError;
pub use image_shape::ImageShape;
#[doc(inline)]
pub use interchange::onnx::Part;
#[doc(inline)]
pub use kernels::activation::Activation;
pub use model::Vae;
#[doc(inline)]
pub use train::{
    EpochReport, Figures, Observer, Schedule, Settings, State, StepReport, TrainError, Trainer,
};
#[doc(inline)]
pub use vae::{
    Adam, Architecture, Binarization, Family, Init, Likelihood, Objective, Optimizer, Prior,
    objective::{Bound, Estimator, Kl},
};
