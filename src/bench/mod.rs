//! What a device does in a second: its ceilings, each kernel of a training step, whole steps, and the plans of bounds. Every
//! result is checked in the same run; a wrong one has no figure.

mod bounds;
mod ceilings;
mod check;
mod fusions;
mod kernels;
mod report;
mod steps;
mod timing;

use std::rc::Rc;
use std::time::Instant;

use crate::config_error::ConfigError;
use crate::data::{self, DataError, Dataset, Images};
use crate::device::{Description, Device, DeviceError, Executor, Precision};
use crate::image_shape::ImageShape;
use crate::nn::{Layers, Shape};
use crate::plan::{PlanError, Program};
use crate::train::{Settings, TrainError};
use crate::vae::Architecture;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use bounds::BoundsRow;
#[cfg(feature = "program")] // for the page of `elbo web`
pub(crate) use ceilings::product;
pub use ceilings::{Ceilings, Matmul};
pub use fusions::FusionRow;
pub use kernels::KernelRow;
pub use report::{Report, table};
pub use steps::{Memory, StepRow};
pub use timing::{Timing, percentile};

/// Why a benchmark could not be run. A wrong result is none of these: it stands in the report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Train(#[from] TrainError),
}

/// A figure, or why there is none.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Checked<T> {
    Right(T),
    Wrong {
        /// What was wrong: tensor, got, expected.
        wrong: String,
    },
}

impl<T> Checked<T> {
    fn of(figure: T, check: Result<(), String>) -> Self {
        match check {
            Ok(()) => Checked::Right(figure),
            Err(wrong) => Checked::Wrong { wrong },
        }
    }

    pub fn right(&self) -> Option<&T> {
        match self {
            Checked::Right(figure) => Some(figure),
            Checked::Wrong { .. } => None,
        }
    }

    pub fn wrong(&self) -> Option<&str> {
        match self {
            Checked::Right(_) => None,
            Checked::Wrong { wrong } => Some(wrong),
        }
    }
}

/// Puts a program on a device.
pub type Load = dyn Fn(Program) -> Result<Box<dyn Executor>, DeviceError>;

/// What is measured: a device, as far as the benchmark has to know it.
pub struct Target {
    pub description: Description,
    pub load: Box<Load>,
}

impl From<Device> for Target {
    fn from(device: Device) -> Self {
        let description = device.description().clone();
        Target { description, load: Box::new(move |program| device.load(program)) }
    }
}

/// What to measure, and how long.
#[derive(Debug, Clone)]
pub struct Request {
    pub ceilings: bool,
    pub kernels: bool,
    pub steps: bool,
    pub fusions: bool,
    /// The plans by which log p(x) is bounded.
    pub bounds: bool,
    /// Rows of their runs: images times draws.
    pub rows: usize,
    pub networks: Vec<Architecture>,
    /// B
    pub batches: Vec<usize>,
    /// K
    pub samples: usize,
    /// That the target computes in: what its results are held to.
    pub precision: Precision,
    /// Seconds that a step is measured for; a kernel gets a fifth of it.
    pub seconds: f64,
    /// Steps from the beginning of a run that are not timed, and whose loss is reported.
    pub warm_up: usize,
    /// Bytes that are copied.
    pub copied: usize,
    /// The largest square matmul; 0 is none.
    pub largest_matmul: usize,
}

/// A network as people write it: 784-400-20 is 784 pixels, a hidden layer of 400 units, 20 latent units, and the same
/// backwards; 32x32x3-conv 32 4/2-256-20 has images of that height, width and channels, and a convolution.
///
/// # Errors
/// It is no such list.
pub fn network(text: &str) -> Result<Architecture, String> {
    let fail = || {
        format!(
            "{text:?} is no network; write pixels-hidden-latent, as in 784-400-20 or \
             \"28x28-conv 32 4/2-256-20\""
        )
    };
    let [pixels, hidden @ .., latent] = &text.split('-').collect::<Vec<_>>()[..] else {
        return Err(fail());
    };
    let sizes: Vec<usize> =
        pixels.split('x').map(str::parse).collect::<Result<_, _>>().map_err(|_| fail())?;
    let [height, width, channels] = match sizes[..] {
        [784] => [28, 28, 1],
        [pixels] => [1, pixels, 1],
        [height, width] => [height, width, 1],
        [height, width, channels] => [height, width, channels],
        _ => return Err(fail()),
    };
    let layers = hidden.iter().map(|layer| layer.parse()).collect::<Result<_, String>>();
    let hidden = Layers(layers.map_err(|_| fail())?);
    let architecture = Architecture {
        image: (height, width),
        channels,
        decoder_hidden: hidden.mirrored(Shape::Map([height, width, channels]))?,
        hidden,
        latent: latent.parse().map_err(|_| fail())?,
        ..Settings::default().architecture
    };
    architecture.check().map_err(|e| e.to_string())?;
    Ok(architecture)
}

