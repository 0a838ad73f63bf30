//! A trained model on a device, ready to be asked: decode, draw, infer. Programs are recorded and parameters
//! written once; an answer costs its kernels and what it reads back.

use std::ops::ControlFlow;

use serde::Serialize;

use crate::data::Images;
use crate::device::{Description, Device, DeviceError, Executor};
use crate::evaluate::{Bounds, Estimate, EvaluateError, Evaluation, Posteriors, Request, evaluate};
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::numeric::philox::{Stream, counter, normal4, philox};
use crate::plan::PlanError;
use crate::vae::Architecture;
use crate::vae::decode::DecodeProgram;
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::step::Content;

/// Test images that the KL of the units and the map are made from: those of a run's pictures.
const MEASURED: usize = 10_000;
/// Values of z are taken up to here: far outside any posterior, and far from overflow.
pub const FURTHEST: f32 = 100.0;

/// Why the model has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExploreError {
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The figures that are measured first could not be.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// The operating system gives no thread.
    #[error("no thread can be had: {0}")]
    Thread(std::io::Error),
    /// log p(x|z) or a pixel is NaN or infinite.
    #[error("the decoder's numbers overflow there")]
    Overflow,
}

/// What is to be explored.
pub struct Subject<'a> {
    /// The folder of the run, as it was given.
    pub run: &'a str,
    /// Its parameters and how it is asked.
    pub model: Model<'a>,
    /// The images that can be asked for by their numbers.
    pub test: Images,
    /// K, draws of each estimate of log p(x).
    pub samples: usize,
}

/// What the page has to know beforehand.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// The folder of the run, as it was given.
    pub run: String,
    /// As people write it: 784-400-20-400-784 relu.
    pub model: String,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Values of a pixel: 1 of grey, 3 of red, green and blue.
    pub channels: usize,
    /// Z
    pub latent: usize,
    /// How bytes become observations.
    pub pixels: &'static str,
    /// Whether log p(x) is that: of grey pixels under a Bernoulli likelihood it is a cross entropy.
    pub probability: bool,
    /// What computes.
    pub device: Description,
    /// Of binarization and draws.
    pub seed: u64,
    /// K
    pub samples: usize,
    /// Test images, which can be asked for by their numbers.
    pub test_images: usize,
    /// Test images that the KL of the units is a mean over.
    pub measured: usize,
    /// |z| that the posterior means hardly exceed.
    pub extent: f32,
    /// By KL, the largest first.
    pub units: Vec<UnitKl>,
    /// Tiles of a side of the map, where there is one.
    pub tiles: Option<usize>,
}

/// One latent unit.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct UnitKl {
    /// Its index in z.
    pub unit: usize,
    /// Mean over test images, nats.
    pub kl: f64,
    /// Whether its posterior mean varies over images, see [`crate::evaluate::ACTIVE`].
    pub active: bool,
}

/// Posterior means of test images, for Z = 2.
#[derive(Debug, Clone, Serialize)]
pub struct Scatter {
    /// Of each image.
    pub z: Vec<[f32; 2]>,
    /// The class of each, an index into `names`.
    pub classes: Option<Vec<u16>>,
    /// Of the classes.
    pub names: Vec<String>,
}

/// The decoder over a square grid of z, for Z = 2: rows from the largest z_1 down, z_0 growing to the right.
#[derive(Debug, Clone)]
pub struct Map {
    /// Levels of the tiles side by side, rows of `tiles * width` pixels, of `channels` values each.
    pub pixels: Vec<u8>,
    /// Columns of all tiles.
    pub width: usize,
    /// Rows of all tiles.
    pub height: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// What lies upon it.
    pub scatter: Scatter,
}

/// A figure of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    /// Nats.
    pub value: f64,
    /// Over the draws; of the log of a mean, by the delta method.
    pub standard_error: Option<f64>,
    /// (sum w)^2 / sum w^2 of the draws' weights, where they have some.
    pub effective_size: Option<f64>,
}

/// What the model makes of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inferred {
    /// (D) as the encoder sees it, 255 where 1.
    pub x: Vec<u8>,
    /// (Z)
    pub mu: Vec<f64>,
    /// (Z)
    pub sigma: Vec<f64>,
    /// (Z) nats
    pub kl: Vec<f64>,
    /// (D) E[x|z] at z = mu.
    pub reconstruction: Vec<u8>,
    /// log p(x) by draws from the prior.
    pub simple_monte_carlo: Figure,
    /// reconstruction - KL
    pub elbo: Figure,
    /// L_K
    pub importance_weighted: Figure,
}

/// The programs on their device.
pub struct Explorer {
    decoder: Decoder,
    inference: Inference,
    images: Images,
    about: About,
    map: Option<Map>,
}

