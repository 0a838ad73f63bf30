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
pub use crate::vae::decode::Shown;
use crate::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::impute::ImputeProgram;
use crate::vae::posterior::Reader;
use crate::vae::simulate::draw_values;
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
    let draws = Draws { count, classes, shown: Shown::Expected, seed };
    draw_all(device, architecture, parameters, draws)
}

/// What [`draw`] gives, one (D) image after the other.
///
/// # Errors
/// As [`sample`].
pub fn draw_all(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    draws: Draws,
) -> Result<Vec<Vec<f32>>, GenerateError> {
    let mut all = Vec::with_capacity(draws.count);
    let _ = draw(device, architecture, parameters, draws, &mut |values| {
        all.extend(images(values, architecture.pixels()));
        ControlFlow::Continue(())
    })?;
    Ok(all)
}

/// What is to be drawn from the prior.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    /// N
    pub count: usize,
    /// (N) the classes that a network is told; none of one that is told none.
    pub classes: &'a [u32],
    /// What is made of each code.
    pub shown: Shown,
    /// Of the codes, and of what is drawn by them.
    pub seed: u64,
}

/// Draws z from the prior and makes (D) values of each, a batch (R, D) after the other: `each` is given them, and may end the
/// work, which is returned. The first are the same however many there are.
///
/// # Errors
/// As [`sample`].
pub fn draw(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    draws: Draws,
    each: &mut dyn FnMut(Vec<f32>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, GenerateError> {
    let Draws { count, classes, shown, seed } = draws;
    let (batch, pixels) = (batch(device, count, architecture), architecture.pixels());
    let program = SampleProgram::record(architecture, batch, shown)?;
    let mut loaded = LoadedModel::load(device, program, parameters, seed)?;
    for first in (0..count).step_by(batch) {
        let wanted = batch.min(count - first);
        // Rows beyond the last draw are of any class.
        let mut told = classes.get(first..first + wanted).unwrap_or_default().to_vec();
        told.resize(if classes.is_empty() { 0 } else { batch }, 0);
        let mut values = loaded.sample(first, &told)?;
        if shown == Shown::Drawn {
            values = draw_values(architecture, parameters, &values, first, seed);
        }
        values.truncate(wanted * pixels);
        if each(values).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Images of a run of a plan: as many as suit the device, and as there is memory for without a thought.
fn batch(device: &Device, count: usize, architecture: &Architecture) -> usize {
    const OUTPUTS: usize = 1 << 25;
    let outputs = architecture.likelihood.module().outputs(architecture.pixels());
    count.min(rows_of(device)).min(OUTPUTS / outputs).max(1)
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
    let batch = batch(device, count, architecture);
    let program = SampleProgram::record(architecture, batch, Shown::Drawn)?;
    let mut loaded = LoadedModel::load(device, program, parameters, seed)?;
    // No code depends on the class.
    let told = vec![0; if architecture.classes.is_empty() { 0 } else { batch }];
    let mut codes = Vec::with_capacity(count * architecture.latent);
    for first in (0..count).step_by(batch) {
        loaded.sample(first, &told)?;
        codes.extend(loaded.read(loaded.program.z)?);
    }
    codes.truncate(count * architecture.latent);
    Ok(codes)
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
    let model = Model { architecture, parameters, binarization, seed };
    let mut pairs = Vec::new();
    let _ = reconstruct_each(device, model, &test.first(count), &mut |batch| {
        let [inputs, outputs] = batch.map(|values| images(values, architecture.pixels()));
        pairs.extend(inputs.into_iter().zip(outputs).flat_map(|(x, mean)| [x, mean]));
        ControlFlow::Continue(())
    })?;
    Ok(pairs)
}

/// Images as the encoder sees them, (B, D), and the decoder's expected pixels at their posterior means, (B, D), a batch after the
/// other: `each` is given them, and may end the work, which is returned.
///
/// # Errors
/// As [`reconstruct`].
pub fn reconstruct_each(
    device: &Device,
    model: Model,
    images: &Images,
    each: &mut dyn FnMut([Vec<f32>; 2]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, GenerateError> {
    let (count, pixels) = (images.n_images, images.n_pixels());
    let batch = batch(device, count, model.architecture);
    let chunks = Chunks { batch, samples: 1, runs: 1 };
    let mut loaded: LoadedModel<ReconstructProgram> =
        LoadedModel::of_images::<GenerateError>(device, model, images, chunks, None)?;
    for first in (0..count).step_by(chunks.batch) {
        loaded.begin_at(first)?;
        let mut pair = loaded.reconstruct()?;
        let wanted = chunks.batch.min(count - first);
        pair.iter_mut().for_each(|values| values.truncate(wanted * pixels));
        if each(pair).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
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
    let mut posteriors = Posteriors::of(&Reader::of(model.architecture, model.parameters));
    let _ = encode(device, model, &test.first(count), &mut |heads| {
        posteriors.extend(heads);
        ControlFlow::Continue(())
    })?;
    Ok(posteriors)
}

/// The encoder's outputs (B, heads) for images, binarized as they are for the test ELBO, a batch after the other: `each` is given
/// them, and may end the work, which is returned.
///
/// # Errors
/// As [`posteriors`].
pub fn encode(
    device: &Device,
    model: Model,
    images: &Images,
    each: &mut dyn FnMut(&[f32]) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, GenerateError> {
    /// Images of a run, at most, and their pixels.
    const BATCH: usize = 500;
    const PIXELS: usize = 1 << 25;
    let count = images.n_images;
    let chunks = Chunks {
        batch: count.min(BATCH).min(PIXELS / images.n_pixels()).max(1),
        samples: 1,
        runs: 1,
    };
    let mut loaded: LoadedModel<EstimateProgram> =
        LoadedModel::of_images::<GenerateError>(device, model, images, chunks, None)?;
    let heads_of_one = model.architecture.posterior.heads(model.architecture.latent);
    for first in (0..count).step_by(chunks.batch) {
        loaded.begin_at(first)?;
        let heads = loaded.encode()?;
        if each(&heads[..chunks.batch.min(count - first) * heads_of_one]).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// q(z|x) of many records as other programs take it: the mean and the standard deviation that each latent unit has by
/// itself.
#[derive(Debug, Clone)]
pub struct Codes {
    /// Z
    pub latent: usize,
    /// What reads q.
    pub reader: Reader,
    /// (N, Z)
    pub mean: Vec<f32>,
    /// (N, Z)
    pub std: Vec<f32>,
}

impl Codes {
    /// None yet, of this network.
    pub fn of(model: Model) -> Self {
        let reader = Reader::of(model.architecture, model.parameters);
        Codes { latent: reader.latent, reader, mean: Vec::new(), std: Vec::new() }
    }

    /// Adds those of the next records, of the encoder's outputs for them.
    pub fn extend(&mut self, heads: &[f32]) {
        let mut batch = Posteriors::of(&self.reader);
        batch.extend(heads);
        self.mean.extend(batch.mean.iter().map(|&v| v as f32));
        self.std.extend(batch.log_variance.iter().map(|l| (0.5 * l).exp() as f32));
    }

    /// N
    pub fn records(&self) -> usize {
        self.mean.len() / self.latent
    }

    /// The first record whose numbers are not finite.
    pub fn overflowing(&self) -> Option<usize> {
        let wrong = |values: &[f32]| values.iter().position(|v| !v.is_finite());
        let first = [&self.mean, &self.std].into_iter().filter_map(|values| wrong(values)).min();
        first.map(|element| element / self.latent)
    }
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
