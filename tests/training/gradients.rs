//! The gradient of a whole step: in f64 against central finite differences, then every device's against
//! the f64 one. The estimators that are no derivative of a sampled number are held against the plain one
//! over many draws.

use elbo::data::{Dataset, Images, Labels, Table};
use elbo::device::cpu::CpuExecutor;
use elbo::device::{Device, Executor};
use elbo::kernels::activation::Activation;
use elbo::kernels::{clock, rates};
use elbo::nn::Shape;
use elbo::plan::{Program, TensorId};
use elbo::train::{self, Settings};
use elbo::vae::likelihood::SizeFactor;
use elbo::vae::network::Moments;
use elbo::vae::objective::{Bound, Estimator, Kl};
use elbo::vae::posterior::Reader;
use elbo::vae::prior::PseudoValues;
use elbo::vae::step::{Content, Source, TrainProgram};
use elbo::vae::{
    Adam, Architecture, Binarization, Family, Init, Likelihood, Objective, Prior, Variance,
};

use crate::harness;

fn images(n: usize, height: usize, width: usize) -> Images {
    let pixels = (0..n * height * width).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    Images { n_images: n, height, width, channels: 1, pixels, labels: None }
}

fn dataset() -> Dataset {
    let (train, test) = (images(10, 3, 4), images(5, 3, 4));
    Dataset { name: "bytes".to_string(), train, test, valid: None }
}

fn settings(hidden: &[usize], decoder_hidden: &[usize], activation: Activation) -> Settings {
    Settings {
        architecture: Architecture {
            image: (3, 4),
            channels: 1,
            hidden: hidden.into(),
            decoder_hidden: decoder_hidden.into(),
            latent: 3,
            activation,
            posterior: Default::default(),
            likelihood: Likelihood::Bernoulli,
            classes: Vec::new(),
            prior: Prior::Normal,
        },
        batch: 4,
        samples: 2,
        objective: Objective { beta: 0.7, ..Objective::default() },
        seed: 11,
        ..Settings::default()
    }
}

const GAUSSIAN: Likelihood = Likelihood::Gaussian { variance: Variance::Learned };

/// The same bytes as images in colour, where the likelihood tells channels apart.
fn in_channels_of(likelihood: Likelihood, settings: &mut Settings, images: [&mut Images; 2]) {
    if likelihood == (Likelihood::Gaussian { variance: Variance::Channel }) {
        let (height, width) = settings.architecture.image;
        (settings.architecture.image, settings.architecture.channels) = ((height / 3, width), 3);
        for images in images {
            (images.height, images.channels) = (height / 3, 3);
        }
    }
}

/// Every likelihood, with every way of having its variance.
fn likelihoods() -> Vec<Likelihood> {
    let variances = [
        Variance::Optimal,
        Variance::Channel,
        Variance::Pixel,
        Variance::Column,
        Variance::Learned,
        Variance::Decoder,
        Variance::Given(0.3),
    ];
    let gaussian = variances.map(|variance| Likelihood::Gaussian { variance });
    let grey = [Likelihood::ContinuousBernoulli, Likelihood::DiscretizedLogistic];
    let counts = [SizeFactor::Total, SizeFactor::None].map(|size_factor| {
        [Likelihood::Poisson { size_factor }, Likelihood::NegativeBinomial { size_factor }]
    });
    [&[Likelihood::Bernoulli], &gaussian[..], &grey, &counts.concat()].concat()
}

fn iwae(estimator: Estimator) -> Objective {
    Objective { bound: Bound::Iwae, kl: Kl::Sampled, estimator, ..Objective::default() }
}

fn sampled(estimator: Estimator) -> Objective {
    Objective { kl: Kl::Sampled, beta: 0.7, estimator, ..Objective::default() }
}

/// Every objective whose gradient is that of a sampled number, besides the analytic ELBO.
fn objectives() -> Vec<Objective> {
    let base = Objective { beta: 0.7, ..Objective::default() };
    vec![
        Objective { beta: 0.0, ..base.clone() },
        Objective { warm_up: 3, ..base.clone() },
        Objective { free_bits: 0.4, ..base },
        sampled(Estimator::Reparameterized),
        Objective { warm_up: 3, ..sampled(Estimator::Reparameterized) },
        iwae(Estimator::Reparameterized),
    ]
}

/// A prior of three pseudo-inputs.
fn vamp(values: PseudoValues) -> Prior {
    Prior::Vamp { pseudo_inputs: 3, values }
}

fn named(program: &Program, name: &str) -> TensorId {
    let found = program.tensors().iter().position(|t| t.name == name);
    TensorId(found.unwrap_or_else(|| panic!("no tensor {name}")))
}

/// The gradient that a first step has left in Adam's moments, m = (1 - BETA1) g, as the kernels round BETA1.
fn gradient_of(moments: impl ExactSizeIterator<Item = f64>) -> Vec<f64> {
    let n = moments.len() / 2;
    moments.take(n).map(|m| m / (1.0 - f64::from(Adam::default().beta1 as f32))).collect()
}

/// A training plan with its data and parameters, in f64. Each run of it is the first step of a run: what
/// the steps before have moved is put back.
struct Oracle {
    plan: TrainProgram,
    executor: CpuExecutor<f64>,
    objective: Objective,
    samples: usize,
    parameters: Vec<Vec<f64>>,
    clock: Vec<u32>,
    rates: Vec<f64>,
}

