//! What a run is a function of, its defaults for a data set, and what of it cannot be.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Schedule;
use crate::config_error::ConfigError;
use crate::data::{self, Channels, Dataset, Fit, Table, TableOptions};
use crate::image_shape::ImageShape;
use crate::kernels::activation::Activation;
use crate::nn::{NetworkKind, Shape};
use crate::numeric::Precision;
use crate::optim::{Optimizer, Update};
use crate::vae::likelihood::{Domain, LikelihoodKind};
use crate::vae::objective::{Bound, Kl};
use crate::vae::{Architecture, Binarization, Init, Likelihood, Objective, Prior, Variance};

/// Everything that a run is a function of, besides the device: what `config.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// "mnist" for the embedded set, "fashion-mnist", else a path, or the name of images that are in no file.
    pub data: String,
    /// [`Dataset::digest`] of what was found there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sha256: Option<String>,
    /// [`Dataset::digest_of_classes`] of them, where the network is told classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes_sha256: Option<String>,
    /// Height and width that the images become, if they are to be of another size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(usize, usize)>,
    /// How they become that.
    #[serde(default = "Fit::unsaid")]
    pub fit: Fit,
    /// Share of the training images that is held out, if one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<f64>,
    /// What the columns are, if the data is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<Table>,
    /// Whether each training image is mirrored left to right with probability 1/2, anew each epoch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flip: bool,
    /// The layers and what they model.
    pub architecture: Architecture,
    /// What a pixel's byte becomes.
    pub binarization: Binarization,
    /// Passes over the training images.
    pub epochs: u32,
    /// Cap on the number of steps.
    pub steps: Option<u64>,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
    /// In the first epoch, or at the end of its warm-up.
    pub learning_rate: f64,
    /// Epochs in which the learning rate rises to that, step by step; a part of one too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub learning_rate_warm_up: f64,
    /// How the learning rate changes from epoch to epoch.
    #[serde(default)]
    pub schedule: Schedule,
    /// What moves the parameters, and its constants besides the learning rate.
    #[serde(flatten)]
    pub optimizer: Optimizer,
    /// What weights lose of themselves in a step, times the learning rate; biases do not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub weight_decay: f64,
    /// The longest gradient of all parameters together that a step takes as it is; a longer one is made as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// What a step counts beside the next in an average of the parameters, where one is kept: it is what is evaluated,
    /// and what a run ends with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub average: Option<f64>,
    /// End after so many epochs without a better ELBO of the validation images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stop: Option<u32>,
    /// What is ascended.
    #[serde(flatten)]
    pub objective: Objective,
    /// How the parameters begin.
    #[serde(default)]
    pub init: Init,
    /// Where they are from instead, if another run has trained them, see [`super::Trainer::begin_with`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<FirstParameters>,
    /// Of everything random: parameters, order, binarization, noise.
    pub seed: u64,
    /// How the steps, and the figures of each epoch, multiply matrices.
    #[serde(default)]
    pub precision: Precision,
}

/// Parameters that a run began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstParameters {
    /// The run or the file that they were read from.
    pub path: String,
    /// [`super::digest`] of them.
    pub sha256: String,
}

/// The classic VAE on MNIST: what the program trains where nothing is asked for.
impl Default for Settings {
    fn default() -> Self {
        Settings {
            data: "mnist".to_string(),
            data_sha256: None,
            classes_sha256: None,
            size: None,
            fit: Fit::default(),
            valid: None,
            table: None,
            flip: false,
            architecture: Architecture {
                image: (28, 28),
                channels: 1,
                hidden: vec![400].into(),
                decoder_hidden: vec![400].into(),
                latent: 20,
                activation: Activation::Relu,
                posterior: Default::default(),
                likelihood: Likelihood::Bernoulli,
                classes: Vec::new(),
                prior: Prior::Normal,
            },
            binarization: Binarization::Dynamic,
            epochs: 10,
            steps: None,
            batch: 128,
            samples: 1,
            learning_rate: 1e-3,
            learning_rate_warm_up: 0.0,
            schedule: Schedule::default(),
            optimizer: Optimizer::default(),
            weight_decay: 0.0,
            average: None,
            early_stop: None,
            clip_norm: None,
            objective: Objective::default(),
            init: Init::default(),
            init_from: None,
            seed: 0,
            precision: Precision::F32,
        }
    }
}

