//! What a trained model shows: draws from the prior, test images beside their reconstructions, the
//! posteriors of test images, and what becomes of any latent code.

use crate::data::Images;
use crate::data_stream::{self, DataStream};
use crate::device::{Device, DeviceError, Executor};
use crate::evaluate::{Model, Posteriors};
use crate::kernels::clock;
use crate::plan::{PlanError, TensorId};
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::step::Content;
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

/// Expected pixels in [0, 1] at each of the codes `z`, (R, Z) row by row: one (D) image after the other.
///
/// # Errors
/// The device, or more codes than a kernel's grid can cover.
pub fn decode(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    z: &[f32],
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let plan = DecodeProgram::record(architecture, z.len() / architecture.latent)?;
    let mut executor = device.load(plan.program)?;
    write_parameters(&mut *executor, &plan.network, parameters)?;
    executor.write_f32(plan.z, z)?;
    executor.run_all(plan.plan, 1)?;
    Ok(images(executor.read_f32(plan.mean)?, architecture.pixels()))
}

/// q(z|x) of the first `count` test images, binarized as they are for the test ELBO.
///
/// # Errors
/// The device, or sizes beyond what a kernel's grid can cover.
pub fn posteriors(
    device: &Device,
    model: Model,
    test: &Images,
    count: usize,
) -> Result<Posteriors, GenerateError> {
    /// Images of a run.
    const BATCH: usize = 500;
    let Model { architecture, parameters, binarization, seed } = model;
    let count = count.min(test.n_images);
    let chunks = Chunks { batch: count.min(BATCH), samples: 1, runs: 1 };
    let record = |resident| {
        let window = data_stream::window(count, architecture.pixels(), chunks.batch, resident);
        let content = Content::Bytes(binarization);
        EstimateProgram::record(architecture, content, count, window, chunks)
            .map(|plan| (plan, window))
            .map_err(GenerateError::from)
    };
    let (mut executor, (plan, window)) =
        data_stream::load(device, None, |(plan, _)| &plan.program, record)?;
    write_parameters(&mut *executor, &plan.network, parameters)?;
    let shown = test.first(count);
    let mut feed = window.map(|rows| DataStream::new(&shown, plan.data, rows, None));
    if feed.is_none() {
        executor.write_bytes(plan.data, &shown.pixels)?;
    }
    let width = 2 * architecture.latent;
    let mut posteriors = Posteriors { latent: architecture.latent, ..Posteriors::default() };
    for first in (0..count).step_by(chunks.batch) {
        if let Some(feed) = &mut feed {
            feed.prepare(&mut *executor, first as u64)?;
        }
        rewind(&mut *executor, plan.clock, seed, first)?;
        executor.run_all(plan.encode, 1)?;
        let heads = executor.read_f32(plan.heads)?;
        posteriors.extend(&heads[..chunks.batch.min(count - first) * width]);
    }
    Ok(posteriors)
}

fn begin(
    executor: &mut dyn Executor,
    network: &Network,
    parameters: &[Vec<f32>],
    clock: TensorId,
    seed: u64,
) -> Result<(), DeviceError> {
    write_parameters(executor, network, parameters)?;
    rewind(executor, clock, seed, 0)
}

fn write_parameters(
    executor: &mut dyn Executor,
    network: &Network,
    parameters: &[Vec<f32>],
) -> Result<(), DeviceError> {
    for (tensor, values) in network.parameters().into_iter().zip(parameters) {
        executor.write_f32(tensor, values)?;
    }
    Ok(())
}

/// The clock before the image `position`.
fn rewind(
    executor: &mut dyn Executor,
    tensor: TensorId,
    seed: u64,
    position: usize,
) -> Result<(), DeviceError> {
    let mut words = [0; clock::WORDS];
    words[clock::SEED_LOW] = seed as u32;
    words[clock::SEED_HIGH] = (seed >> 32) as u32;
    words[clock::POSITION] = position as u32;
    executor.write_u32(tensor, &words)
}

fn images(values: Vec<f32>, d: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(d).map(<[f32]>::to_vec).collect()
}
