//! Files, read and written: data sets, a run's models and pictures, models for other programs.

mod codes;
mod colour;
mod files;
mod formats;
#[path = "../harness/mod.rs"]
mod harness;
mod interchange;
mod labels;
mod loaders;
mod pictures;
mod pytorch;
mod tables;
mod tensorboard;
