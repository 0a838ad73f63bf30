//! What a person sees: the console and the pictures.

pub mod console;
pub mod figures;
