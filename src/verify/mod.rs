//! The model whose answer is known, and what must hold on it: every estimator of log p(x) against the
//! closed form, and training against the maximum of the likelihood.

pub mod annealing;
pub mod linear_gaussian;
pub mod refining;
pub mod signal;
pub mod two_sided;

use nalgebra::{DMatrix, DVector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::bounds::EvaluateError;
use crate::device::{Device, DeviceError};
use crate::kernels::activation::Activation;
use crate::loaded::LoadedModel;
use crate::nn::Layers;
use crate::plan::PlanError;
use crate::train::{self, Settings};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::likelihood::Variance;
use crate::vae::network::Moments;
use crate::vae::objective::{Estimator, Kl, Objective};
use crate::vae::step::{Content, Source, TrainProgram};
use crate::vae::{Architecture, Likelihood, Prior};
use annealing::Both;
use linear_gaussian::{Diagonal, LinearGaussian, Ppca, kl, ppca, subspace_distance};
use refining::Best;
use two_sided::TwoSided;

/// (D, Z) of the models.
pub const SIZES: [(usize, usize); 3] = [(2, 1), (8, 2), (24, 4)];
/// Observations of each model, and draws of z for each.
const OBSERVATIONS: usize = 64;
const DRAWS: usize = 500;
/// Standard errors that a mean over draws may be off. One mean in 150 000 is, by chance.
const ERRORS: f64 = 4.5;

/// Why a check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Sizes beyond what a kernel can cover.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Bounds could not be had.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
}

/// One thing that must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// (D, Z)
    pub size: (usize, usize),
    /// What is compared, in words.
    pub check: &'static str,
    /// By the closed form.
    pub expected: f64,
    /// On the device.
    pub obtained: f64,
    /// How far they may be apart.
    pub allowed: f64,
}

impl Row {
    /// False also where a figure is NaN.
    pub fn passed(&self) -> bool {
        (self.obtained - self.expected).abs() <= self.allowed
    }
}

/// What the device drew for a model, an approximate posterior and observations.
#[derive(Debug, Clone)]
pub struct Draws {
    /// N rows of K: log p(x|z), z from q.
    pub log_px: Vec<Vec<f64>>,
    /// N rows of K: log weights.
    pub log_w: Vec<Vec<f64>>,
    /// N rows of K: log p(x|z), z from the prior.
    pub prior_log_px: Vec<Vec<f64>>,
    /// N: q(z|x) as the encoder has it.
    pub q: Vec<Diagonal>,
}

/// What a device made of one model.
#[derive(Clone)]
pub struct Experiment {
    /// Whose log p(x) is known.
    pub model: LinearGaussian,
    /// N draws from it.
    pub observations: Vec<DVector<f64>>,
    /// With the posterior as q.
    pub exact: Draws,
    /// With a q beside it.
    pub off: Draws,
    /// Bounds from both sides, with that q.
    pub two_sided: TwoSided,
    /// Annealed importance sampling, with that q.
    pub annealing: Both,
    /// The best q of each observation.
    pub best: Best,
    /// Training data, and what training made of it.
    pub data: Vec<DVector<f64>>,
    /// The parameters after training on them.
    pub trained: Trained,
}

/// Draws and trains on a device, for a model of D observed and Z latent units.
///
/// # Errors
/// The device failed.
pub fn experiment(device: &Device, (d, z): (usize, usize)) -> Result<Experiment, VerifyError> {
    let mut rng = ChaCha8Rng::seed_from_u64(d as u64);
    let model = LinearGaussian::random(d, z, &mut rng);
    let mut draw_data = |n: usize| -> Vec<DVector<f64>> {
        (0..n).map(|_| model.draw(&mut rng).map(|v| f64::from(v as f32))).collect()
    };
    let (observations, data) = (draw_data(OBSERVATIONS), draw_data(1000));
    let exact = draw(device, &model, &observations, &encoder(&model, false))?;
    let off = draw(device, &model, &observations, &encoder(&model, true))?;
    let two_sided = TwoSided::draw(device, &model)?;
    let annealing = Both::draw(device, &model)?;
    let best = Best::find(device, &model)?;
    let trained = train_on(device, &data, z)?;
    Ok(Experiment { model, observations, exact, off, two_sided, annealing, best, data, trained })
}