impl Oracle {
    fn new(dataset: &Dataset, settings: &Settings) -> Self {
        settings.check().expect("settings");
        let plan = train::record(dataset, settings).expect("a plan");
        let mut executor = harness::cpu().load::<f64>(plan.program.clone()).expect("memory");
        train::begin(&mut executor, &plan, dataset, settings).expect("begin");
        if settings.objective.warm_up > 0 {
            // Somewhere on the way up.
            executor.floats_mut(plan.train.rates)[rates::KL_WEIGHT] = 0.3;
        }
        Oracle::begun(plan, executor, settings.objective.clone(), settings.samples)
    }

    fn begun(
        plan: TrainProgram,
        mut executor: CpuExecutor<f64>,
        objective: Objective,
        samples: usize,
    ) -> Self {
        let parameters =
            plan.trained.iter().map(|t| executor.floats_mut(t.parameter).to_vec()).collect();
        let rates = executor.floats_mut(plan.train.rates).to_vec();
        let begun: &mut dyn Executor = &mut executor;
        let clock = begun.read_u32(plan.train.clock).expect("reads");
        Oracle { plan, executor, objective, samples, parameters, clock, rates }
    }

    /// Gives the heads behind mean and log variance, which begin at zero, other values.
    fn leave_the_diagonal(&mut self) {
        let heads = self.plan.network.encoder(None).len() - 1;
        let layers = self.plan.network.layers().count();
        let (of_layers, of_flow) = self.parameters.split_at_mut(2 * layers);
        for values in of_layers[2 * heads..][..2].iter_mut().chain(of_flow) {
            for (i, value) in values.iter_mut().enumerate().filter(|(_, v)| **v == 0.0) {
                *value = 0.3 * (1.7 * i as f64 + 0.4).sin();
            }
        }
    }

    fn values(&mut self, name: &str) -> Vec<f64> {
        self.executor.floats_mut(named(&self.plan.program, name)).to_vec()
    }

    fn run(&mut self) {
        for (t, values) in self.plan.trained.iter().zip(&self.parameters) {
            self.executor.floats_mut(t.parameter).copy_from_slice(values);
            self.executor.floats_mut(t.state).fill(0.0);
        }
        self.executor.floats_mut(self.plan.train.rates).copy_from_slice(&self.rates);
        let executor: &mut dyn Executor = &mut self.executor;
        executor.write_u32(self.plan.train.clock, &self.clock).expect("writes");
        executor.run_all(self.plan.train.plan, 1).expect("the CPU runs");
    }

    /// Of the last run, for each parameter tensor: Adam's first moment was zero.
    fn gradients(&mut self) -> Vec<Vec<f64>> {
        let executor = &mut self.executor;
        let all = self.plan.trained.iter();
        all.map(|t| gradient_of(executor.floats_mut(t.state).iter().copied())).collect()
    }

    /// h(z) = log p(z) - log N(z; 0, I) of each row, by its formula, from what the encoder makes of the pseudo-inputs.
    fn prior_ratios(&mut self) -> Vec<f64> {
        let (z, n) = (self.values("train/z"), self.plan.network.architecture.latent);
        if self.plan.network.architecture.prior.is_normal() {
            return vec![0.0; z.len() / n];
        }
        // Those of the images come first.
        let tensors = self.plan.program.tensors();
        let last = tensors.iter().rposition(|t| t.name == "train/encoder.heads");
        let components = self.executor.floats_mut(TensorId(last.expect("heads"))).to_vec();
        let ratio = |z: &[f64]| {
            let density = |of: &[f64]| {
                let part = |u: usize| {
                    z[u] * z[u] - (z[u] - of[u]).powi(2) * (-of[n + u]).exp() - of[n + u]
                };
                (0.5 * (0..n).map(part).sum::<f64>()).exp()
            };
            let count = components.len() / (2 * n);
            (components.chunks(2 * n).map(density).sum::<f64>() / count as f64).ln()
        };
        z.chunks(n).map(ratio).collect()
    }

