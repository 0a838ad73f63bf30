//! The harness is tested here: faults are planted in devices and in shaders, and each must be caught,
//! where the same case without the fault passes.

mod comparison;
mod devices;
mod mutations;
mod shaders;