/// Every row of every size, on a device.
///
/// # Errors
/// The device failed.
pub fn run(device: &Device) -> Result<Vec<Row>, VerifyError> {
    let mut rows = Vec::new();
    for size in SIZES {
        rows.extend(experiment(device, size)?.rows());
    }
    rows.extend(signal::rows(&signal::find(device)?));
    Ok(rows)
}

impl Experiment {
    /// What must hold.
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = estimator_rows(&self.model, &self.observations, &self.exact, &self.off);
        rows.extend(self.two_sided.rows(&self.model));
        rows.extend(self.annealing.rows(&self.model));
        rows.extend(self.best.rows(&self.model));
        rows.extend(training_rows(&self.data, self.model.weight.ncols(), &self.trained));
        rows
    }
}

/// What must hold of the estimators where q is the posterior (`exact`) and where it is not (`off`).
fn estimator_rows(
    model: &LinearGaussian,
    observations: &[DVector<f64>],
    exact: &Draws,
    off: &Draws,
) -> Vec<Row> {
    let size = model.weight.shape();
    let log_p: Vec<f64> = observations.iter().map(|x| model.log_density(x)).collect();
    let mean_log_p = mean(log_p.iter().copied()).0;
    // What single precision leaves of a sum of D + Z squares; they are of the order of ten at most.
    let rounding = 10.0 * (size.0 + size.1) as f64 * 2.0_f64.powi(-20);
    let (map, offset, covariance) = model.posterior();
    let gaps: Vec<f64> = observations
        .iter()
        .zip(&off.q)
        .map(|(x, q)| kl(q, &(&map * x + &offset), &covariance))
        .collect();
    let mut rows = Vec::new();
    let mut row = |check, expected, obtained, allowed| {
        rows.push(Row { size, check, expected, obtained, allowed });
    };

    let bound = mean(exact.log_w.iter().map(|w| log_mean_exp(w))).0;
    row("log p by importance sampling, q the posterior", mean_log_p, bound, rounding);
    let spread =
        exact.log_w.iter().zip(&log_p).flat_map(|(w, p)| w.iter().map(move |w| (w - p).abs()));
    row("largest |log w - log p|, q the posterior", 0.0, spread.fold(0.0, nan_max), 4.0 * rounding);
    // The error of a mean over observations is that of the differences from what each should be.
    let (difference, error) = mean(elbo_of(exact).zip(&log_p).map(|(elbo, p)| elbo - p));
    let elbo = mean_log_p + difference;
    row("ELBO, q the posterior: equal to log p", mean_log_p, elbo, ERRORS * error);

    let sampled =
        off.log_w.iter().zip(&log_p).map(|(w, p)| p - w.iter().sum::<f64>() / w.len() as f64);
    let (difference, error) = mean(sampled.zip(&gaps).map(|(sampled, gap)| sampled - gap));
    let gap = mean(gaps.iter().copied()).0;
    row("log p - ELBO, q off: KL(q || posterior)", gap, gap + difference, ERRORS * error);
    let ratios = |log: &[Vec<f64>]| -> (f64, f64) {
        mean(log.iter().zip(&log_p).flat_map(|(w, p)| w.iter().map(move |w| (w - p).exp())))
    };
    let (ratio, error) = ratios(&off.log_w);
    row("w / p(x), q off: 1 on average", 1.0, ratio, ERRORS * error);
    let (ratio, error) = ratios(&off.prior_log_px);
    row("p(x|z) / p(x), z from the prior: 1 on average", 1.0, ratio, ERRORS * error);
    rows
}

/// The parameters of a trained linear VAE.
#[derive(Debug, Clone)]
pub struct Trained {
    /// (D, Z)
    pub decoder: DMatrix<f64>,
    /// (D)
    pub mean: DVector<f64>,
    /// s
    pub variance: f64,
    /// q(z|x) of each observation.
    pub q: Vec<Diagonal>,
}

