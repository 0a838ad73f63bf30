//! What a person sees: the console and the pictures.

pub mod console;
pub mod evaluation;
pub mod figures;
pub mod plot;
pub mod progress;