impl Settings {
    /// The same with what they were trained on, where they do not say it: a trained model must not be tested on
    /// another set because that is the default.
    pub(crate) fn trained_on(&self, dataset: &Dataset) -> Settings {
        let is_default = self.data == data::MNIST && dataset.source() != data::MNIST;
        let data = if is_default { place(dataset) } else { self.data.clone() };
        let digest = self.data_sha256.clone().unwrap_or_else(|| dataset.digest());
        let of_classes = dataset.digest_of_classes(&self.architecture.classes).ok().flatten();
        let classes_sha256 = self.classes_sha256.clone().or(of_classes);
        Settings { data, data_sha256: Some(digest), classes_sha256, ..self.clone() }
    }

    /// The defaults for a data set: its name or path, images of its size and channels, and fixed binarization
    /// where all its pixels are black or white. Images in colour have a Gaussian likelihood of their values as they are,
    /// [`Init::Glorot`], so that the output begins at their mean, and, from 16 pixels in height and width on, a network of
    /// convolutions with the SiLU. A table has a Gaussian likelihood with a variance for each column, and a smaller network. Both have more
    /// epochs the fewer images or rows there are.
    pub fn of(dataset: &Dataset) -> Settings {
        let mut settings = Settings { data: place(dataset), ..Settings::default() };
        let ImageShape { height, width, channels } = dataset.train.shape();
        settings.architecture.image = (height, width);
        settings.architecture.channels = channels;
        settings.batch = settings.batch.min(dataset.train.n_images);
        settings.table = dataset.table().map(|table| Table::clone(table));
        if settings.table.is_some() {
            settings.suit_table(dataset.train.n_images);
            return settings;
        }
        settings.epochs = epochs_of(1500, settings.batch, dataset.train.n_images).min(50);
        if channels > 1 {
            settings.architecture.likelihood =
                Likelihood::of_kind(LikelihoodKind::Gaussian, None).expect("it needs no variance");
            settings.binarization = Binarization::None;
            settings.init = Init::Glorot;
            let image = [height, width, channels];
            let hidden = NetworkKind::Conv.layers(image);
            // Of smaller images little would be left.
            if height.min(width) >= 16
                && let Ok(back) = hidden.mirrored(Shape::Map(image))
            {
                settings.architecture.hidden = hidden;
                settings.architecture.decoder_hidden = back;
                settings.architecture.activation = NetworkKind::Conv.activation();
            }
        } else if dataset.train.is_binary() {
            settings.binarization = Binarization::Fixed;
        }
        settings
    }

    /// The defaults for a table of `n` training rows: most have fewer columns than an image has pixels, and fewer rows.
    fn suit_table(&mut self, n: usize) {
        let (_, columns) = self.architecture.image;
        let variance = Some(Variance::Column);
        self.architecture.likelihood =
            Likelihood::of_kind(LikelihoodKind::Gaussian, variance).expect("it has a variance");
        self.architecture.hidden = vec![128].into();
        self.architecture.decoder_hidden = vec![128].into();
        self.architecture.latent = columns.div_ceil(2).min(20);
        self.binarization = Binarization::None;
        self.init = Init::Glorot;
        // So many steps of minibatches that are a tenth of the rows at most: more would learn few rows by heart.
        self.batch = (n / 10).clamp(16, 128).min(n);
        self.epochs = epochs_of(1500, self.batch, n).min(200);
    }

