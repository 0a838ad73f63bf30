//! Families of q(z|x): what a device draws and weighs against a model whose posterior is known, the proof that a richer
//! family closes the gap that a poorer one leaves, and that a run of each can be stopped.

use std::ops::ControlFlow;

use elbo::bounds::importance::log_weight;
use elbo::bounds::{
    Annealing, Estimate, Finding, Gaps, Observed, Refining, Subjects, find, prepare, refine,
    sandwich, simulate,
};
use elbo::data::{Dataset, Images};
use elbo::device::Device;
use elbo::evaluate::{Model, Posteriors};
use elbo::kernels::activation::Activation;
use elbo::kernels::rates::LEARNING_RATE;
use elbo::loaded::LoadedModel;
use elbo::nn::Layers;
use elbo::train::{self, Settings, Trainer};
use elbo::vae::anneal::Path;
use elbo::vae::estimate::{Chunks, EstimateProgram};
use elbo::vae::likelihood::Variance;
use elbo::vae::network::Moments;
use elbo::vae::objective::{Bound, Estimator, Kl};
use elbo::vae::posterior::{Density, Reader};
use elbo::vae::step::{Content, Source, TrainProgram};
use elbo::vae::{Architecture, Binarization, Family, Init, Likelihood, Objective};
use elbo::verify::linear_gaussian::LinearGaussian;
use nalgebra::{Cholesky, DMatrix, DVector};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::harness;

const FAMILIES: [Family; 2] = [Family::Diagonal, Family::Full];

fn on(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// z ~ N(0, I), x = W z + b + noise, with units that are far from independent given x.
fn model(d: usize, z: usize) -> LinearGaussian {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let model = LinearGaussian::random(d, z, &mut rng);
    let turn = DMatrix::from_fn(z, z, |i, j| ((3 * i + 5 * j + i * j) as f64).sin()).qr().q();
    let weight = (2.0 * &model.weight * turn).map(|v| f64::from(v as f32));
    LinearGaussian::new(weight, model.mean.clone(), model.variance).expect("as it was")
}

/// A linear encoder of a family, and a linear decoder with this variance.
fn linear(d: usize, z: usize, family: Family, variance: f64) -> Architecture {
    Architecture {
        image: (1, d),
        channels: 1,
        hidden: Layers::default(),
        decoder_hidden: Layers::default(),
        latent: z,
        activation: Activation::Identity,
        posterior: family,
        likelihood: Likelihood::Gaussian { variance: Variance::Given(variance) },
        classes: Vec::new(),
        prior: elbo::Prior::Normal,
    }
}

fn in_rows(matrix: &DMatrix<f64>) -> Vec<f32> {
    matrix.transpose().iter().map(|&v| v as f32).collect()
}

/// The parameters of the decoder, and the likelihood's own.
fn decoder(model: &LinearGaussian) -> Vec<Vec<f32>> {
    let mean = model.mean.iter().map(|&v| v as f32).collect();
    vec![in_rows(&model.weight), mean, vec![model.variance.ln() as f32]]
}

/// Those of the encoder of a full covariance that gives the posterior.
fn posterior(model: &LinearGaussian) -> Vec<Vec<f32>> {
    let (map, offset, covariance) = model.posterior();
    let z = offset.len();
    let factor = Cholesky::new(covariance).expect("a covariance").l();
    let mut weight = in_rows(&map);
    let mut bias: Vec<f32> = offset.iter().map(|&v| v as f32).collect();
    bias.extend((0..z).map(|i| 2.0 * factor[(i, i)].ln() as f32));
    bias.extend((0..z).flat_map(|i| (0..i).map(move |j| (i, j))).map(|at| factor[at] as f32));
    weight.resize(bias.len() * map.ncols(), 0.0);
    vec![weight, bias]
}

fn draws(model: &LinearGaussian, n: usize) -> Vec<DVector<f64>> {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    (0..n).map(|_| model.draw(&mut rng).map(|v| f64::from(v as f32))).collect()
}

fn flat(rows: &[DVector<f64>]) -> Vec<f32> {
    rows.iter().flat_map(|row| row.iter().map(|&v| v as f32)).collect()
}

/// KL(N(a, S) || N(b, T)).
fn kl(a: &DVector<f64>, s: &DMatrix<f64>, b: &DVector<f64>, t: &DMatrix<f64>) -> f64 {
    let precision = t.clone().try_inverse().expect("a covariance has an inverse");
    let (difference, z) = (b - a, a.len() as f64);
    let quadratic = difference.dot(&(&precision * &difference));
    0.5 * ((precision * s).trace() + quadratic - z + (t.determinant() / s.determinant()).ln())
}

fn covariance_of(q: &Density) -> DMatrix<f64> {
    let z = q.mean.len();
    let factor = DMatrix::from_fn(z, z, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Equal => (0.5 * q.log_variance[i]).exp(),
        std::cmp::Ordering::Greater => q.row(i).get(j).copied().unwrap_or(0.0),
        std::cmp::Ordering::Less => 0.0,
    });
    &factor * factor.transpose()
}

