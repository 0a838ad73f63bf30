//! The model whose answer is known, and what must hold on it.

pub mod linear_gaussian;
