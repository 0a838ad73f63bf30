//! What a trained model shows: draws from the prior, test images beside their reconstructions, the
//! posteriors of test images, and what becomes of any latent code.

use crate::config_error::ConfigError;
use crate::data::Images;
use crate::device::{Device, DeviceError};
use crate::evaluate::Posteriors;
use crate::loaded::{LoadedModel, Model};
use crate::plan::PlanError;
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::{Architecture, Binarization};

/// Why a picture could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Images without the classes that the network is told.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// The classes of `count` images, as many of each of `classes` as of the others, or one more of the first, class by class;
/// none where there are no classes.
pub fn by_class(count: usize, classes: usize) -> Vec<u32> {
    let of = |class| count / classes + usize::from(class < count % classes);
    (0..classes).flat_map(|class| std::iter::repeat_n(class as u32, of(class))).collect()
}

/// Expected pixels in [0, 1] of `count` draws z ~ N(0, I): one (D) image after the other. A network that is told classes is
/// told those of [`by_class`].
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
    let classes = by_class(count, architecture.classes.len());
    sample_of(device, architecture, parameters, (count, &classes), seed)
}

/// The same of these classes, (`count`), of a network that is told them.
///
/// # Errors
/// As [`sample`].
pub fn sample_of(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    (count, classes): (usize, &[u32]),
    seed: u64,
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let program = SampleProgram::record(architecture, count)?;
    let mut loaded = LoadedModel::load(device, program, parameters, seed)?;
    Ok(images(loaded.sample(classes)?, architecture.pixels()))
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
    let program = ReconstructProgram::record(architecture, binarization, count)?;
    let shown = test.first(count);
    let classes = shown.classes_among(&architecture.classes, "the images")?;
    let mut loaded = LoadedModel::load(device, program, parameters, seed)?;
    let [inputs, outputs] =
        loaded.reconstruct(&shown.pixels, &classes)?.map(|values| images(values, d));
    Ok(inputs.into_iter().zip(outputs).flat_map(|(x, mean)| [x, mean]).collect())
}

/// Expected pixels in [0, 1] at each of the codes `z`, (R, Z) row by row: one (D) image after the other. `classes`, (R), are
/// told to a network that is told them.
///
/// # Errors
/// The device, or more codes than a kernel's grid can cover.
pub fn decode(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    z: &[f32],
    classes: &[u32],
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let program = DecodeProgram::record(architecture, z.len() / architecture.latent)?;
    let mut loaded = LoadedModel::load(device, program, parameters, 0)?;
    Ok(images(loaded.decode(z, classes)?, architecture.pixels()))
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
    /// Images of a run, at most, and their pixels.
    const BATCH: usize = 500;
    const PIXELS: usize = 1 << 25;
    let shown = test.first(count.min(test.n_images));
    let count = shown.n_images;
    let chunks = Chunks {
        batch: count.min(BATCH).min(PIXELS / test.n_pixels()).max(1),
        samples: 1,
        runs: 1,
    };
    let mut loaded: LoadedModel<EstimateProgram> =
        LoadedModel::of_images::<GenerateError>(device, model, &shown, chunks, None)?;
    let latent = model.architecture.latent;
    let mut posteriors = Posteriors { latent, ..Posteriors::default() };
    for first in (0..count).step_by(chunks.batch) {
        loaded.begin_at(first)?;
        let heads = loaded.encode()?;
        posteriors.extend(&heads[..chunks.batch.min(count - first) * 2 * latent]);
    }
    Ok(posteriors)
}

fn images(values: Vec<f32>, d: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(d).map(<[f32]>::to_vec).collect()
}