/// The closed forms on the host against those of matrices.
#[test]
fn a_gaussian_by_its_factor_is_that_of_its_covariance() {
    let heads = [0.3, -1.2, 0.7, -0.4, 0.2, -1.0, 0.6, -0.8, 1.1];
    let q = Density::of(Family::Full, &heads, 3);
    let covariance = covariance_of(&q);
    let (mean, origin) = (DVector::from_vec(q.mean.clone()), DVector::zeros(3));
    let expected = kl(&mean, &covariance, &origin, &DMatrix::identity(3, 3));
    assert!((q.kl() - expected).abs() < 1e-12, "{} {expected}", q.kl());
    let z = DVector::from_vec(vec![0.9, -0.1, 0.4]);
    let off = &z - &mean;
    let precision = covariance.clone().try_inverse().expect("an inverse");
    let log_q = -0.5 * (off.dot(&(precision * &off)) + covariance.determinant().ln());
    let ratio = -0.5 * z.dot(&z) - log_q;
    assert!((q.log_ratio(z.as_slice()) - ratio).abs() < 1e-12);
    for (unit, own) in q.marginals().1.into_iter().enumerate() {
        assert!((own - covariance[(unit, unit)].ln()).abs() < 1e-12);
    }
    // What there is without what is below the diagonal is the other family.
    let diagonal = Density::of(Family::Diagonal, &heads[..6], 3);
    let none = [&heads[..6], &[0.0; 3]].concat();
    let none = Density::of(Family::Full, &none, 3);
    assert!((diagonal.kl() - none.kl()).abs() < 1e-15);
    assert!(
        (log_weight(&Reader::of_family(Family::Diagonal, 3), &heads[..6], &[0.9, -0.1, 0.4], -2.0)
            - none.log_ratio(z.as_slice())
            + 2.0)
            .abs()
            < 1e-6
    );
}

/// log q of a flow against the determinant of its Jacobian, by finite differences of z(eps).
fn check_jacobian(q: &Density) {
    let h = 1e-6;
    for eps in [[0.3, -1.1, 0.6], [-0.2, 0.1, 1.9], [1.4, 0.8, -0.7]] {
        let jacobian = DMatrix::from_fn(3, 3, |i, j| {
            let at = |offset: f64| {
                let mut eps = eps;
                eps[j] += offset;
                q.at(&eps)[i]
            };
            (at(h) - at(-h)) / (2.0 * h)
        });
        let z = q.at(&eps);
        let squares = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>();
        let expected = 0.5 * (squares(&eps) - squares(&z)) + jacobian.determinant().abs().ln();
        assert!((q.log_ratio(&z) - expected).abs() < 1e-6, "{} {expected}", q.log_ratio(&z));
    }
}

