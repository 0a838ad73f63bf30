//! What `elbo train` was asked: its options, and the settings that they come to.

mod config;
mod data;
mod model;

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::ValueEnum;

use super::optimizer::OptimizerOptions;
use super::options::{DeviceOption, seed, size, values};
use super::preset::Preset;
use crate::data::{Channels, Dataset, Fit, MNIST, Table};
use crate::nn::{NetworkKind, Shape};
use crate::numeric::Precision;
use crate::train::{Schedule, Settings};
use crate::vae::objective::{Bound, Kl};
use crate::vae::prior::PriorKind;
use crate::vae::{Architecture, Binarization, Family, Likelihood, Objective, Prior};
pub use config::ConfigFile;
pub use data::absolute;
use data::{classes, is_of_counts};
use model::{Condition, ModelOptions, ObjectiveOptions};

/// Train a VAE and write a run folder: parameters, metrics, pictures
///
/// Without options: the classic VAE (784-400-20, ReLU, Adam 1e-3, batch 128) on MNIST with dynamic
/// binarization, 10 epochs. All figures are nats per image; ELBO = reconstruction - KL, where
/// reconstruction is E_q log p(x|z) with z sampled from q, and KL is KL(q(z|x) || N(0, I)). With
/// --objective iwae the table also has L_K, the importance-weighted bound of K samples.
///
/// The run folder gets config.json, metrics.jsonl (one object an epoch), summary.json,
/// model.safetensors (after every epoch), best.safetensors (after the epoch with the best ELBO of the test
/// set or, with --valid, of the validation images), checkpoint/ (to --resume from), and pictures:
/// reconstructions and samples (.png, and .svg with words), the training curve (training.svg), the KL of each
/// latent unit (units.svg), with two latent units manifold.svg and scatter.svg, else interpolation.svg and
/// traversals.svg.
///
/// The same seed, settings and device give the same parameters, bit for bit, stopped and resumed or not.
/// Ctrl-C finishes the current step, writes checkpoint, model, summary and pictures, and exits with 130.
/// Exit code 1 is a run that failed, 2 is wrong input, of which nothing is left.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo train
  elbo train --preset pytorch-example
  elbo train --hidden 200,200 --latent 50 --epochs 20 --run runs/deep
  elbo train --preset iwae --samples 50 --schedule-stages 4
  elbo train --config runs/deep --lr 3e-4 --run runs/slower
  elbo train --resume runs/deep --epochs 40
  elbo train --data path/to/fashion-mnist --steps 500 --device gpu")]
pub struct Args {
    /// Settings of a published run, whose figure the run is held to; options given beside it take
    /// precedence [default: none]
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,

    /// Settings of a file: a run's config.json, or some of its fields; a run's folder stands for its config.json. Options given
    /// beside it take precedence [default: none]
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub config: Option<PathBuf>,

