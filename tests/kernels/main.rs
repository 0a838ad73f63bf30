//! Kernels and what runs them: every device against the f64 reference, planted faults, the shaders by
//! themselves, plans, noise, mixed precision, the choice of variants, the pipeline cache.

mod compiled;
mod edges;
mod faults;
mod floors;
#[path = "../harness/mod.rs"]
mod harness;
mod mixed;
mod noise;
mod plan;
mod reference;
mod shaders;
mod tuning;