/// The parameters of inverse autoregressive flows of three units that do a lot, and what reads them.
fn autoregressive(steps: usize, hidden: usize) -> (Settings, Vec<Vec<f32>>) {
    let mut settings = settings(Family::Iaf { steps, hidden });
    settings.architecture.latent = 3;
    let network =
        elbo::vae::Network::declare(&mut elbo::plan::Program::new(), &settings.architecture);
    let mut parameters = network.initial_values(Init::Pytorch, 7, &Moments::default());
    let first = parameters.len() - 6 * steps;
    for (i, values) in parameters[first..].iter_mut().enumerate() {
        // Biases of hidden units, so that most of them are above zero.
        let hidden = [1, 3].contains(&(i % 6));
        // And the last layer, which begins without weights, has some.
        values.iter_mut().enumerate().for_each(|(e, v)| {
            *v = match hidden {
                true => v.abs() + 0.3,
                false if *v == 0.0 => (1.3 * e as f32 + i as f32).sin(),
                false => 1.7 * *v,
            }
        });
    }
    (settings, parameters)
}

#[test]
fn the_density_of_autoregressive_flows_is_that_of_their_jacobian() {
    let heads: Vec<f32> = (0..9).map(|i| 1.3 * (1.7 * i as f32 + 0.4).sin()).collect();
    for (steps, hidden) in [(1, 8), (2, 2), (3, 17)] {
        let (settings, parameters) = autoregressive(steps, hidden);
        let q = Reader::of(&settings.architecture, &parameters).density(&heads);
        check_jacobian(&q);
        // It is none of the Gaussian's: what a unit becomes depends on others.
        let (a, b) = (q.at(&[0.3, 0.1, -0.5]), q.at(&[1.3, 0.1, -0.5]));
        assert!(a[1] != b[1] || a[2] != b[2], "{a:?} {b:?}");
    }
}

/// And of planar flows; those with u = 0 are none.
#[test]
fn the_density_of_planar_flows_is_that_of_their_jacobian() {
    let family = Family::Planar { steps: 3 };
    let heads: Vec<f32> =
        (0..family.heads(3)).map(|i| 1.3 * (1.7 * i as f32 + 0.4).sin()).collect();
    check_jacobian(&Density::of(family, &heads, 3));
    let none: Vec<f32> =
        (0..heads.len()).map(|i| if (6..15).contains(&i) { 0.0 } else { heads[i] }).collect();
    let (flow, plain) =
        (Density::of(family, &none, 3), Density::of(Family::Diagonal, &heads[..6], 3));
    let (a, b) = (flow.at(&[0.3, 0.1, -0.5]), plain.at(&[0.3, 0.1, -0.5]));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
    assert!((flow.log_ratio(&a) - plain.log_ratio(&b)).abs() < 1e-12);
}

/// The information between image and code of posteriors that are independent in other directions than the units'.
#[test]
fn the_information_of_a_full_covariance_does_not_depend_on_its_directions() {
    // Means along a line, variance 1 across it and e^-2 along it; turned by an angle, the same.
    let n = 2000;
    let [mut plain, mut turned] =
        FAMILIES.map(|family| Posteriors::of(&Reader::of_family(family, 2)));
    let turn = DMatrix::from_row_slice(2, 2, &[0.8, -0.6, 0.6, 0.8]);
    let covariance = &turn * DMatrix::from_diagonal(&DVector::from_vec(vec![(-2.0f64).exp(), 1.0]));
    let factor = Cholesky::new(covariance * turn.transpose()).expect("a covariance").l();
    let l = |i: usize| 2.0 * factor[(i, i)].ln() as f32;
    for i in 0..n {
        let at = 4.0 * (i as f64 / n as f64) - 2.0;
        plain.extend(&[at as f32, 0.0, -2.0, 0.0]);
        let mean = &turn * DVector::from_vec(vec![at, 0.0]);
        turned.extend(&[mean[0] as f32, mean[1] as f32, l(0), l(1), factor[(1, 0)] as f32]);
    }
    let [plain, turned] = [plain, turned].map(|p| p.information(3, |i| p.kl(i)).mutual_information);
    let error = plain.standard_error.expect("many") + turned.standard_error.expect("many");
    assert!((plain.value - turned.value).abs() < 4.0 * error, "{plain:?} {turned:?}");
}