    /// Training and test images: mnist (built in), fashion-mnist (if installed), a folder of PNG and JPEG
    /// images, a .npy, .npz or .safetensors file or a folder of them, IDX files, raw or .gz, or text of
    /// zeros and ones (.amat); or a table: a .csv or .tsv file, or an array of real values
    ///
    /// Pictures may lie in the folder, in sub-folders by class, or either in train/, test/ and val/ below it.
    /// Arrays are (N, height, width), (N, 1, height, width) or (N, D), in colour (N, height, width, 3) or
    /// (N, 3, height, width), uint8 or floats from 0 to 1, which are taken to 256 levels; names like x_train,
    /// train.npy, x_val, y_test or test_labels say what they are. A folder of IDX or .amat files has the names of MNIST's files or of the binarized MNIST's.
    /// A table has a row a line and a header or none; an array (N, D) is one with --table, or where its numbers can be
    /// no levels. Cells that are empty, NA or NaN are missing. A file named train.csv has its test rows in test.csv.
    /// Without test images, one sixth is held out: the last sixth of an array; of pictures and rows of a
    /// table, after a fixed shuffle.
    #[arg(long, value_name = "PATH", default_value = MNIST)]
    pub data: String,
    /// Bring the images to this height and width, or say what they are where rows of pixels are no
    /// squares [default: as they are]
    #[arg(long, value_name = "HxW", value_parser = size)]
    size: Option<(usize, usize)>,
    /// What --size does to images of another shape
    #[arg(long, value_parser = values::<Fit>(), default_value_t)]
    fit: Fit,
    /// Read the images as grey or in colour [default: in colour if any pixel of theirs has one]
    #[arg(long, value_parser = values::<Channels>())]
    channels: Option<Channels>,
    /// Hold out this share of the training images, the last, to show figures of while training, so that the
    /// test set is left for the end; where there is no test set, it becomes that [default: none]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    valid: Option<f64>,
    /// Read an array (N, D) as a table, of numbers that could be images' levels too
    #[arg(long)]
    table: bool,
    /// Columns of a table to leave out, by name (by number where there is no header)
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    drop: Vec<String>,
    /// The column of a table that holds classes, which are shown and not modelled [default: label or class, if
    /// there is one]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Mirror each training image left to right with probability 1/2, anew each epoch
    #[arg(long)]
    flip: bool,
    /// Seed of everything random: parameters, order, binarization, noise
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    seed: u64,
    /// How matrices are multiplied: mixed is faster on GPUs that have cooperative matrices (tensor cores),
    /// which are tested before, and on the CPU an imitation, no faster
    #[arg(long, value_parser = values::<Precision>(), default_value_t)]
    precision: Precision,
    /// Begin with the parameters of this run, or of a .safetensors file with the names of PyTorch's module, in place of
    /// random ones; the run's settings are the defaults, but those of the data and the seed [default: none]
    #[arg(long, value_name = "RUN|FILE", conflicts_with_all = ["preset", "init"])]
    pub init_from: Option<PathBuf>,
    /// The folder to write, which must be new or empty [default: runs/<date-time>]
    #[arg(long, value_name = "DIR")]
    pub run: Option<PathBuf>,
    /// Go on with the run in this folder from its last checkpoint, to more --epochs or --steps if they are
    /// given, on the device that it was on unless there is --device; its other settings stay as they are
    #[arg(long, value_name = "RUN")]
    pub resume: Option<PathBuf>,
    #[command(flatten)]
    pub device: DeviceOption,
    /// Show progress: samples and reconstructions, always the same ones, after every Nth epoch as
    /// pictures in progress/ of the run folder [default: none]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub figures_every: Option<u32>,
    /// Write a row of figures after every Nth step into steps.jsonl: of training since the row before, with the
    /// objective, the learning rate and beta of the step [default: none]
    #[arg(long, value_name = "N")]
    pub log_every: Option<NonZeroU64>,
    /// Write TensorBoard's event file into the run folder: the settings, the figures of each epoch and, with --log-every,
    /// of steps, and samples and reconstructions of about 20 epochs, or of every Nth
    #[arg(long)]
    pub tensorboard: bool,

    /// Bytes of either data set that may be on the device as a whole; of a larger one it holds a window
    #[arg(long, value_name = "BYTES", hide = true)]
    pub resident_limit: Option<usize>,

    /// The columns of a table, of a configuration of the same data.
    #[arg(skip)]
    like: Option<Table>,
    /// Whether cells are counts, where a configuration or the run to begin from says it.
    #[arg(skip)]
    counts: Option<bool>,

    #[command(flatten)]
    model: ModelOptions,
    #[command(flatten)]
    objective: ObjectiveOptions,
    #[command(flatten)]
    optimizer: OptimizerOptions,
}

impl Args {
    /// The preset's settings, or the defaults, with what is given in their place.
    pub fn settings(&self, dataset: &Dataset) -> Result<Settings, String> {
        self.settings_like(None, dataset)
    }