    /// The objective by its formula, from the noise and what encoder and decoder make of it.
    fn objective(&mut self) -> f64 {
        self.run();
        let a = &self.plan.network.architecture;
        // Without a hidden layer the class adds to the heads.
        let heads = match a.hidden.is_empty() && !a.classes.is_empty() {
            true => "train/encoder.embedding",
            false => "train/encoder.heads",
        };
        let (heads, z, eps) =
            (self.values(heads), self.values("train/z"), self.values("train/eps"));
        let (beta, k, b) =
            (self.rates[rates::KL_WEIGHT], self.samples, self.values("train/kl").len());
        let (rows, n, width) = (b * k, z.len() / (b * k), heads.len() / b);
        let of_prior = self.prior_ratios();
        // Of each row, where it may come in parts.
        let parts = self.values("train/log_px");
        let log_px: Vec<f64> = parts.chunks(parts.len() / rows).map(|p| p.iter().sum()).collect();
        let l = |image: usize, unit: usize| heads[image * width + n + unit];
        let is_flow = !self.plan.network.architecture.posterior.has_closed_kl();
        let log_det = if is_flow { self.values("train/log_det") } else { vec![0.0; rows] };
        let log_ratio = |row: usize| -> f64 {
            let part = |u: usize| {
                let (z, e) = (z[row * n + u], eps[row * n + u]);
                0.5 * (e * e + l(row / k, u) - z * z)
            };
            (0..n).map(part).sum::<f64>() + log_det[row] + of_prior[row]
        };
        let mean_px = log_px.iter().sum::<f64>() / rows as f64;
        match (self.objective.bound, self.objective.kl) {
            (Bound::Iwae, _) => {
                let bounds = log_px.chunks(k).enumerate().map(|(image, log_px)| {
                    let log_w = |i: usize| log_px[i] + log_ratio(image * k + i);
                    ((0..k).map(|i| log_w(i).exp()).sum::<f64>() / k as f64).ln()
                });
                bounds.sum::<f64>() / b as f64
            }
            (Bound::Elbo, Kl::Sampled) => {
                mean_px + beta * (0..rows).map(log_ratio).sum::<f64>() / rows as f64
            }
            (Bound::Elbo, Kl::Analytic) => {
                let kl_of = |unit: usize| {
                    let of = |image: usize| {
                        let (mu, l) = (heads[image * width + unit], l(image, unit));
                        // What is below the diagonal of a full covariance's factor.
                        let below = heads[image * width + 2 * n..][..width - 2 * n].iter();
                        let row = below.skip(unit * unit.saturating_sub(1) / 2).take(unit);
                        let squares: f64 = row.map(|c| c * c).sum();
                        0.5 * (mu * mu + squares + l.exp() - 1.0 - l)
                    };
                    (0..b).map(of).sum::<f64>() / b as f64
                };
                let free = self.objective.free_bits;
                let kls: Vec<f64> = (0..n).map(kl_of).collect();
                if free > 0.0 {
                    // Both kinds of units are there.
                    assert!(
                        kls.iter().any(|&kl| kl < free) && kls.iter().any(|&kl| kl > free),
                        "{kls:?}"
                    );
                }
                mean_px - beta * kls.iter().map(|kl| kl.max(free)).sum::<f64>()
            }
        }
    }

    fn check_against_finite_differences(&mut self, label: &str) {
        self.run();
        let gradients = self.gradients();
        for (which, (t, gradient)) in self.plan.trained.clone().iter().zip(gradients).enumerate() {
            let name = self.plan.program.get(t.parameter).name.clone();
            if t.frozen {
                assert!(gradient.iter().all(|&g| g == 0.0), "{label}: {name}");
                continue;
            }
            assert!(gradient.iter().any(|g| g.abs() > 1e-4), "{label}: {name}: all but zero");
            for (i, &got) in gradient.iter().enumerate() {
                // The cube root of the unit roundoff balances truncation and cancellation.
                let h = 1e-5;
                let mut at = |offset: f64| {
                    self.parameters[which][i] += offset;
                    let value = self.objective();
                    self.parameters[which][i] -= offset;
                    value
                };
                let expected = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (got - expected).abs() < 1e-8 + 1e-7 * expected.abs(),
                    "{label}: {name}[{i}]: gradient {got}, finite difference {expected}",
                );
            }
        }
    }
}

/// Rows of a table of which some cells are missing, all of one column but one too.
fn table() -> Dataset {
    let rows = |n: usize| -> Vec<f64> {
        let cell = |i: usize| match (i % 4, i % 5) {
            (2, _) | (_, 3) if i != 13 => f64::NAN,
            _ => (1.7 * i as f64).sin() + 0.3 * (i % 5) as f64,
        };
        (0..5 * n).map(cell).collect()
    };
    let names: Vec<String> = (0..5).map(|i| i.to_string()).collect();
    let table = std::sync::Arc::new(Table::unscaled(&names));
    let [train, test] = [9, 4].map(|n| Images::of_table(table.clone(), &rows(n)).expect("rows"));
    assert!(train.has_missing());
    Dataset { name: "a table".to_string(), train, test, valid: None }
}

#[test]
fn the_step_of_a_table_with_missing_cells_is_the_gradient() {
    let variances = [
        Variance::Optimal,
        Variance::Pixel,
        Variance::Column,
        Variance::Decoder,
        Variance::Given(0.3),
    ];
    let elbo = Objective { beta: 0.7, ..Objective::default() };
    for objective in [elbo, iwae(Estimator::Reparameterized)] {
        for variance in variances {
            let mut settings = settings(&[7], &[6], Activation::Tanh);
            settings.architecture.image = (1, 5);
            settings.architecture.likelihood = Likelihood::Gaussian { variance };
            settings.binarization = Binarization::None;
            settings.objective = objective.clone();
            let label = format!("{variance}, {}", objective.describe(settings.samples));
            Oracle::new(&table(), &settings).check_against_finite_differences(&label);
        }
    }
}

#[test]
fn the_step_is_the_gradient_of_the_elbo() {
    let all = Activation::ALL.map(|a| (vec![7], vec![6], a));
    let shapes =
        [(vec![], vec![], Activation::Relu), (vec![5, 7], vec![6, 4, 8], Activation::Tanh)];
    for (hidden, decoder_hidden, activation) in all.into_iter().chain(shapes) {
        let settings = settings(&hidden, &decoder_hidden, activation);
        let label = settings.architecture.to_string();
        Oracle::new(&dataset(), &settings).check_against_finite_differences(&label);
    }
}