/// With the posterior itself as q, each weight is p(x): what is drawn and what log q says of it fit together.
#[test]
fn every_weight_is_the_density_where_q_is_the_posterior() {
    const DRAWS: usize = 100;
    for (d, z) in [(5, 2), (24, 7), (12, 70)] {
        let model = model(d.max(z), z);
        let d = d.max(z);
        let architecture = linear(d, z, Family::Full, model.variance);
        let parameters = [posterior(&model), decoder(&model)].concat();
        let x = draws(&model, 9);
        for device in harness::devices() {
            let chunks = Chunks { batch: x.len(), samples: DRAWS, runs: 1 };
            let program =
                EstimateProgram::record(&architecture, Content::Reals, x.len(), None, chunks);
            let program = program.expect("a plan");
            let mut loaded =
                LoadedModel::load(&device, program, &parameters, 0).expect("the device loads");
            let EstimateProgram { data, importance, log_w, .. } = loaded.program;
            loaded.executor.write_f32(data, &flat(&x)).expect("writes");
            loaded.begin_at(0).expect("writes");
            loaded.encode().expect("runs");
            loaded.run(importance).expect("runs");
            let log_w = loaded.read(log_w).expect("reads");
            for (x, log_w) in x.iter().zip(log_w.chunks_exact(DRAWS)) {
                let expected = model.log_density(x);
                for &w in log_w {
                    let off = (f64::from(w) - expected).abs();
                    assert!(off < 2e-5 * (d + z) as f64, "{d}, {z}: {w} {expected}");
                }
            }
        }
    }
}

/// What a device makes of a linear encoder of a family on data from a linear-Gaussian model, the decoder being the model:
/// the mean over the data of KL(q || posterior), which is log p(x) - ELBO.
fn trained_gap(device: &Device, model: &LinearGaussian, family: Family, kl_of: Kl) -> f64 {
    const STEPS: usize = 4000;
    let (d, z) = model.weight.shape();
    let data = draws(model, 400);
    let architecture = linear(d, z, family, model.variance);
    let estimator = match kl_of {
        Kl::Analytic => Estimator::Reparameterized,
        Kl::Sampled => Estimator::StickingTheLanding,
    };
    let settings = Settings {
        architecture: architecture.clone(),
        learning_rate: 0.03,
        objective: Objective { kl: kl_of, estimator, ..Objective::default() },
        batch: 100,
        ..Settings::default()
    };
    let source = Source {
        images: data.len(),
        window: None,
        content: Content::Reals,
        flips: None,
        batch: settings.batch,
        samples: 8,
    };
    let update = settings.update();
    let plan =
        TrainProgram::record(&settings.architecture, source, source, &settings.objective, &update)
            .expect("a plan");
    let mut executor = device.load(plan.program.clone()).expect("loads");
    executor.write_f32(plan.train.data, &flat(&data)).expect("writes");
    train::initialize(&mut *executor, &plan, &settings, &Moments::default()).expect("begins");
    let parameters = plan.network.parameters();
    for step in 0..STEPS {
        // The decoder stays what it is: before each step it is put back.
        for (&tensor, values) in parameters[2..].iter().zip(decoder(model)) {
            executor.write_f32(tensor, &values).expect("writes");
        }
        let mut rates = executor.read_f32(plan.train.rates).expect("reads");
        let turn = step as f64 / STEPS as f64 * std::f64::consts::PI;
        rates[LEARNING_RATE] = (settings.learning_rate * 0.5 * (1.0 + turn.cos())) as f32;
        executor.write_f32(plan.train.rates, &rates).expect("writes");
        executor.run_all(plan.train.plan, 1).expect("runs");
    }
    let [weight, bias] = [0, 1].map(|i| executor.read_f32(parameters[i]).expect("reads"));
    let weight = DMatrix::from_row_slice(bias.len(), d, &weight).map(f64::from);
    let bias = DVector::from_column_slice(&bias).map(f64::from);
    let (map, offset, covariance) = model.posterior();
    let gap = |x: &DVector<f64>| {
        let heads: Vec<f32> = (&weight * x + &bias).iter().map(|&v| v as f32).collect();
        let q = Density::of(family, &heads, z);
        let mean = DVector::from_vec(q.mean.clone());
        kl(&mean, &covariance_of(&q), &(&map * x + &offset), &covariance)
    };
    data.iter().map(gap).sum::<f64>() / data.len() as f64
}