/// What must hold of a VAE trained on `data`: it is the pPCA solution, and its bound is tight.
fn training_rows(data: &[DVector<f64>], z: usize, trained: &Trained) -> Vec<Row> {
    let size = (data[0].len(), z);
    let rows: Vec<_> = data.iter().map(|x| x.transpose()).collect();
    let Ppca { log_likelihood, variance, subspace } = ppca(&DMatrix::from_rows(&rows), z);
    let model =
        LinearGaussian::new(trained.decoder.clone(), trained.mean.clone(), trained.variance);
    // Parameters that are no model fail every row.
    let (obtained, gap, angle) = match model {
        Some(model) => {
            let (map, offset, covariance) = model.posterior();
            let each = data.iter().zip(&trained.q);
            (
                mean(data.iter().map(|x| model.log_density(x))).0,
                mean(each.map(|(x, q)| kl(q, &(&map * x + &offset), &covariance))).0,
                subspace_distance(&subspace, &trained.decoder),
            )
        }
        None => [f64::NAN; 3].into(),
    };
    let row = |check, expected, obtained, allowed| Row { size, check, expected, obtained, allowed };
    vec![
        row("training: log p at the pPCA maximum", log_likelihood, obtained, 0.01),
        row("training: noise variance of pPCA", variance, trained.variance, 0.02 * variance),
        row("training: sine of the angle to the principal subspace", 0.0, angle, 0.05),
        row("training: log p - ELBO, tight at the maximum", 0.0, gap, 0.01),
    ]
}

/// Parameters of the linear encoder, [`crate::vae::Network::parameters`]' first two: the posterior, or a
/// wider Gaussian beside it.
fn encoder(model: &LinearGaussian, off: bool) -> [Vec<f32>; 2] {
    // Wider than the posterior, so that the weights are bounded.
    let (shift, wider) = if off { (0.4, 1.4) } else { (0.0, 1.0) };
    encoder_beside(model, shift, wider)
}

/// Parameters of the linear encoder that gives a Gaussian beside the posterior: by `shift` standard deviations, `wider` times its
/// variance.
fn encoder_beside(model: &LinearGaussian, shift: f64, wider: f64) -> [Vec<f32>; 2] {
    let (map, offset, covariance) = model.posterior();
    let (z, d) = map.shape();
    let mut weight = vec![0.0; 2 * z * d];
    let mut bias = vec![0.0; 2 * z];
    for i in 0..z {
        for j in 0..d {
            weight[i * d + j] = map[(i, j)] as f32;
        }
        let variance = covariance[(i, i)];
        bias[i] = (offset[i] + shift * variance.sqrt()) as f32;
        bias[z + i] = (wider * variance).ln() as f32;
    }
    [weight, bias]
}

fn architecture(d: usize, z: usize, variance: Variance) -> Architecture {
    Architecture {
        image: (1, d),
        channels: 1,
        hidden: Layers::default(),
        decoder_hidden: Layers::default(),
        latent: z,
        activation: Activation::Identity,
        posterior: Default::default(),
        likelihood: Likelihood::Gaussian { variance },
        classes: Vec::new(),
        prior: Prior::Normal,
    }
}

/// The parameters of a network with this encoder, and the model as decoder.
fn parameters(model: &LinearGaussian, [weight, bias]: [&Vec<f32>; 2]) -> Vec<Vec<f32>> {
    vec![
        weight.clone(),
        bias.clone(),
        model.weight.transpose().iter().map(|&v| v as f32).collect(), // row by row
        model.mean.iter().map(|&v| v as f32).collect(),
        vec![model.variance.ln() as f32],
    ]
}

/// Draws on the device with the model as decoder.
fn draw(
    device: &Device,
    model: &LinearGaussian,
    observations: &[DVector<f64>],
    [weight, bias]: &[Vec<f32>; 2],
) -> Result<Draws, VerifyError> {
    let (d, z) = model.weight.shape();
    let n = observations.len();
    let chunks = Chunks { batch: n, samples: DRAWS, runs: 1 };
    let architecture = architecture(d, z, Variance::Given(model.variance));
    let program = EstimateProgram::record(&architecture, Content::Reals, n, None, chunks)?;
    let values = parameters(model, [weight, bias]);
    let mut loaded = LoadedModel::load(device, program, &values, 0)?;
    let EstimateProgram { data, importance, prior, log_px, log_w, prior_log_px, .. } =
        loaded.program;
    loaded.executor.write_f32(data, &flatten(observations))?;
    loaded.begin_at(0)?;
    let heads = loaded.encode()?;
    loaded.run(importance)?;
    loaded.begin_at(0)?;
    loaded.run(prior)?;
    let rows = |values: Vec<f32>, width: usize| -> Vec<Vec<f64>> {
        let row = |row: &[f32]| row.iter().map(|&v| f64::from(v)).collect();
        values.chunks_exact(width).map(row).collect()
    };
    let q = rows(heads, 2 * z)
        .into_iter()
        .map(|heads| Diagonal {
            mean: DVector::from_column_slice(&heads[..z]),
            variance: DVector::from_iterator(z, heads[z..].iter().map(|l| l.exp())),
        })
        .collect();
    Ok(Draws {
        log_px: rows(loaded.read(log_px)?, DRAWS),
        log_w: rows(loaded.read(log_w)?, DRAWS),
        prior_log_px: rows(loaded.read(prior_log_px)?, DRAWS),
        q,
    })
}

