pub mod data;
pub mod device;
pub mod kernels;
pub mod plan;