/// The least that a diagonal q leaves: at the posterior's mean, with the inverse of its precision's diagonal.
fn diagonal_gap(model: &LinearGaussian) -> f64 {
    let (_, offset, covariance) = model.posterior();
    let precision = covariance.clone().try_inverse().expect("an inverse");
    let best = DMatrix::from_diagonal(&precision.diagonal().map(|v| 1.0 / v));
    kl(&offset, &best, &offset, &covariance)
}

/// From a random start the full covariance makes the ELBO tight, and the diagonal one stays at its best.
#[test]
fn training_closes_the_gap_with_a_full_covariance_and_not_with_a_diagonal_one() {
    let model = model(12, 4);
    let least = diagonal_gap(&model);
    assert!(least > 0.05, "a model that tells them apart: {least}");
    let device = Device::Cpu(harness::cpu());
    for kl_of in [Kl::Analytic, Kl::Sampled] {
        let [diagonal, full] = FAMILIES.map(|family| trained_gap(&device, &model, family, kl_of));
        println!("{kl_of}: diagonal {diagonal:.4} (at least {least:.4}), full {full:.5}");
        assert!(full < 0.01, "{kl_of}: {full}");
        assert!(diagonal >= least - 1e-6 && diagonal < least + 0.01, "{kl_of}: {diagonal} {least}");
    }
}

/// The same of a q that is optimized for each observation alone.
#[test]
fn the_best_q_of_a_full_covariance_is_the_posterior() {
    let model = model(8, 3);
    let device = Device::Cpu(harness::cpu());
    for family in FAMILIES {
        let architecture = linear(8, 3, family, model.variance);
        // An encoder that knows nothing: q is the prior.
        let none = [architecture.heads() * 8, architecture.heads()].map(|n| vec![0.0; n]);
        let parameters = [none.to_vec(), decoder(&model)].concat();
        let loaded = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 3,
        };
        let simulated = simulate(&device, loaded, 16).expect("the CPU runs");
        let refining = Refining { steps: 1500, samples: 50, ..Refining::default() };
        let (refined, heads) =
            refine(&device, loaded, simulated.observed(), refining, &mut on).expect("it runs");
        let (map, offset, covariance) = model.posterior();
        let images = simulated.x.chunks_exact(8).zip(heads.chunks_exact(architecture.heads()));
        let gaps = images.map(|(x, heads)| {
            let x = DVector::from_iterator(8, x.iter().map(|&v| f64::from(v)));
            let q = Density::of(family, heads, 3);
            let mean = DVector::from_vec(q.mean.clone());
            kl(&mean, &covariance_of(&q), &(&map * x + &offset), &covariance)
        });
        let gap = gaps.sum::<f64>() / refined.len() as f64;
        let least = if family == Family::Full { 0.0 } else { diagonal_gap(&model) };
        println!("{family}: {gap:.4}, at least {least:.4}");
        assert!(gap >= least - 1e-6 && gap < least + 0.01, "{family}: {gap} {least}");
    }
}