impl Explorer {
    /// Records and loads the programs, and measures the units on test images. `progress` is called with the share
    /// that is done, and may end the work.
    ///
    /// # Errors
    /// The device failed, the numbers did, or `progress` said `Break`.
    pub fn load(
        device: &Device,
        subject: Subject,
        progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<Self, ExploreError> {
        let Subject { run, model, test: images, samples } = subject;
        let Architecture { image: (height, width), channels, latent, .. } = *model.architecture;
        let measured = images.n_images.min(MEASURED);
        let request = Request { images: measured, ks: vec![1], rows: None, resident: None };
        let evaluation = evaluate(device, model, &images, &request, progress)?;
        let extent = extent(&evaluation.posteriors);
        let mut units: Vec<UnitKl> = evaluation
            .units
            .iter()
            .enumerate()
            .map(|(unit, u)| UnitKl { unit, kl: u.kl.value, active: u.active })
            .collect();
        units.sort_by(|a, b| b.kl.total_cmp(&a.kl));
        let tiles = (latent == 2).then(|| (560 / height.max(width)).clamp(8, 20));
        let map = match tiles {
            Some(tiles) => Some(map(device, model, &evaluation, &images, tiles, extent)?),
            None => None,
        };
        Ok(Explorer {
            decoder: Decoder::load(device, model, 1)?,
            inference: Inference::load(device, model, images.n_images, samples)?,
            about: About {
                run: run.to_string(),
                model: model.architecture.to_string(),
                height,
                width,
                channels,
                latent,
                pixels: model.binarization.label(),
                probability: model
                    .architecture
                    .likelihood
                    .module()
                    .is_likelihood_of(model.binarization),
                device: device.description().clone(),
                seed: model.seed,
                samples,
                test_images: images.n_images,
                measured,
                extent,
                units,
                tiles,
            },
            images,
            map,
        })
    }

    /// The same with each executor wrapped, as a test does that makes one fail.
    #[doc(hidden)]
    pub fn wrapped(mut self, wrap: impl Fn(Box<dyn Executor>) -> Box<dyn Executor>) -> Self {
        self.decoder.0.executor = wrap(self.decoder.0.executor);
        self.inference.loaded.executor = wrap(self.inference.loaded.executor);
        self
    }

    /// What the page has to know beforehand.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The decoder over a grid, where there are two latent units.
    pub fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    /// E[x|z] as levels from 0 to 255, (D).
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    ///
    /// # Panics
    /// If `z` is not (Z).
    pub fn decode(&mut self, z: &[f32]) -> Result<Vec<u8>, ExploreError> {
        self.decoder.decode(z)
    }

    /// z ~ N(0, I): the first draw of `elbo sample --seed`, but for rounding.
    pub fn draw(&self, seed: u64) -> Vec<f32> {
        let key = [seed as u32, (seed >> 32) as u32];
        let group =
            |quad| normal4::<f32>(philox(counter(0, 0, 0, Stream::Prior as u32, quad), key));
        (0..self.about.latent.div_ceil(4)).flat_map(group).take(self.about.latent).collect()
    }

    /// Levels of a test image, (D), and the name of its class if it has one.
    ///
    /// # Panics
    /// If it is beyond [`About::test_images`].
    pub fn test_image(&self, n: usize) -> (&[u8], Option<&str>) {
        (self.images.image(n), self.images.labels.as_ref().map(|labels| labels.name(n)))
    }

    /// What the model makes of a test image, with the binarization and the draws that `elbo eval` has for it.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    pub fn infer_test(&mut self, n: usize) -> Result<Inferred, ExploreError> {
        self.inference.infer(self.images.image(n), n, &mut self.decoder)
    }

    /// What the model makes of levels, (D), with the noise that the first test image has.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    ///
    /// # Panics
    /// If `pixels` is not (D).
    pub fn infer(&mut self, pixels: &[u8]) -> Result<Inferred, ExploreError> {
        self.inference.infer(pixels, 0, &mut self.decoder)
    }
}