    /// # Errors
    /// A value out of its range, named with what would be right.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.architecture.check()?;
        let counts = [
            ("epochs", u64::from(self.epochs)),
            ("steps", self.steps.unwrap_or(1)),
            ("batch", self.batch as u64),
            ("samples", self.samples as u64),
        ];
        if let Some((field, n)) = counts.into_iter().find(|&(_, n)| n == 0) {
            return Err(ConfigError::range(field, "must be at least 1", n));
        }
        if self.batch.saturating_mul(self.samples) > 65_535 {
            let got = format!("{} times {}", self.batch, self.samples);
            let right = "times `samples` must be at most 65535";
            return Err(ConfigError::range("batch", right, got));
        }
        // The steps are taken in single precision, where a smaller one is zero.
        let single = self.learning_rate as f32;
        if !(single > 0.0 && single.is_finite()) {
            let right = "must be a positive number from 1.5e-45 to 3.4e38";
            return Err(ConfigError::range("learning_rate", right, self.learning_rate));
        }
        let warm_up = self.learning_rate_warm_up;
        if !(warm_up >= 0.0 && warm_up < f64::from(self.epochs)) {
            let right = "must be from 0 to less than `epochs`";
            return Err(ConfigError::range("learning_rate_warm_up", right, warm_up));
        }
        self.schedule.check()?;
        self.optimizer.rule().check()?;
        // A step must not turn a weight around.
        if !(self.weight_decay >= 0.0 && self.weight_decay * self.learning_rate < 1.0) {
            let right = "must be from 0 to less than 1 / `learning_rate`";
            return Err(ConfigError::range("weight_decay", right, self.weight_decay));
        }
        if let Some(most) = self.clip_norm.filter(|most| !(*most >= 1e-30 && most.is_finite())) {
            let right = "must be a positive number, 1e-30 at least";
            return Err(ConfigError::range("clip_norm", right, most));
        }
        if let Some(decay) = self.average.filter(|decay| !(*decay > 0.0 && *decay <= 0.999999)) {
            let right = "must be above 0 and at most 0.999999";
            return Err(ConfigError::range("average", right, decay));
        }
        match (self.early_stop, self.valid) {
            (Some(0), _) => return Err(ConfigError::range("early_stop", "must be at least 1", 0)),
            (Some(epochs), None) => {
                let why = "goes by validation images: the test set is for the end";
                return Err(ConfigError::conflict("early_stop", epochs, why, "give `valid` too"));
            }
            _ => {}
        }
        if !self.architecture.likelihood.module().accepts(self.binarization) {
            return Err(ConfigError::conflict(
                "architecture.likelihood",
                self.architecture.likelihood.kind(),
                "is for values as they are",
                "it needs `binarization` none",
            ));
        }
        let Architecture { prior, .. } = self.architecture;
        if !prior.is_normal() && self.objective.kl == Kl::Analytic {
            return Err(ConfigError::conflict(
                "architecture.prior",
                prior.kind(),
                "has no KL in closed form",
                "it needs `objective.kl` sampled",
            ));
        }
        self.objective.check()?;
        self.architecture.posterior.check_objective(&self.objective)
    }

    /// How the data are read.
    pub fn data_options(&self) -> data::Options {
        // Pictures that were read as grey, as all once were, are so again.
        let channels = Some(Channels::of(self.architecture.channels));
        let table = self.table.as_ref().map(|table| {
            let counts = self.architecture.likelihood.module().domain() == Domain::Counts;
            let like = Some(table.clone());
            Arc::new(TableOptions { counts, like, ..TableOptions::default() })
        });
        data::Options {
            size: self.size,
            fit: self.fit,
            valid: self.valid,
            channels,
            table,
            whole: false,
        }
    }

    /// The learning rate of an epoch (1 is the first) after the warm-up.
    pub fn learning_rate_in(&self, epoch: u32) -> f64 {
        self.schedule.rate(self.learning_rate, epoch, self.epochs, self.learning_rate_warm_up)
    }

    /// Steps in which the learning rate rises, of a run on `train_images` images: the last may be a part of one.
    pub fn warm_up_steps(&self, train_images: u64) -> f64 {
        self.learning_rate_warm_up * train_images as f64 / self.batch as f64
    }

    /// The epoch that a step belongs to, by its first image; 1 is the first of either.
    pub fn epoch_of(&self, step: u64, train_images: u64) -> u32 {
        let drawn = (step - 1).saturating_mul(self.batch as u64);
        u32::try_from(drawn / train_images + 1).unwrap_or(u32::MAX)
    }

    /// The learning rate of a step, 1 is the first, as shaders/end_step.wgsl has it while it rises.
    pub fn learning_rate_of(&self, step: u64, train_images: u64) -> f64 {
        match self.warm_up_steps(train_images) {
            rise if ((step - 1) as f64) < rise => {
                self.learning_rate * (step as f64 / rise).min(1.0)
            }
            _ => self.learning_rate_in(self.epoch_of(step, train_images)),
        }
    }

    /// The weight of the KL in the objective of a step, 1 is the first, as shaders/end_step.wgsl has it while it rises.
    pub fn beta_of(&self, step: u64, train_images: u64) -> f64 {
        let epochs = f64::from(self.objective.warm_up);
        let rise = epochs * train_images as f64 / self.batch as f64;
        let before = (step - 1) as f64;
        self.objective.beta * if before < rise { before / rise } else { 1.0 }
    }

    /// How a step moves the parameters.
    pub fn update(&self) -> Update {
        Update {
            optimizer: self.optimizer,
            learning_rate: self.learning_rate,
            warm_up: self.learning_rate_warm_up,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            average: self.average,
        }
    }

    /// Steps from the beginning to the end of `epoch` (1 is the first), of `train_images` images.
    pub fn steps_until(&self, epoch: u32, train_images: u64) -> u64 {
        (u64::from(epoch) * train_images).div_ceil(self.batch as u64)
    }

    /// Steps of the whole run.
    pub fn steps_total(&self, train_images: u64) -> u64 {
        self.steps_until(self.epochs, train_images).min(self.steps.unwrap_or(u64::MAX))
    }

    /// K where the figures show L_K.
    pub fn bound_samples(&self) -> Option<usize> {
        (self.objective.bound == Bound::Iwae).then_some(self.samples)
    }

    /// [`Settings::check`], and whether they fit the data.
    ///
    /// # Errors
    /// As [`Settings::check`], images of another size or other channels, or a minibatch of more images than there are.
    pub fn check_with(&self, dataset: &Dataset) -> Result<(), ConfigError> {
        self.check()?;
        dataset.check()?;
        dataset.train.check_shape(self.architecture.shape())?;
        dataset.check_classes(&self.architecture.classes)?;
        for images in [&dataset.train, &dataset.test].into_iter().chain(&dataset.valid) {
            images.check_domain(self.architecture.likelihood)?;
        }
        if let Prior::Vamp { values, .. } = self.architecture.prior {
            let right = Prior::values_of(dataset.table().is_some());
            if values != right {
                let what = if dataset.table().is_some() { "a table" } else { "images" };
                let problem = format!("has pseudo-inputs of {values}, and these data are {what}");
                let right = format!("give them the values {right}");
                return Err(ConfigError::conflict("architecture.prior", "vamp", problem, right));
            }
        }
        if dataset.table().is_some() && self.flip {
            let right = "leave `flip` out";
            return Err(ConfigError::conflict("flip", "true", "is for images, not tables", right));
        }
        let (batch, n) = (self.batch, dataset.train.n_images);
        match batch > n {
            true => Err(ConfigError::conflict(
                "batch",
                batch,
                format!("is more than the {n} training images"),
                format!("give `batch` {n} or less"),
            )),
            false => Ok(()),
        }
    }
}

/// So many epochs that `n` images or rows make at least `steps` steps; 10 at least.
fn epochs_of(steps: usize, batch: usize, n: usize) -> u32 {
    (steps.saturating_mul(batch).div_ceil(n.max(1)) as u32).max(10)
}

/// What opens a data set again, from any folder; what is nowhere has its name.
fn place(dataset: &Dataset) -> String {
    let source = dataset.source();
    match std::fs::canonicalize(source) {
        Ok(path) if ![data::MNIST, data::FASHION_MNIST].contains(&source) => {
            path.to_str().unwrap_or(source).to_string()
        }
        _ => source.to_string(),
    }
}

fn is_zero(v: &f64) -> bool {
    *v == 0.0
}