/// Small images in colour, and a network of every kind of layer for them.
fn convolutional(activation: Activation) -> (Dataset, Settings) {
    let in_colour = |n: usize| {
        let grey = images(n, 6, 3 * 5);
        Images { width: 5, channels: 3, ..grey }
    };
    let (train, test) = (in_colour(6), in_colour(3));
    let dataset = Dataset { name: "colours".to_string(), train, test, valid: None };
    let mut settings = settings(&[], &[], activation);
    settings.architecture = Architecture {
        image: (6, 5),
        channels: 3,
        hidden: "conv 4 3/2, conv 2 2/1, 5".parse().expect("layers"),
        decoder_hidden: "4, dense 2x2x3, convt 2 3/2 to 3x3, conv 2 3/1".parse().expect("layers"),
        latent: 2,
        ..settings.architecture
    };
    settings.batch = 3;
    settings.binarization = Binarization::None;
    (dataset, settings)
}

#[test]
fn the_step_of_convolutions_is_the_gradient_of_the_elbo() {
    for activation in [Activation::Tanh, Activation::Softplus, Activation::Elu] {
        let (dataset, settings) = convolutional(activation);
        let label = settings.architecture.to_string();
        Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
    }
}

/// The same with residual blocks, normalisations and gates.
fn of_blocks(activation: Activation) -> (Dataset, Settings) {
    let (dataset, mut settings) = convolutional(activation);
    let a = &mut settings.architecture;
    a.hidden = "conv 4 3/2 norm 2, res 4, res 3 norm 1, gated 5 norm".parse().expect("layers");
    a.decoder_hidden =
        "gated dense 2x2x3 norm 1, res 2, convt 4 3/2 to 3x3 norm 2, gated conv 2 3/1"
            .parse()
            .expect("layers");
    (dataset, settings)
}

#[test]
fn the_step_of_blocks_is_the_gradient_of_the_elbo() {
    for activation in [Activation::Silu, Activation::Tanh, Activation::Elu] {
        let (dataset, settings) = of_blocks(activation);
        let label = settings.architecture.to_string();
        Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
    }
}

/// The classes of the images, in no order.
fn labelled(dataset: Dataset, settings: &mut Settings) -> Dataset {
    settings.architecture.classes = ["a", "b", "c"].map(String::from).to_vec();
    let with_labels = |images: Images| {
        let names = settings.architecture.classes.iter().cloned().collect();
        let classes = (0..images.n_images).map(|i| (i * i % 5 % 3) as u16).collect();
        Images { labels: Some(Labels { classes, names }), ..images }
    };
    let Dataset { train, test, .. } = dataset;
    Dataset { train: with_labels(train), test: with_labels(test), ..dataset }
}

/// Behind dense layers, behind maps, blocks and gates, and, without a hidden layer, behind heads and output.
#[test]
fn the_step_of_a_network_that_is_told_classes_is_the_gradient_of_the_elbo() {
    let likelihoods = [Likelihood::Bernoulli, GAUSSIAN, Likelihood::DiscretizedLogistic];
    for likelihood in likelihoods {
        for (hidden, decoder_hidden) in [(&[7, 5][..], &[6][..]), (&[], &[])] {
            let mut settings = settings(hidden, decoder_hidden, Activation::Tanh);
            settings.architecture.likelihood = likelihood;
            if likelihood != Likelihood::Bernoulli {
                settings.binarization = Binarization::None;
            }
            let dataset = labelled(dataset(), &mut settings);
            let label = settings.architecture.to_string();
            Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
        }
    }
    let mut all = Vec::new();
    for decoder in ["4, dense 2x2x3, convt 2 3/2 to 3x3, conv 2 3/1", "dense 6x5x2"] {
        let (dataset, mut settings) = convolutional(Activation::Softplus);
        settings.architecture.decoder_hidden = decoder.parse().expect("layers");
        all.push((dataset, settings));
    }
    all.push(of_blocks(Activation::Silu));
    let (dataset, mut settings) = of_blocks(Activation::Tanh);
    settings.architecture.hidden = "res 4, 5".parse().expect("layers");
    all.push((dataset, settings));
    for (dataset, mut settings) in all {
        let dataset = labelled(dataset, &mut settings);
        let label = settings.architecture.to_string();
        Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
    }
}

/// Through the encoder to the pseudo-inputs, whatever its layers are and whatever the data are.
#[test]
fn the_step_with_a_vamp_prior_is_the_gradient() {
    let objectives = || {
        [
            sampled(Estimator::Reparameterized),
            Objective { warm_up: 3, ..sampled(Estimator::Reparameterized) },
            iwae(Estimator::Reparameterized),
        ]
    };
    let mut all = Vec::new();
    for objective in objectives() {
        for (hidden, decoder_hidden) in [(&[7, 5][..], &[6][..]), (&[], &[])] {
            let mut settings = settings(hidden, decoder_hidden, Activation::Tanh);
            settings.objective = objective.clone();
            all.push((dataset(), settings));
        }
        let (colours, mut settings) = of_blocks(Activation::Silu);
        settings.objective = objective.clone();
        all.push((colours, settings));
    }
    for (_, settings) in &mut all {
        settings.architecture.prior = vamp(PseudoValues::Pixels);
    }
    let mut settings = settings(&[7], &[6], Activation::Tanh);
    settings.architecture.image = (1, 5);
    settings.architecture.likelihood = Likelihood::Gaussian { variance: Variance::Column };
    settings.architecture.prior = vamp(PseudoValues::Reals);
    settings.binarization = Binarization::None;
    settings.objective = sampled(Estimator::Reparameterized);
    all.push((table(), settings));
    for (dataset, settings) in all {
        let label = format!("{}, {:?}", settings.architecture, settings.objective);
        Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
    }
}