/// An encoder that knows nothing, few draws and few temperatures: bounds from the best q of each observation are near log p(x)
/// all the same, and the highest of them is no less than the best ELBO. Those from the encoder's q are far below it.
#[test]
fn log_p_is_not_below_the_best_elbo() {
    let (d, z, n) = (24, 5, 60);
    let model = model(d, z);
    let device = Device::Cpu(harness::cpu());
    for family in FAMILIES {
        let architecture = linear(d, z, family, model.variance);
        let none = [architecture.heads() * d, architecture.heads()].map(|n| vec![0.0; n]);
        let parameters = [none.to_vec(), decoder(&model)].concat();
        let binarization = Binarization::None;
        let loaded =
            Model { architecture: &architecture, parameters: &parameters, binarization, seed: 3 };
        let simulated = simulate(&device, loaded, n).expect("the CPU runs");
        // Its codes are not told.
        let real = Subjects::Real(Observed { z: None, ..simulated.observed() });
        let annealing =
            Annealing { path: Path::Posterior, temperatures: 3, chains: 4, leapfrogs: 4 };
        let refining = Refining { steps: 1500, weighed: 20, ..Refining::default() };
        let finding = Finding { ks: vec![20], refining, annealing };
        let tempering = prepare(&device, loaded, real, &finding, &mut on).expect("it runs");
        let found = find(&device, loaded, real, 0..n, &finding, &tempering, &mut on);
        let gaps = Gaps(found.expect("it runs"));
        let value = |estimate: Option<Estimate>| estimate.expect("it was found").value;
        let truth = simulated.x.chunks_exact(d).map(|x| {
            model.log_density(&DVector::from_iterator(d, x.iter().map(|&v| f64::from(v))))
        });
        let truth = truth.sum::<f64>() / n as f64;
        let best = value(gaps.of_refined(|r| Some(r.best)));
        let [by_q, by_best, annealed, log_px] = [
            gaps.importance_sampling(),
            gaps.importance_from_best(),
            gaps.annealing(),
            gaps.log_likelihood(),
        ]
        .map(value);
        println!("{family}: {by_q:.3}, {best:.3} <= {by_best:.3}, {annealed:.3} <= {truth:.3}");
        assert!(by_q < best - 5.0, "{family}: the encoder is too good");
        for bound in [by_best, annealed] {
            assert!(bound > best - 0.05 && bound < truth + 0.05, "{family}: {bound}");
        }
        assert_eq!(log_px, by_best.max(annealed));
        assert!(value(gaps.approximation()) > -0.05);
    }
}

fn dataset() -> Dataset {
    let images = |n: usize| {
        let pixels = (0..n * 20).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
        Images { n_images: n, height: 4, width: 5, channels: 1, pixels, labels: None }
    };
    Dataset { name: "bytes".to_string(), train: images(60), test: images(20), valid: None }
}

fn settings(family: Family) -> Settings {
    Settings {
        architecture: Architecture {
            image: (4, 5),
            hidden: vec![16].into(),
            decoder_hidden: vec![16].into(),
            latent: 6,
            posterior: family,
            ..Settings::default().architecture
        },
        batch: 10,
        epochs: 2,
        seed: 4,
        ..Settings::default()
    }
}

/// Every family begins as the diagonal one.
#[test]
fn training_begins_at_the_diagonal_family() {
    for init in [Init::Pytorch, Init::Glorot] {
        let values = FAMILIES.map(|family| {
            let settings = settings(family);
            let network = elbo::vae::Network::declare(
                &mut elbo::plan::Program::new(),
                &settings.architecture,
            );
            let means = Moments { means: vec![0.5; 20], ..Moments::default() };
            network.initial_values(init, 7, &means)
        });
        let [diagonal, full] = values;
        assert_eq!(diagonal.len(), full.len());
        for (i, (a, b)) in diagonal.iter().zip(&full).enumerate() {
            assert_eq!(a[..], b[..a.len()], "parameter {i}");
            assert!(b[a.len()..].iter().all(|&v| v == 0.0));
        }
    }
}