/// The least multiple of 1/2, from 3 to 8, that all but one of 200 posterior means are within.
fn extent(posteriors: &Posteriors) -> f32 {
    let mut sizes: Vec<f64> = posteriors.mean.iter().map(|mu| mu.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let within = sizes[(sizes.len() - 1) * 199 / 200];
    ((2.0 * within).ceil() / 2.0).clamp(3.0, 8.0) as f32
}

fn map(
    device: &Device,
    model: Model,
    evaluation: &Evaluation,
    images: &Images,
    tiles: usize,
    extent: f32,
) -> Result<Map, ExploreError> {
    let Architecture { image: (height, width), channels, .. } = *model.architecture;
    let at = |i: usize| extent * ((2 * i + 1) as f32 / tiles as f32 - 1.0);
    let z: Vec<f32> = (0..tiles * tiles).flat_map(|i| [at(i % tiles), -at(i / tiles)]).collect();
    let decoded = Decoder::load(device, model, tiles * tiles)?.decode(&z)?;
    let side = tiles * width;
    let mut pixels = Vec::with_capacity(decoded.len());
    for y in 0..tiles * height {
        for tile in 0..tiles {
            let from = ((y / height * tiles + tile) * height + y % height) * width * channels;
            pixels.extend(&decoded[from..][..width * channels]);
        }
    }
    let measured = evaluation.posteriors.images();
    let z = evaluation.posteriors.mean.chunks_exact(2).map(|mu| [mu[0] as f32, mu[1] as f32]);
    let labels = images.first(measured).labels;
    let names = labels.iter().flat_map(|labels| labels.names.iter().cloned()).collect();
    let classes = labels.map(|labels| labels.classes);
    let scatter = Scatter { z: z.collect(), classes, names };
    Ok(Map { pixels, width: side, height: tiles * height, channels, scatter })
}

/// A decoder of `rows` codes.
struct Decoder(LoadedModel<DecodeProgram>);

impl Decoder {
    fn load(device: &Device, model: Model, rows: usize) -> Result<Self, ExploreError> {
        let program = DecodeProgram::record(model.architecture, rows)?;
        Ok(Decoder(LoadedModel::load(device, program, model.parameters, model.seed)?))
    }

    fn decode(&mut self, z: &[f32]) -> Result<Vec<u8>, ExploreError> {
        levels(&self.0.decode(z)?)
    }
}

/// An image, encoder and estimators.
struct Inference {
    loaded: LoadedModel<EstimateProgram>,
    latent: usize,
    samples: usize,
}

impl Inference {
    fn load(
        device: &Device,
        model: Model,
        images: usize,
        samples: usize,
    ) -> Result<Self, ExploreError> {
        let chunks = Chunks::new(rows_of(device), 1, samples);
        let content = Content::Bytes(model.binarization);
        // The device holds the one image that is asked about, but draws as if it held all.
        let window = Some(1);
        let program = EstimateProgram::record(model.architecture, content, images, window, chunks)?;
        let loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
        Ok(Inference { loaded, latent: model.architecture.latent, samples })
    }

    /// `place` is that of the image among the test images, on which its noise depends.
    fn infer(
        &mut self,
        pixels: &[u8],
        place: usize,
        decoder: &mut Decoder,
    ) -> Result<Inferred, ExploreError> {
        let loaded = &mut self.loaded;
        let EstimateProgram { chunks, data, x, importance, log_px, log_w, .. } = loaded.program;
        let EstimateProgram { prior, prior_log_px, .. } = loaded.program;
        let runs = self.samples.div_ceil(chunks.samples) as u64;
        let drawn = |values: Vec<f32>| -> Result<Vec<f64>, ExploreError> {
            let finite = |&v: &f32| v.is_finite().then_some(f64::from(v));
            let drawn: Option<Vec<f64>> = values[..self.samples].iter().map(finite).collect();
            drawn.ok_or(ExploreError::Overflow)
        };
        loaded.executor.write_bytes(data, pixels)?;
        loaded.begin_at(place)?;
        let heads = loaded.encode()?;
        let x = levels(&loaded.read(x)?)?;
        loaded.executor.run_all(importance, runs)?;
        let log_px = drawn(loaded.read(log_px)?)?;
        let log_w = drawn(loaded.read(log_w)?)?;
        loaded.begin_at(place)?;
        loaded.executor.run_all(prior, runs)?;
        let prior = drawn(loaded.read(prior_log_px)?)?;

        let mut posterior = Posteriors { latent: self.latent, ..Posteriors::default() };
        posterior.extend(&heads);
        let kl: Vec<f64> = posterior.units().iter().map(|unit| unit.kl.value).collect();
        let reconstruction = Estimate::of(log_px.iter().copied());
        let mu = &heads[..self.latent];
        Ok(Inferred {
            x,
            reconstruction: decoder.decode(mu)?,
            simple_monte_carlo: log_mean(&prior),
            elbo: Figure {
                value: reconstruction.value - kl.iter().sum::<f64>(),
                standard_error: reconstruction.standard_error,
                effective_size: None,
            },
            importance_weighted: log_mean(&log_w),
            mu: posterior.mean.clone(),
            sigma: posterior.log_variance.iter().map(|l| (0.5 * l).exp()).collect(),
            kl,
        })
    }
}

/// log (1/K) sum exp v. With w = e^v its error is that of the mean of w over the mean itself:
/// Var(w) / (K mean(w)^2) = (1/S - 1/K) K/(K-1), S the effective size.
fn log_mean(draws: &[f64]) -> Figure {
    let mut bounds = Bounds::new(&[draws.len()]);
    draws.iter().for_each(|&v| bounds.push(v));
    let (k, size) = (draws.len() as f64, bounds.effective_size());
    let variance = || (1.0 / size - 1.0 / k).max(0.0) * k / (k - 1.0);
    Figure {
        value: bounds.values()[0],
        standard_error: (draws.len() > 1).then(|| variance().sqrt()),
        effective_size: Some(size),
    }
}

fn levels(values: &[f32]) -> Result<Vec<u8>, ExploreError> {
    let level = |&v: &f32| match v.is_nan() {
        true => Err(ExploreError::Overflow),
        false => Ok((v.clamp(0.0, 1.0) * 255.0).round() as u8),
    };
    values.iter().map(level).collect()
}