    /// The same, where another run's settings are the defaults.
    pub fn settings_like(
        &self,
        run: Option<&Settings>,
        dataset: &Dataset,
    ) -> Result<Settings, String> {
        let base = match run {
            Some(run) => run.clone(),
            None => self.preset.map_or_else(|| Settings::of(dataset), Preset::settings),
        };
        let fail = |message: &str| Err(message.to_string());
        let (model, objective, optimizer) = (&self.model, &self.objective, &self.optimizer);
        if let Some(preset) = self.preset.filter(|preset| preset.is_of_binarized())
            && !dataset.train.is_binary()
        {
            return Err(format!(
                "--preset {} is for binarized images, not grey ones: name them by --data",
                preset.to_possible_value().expect("it has a name").get_name()
            ));
        }

        let likelihood = match (model.likelihood, model.variance) {
            (None, None) => base.architecture.likelihood,
            (kind, variance) => {
                let own = base.architecture.likelihood;
                let kind = kind.unwrap_or(own.kind());
                match (Likelihood::of_kind(kind, variance), variance) {
                    (Some(likelihood), None) if own.kind() == likelihood.kind() => own,
                    (Some(likelihood), _) => likelihood,
                    (None, _) => return fail("--variance needs --likelihood gaussian"),
                }
            }
        };
        let likelihood = match model.size_factor.map(|size| likelihood.with_size_factor(size)) {
            None => likelihood,
            Some(Some(sized)) => sized,
            Some(None) => {
                return fail("--size-factor needs --likelihood poisson or negative-binomial");
            }
        };
        let binarization = match (model.binarization, likelihood) {
            (Some(given), _) => given,
            (None, l) if !l.module().accepts(Binarization::Dynamic) => Binarization::None,
            (None, _) if self.preset.is_none() && dataset.train.is_binary() => Binarization::Fixed,
            (None, l) if l == base.architecture.likelihood => base.binarization,
            (None, _) => Binarization::Dynamic,
        };
        let shape = dataset.train.shape();
        let image = [shape.height, shape.width, shape.channels];
        let hidden = match (&model.hidden, model.network) {
            (Some(layers), _) => Some(layers.clone()),
            (None, Some(kind)) => Some(kind.layers(image)),
            (None, None) => None,
        };
        let is_own = run.is_none() && self.preset.is_none();
        let activation = match (model.activation, model.network) {
            (Some(given), _) => given,
            (None, Some(kind)) => kind.activation(),
            // The activation of the data's own network is not that of other layers.
            (None, None) if is_own && hidden.is_some() => NetworkKind::Mlp.activation(),
            (None, None) => base.architecture.activation,
        };
        let decoder_hidden = match (&model.decoder_hidden, &hidden) {
            (Some(layers), _) => layers.clone(),
            (None, Some(hidden)) => hidden
                .mirrored(Shape::Map(image))
                .map_err(|problem| format!("--hidden {hidden} does not meet: {problem}"))?,
            (None, None) => base.architecture.decoder_hidden,
        };

        let prior = model.prior(base.architecture.prior, dataset)?;
        let bound = objective.objective.unwrap_or(base.objective.bound);
        let posterior = model.family(base.architecture.posterior)?;
        let kl = match (objective.kl, bound) {
            (Some(kl), _) => kl,
            _ if !posterior.has_closed_kl() || !prior.is_normal() => Kl::Sampled,
            (None, bound) if bound == base.objective.bound => base.objective.kl,
            (None, Bound::Iwae) => Kl::Sampled,
            (None, Bound::Elbo) => Kl::Analytic,
        };
        let schedule = optimizer.lr_schedule.clone().unwrap_or(base.schedule);
        let epochs = match (optimizer.epochs, optimizer.schedule_stages) {
            (Some(epochs), _) => epochs,
            (None, None) if run.is_some_and(|run| run.schedule == schedule) => base.epochs,
            (None, Some(_)) if schedule != Schedule::Iwae => {
                return fail("--schedule-stages needs --lr-schedule iwae");
            }
            (None, stages) if schedule == Schedule::Iwae => {
                Schedule::epochs_of_stages(stages.unwrap_or(8)).expect("clap bounds the stages")
            }
            (None, _) => base.epochs,
        };
        Ok(Settings {
            data: absolute(&self.data),
            data_sha256: None,
            classes_sha256: None,
            size: self.size,
            fit: self.fit,
            valid: self.valid,
            table: dataset.table().map(|table| Table::clone(table)),
            flip: self.flip,
            architecture: Architecture {
                image: (dataset.train.height, dataset.train.width),
                channels: dataset.train.channels,
                hidden: hidden.unwrap_or(base.architecture.hidden),
                decoder_hidden,
                latent: model.latent.unwrap_or(base.architecture.latent),
                activation,
                posterior,
                likelihood,
                // Those that a run to begin from was told keep their numbers.
                classes: match (model.condition, base.architecture.classes) {
                    (Some(Condition::None), _) => Vec::new(),
                    (Some(Condition::Labels), known) if known.is_empty() => classes(dataset)?,
                    (_, known) => known,
                },
                prior,
            },
            binarization,
            epochs,
            steps: optimizer.steps.or(base.steps),
            // Of a small set all, as in the library; a preset's is part of its figure.
            batch: optimizer.batch.unwrap_or(match self.preset {
                Some(_) => base.batch,
                None => base.batch.min(dataset.train.n_images),
            }),
            samples: objective.samples.unwrap_or(base.samples),
            learning_rate: optimizer.lr.unwrap_or(base.learning_rate),
            learning_rate_warm_up: optimizer.lr_warm_up.unwrap_or(base.learning_rate_warm_up),
            schedule,
            optimizer: optimizer.chosen(base.optimizer)?,
            weight_decay: optimizer.weight_decay.unwrap_or(base.weight_decay),
            average: optimizer.ema.or(base.average),
            early_stop: optimizer.early_stop.or(base.early_stop),
            clip_norm: optimizer.clip_norm.or(base.clip_norm),
            objective: Objective {
                bound,
                estimator: objective.gradient.unwrap_or(base.objective.estimator),
                kl,
                beta: objective.beta.unwrap_or(base.objective.beta),
                warm_up: objective.warm_up.unwrap_or(base.objective.warm_up),
                free_bits: objective.free_bits.unwrap_or(base.objective.free_bits),
            },
            init: model.init.unwrap_or(base.init),
            init_from: None,
            seed: self.seed,
            precision: self.precision,
        })
    }