/// Every objective trains, twice to the same bits, stopped between or not, and with another seed to others.
#[test]
fn every_objective_of_a_full_covariance_trains_to_the_same_bits() {
    let objectives = [
        Objective::default(),
        Objective { free_bits: 0.1, ..Objective::default() },
        Objective { kl: Kl::Sampled, ..Objective::default() },
        Objective {
            bound: Bound::Iwae,
            kl: Kl::Sampled,
            estimator: Estimator::DoublyReparameterized,
            ..Objective::default()
        },
    ];
    for device in harness::devices() {
        for objective in &objectives {
            let begin = |seed: u64| {
                let settings = Settings {
                    objective: objective.clone(),
                    samples: 3,
                    seed,
                    ..settings(Family::Full)
                };
                Trainer::new(&device, &dataset(), &settings).expect("the device loads")
            };
            let run = |mut trainer: Trainer, end: u64| {
                trainer.advance(end, |_| ControlFlow::Continue(())).expect("steps");
                trainer
            };
            let mut stopped = run(begin(4), 5);
            let mut resumed = begin(4);
            resumed.restore(&stopped.snapshot().expect("reads")).expect("writes");
            let ends = [begin(4), resumed, begin(5)].map(|trainer| run(trainer, 12));
            let [first, resumed, other] =
                ends.map(|mut trainer| trainer.parameters().expect("reads"));
            assert_eq!(first, resumed, "{objective:?}");
            assert_ne!(first, other, "{objective:?}");
            let below = &first[2][12 * 16..];
            assert!(below.iter().any(|&v| v != 0.0), "{objective:?}: L stays diagonal");
        }
    }
}

/// Planar flows train to the same bits, and need a KL that is sampled with its score.
#[test]
fn planar_flows_train_with_a_sampled_kl() {
    let mut settings = settings(Family::Planar { steps: 3 });
    let refused = |settings: &Settings| settings.check().expect_err("refused").to_string();
    let why = "is none of a q of flows, whose KL has no closed form";
    assert!(refused(&settings).contains(why), "{}", refused(&settings));
    settings.objective = Objective {
        kl: Kl::Sampled,
        estimator: Estimator::StickingTheLanding,
        ..Objective::default()
    };
    let why = "needs the gradient of log q(z|x) at z alone";
    assert!(refused(&settings).contains(why), "{}", refused(&settings));
    settings.objective.estimator = Estimator::Reparameterized;
    settings.samples = 3;
    for device in harness::devices() {
        for bound in [Bound::Elbo, Bound::Iwae] {
            settings.objective.bound = bound;
            let run = || {
                let mut trainer =
                    Trainer::new(&device, &dataset(), &settings).expect("the device loads");
                trainer.advance(12, |_| ControlFlow::Continue(())).expect("steps");
                trainer.parameters().expect("reads")
            };
            let first = run();
            assert_eq!(first, run());
            let shifts = &first[2][12 * 16..30 * 16];
            assert!(shifts.iter().any(|&v| v != 0.0), "the flow stays none");
        }
    }
    settings.architecture.posterior = Family::Planar { steps: 0 };
    assert_eq!(refused(&settings), "`architecture.posterior.steps` must be at least 1, got 0");
}