#[test]
fn the_step_is_the_gradient_of_every_objective_and_likelihood() {
    for likelihood in likelihoods() {
        for objective in objectives() {
            let mut settings = settings(&[7], &[6], Activation::Tanh);
            settings.architecture.likelihood = likelihood;
            if likelihood != Likelihood::Bernoulli {
                settings.binarization = Binarization::None;
            }
            settings.init = Init::Glorot;
            settings.samples = 3;
            settings.objective = objective;
            let label = format!("{likelihood:?} {:?}", settings.objective);
            let mut dataset = dataset();
            let Dataset { train, test, .. } = &mut dataset;
            in_channels_of(likelihood, &mut settings, [train, test]);
            Oracle::new(&dataset, &settings).check_against_finite_differences(&label);
        }
    }
}

/// Real values, whose variance the likelihood learns.
/// The same network with a full covariance, that is none of a diagonal one any more.
fn of_full_covariance(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    settings.architecture.posterior = Family::Full;
    settings
}

#[test]
fn the_step_of_a_full_covariance_is_the_gradient_of_every_objective() {
    for objective in objectives().into_iter().chain([Objective::default()]) {
        let mut settings = of_full_covariance(&settings(&[7], &[6], Activation::Tanh));
        (settings.samples, settings.objective) = (3, objective);
        settings.init = Init::Glorot;
        let label = format!("full covariance {:?}", settings.objective);
        let mut oracle = Oracle::new(&dataset(), &settings);
        oracle.leave_the_diagonal();
        oracle.check_against_finite_differences(&label);
    }
}

/// Of planar flows those whose KL is sampled. Whether log q is right is another question, which its Jacobian answers.
#[test]
fn the_step_of_planar_flows_is_the_gradient_of_every_objective() {
    let sampled = objectives().into_iter().filter(|objective| objective.kl == Kl::Sampled);
    for objective in sampled {
        let mut settings = settings(&[7], &[6], Activation::Tanh);
        settings.architecture.posterior = Family::Planar { steps: 3 };
        (settings.samples, settings.objective) = (3, objective);
        settings.init = Init::Glorot;
        let label = format!("planar flows {:?}", settings.objective);
        let mut oracle = Oracle::new(&dataset(), &settings);
        oracle.leave_the_diagonal();
        oracle.check_against_finite_differences(&label);
    }
}

/// The same of inverse autoregressive flows, whose networks have parameters of their own: where an output may not see an input
/// both gradients are zero.
#[test]
fn the_step_of_autoregressive_flows_is_the_gradient_of_every_objective() {
    let sampled = objectives().into_iter().filter(|objective| objective.kl == Kl::Sampled);
    for objective in sampled {
        for (steps, hidden) in [(1, 2), (3, 5)] {
            let mut settings = settings(&[7], &[6], Activation::Tanh);
            settings.architecture.posterior = Family::Iaf { steps, hidden };
            (settings.samples, settings.objective) = (3, objective.clone());
            let label = format!("{steps} autoregressive flows {:?}", settings.objective);
            let mut oracle = Oracle::new(&dataset(), &settings);
            oracle.leave_the_diagonal();
            oracle.check_against_finite_differences(&label);
        }
    }
}

/// The ratio of the densities as a step has it, and on the host, which takes z back through the flow.
#[test]
fn a_flow_is_undone_on_the_host() {
    for family in [Family::Planar { steps: 4 }, Family::Iaf { steps: 4, hidden: 5 }] {
        check_undone(family);
    }
}

fn check_undone(family: Family) {
    let mut settings = settings(&[7], &[6], Activation::Tanh);
    settings.architecture.posterior = family;
    settings.objective = sampled(Estimator::Reparameterized);
    settings.samples = 3;
    let mut oracle = Oracle::new(&dataset(), &settings);
    oracle.leave_the_diagonal();
    oracle.run();
    let [heads, z, eps, log_det] = ["encoder.heads", "z", "eps", "log_det"]
        .map(|name| oracle.values(&format!("train/{name}")));
    let single = |values: &Vec<f64>| values.iter().map(|&v| v as f32).collect();
    let parameters: Vec<Vec<f32>> = oracle.parameters.iter().map(single).collect();
    let reader = Reader::of(&settings.architecture, &parameters);
    let width = settings.architecture.heads();
    for row in 0..12 {
        let heads: Vec<f32> = heads[row / 3 * width..][..width].iter().map(|&v| v as f32).collect();
        let q = reader.density(&heads);
        let (z, eps) = (&z[row * 3..][..3], &eps[row * 3..][..3]);
        for (z, host) in z.iter().zip(q.at(eps)) {
            assert!((z - host).abs() < 1e-5, "{z} {host}");
        }
        let ratio = (0..3).map(|u| eps[u] * eps[u] + f64::from(heads[3 + u]) - z[u] * z[u]);
        let expected = 0.5 * ratio.sum::<f64>() + log_det[row];
        assert!((q.log_ratio(z) - expected).abs() < 1e-4, "{} {expected}", q.log_ratio(z));
    }
}

