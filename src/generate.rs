//! What a trained model shows: draws from the prior, test images beside their reconstructions, the
//! posteriors of test images, and what becomes of any latent code.

use std::ops::ControlFlow;

use crate::config_error::ConfigError;
use crate::data::Images;
use crate::device::{Device, DeviceError};
use crate::evaluate::Posteriors;
use crate::kernels::weighted_mean;
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::plan::PlanError;
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::impute::ImputeProgram;
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

/// Expected pixels in [0, 1] of `count` draws z ~ p(z): one (D) image after the other. A network that is told classes is
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

/// The draws z ~ p(z) of [`sample`] themselves, (`count`, Z).
///
/// # Errors
/// As [`sample`].
pub fn sample_codes(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    count: usize,
    seed: u64,
) -> Result<Vec<f32>, GenerateError> {
    let program = SampleProgram::record(architecture, count)?;
    let mut loaded = LoadedModel::load(device, program, parameters, seed)?;
    loaded.sample(&by_class(count, architecture.classes.len()))?;
    Ok(loaded.read(loaded.program.z)?)
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
    let shown = test.first(count);
    let classes = shown.classes_among(&architecture.classes, "the images")?;
    let content = shown.content(architecture.likelihood, binarization);
    let program = ReconstructProgram::record(architecture, content, count)?;
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
    let (latent, family) = (model.architecture.latent, model.architecture.posterior);
    let mut posteriors = Posteriors { latent, family, ..Posteriors::default() };
    for first in (0..count).step_by(chunks.batch) {
        loaded.begin_at(first)?;
        let heads = loaded.encode()?;
        let wanted = chunks.batch.min(count - first);
        posteriors.extend(&heads[..wanted * family.heads(latent)]);
    }
    Ok(posteriors)
}

/// Of each row of a table the expectation of its cells, whether they are there or not, given those that are: E[x|z] of
/// `samples` draws z from q(z|x), or a few more, by their importance weights. (N, D) standardised. `progress` is called
/// with the share of the rows that is done, and may end the work; `None` then.
///
/// # Errors
/// The device, or sizes beyond what a kernel's grid can cover.
pub fn impute(
    device: &Device,
    model: Model,
    rows: &Images,
    samples: usize,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Option<Vec<f32>>, GenerateError> {
    let (n, d) = (rows.n_images, rows.n_pixels());
    let chunks = Chunks::new(rows_of(device), n, samples);
    let mut loaded: LoadedModel<ImputeProgram> =
        LoadedModel::of_images::<GenerateError>(device, model, rows, chunks, None)?;
    let ImputeProgram { encode, draw, largest, sums, .. } = loaded.program;
    let runs = samples.div_ceil(chunks.samples) as u64;
    let begin: Vec<f32> = [weighted_mean::NONE_YET, 0.0].repeat(chunks.batch);
    let zeros = vec![0.0; chunks.batch * d];
    let mut expected = Vec::with_capacity(n * d);
    for first in (0..n).step_by(chunks.batch) {
        loaded.executor.write_f32(largest, &begin)?;
        loaded.executor.write_f32(sums, &zeros)?;
        loaded.begin_at(first)?;
        loaded.run(encode)?;
        loaded.executor.run_all(draw, runs)?;
        let (largest, sums) = (loaded.read(largest)?, loaded.read(sums)?);
        let batch = chunks.batch.min(n - first);
        for (row, sums) in sums.chunks_exact(d).take(batch).enumerate() {
            expected.extend(sums.iter().map(|sum| sum / largest[2 * row + 1]));
        }
        if progress((first + batch) as f64 / n as f64).is_break() {
            return Ok(None);
        }
    }
    Ok(Some(expected))
}

fn images(values: Vec<f32>, d: usize) -> Vec<Vec<f32>> {
    values.chunks_exact(d).map(<[f32]>::to_vec).collect()
}