/// So do inverse autoregressive flows, whose weights are moved where an output may see an input, and stay elsewhere; stopped
/// and resumed or not.
#[test]
fn autoregressive_flows_train_their_own_weights() {
    let mut settings = settings(Family::Iaf { steps: 2, hidden: 9 });
    settings.objective = Objective { kl: Kl::Sampled, ..Objective::default() };
    settings.samples = 3;
    for device in harness::devices() {
        for bound in [Bound::Elbo, Bound::Iwae] {
            settings.objective.bound = bound;
            let begin = || Trainer::new(&device, &dataset(), &settings).expect("the device loads");
            let mut stopped = begin();
            let before = stopped.parameters().expect("reads");
            stopped.advance(5, |_| ControlFlow::Continue(())).expect("steps");
            let mut resumed = begin();
            resumed.restore(&stopped.snapshot().expect("reads")).expect("writes");
            let [first, resumed] = [begin(), resumed].map(|mut trainer| {
                trainer.advance(12, |_| ControlFlow::Continue(())).expect("steps");
                trainer.parameters().expect("reads")
            });
            assert_eq!(first, resumed);
            let own = first.len() - 12;
            for (i, (first, before)) in first.iter().zip(&before).enumerate().skip(own) {
                assert!(first != before, "parameter {i} of the flow does not move");
            }
            // Unit j of the first hidden layer, of degree j 6 / 9, sees as many units of z, of the second step from the last on.
            for step in 0..2 {
                let mut moved = 0;
                for (e, (a, b)) in
                    first[own + 6 * step].iter().zip(&before[own + 6 * step]).enumerate()
                {
                    let (degree, input) = (e / 12 * 6 / 9, e % 12);
                    let seen =
                        input >= 6 || if step == 0 { input < degree } else { 5 - input < degree };
                    assert!(seen || a == b, "step {step}: {e} moves");
                    moved += usize::from(input < 6 && a != b);
                }
                assert!(moved > 3, "step {step}: {moved}");
            }
        }
    }
    let refused = |settings: &Settings| settings.check().expect_err("refused").to_string();
    settings.architecture.posterior = Family::Iaf { steps: 2, hidden: 0 };
    let why = "`architecture.posterior.hidden` must be from 1 to 16384, got 0";
    assert_eq!(refused(&settings), why);
    settings.architecture.posterior = Family::Iaf { steps: 0, hidden: 9 };
    assert_eq!(refused(&settings), "`architecture.posterior.steps` must be at least 1, got 0");
    settings.architecture.posterior = Family::Iaf { steps: 2, hidden: 9 };
    settings.architecture.latent = 1;
    assert!(refused(&settings).contains("nothing before a single latent unit"));
}

/// What a device draws and weighs is what the host undoes, of the weights of a z in both directions: log q of a given z.
#[test]
fn autoregressive_flows_are_undone_on_the_host() {
    let (settings, parameters) = autoregressive(3, 17);
    let architecture = &settings.architecture;
    let reader = Reader::of(architecture, &parameters);
    for device in harness::devices() {
        let model = Model {
            architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 3,
        };
        let simulated = simulate(&device, model, 40).expect("it draws");
        // The density of z* that the sandwich needs: U_K is above L_K on average.
        let found = sandwich(&device, model, &simulated, &[1, 50], None, &mut on).expect("it runs");
        assert!(found.width(1).value > 0.0 && found.width(1).value < 0.5, "{:?}", found.width(1));
        assert_eq!(reader.heads(), 9);
    }
}

#[test]
fn a_single_latent_unit_has_no_covariances() {
    let mut settings = settings(Family::Full);
    settings.architecture.latent = 1;
    let error = settings.check().expect_err("refused").to_string();
    assert_eq!(
        error,
        "`architecture.posterior` full is diagonal where there is one latent unit: give diagonal, or two latent \
         units or more"
    );
}

/// Files that name no family mean the diagonal one, and of that nothing is written.
#[test]
fn a_file_without_a_family_is_of_the_diagonal_one() {
    let of = |family| serde_json::to_value(settings(family).architecture).expect("JSON");
    assert!(of(Family::Diagonal).get("posterior").is_none());
    assert_eq!(of(Family::Full)["posterior"], "full");
    for family in FAMILIES {
        let back: Architecture = serde_json::from_value(of(family)).expect("an architecture");
        assert_eq!(back.posterior, family);
    }
    let text = settings(Family::Full).architecture.to_string();
    assert_eq!(text, "20-16-6-16-20 relu, q with full covariance");
}