/// Sticking the landing drops the score of q and nothing else: s of the mean, where L^T s = eps, and s eps^T of the entries of
/// L, less the inverse of its diagonal.
#[test]
fn the_path_gradient_of_a_full_covariance_lacks_the_score() {
    let heads = |objective: Objective| {
        let mut settings = of_full_covariance(&settings(&[7], &[6], Activation::Tanh));
        (settings.objective, settings.samples) = (objective, 3);
        let mut oracle = Oracle::new(&dataset(), &settings);
        oracle.leave_the_diagonal();
        oracle.run();
        (oracle.values("train/d_heads"), oracle)
    };
    let close = |a: f64, b: f64, what: &str| assert!((a - b).abs() < 1e-12, "{what}: {a} {b}");
    for make in [sampled, iwae] {
        let (plain, mut oracle) = heads(make(Estimator::Reparameterized));
        let (path, _) = heads(make(Estimator::StickingTheLanding));
        let (eps, of) = (oracle.values("train/eps"), oracle.values("train/encoder.heads"));
        let weight = oracle.values("train/weight");
        let beta = oracle.rates[rates::KL_WEIGHT];
        for image in 0..4 {
            let (at, heads) = (image * 9, &of[image * 9..][..9]);
            // [mu | l | L_10, L_20, L_21] of three units
            let sigma = [3, 4, 5].map(|i| (0.5 * heads[i]).exp());
            let mut score = [0.0; 9];
            for row in image * 3..image * 3 + 3 {
                let (e, u) = (&eps[row * 3..][..3], beta * weight[row]);
                let s2 = e[2] / sigma[2];
                let s1 = (e[1] - heads[8] * s2) / sigma[1];
                let s0 = (e[0] - heads[6] * s1 - heads[7] * s2) / sigma[0];
                let s = [s0, s1, s2];
                for i in 0..3 {
                    score[i] += u * s[i];
                    score[3 + i] += u * 0.5 * (s[i] * e[i] * sigma[i] - 1.0);
                }
                for (head, (i, j)) in [(1, 0), (2, 0), (2, 1)].into_iter().enumerate() {
                    score[6 + head] += u * s[i] * e[j];
                }
            }
            for head in 0..9 {
                close(path[at + head], plain[at + head] + score[head], &format!("head {head}"));
            }
        }
    }
}

#[test]
fn real_data_trains_a_gaussian() {
    let (n, d) = (10, 5);
    let architecture = Architecture {
        image: (1, d),
        channels: 1,
        hidden: vec![6].into(),
        decoder_hidden: vec![4].into(),
        latent: 2,
        activation: Activation::Tanh,
        posterior: Default::default(),
        likelihood: GAUSSIAN,
        classes: Vec::new(),
        prior: Prior::Normal,
    };
    let source = Source {
        images: n,
        window: None,
        content: Content::Reals,
        flips: None,
        batch: 4,
        samples: 2,
    };
    let objective = Objective::default();
    let plan = TrainProgram::record(
        &architecture,
        source,
        source,
        &objective,
        &Settings::default().update(),
    )
    .expect("a plan");
    let values: Vec<f32> = (0..n * d).map(|i| (i as f32 * 0.7).sin() * 3.0 - 1.0).collect();
    let settings = Settings { architecture, batch: 4, samples: 2, ..Settings::default() };
    let mut executor = harness::cpu().load::<f64>(plan.program.clone()).expect("memory");
    {
        let executor: &mut dyn Executor = &mut executor;
        executor.write_f32(plan.train.data, &values).expect("writes");
        train::initialize(executor, &plan, &settings, &Moments::default()).expect("begins");
    }
    let mut oracle = Oracle::begun(plan, executor, objective, 2);
    oracle.check_against_finite_differences("real values");
    // The minibatch is rows of the data, as they are.
    let x = oracle.values("train/x");
    for row in x.chunks(d) {
        let as_f32: Vec<f32> = row.iter().map(|&v| v as f32).collect();
        assert!(values.chunks(d).any(|data| data == as_f32), "{row:?}");
    }
}

