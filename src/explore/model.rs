//! A trained model on a device, ready to be asked: decode, draw, infer. Programs are recorded and parameters
//! written once; an answer costs its kernels and what it reads back.

use std::ops::ControlFlow;

use serde::Serialize;

use super::inference::{Decoder, Inference};
use crate::config_error::ConfigError;
use crate::data::Images;
use crate::device::{Description, Device, DeviceError, Executor};
use crate::evaluate::{EvaluateError, Evaluation, Posteriors, Request, evaluate};
use crate::image_shape::ImageShape;
use crate::kernels::clock;
use crate::loaded::{LoadedModel, Model};
use crate::plan::PlanError;
use crate::vae::Architecture;
use crate::vae::decode::{SampleProgram, Shown};

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
    /// Test images without the classes that the network is told.
    #[error(transparent)]
    Config(#[from] ConfigError),
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
    /// The prior, if it is another than N(0, I).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<String>,
    /// The names of the classes that the network is told, if it is told them.
    pub classes: Vec<String>,
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
    /// The class that encoder and decoder were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// L_K of log p(x|y) under each class y, where there are few enough: they tell p(y|x).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_class: Vec<f64>,
}

/// The programs on their device.
pub struct Explorer {
    decoder: Decoder,
    /// Draws of z, one at a time.
    prior: LoadedModel<SampleProgram>,
    inference: Inference,
    images: Images,
    /// The class of each image as the network numbers them.
    classes: Vec<u16>,
    about: About,
    /// As images of the first class.
    map: Option<Map>,
    /// What decodes a whole map.
    mapper: Option<Decoder>,
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
        let mapper = tiles.map(|tiles| Decoder::load(device, model, tiles * tiles));
        let mut mapper = mapper.transpose()?;
        let map = match (&mut mapper, tiles) {
            (Some(mapper), Some(tiles)) => {
                let pixels = map_pixels(mapper, model.architecture.shape(), tiles, extent, 0)?;
                let scatter = scatter(&evaluation, &images);
                let (width, height) = (tiles * width, tiles * height);
                Some(Map { pixels, width, height, channels, scatter })
            }
            _ => None,
        };
        let classes = images.classes_among(&model.architecture.classes, "the test images")?;
        Ok(Explorer {
            classes,
            mapper,
            decoder: Decoder::load(device, model, 1)?,
            prior: LoadedModel::load(
                device,
                SampleProgram::record(model.architecture, 1, Shown::Drawn)?,
                model.parameters,
                model.seed,
            )?,
            inference: Inference::load(device, model, images.n_images, samples)?,
            about: About {
                run: run.to_string(),
                model: model.architecture.to_string(),
                height,
                width,
                channels,
                latent,
                prior: model.architecture.prior.label(),
                classes: model.architecture.classes.clone(),
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
        self.prior.executor = wrap(self.prior.executor);
        self.inference.loaded.executor = wrap(self.inference.loaded.executor);
        self
    }

    /// What the page has to know beforehand.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The decoder over a grid, where there are two latent units; as images of the first class.
    pub fn map(&self) -> Option<&Map> {
        self.map.as_ref()
    }

    /// The same as images of a class.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    pub fn map_of(&mut self, class: u32) -> Result<Option<Map>, ExploreError> {
        let (Some(map), Some(mapper), Some(tiles)) =
            (&self.map, &mut self.mapper, self.about.tiles)
        else {
            return Ok(None);
        };
        let About { height, width, channels, extent, .. } = self.about;
        let shape = ImageShape { height, width, channels };
        let pixels = map_pixels(mapper, shape, tiles, extent, class)?;
        Ok(Some(Map { pixels, ..map.clone() }))
    }

    /// E[x|z] as levels from 0 to 255, (D), as an image of a class where the network is told it.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    ///
    /// # Panics
    /// If `z` is not (Z).
    pub fn decode(&mut self, z: &[f32], class: u32) -> Result<Vec<u8>, ExploreError> {
        self.decoder.decode(z, class)
    }

    /// z ~ p(z): the first draw of `elbo sample --seed`.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw(&mut self, seed: u64) -> Result<Vec<f32>, ExploreError> {
        let SampleProgram { plan, clock: tensor, z, .. } = self.prior.program;
        self.prior.executor.write_u32(tensor, &clock::at(seed, 0))?;
        self.prior.run(plan)?;
        Ok(self.prior.read(z)?)
    }

    /// Levels of a test image, (D), and the name of its class if it has one.
    ///
    /// # Panics
    /// If it is beyond [`About::test_images`].
    pub fn test_image(&self, n: usize) -> (&[u8], Option<&str>) {
        (self.images.image(n), self.images.labels.as_ref().map(|labels| labels.name(n)))
    }

    /// What the model makes of a test image, with the binarization and the draws that `elbo eval` has for it, under a class
    /// or under its own.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    pub fn infer_test(&mut self, n: usize, class: Option<u32>) -> Result<Inferred, ExploreError> {
        let own = self.classes.get(n).map_or(0, |&class| class.into());
        let pixels = self.images.image(n);
        self.inference.judge(pixels, n, class.unwrap_or(own), &mut self.decoder)
    }

    /// What the model makes of levels, (D), with the noise that the first test image has, under a class where the network is
    /// told it.
    ///
    /// # Errors
    /// The device failed, or the numbers did.
    ///
    /// # Panics
    /// If `pixels` is not (D).
    pub fn infer(&mut self, pixels: &[u8], class: u32) -> Result<Inferred, ExploreError> {
        self.inference.judge(pixels, 0, class, &mut self.decoder)
    }
}

/// The least multiple of 1/2, from 3 to 8, that all but one of 200 posterior means are within.
fn extent(posteriors: &Posteriors) -> f32 {
    let mut sizes: Vec<f64> = posteriors.mean.iter().map(|mu| mu.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let within = sizes[(sizes.len() - 1) * 199 / 200];
    ((2.0 * within).ceil() / 2.0).clamp(3.0, 8.0) as f32
}

/// The pixels of a map, rows of all tiles.
fn map_pixels(
    mapper: &mut Decoder,
    shape: ImageShape,
    tiles: usize,
    extent: f32,
    class: u32,
) -> Result<Vec<u8>, ExploreError> {
    let ImageShape { height, width, channels } = shape;
    let at = |i: usize| extent * ((2 * i + 1) as f32 / tiles as f32 - 1.0);
    let z: Vec<f32> = (0..tiles * tiles).flat_map(|i| [at(i % tiles), -at(i / tiles)]).collect();
    let decoded = mapper.decode(&z, class)?;
    let mut pixels = Vec::with_capacity(decoded.len());
    for y in 0..tiles * height {
        for tile in 0..tiles {
            let from = ((y / height * tiles + tile) * height + y % height) * width * channels;
            pixels.extend(&decoded[from..][..width * channels]);
        }
    }
    Ok(pixels)
}

fn scatter(evaluation: &Evaluation, images: &Images) -> Scatter {
    let measured = evaluation.posteriors.images();
    let z = evaluation.posteriors.mean.chunks_exact(2).map(|mu| [mu[0] as f32, mu[1] as f32]);
    let labels = images.first(measured).labels;
    let names = labels.iter().flat_map(|labels| labels.names.iter().cloned()).collect();
    let classes = labels.map(|labels| labels.classes);
    Scatter { z: z.collect(), classes, names }
}