/// [`network`] backwards.
fn name_of(architecture: &Architecture) -> String {
    let pixels = match architecture.hidden.are_dense() {
        true => architecture.pixels().to_string(),
        false => architecture.shape().to_string(),
    };
    let hidden = architecture.hidden.iter().map(|layer| format!("{layer}-")).collect::<String>();
    format!("{pixels}-{hidden}{}", architecture.latent)
}

/// A network, a batch size, and what a run of them trains on.
struct Job {
    settings: Settings,
    dataset: Rc<Dataset>,
}

impl Job {
    fn new(
        network: &Architecture,
        batch: usize,
        request: &Request,
        dataset: Rc<Dataset>,
    ) -> Result<Self, BenchError> {
        let settings = Settings {
            architecture: network.clone(),
            batch,
            samples: request.samples,
            ..Settings::default()
        };
        settings.check_with(&dataset)?;
        Ok(Job { settings, dataset })
    }

    fn network(&self) -> String {
        name_of(&self.settings.architecture)
    }
}

/// MNIST where it fits, else random bytes, 64 MiB of them at most. One test image, which nothing uses.
fn images(network: &Architecture) -> Result<Dataset, DataError> {
    let ImageShape { height, width, channels } = network.shape();
    let pixels = network.pixels();
    if network.shape() == (28, 28).into() {
        let mut mnist = data::mnist()?;
        mnist.test.n_images = 1;
        mnist.test.pixels = mnist.test.pixels.part(0..pixels);
        return Ok(mnist);
    }
    let random = |n_images: usize| {
        let mut bytes = vec![0; n_images * pixels];
        ChaCha8Rng::seed_from_u64(0).fill_bytes(&mut bytes);
        Images { n_images, height, width, channels, pixels: bytes.into(), labels: None }
    };
    let n = ((64 << 20) / pixels).clamp(1, 60_000);
    Ok(Dataset { name: "random bytes".to_string(), train: random(n), test: random(1), valid: None })
}

/// Measures all that is asked for. `progress` is called with the share of it that is done.
///
/// # Errors
/// A network or batch size that cannot be, before anything runs; the device failed.
pub fn run(
    target: &Target,
    request: &Request,
    progress: &mut dyn FnMut(f64),
) -> Result<Report, BenchError> {
    let begin = Instant::now();
    let mut jobs: Vec<Job> = Vec::new();
    if request.kernels || request.steps || request.fusions || request.bounds {
        for network in &request.networks {
            let same = |job: &&Job| job.settings.architecture.shape() == network.shape();
            let dataset = match jobs.iter().find(same) {
                Some(job) => job.dataset.clone(),
                None => Rc::new(images(network)?),
            };
            for &batch in &request.batches {
                jobs.push(Job::new(network, batch, request, dataset.clone())?);
            }
        }
    }
    let parts =
        [request.kernels, request.steps, request.fusions].into_iter().filter(|&part| part).count();
    let of_networks = if request.bounds { request.networks.len() } else { 0 };
    let total = usize::from(request.ceilings) + parts * jobs.len() + of_networks;
    let mut done = 0;
    let mut advance = || {
        done += 1;
        progress(done as f64 / total as f64);
    };
    let mut report = Report::new(target.description.clone(), request);
    report.data = begin.elapsed().as_secs_f64();
    if request.ceilings {
        report.ceilings = Some(ceilings::measure(target, request)?);
        advance();
    }
    for job in &jobs {
        if request.steps {
            report.steps.push(steps::measure(target, request, job)?);
            advance();
        }
        if request.kernels {
            report.kernels.extend(kernels::measure(target, request, job)?);
            advance();
        }
        if request.fusions {
            report.fusions.extend(fusions::measure(target, request, job)?);
            advance();
        }
    }
    for network in request.networks.iter().filter(|_| request.bounds) {
        let job = jobs.iter().find(|job| job.settings.architecture == *network);
        // Where there is no batch size there is nothing to measure.
        if let Some(job) = job {
            report.bounds.extend(bounds::measure(target, request, job)?);
        }
        advance();
    }
    report.measured_for = begin.elapsed().as_secs_f64();
    Ok(report)
}
