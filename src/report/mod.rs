//! What a person sees: the console and the pictures.

pub mod bounds;
pub mod codes;
pub mod columns;
#[cfg(feature = "program")]
pub mod console;
pub mod details;
pub mod evaluation;
pub mod figures;
pub mod gaps;
pub mod gaps_figure;
pub mod latent;
pub mod movie;
pub mod network;
pub mod plot;
#[cfg(feature = "program")]
pub mod progress;
pub mod rows;
pub mod scores;
pub mod signal;
pub mod svg;
pub mod table;
pub mod tensorboard;
pub mod tiles;
pub mod training;