/// Sticking the landing drops the score of q and nothing else; at K = 1 so does doubly reparameterized.
#[test]
fn the_path_gradient_lacks_the_score() {
    let heads = |prior: Prior, objective: Objective, samples: usize| {
        let mut settings = settings(&[7], &[6], Activation::Tanh);
        settings.architecture.prior = prior;
        (settings.objective, settings.samples) = (objective, samples);
        let mut oracle = Oracle::new(&dataset(), &settings);
        oracle.run();
        (oracle.values("train/d_heads"), oracle)
    };
    let close = |a: f64, b: f64, what: &str| assert!((a - b).abs() < 1e-13, "{what}: {a} {b}");
    let priors = [Prior::Normal, vamp(PseudoValues::Pixels)];
    for (make, prior) in [sampled, iwae].into_iter().flat_map(|make| priors.map(|p| (make, p))) {
        let (plain, mut oracle) = heads(prior, make(Estimator::Reparameterized), 3);
        let (path, _) = heads(prior, make(Estimator::StickingTheLanding), 3);
        let (eps, l) = (oracle.values("train/eps"), oracle.values("train/encoder.heads"));
        let weight = oracle.values("train/weight");
        let beta = oracle.rates[rates::KL_WEIGHT];
        let n = 3;
        for image in 0..4 {
            for unit in 0..n {
                let at = image * 2 * n + unit;
                let sigma = (0.5 * l[at + n]).exp();
                let (mut score_mu, mut score_l) = (0.0, 0.0);
                for row in image * 3..image * 3 + 3 {
                    let e = eps[row * n + unit];
                    score_mu += beta * weight[row] * e / sigma;
                    score_l += beta * weight[row] * 0.5 * (e * e - 1.0);
                }
                close(path[at], plain[at] + score_mu, "mu");
                close(path[at + n], plain[at + n] + score_l, "l");
            }
        }
    }
    for prior in priors {
        let (doubly, _) = heads(prior, iwae(Estimator::DoublyReparameterized), 1);
        let (path, _) = heads(prior, iwae(Estimator::StickingTheLanding), 1);
        for (a, b) in doubly.iter().zip(&path) {
            close(*a, *b, "K = 1");
        }
    }
}

/// The mean difference of two estimators over many draws, in standard errors, componentwise; and the
/// ratio of their variances, summed over the encoder's components.
fn compare_over_draws(
    plain: Objective,
    other: Objective,
    samples: usize,
    (family, prior): (Family, Prior),
) -> (f64, f64) {
    const DRAWS: u32 = 3000;
    let oracle = |objective: Objective| {
        let mut settings = settings(&[5], &[4], Activation::Tanh);
        (settings.architecture.latent, settings.architecture.posterior) = (2, family);
        settings.architecture.prior = prior;
        // All images in each batch, always the same pixels: only the noise changes with the epoch.
        (settings.batch, settings.binarization) = (10, Binarization::None);
        (settings.objective, settings.samples) = (objective, samples);
        let mut oracle = Oracle::new(&dataset(), &settings);
        if family == Family::Full {
            oracle.leave_the_diagonal();
        }
        oracle
    };
    let (mut plain, mut other) = (oracle(plain), oracle(other));
    let encoder = 2 * plain.plan.network.encoder(None).len();
    let mut sums: Vec<[f64; 6]> = Vec::new();
    for draw in 0..DRAWS {
        for oracle in [&mut plain, &mut other] {
            oracle.clock[clock::EPOCH] = draw;
            oracle.run();
        }
        let (a, b) = (plain.gradients(), other.gradients());
        assert_eq!(a[encoder..], b[encoder..], "the decoder's gradient is the same");
        let pairs = a[..encoder].iter().flatten().zip(b[..encoder].iter().flatten());
        for (i, (&a, &b)) in pairs.enumerate() {
            if sums.len() <= i {
                sums.push([0.0; 6]);
            }
            let d = b - a;
            for (sum, term) in sums[i].iter_mut().zip([d, d * d, a, a * a, b, b * b]) {
                *sum += term;
            }
        }
    }
    let n = f64::from(DRAWS);
    let variance = |sum: f64, squares: f64| (squares - sum * sum / n) / (n - 1.0);
    let worst = sums
        .iter()
        .map(|s| (s[0] / n).abs() / (variance(s[0], s[1]) / n).sqrt())
        .fold(0.0, f64::max);
    let total = |i: usize| sums.iter().map(|s| variance(s[i], s[i + 1])).sum::<f64>();
    (worst, total(4) / total(2))
}

#[test]
fn dropping_the_score_leaves_the_expectation() {
    let cases = [
        (
            "sticking the landing",
            sampled(Estimator::Reparameterized),
            sampled(Estimator::StickingTheLanding),
            2,
        ),
        (
            "doubly reparameterized",
            iwae(Estimator::Reparameterized),
            iwae(Estimator::DoublyReparameterized),
            4,
        ),
    ];
    for (label, plain, other, samples) in cases {
        let vamp = vamp(PseudoValues::Pixels);
        let models = [Prior::Normal, vamp].map(|prior| (Family::Diagonal, prior));
        for model in models.into_iter().chain([(Family::Full, Prior::Normal)]) {
            let (worst, ratio) = compare_over_draws(plain.clone(), other.clone(), samples, model);
            let label = format!("{label}, {model:?}");
            println!("{label}: worst component {worst:.2} standard errors, variance x {ratio:.3}");
            assert!(worst < 4.5, "{label}: a component is {worst} standard errors off");
        }
    }
    // The test can tell: sticking the landing is biased with importance weights.
    let (worst, _) = compare_over_draws(
        iwae(Estimator::Reparameterized),
        iwae(Estimator::StickingTheLanding),
        4,
        (Family::Diagonal, Prior::Normal),
    );
    println!("sticking the landing with iwae: {worst:.1} standard errors off");
    assert!(worst > 6.0, "{worst}");
}