/// Trains a linear VAE from a random start, without the score of q, whose noise would not vanish at the
/// maximum, and with a learning rate that goes to zero along a cosine.
fn train_on(device: &Device, data: &[DVector<f64>], z: usize) -> Result<Trained, VerifyError> {
    const EPOCHS: u32 = 150;
    let (n, d) = (data.len(), data[0].len());
    let settings = Settings {
        architecture: architecture(d, z, Variance::Learned),
        learning_rate: 0.02,
        objective: Objective {
            kl: Kl::Sampled,
            estimator: Estimator::StickingTheLanding,
            ..Objective::default()
        },
        batch: n / 10,
        ..Settings::default()
    };
    let source = Source {
        images: n,
        window: None,
        content: Content::Reals,
        flips: None,
        batch: settings.batch,
        samples: 4,
    };
    let Settings { architecture, objective, .. } = &settings;
    let plan = TrainProgram::record(architecture, source, source, objective, &settings.update())?;
    let mut executor = device.load(plan.program.clone())?;
    executor.write_f32(plan.train.data, &flatten(data))?;
    train::initialize(&mut *executor, &plan, &settings, &Moments::default())?;
    for epoch in 0..EPOCHS {
        let mut rates = executor.read_f32(plan.train.rates)?;
        let turn = f64::from(epoch) / f64::from(EPOCHS) * std::f64::consts::PI;
        rates[crate::kernels::rates::LEARNING_RATE] =
            (settings.learning_rate * 0.5 * (1.0 + turn.cos())) as f32;
        executor.write_f32(plan.train.rates, &rates)?;
        executor.run_all(plan.train.plan, 10)?;
    }
    let mut values = Vec::new();
    for parameter in plan.network.parameters() {
        let read = executor.read_f32(parameter)?;
        values.push(read.into_iter().map(f64::from).collect::<Vec<f64>>());
    }
    let map = DMatrix::from_row_slice(2 * z, d, &values[0]);
    let offset = DVector::from_column_slice(&values[1]);
    let q = data
        .iter()
        .map(|x| {
            let heads = &map * x + &offset;
            Diagonal {
                mean: heads.rows(0, z).into_owned(),
                variance: heads.rows(z, z).map(f64::exp),
            }
        })
        .collect();
    Ok(Trained {
        decoder: DMatrix::from_row_slice(d, z, &values[2]),
        mean: DVector::from_column_slice(&values[3]),
        variance: values[4][0].exp(),
        q,
    })
}

/// The ELBO of each observation, with the KL in closed form.
fn elbo_of(draws: &Draws) -> impl Iterator<Item = f64> {
    draws.log_px.iter().zip(&draws.q).map(|(log_px, q)| {
        let z = q.mean.len();
        let to_prior = kl(q, &DVector::zeros(z), &DMatrix::identity(z, z));
        log_px.iter().sum::<f64>() / log_px.len() as f64 - to_prior
    })
}

fn flatten(rows: &[DVector<f64>]) -> Vec<f32> {
    rows.iter().flat_map(|row| row.iter().map(|&v| v as f32)).collect()
}

/// The mean and its standard error.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

fn log_mean_exp(values: &[f64]) -> f64 {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, nan_max);
    let sum: f64 = values.iter().map(|v| (v - largest).exp()).sum();
    largest + (sum / values.len() as f64).ln()
}

/// The larger, or NaN if either is: `f64::max` would lose it.
fn nan_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}