    /// A run's settings with the end that is given, and its data where that was moved to.
    pub fn extend(&self, run: &Settings, moved: bool) -> Result<Settings, String> {
        let mut settings = run.clone();
        if let Some(epochs) = self.optimizer.epochs {
            if run.schedule == Schedule::Cosine && epochs != run.epochs {
                return Err(format!(
                    "--epochs {epochs}: with --lr-schedule cosine the rates of all epochs depend on their \
                     number, which is {} in this run",
                    run.epochs
                ));
            }
            settings.epochs = epochs;
        }
        settings.steps = self.optimizer.steps.or(run.steps);
        settings.early_stop = self.optimizer.early_stop.or(run.early_stop);
        if moved {
            settings.data = absolute(&self.data);
        }
        settings.check().map_err(|e| e.to_string())?;
        Ok(settings)
    }

    /// The preset whose own settings these are, but for what does not matter to its figure.
    pub fn preset_of(settings: &Settings, dataset: &Dataset) -> Option<Preset> {
        Preset::value_variants().iter().copied().find(|&preset| {
            let args = Args {
                preset: Some(preset),
                config: None,
                data: MNIST.to_string(),
                size: None,
                fit: Fit::default(),
                channels: None,
                valid: None,
                table: false,
                drop: Vec::new(),
                label: None,
                flip: false,
                seed: settings.seed,
                precision: Precision::F32,
                init_from: None,
                run: None,
                resume: None,
                device: DeviceOption::default(),
                figures_every: None,
                log_every: None,
                tensorboard: false,
                resident_limit: None,
                like: None,
                counts: None,
                model: ModelOptions::default(),
                objective: ObjectiveOptions::default(),
                optimizer: OptimizerOptions::default(),
            };
            args.settings(dataset).is_ok_and(|own| {
                // There is no copy of the binarized images here.
                let source = if preset.is_of_binarized() { settings } else { &own };
                let (data, data_sha256) = (source.data.clone(), settings.data_sha256.clone());
                Settings { data, data_sha256, ..own } == *settings
            })
        })
    }
}
impl ModelOptions {
    /// What q(z|x) is, where options or the base say so.
    fn family(&self, base: Family) -> Result<Family, String> {
        let kind = self.posterior.unwrap_or(base.kind());
        let mut family = if kind == base.kind() { base } else { Family::of_kind(kind) };
        let needs = |option: &str, kinds: &str| format!("{option} needs --posterior {kinds}");
        if let Some(steps) = self.flow_steps {
            let with = family.with_steps(steps);
            family = with.ok_or_else(|| needs("--flow-steps", "planar or iaf"))?;
        }
        if let Some(hidden) = self.flow_hidden {
            let with = family.with_hidden(hidden);
            family = with.ok_or_else(|| needs("--flow-hidden", "iaf"))?;
        }
        Ok(family)
    }

    /// The prior that was asked for, of so many pseudo-inputs, or that of `base`.
    fn prior(&self, base: Prior, dataset: &Dataset) -> Result<Prior, String> {
        let own = match base {
            Prior::Vamp { pseudo_inputs, .. } => Some(pseudo_inputs),
            Prior::Normal => None,
        };
        match (self.prior.unwrap_or(base.kind()), self.pseudo_inputs) {
            (PriorKind::Normal, None) => Ok(Prior::Normal),
            (PriorKind::Normal, Some(_)) => Err("--pseudo-inputs needs --prior vamp".to_string()),
            (PriorKind::Vamp, given) => Ok(Prior::Vamp {
                pseudo_inputs: given.or(own).unwrap_or(Prior::PSEUDO_INPUTS),
                values: Prior::values_of(dataset.table().is_some()),
            }),
        }
    }
}
