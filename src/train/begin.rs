//! The beginning of a run: its plans, and what is on the device before the first step.

use super::Settings;
use crate::data::{self, Dataset, Images};
use crate::data_stream;
use crate::device::{DeviceError, Executor};
use crate::kernels::seen::is_missing;
use crate::kernels::{clock, fusions, rates};
use crate::numeric::philox::permute;
use crate::plan::PlanError;
use crate::plan::fuse::Fusions;
use crate::vae::likelihood::Domain;
use crate::vae::network::Moments;
use crate::vae::objective::Bound;
use crate::vae::step::{Flips, Pass, Source, TrainProgram};
use crate::vae::{Binarization, Init, Prior};

/// Bytes of the host's memory that a run's states take, at most: the last and the next, one while it is written
/// and its file, and the parameters by themselves.
pub(super) fn host_bytes(plan: &TrainProgram) -> usize {
    let of = |tensor| plan.program.get(tensor).size_bytes();
    let sizes = plan.trained.iter().map(|t| (of(t.parameter), of(t.state)));
    let (parameters, planes) = sizes
        .fold((0, 0), |(p, s): (usize, usize), (a, b)| (p.saturating_add(a), s.saturating_add(b)));
    parameters.saturating_add(planes).saturating_mul(4).saturating_add(parameters)
}

/// The plans of a run.
///
/// # Errors
/// Sizes beyond what a kernel's grid can cover.
pub fn record(dataset: &Dataset, settings: &Settings) -> Result<TrainProgram, PlanError> {
    record_fused(dataset, settings, &fusions())
}

/// The plans of a run, fused by these alone.
///
/// # Errors
/// As [`record`].
pub fn record_fused(
    dataset: &Dataset,
    settings: &Settings,
    fusions: &Fusions,
) -> Result<TrainProgram, PlanError> {
    record_within(dataset, settings, fusions, usize::MAX)
}

/// The plans of a run with at most `resident` bytes of either data set on the device.
pub(super) fn record_within(
    dataset: &Dataset,
    settings: &Settings,
    fusions: &Fusions,
    resident: usize,
) -> Result<TrainProgram, PlanError> {
    let Settings { flip, architecture, .. } = settings;
    let flips =
        flip.then_some(Flips { width: architecture.image.1, channels: architecture.channels });
    let source = |images: &Images, flips, samples| {
        let batch = settings.batch.min(images.n_images);
        Source {
            images: images.n_images,
            window: data_stream::window(images.n_images, images.image_bytes(), batch, resident),
            content: images.content(architecture.likelihood, settings.binarization),
            flips,
            batch,
            samples,
        }
    };
    let test_samples = match settings.objective.bound {
        Bound::Elbo => 1,
        Bound::Iwae => settings.samples, // L_K of the same K
    };
    TrainProgram::record_with(
        fusions,
        &settings.architecture,
        source(&dataset.train, flips, settings.samples),
        source(dataset.watched().1, None, test_samples),
        &settings.objective,
        &settings.update(),
    )
}

/// Puts data (but what is streamed), first parameters and clock on the device.
///
/// # Errors
/// The device failed.
pub fn begin(
    executor: &mut dyn Executor,
    plan: &TrainProgram,
    dataset: &Dataset,
    settings: &Settings,
) -> Result<(), DeviceError> {
    for (pass, images) in [(plan.train, &dataset.train), (plan.test, dataset.watched().1)] {
        if pass.source.window.is_none() {
            executor.write_bytes(pass.data, &images.pixels)?;
            if let Some(tensor) = pass.labels {
                executor.write_bytes(tensor, &labels(images, &settings.architecture.classes))?;
            }
        }
    }
    initialize(executor, plan, settings, &moments(dataset, settings))
}

/// What the first parameters of a run need of its data.
pub(crate) fn moments(dataset: &Dataset, settings: &Settings) -> Moments {
    let images = &dataset.train;
    let counts = settings.architecture.likelihood.module().domain() == Domain::Counts;
    let mut moments = Moments { variance: Some(images.variance()), ..Moments::default() };
    if counts || settings.init == Init::Glorot {
        moments.means = images.means(settings.binarization == Binarization::Fixed);
    }
    if counts {
        moments.variances = images.variances().unwrap_or_default();
    }
    if let Prior::Vamp { pseudo_inputs, .. } = settings.architecture.prior {
        moments.examples = examples(images, settings, pseudo_inputs);
    }
    moments
}

/// So many of the images, or all if they are fewer, as the encoder sees them but for binarization: (n, D). Which, the seed
/// says.
fn examples(images: &Images, settings: &Settings, n: usize) -> Vec<f32> {
    let (all, d) = (images.n_images, images.n_pixels());
    let key = [settings.seed as u32, (settings.seed >> 32) as u32];
    let counts = settings.architecture.likelihood.module().domain() == Domain::Counts;
    // An order that no epoch has.
    let chosen = (0..n.min(all)).map(|i| permute(i, all, key, u32::MAX));
    match images.pixels.reals() {
        None => chosen.flat_map(|i| images.image(i)).map(|&v| f32::from(v) / 255.0).collect(),
        Some(values) => {
            let seen = |&v: &f32| match v {
                v if is_missing(v) => 0.0,
                v if counts => v.ln_1p(),
                v => v,
            };
            chosen.flat_map(|i| &values[i * d..][..d]).map(seen).collect()
        }
    }
}

/// The classes of images as the device takes them.
///
/// # Panics
/// The images have not been checked to have the classes of those names.
pub(super) fn labels(images: &Images, names: &[String]) -> Vec<u8> {
    let classes = images.classes_among(names, "the images").expect("classes that were checked");
    data::bytes_of(&classes)
}

/// Puts first parameters and clock on the device; the data is there. `moments` are the training data's.
///
/// # Errors
/// The device failed.
pub fn initialize(
    executor: &mut dyn Executor,
    plan: &TrainProgram,
    settings: &Settings,
    moments: &Moments,
) -> Result<(), DeviceError> {
    let first = plan.network.initial_values(settings.init, settings.seed, moments);
    for (parameter, values) in plan.network.parameters().into_iter().zip(&first) {
        executor.write_f32(parameter, values)?;
    }
    for (&average, values) in plan.averages.iter().zip(&first) {
        executor.write_f32(average, values)?;
    }
    rewind(executor, plan.train, settings)
}

/// The clock and the rates of a pass at its beginning.
pub(super) fn rewind(
    executor: &mut dyn Executor,
    pass: Pass,
    settings: &Settings,
) -> Result<(), DeviceError> {
    executor.write_u32(pass.clock, &clock::at(settings.seed, 0))?;
    executor.write_f32(pass.rates, &first_rates(pass, settings))
}

/// The rates of a pass before its first step.
pub(crate) fn first_rates(pass: Pass, settings: &Settings) -> [f32; rates::WORDS] {
    let mut first = [0.0; rates::WORDS];
    first[rates::LEARNING_RATE] = settings.learning_rate_of(1, pass.source.images as u64) as f32;
    // 1 - b^t at t = 1, and the weight of the KL; later ones are the end_step kernel's.
    let [decay1, decay2] = settings.optimizer.rule().corrected().unwrap_or_default();
    first[rates::CORRECTION1] = (1.0 - decay1) as f32;
    first[rates::CORRECTION2] = (1.0 - decay2) as f32;
    first[rates::KL_WEIGHT] = match settings.objective.warm_up {
        0 => settings.objective.beta as f32,
        _ => 0.0,
    };
    first
}
