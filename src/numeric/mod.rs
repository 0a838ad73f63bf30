//! Number types, random numbers, and loops on all cores: what computing on the CPU needs that knows no kernel.

pub mod bounded;
mod crowd;
pub mod parallel;
pub mod philox;
pub mod precision;
pub mod real;
pub mod thread_pool;

pub use bounded::Bounded;
pub use precision::Precision;
pub use real::{Real, add_multiple, dot, sum};