/// The gradient of a step on a device against the f64 one, tensor by tensor. An element of a gradient is the
/// end of a chain of sums; to first order its relative error is at most 2^-24 times the number of terms
/// added along the chain, and rounding errors, being of both signs, stay far below that. `loss` is what
/// importance weights add: a rounded log w of some hundred nats is an exponent; rows err independently.
fn check_settings(device: &Device, settings: &Settings, label: &str) {
    let mut settings = settings.clone();
    let (mut train, mut test) = (images(64, 12, 11), images(5, 12, 11));
    let likelihood = settings.architecture.likelihood;
    in_channels_of(likelihood, &mut settings, [&mut train, &mut test]);
    let settings = &settings;
    let dataset = Dataset { name: "bytes".to_string(), train, test, valid: None };
    let mut oracle = Oracle::new(&dataset, settings);
    let plan = &oracle.plan;
    let mut executor = device.load(plan.program.clone()).expect("loads");
    train::begin(&mut *executor, plan, &dataset, settings).expect("begin");
    if settings.objective.warm_up > 0 {
        let mut words = executor.read_f32(plan.train.rates).expect("reads");
        words[rates::KL_WEIGHT] = 0.3;
        executor.write_f32(plan.train.rates, &words).expect("writes");
    }
    executor.run_all(plan.train.plan, 1).expect("runs");
    let terms: usize = plan.network.layers().map(|l| l.inputs() + l.outputs()).sum();
    let loss = match settings.objective.bound {
        Bound::Elbo => 0.0,
        Bound::Iwae => 400.0 / ((settings.batch * settings.samples) as f64).sqrt(),
    };
    let bound = (terms as f64 + loss) / f64::from(1 << 24);
    oracle.run();
    let gradients = oracle.gradients();
    for (t, expected) in oracle.plan.trained.iter().zip(gradients).filter(|(t, _)| !t.frozen) {
        let name = &oracle.plan.program.get(t.parameter).name;
        let moments = executor.read_f32(t.state).expect("reads");
        let got = gradient_of(moments.into_iter().map(f64::from));
        assert_eq!(expected.len(), got.len());
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let size = norm(&mut expected.iter().copied());
        let error = norm(&mut expected.iter().zip(&got).map(|(e, g)| g - e));
        println!("{label} {name}: relative error {:.1e}, bound {bound:.1e}", error / size);
        assert!(error < bound * size, "{label} {name}: error {error:e} of {size:e}"); // false for NaN
    }
}

fn check_device(device: &Device) {
    let large = |activation| {
        let mut settings = settings(&[40, 33], &[37], activation);
        settings.architecture.image = (12, 11);
        settings.batch = 17;
        settings
    };
    for activation in Activation::ALL {
        check_settings(device, &large(activation), &format!("{activation:?}"));
    }
    for activation in [Activation::Silu, Activation::Relu] {
        let mut settings = large(activation);
        let a = &mut settings.architecture;
        a.hidden =
            "conv 16 3/2 norm 4, res 16 norm 4, res 24, gated 30 norm".parse().expect("layers");
        a.decoder_hidden = a.hidden.mirrored(Shape::Map([12, 11, 1])).expect("layers");
        check_settings(device, &settings, &settings.architecture.to_string());
    }
    let path = [
        sampled(Estimator::StickingTheLanding),
        iwae(Estimator::StickingTheLanding),
        iwae(Estimator::DoublyReparameterized),
    ];
    for objective in objectives().into_iter().chain(path).chain([Objective::default()]) {
        // Two of each objective, the others of two.
        let few =
            objective == Objective::default() || objective == iwae(Estimator::Reparameterized);
        let all = likelihoods().into_iter();
        let either = |l: &Likelihood| few || [Likelihood::Bernoulli, GAUSSIAN].contains(l);
        for likelihood in all.filter(either) {
            let mut settings = large(Activation::Tanh);
            settings.architecture.likelihood = likelihood;
            if likelihood != Likelihood::Bernoulli {
                settings.binarization = Binarization::None;
            }
            (settings.objective, settings.samples) = (objective.clone(), 5);
            settings.objective.free_bits = settings.objective.free_bits.min(0.1);
            check_settings(device, &settings, &format!("{likelihood:?} {objective:?}"));
            if likelihood == Likelihood::Bernoulli {
                let full = of_full_covariance(&settings);
                check_settings(device, &full, &format!("full covariance {objective:?}"));
                for family in [Family::Planar { steps: 2 }, Family::Iaf { steps: 2, hidden: 33 }] {
                    let mut flows = settings.clone();
                    flows.architecture.posterior = family;
                    if flows.check().is_ok() {
                        check_settings(device, &flows, &format!("{family:?} {objective:?}"));
                    }
                }
            }
        }
    }
    let priors = [sampled(Estimator::Reparameterized), sampled(Estimator::StickingTheLanding)];
    for objective in priors.into_iter().chain([iwae(Estimator::DoublyReparameterized)]) {
        let mut settings = large(Activation::Tanh);
        settings.architecture.prior =
            Prior::Vamp { pseudo_inputs: 21, values: PseudoValues::Pixels };
        (settings.objective, settings.samples) = (objective.clone(), 5);
        check_settings(device, &settings, &format!("VampPrior {objective:?}"));
    }
}

#[test]
fn the_cpu_computes_that_gradient() {
    check_device(&Device::Cpu(harness::cpu()));
}

#[test]
fn the_gpu_computes_that_gradient() {
    for gpu in harness::gpus() {
        check_device(&Device::Gpu(Box::new(gpu)));
    }
}
