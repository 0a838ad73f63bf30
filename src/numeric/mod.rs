//! Number types, random numbers, and loops on all cores: what computing on the CPU needs that knows no kernel.

pub mod bounded;
mod gemm_skinny;
mod grad_weight;
mod lanes;
mod matrix;
pub mod parallel;
pub mod philox;
pub mod precision;
pub mod real;
pub mod thread_pool;

pub use bounded::Bounded;
pub use matrix::Matrix;
pub use precision::Precision;
pub use real::Real;
