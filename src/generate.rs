//! Pictures from a trained model: draws from the prior, and test images beside their reconstructions.

use crate::data::Images;
use crate::device::{Device, DeviceError, Executor};
use crate::kernels::clock;
use crate::plan::PlanError;
use crate::vae::step::{ReconstructProgram, SampleProgram};
use crate::vae::{Architecture, Binarization, Network};

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Device(#[from] DeviceError),
}

/// Expected pixels in [0, 1] of `count` draws z ~ N(0, I): one (D) image after the other.
///
/// # Errors
/// The device, or a count beyond what a kernel's grid can cover.
pub fn sample(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    count: usize,
    seed: u64,
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let plan = SampleProgram::record(architecture, count)?;
    let mut executor = device.load(plan.program)?;
    begin(&mut *executor, &plan.network, parameters, plan.clock, seed)?;
    executor.run_all(plan.plan, 1)?;
    Ok(images(executor.read_f32(plan.mean)?, architecture.pixels()))
}

/// The first `count` test images as the encoder sees them, each followed by the decoder's expected
/// pixels at the posterior mean.
///
/// # Errors
/// The device, or a count beyond what a kernel's grid can cover.
pub fn reconstruct(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    binarization: Binarization,
    test: &Images,
    count: usize,
    seed: u64,
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let count = count.min(test.n_images);
    let d = architecture.pixels();
    let plan = ReconstructProgram::record(architecture, binarization, count)?;
    let mut executor = device.load(plan.program)?;
    begin(&mut *executor, &plan.network, parameters, plan.clock, seed)?;
    executor.write_bytes(plan.data, &test.pixels[..count * d])?;
    executor.run_all(plan.plan, 1)?;
    let inputs = images(executor.read_f32(plan.x)?, d);
    let outputs = images(executor.read_f32(plan.mean)?, d);
    Ok(inputs.into_iter().zip(outputs).flat_map(|(x, mean)| [x, mean]).collect())
}

fn begin(
    executor: &mut dyn Executor,
    network: &Network,
    parameters: &[Vec<f32>],
    clock: crate::plan::TensorId,
    seed: u64,
) -> Result<(), DeviceError> {
    for (tensor, values) in network.parameters().into_iter().zip(parameters) {
        executor.write_f32(tensor, values)?;
    }
    let mut words = [0; clock::WORDS];
    words[clock::SEED_LOW] = seed as u32;
    words[clock::SEED_HIGH] = (seed >> 32) as u32;
    executor.write_u32(clock, &words)
}

fn images(values: Vec<f32>, d: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(d).map(<[f32]>::to_vec).collect()
}
