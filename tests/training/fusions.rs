//! Every fusion against the plan that lacks it, and the plans that come of all of them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use elbo::data::{Dataset, Images, Labels};
use elbo::device::Executor;
use elbo::kernels::activation::Activation;
use elbo::kernels::{FUSIONS, fusions};
use elbo::plan::fuse::Fusions;
use elbo::train::{self, Settings, Trainer};
use elbo::vae::objective::{Bound, Kl};
use elbo::vae::step::TrainProgram;
use elbo::vae::{Architecture, Binarization, Likelihood, Objective, Prior, Variance};

use crate::harness;

/// Steps of each run: enough for one's result to enter the next.
const STEPS: u64 = 3;

fn dataset() -> Dataset {
    let images = |n: usize| {
        let pixels = (0..n * 12 * 11).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
        // What a network is told that asks for it.
        let labels = Some(Labels::numbered((0..n).map(|i| (i * i % 3) as u16).collect()));
        Images { n_images: n, height: 12, width: 11, channels: 1, pixels, labels }
    };
    Dataset { name: "bytes".to_string(), train: images(64), test: images(5), valid: None }
}

fn settings(hidden: &[usize], samples: usize) -> Settings {
    Settings {
        architecture: Architecture {
            image: (12, 11),
            channels: 1,
            hidden: hidden.into(),
            decoder_hidden: hidden.into(),
            latent: 5,
            activation: Activation::Tanh,
            posterior: Default::default(),
            likelihood: Likelihood::Bernoulli,
            classes: Vec::new(),
            prior: Prior::Normal,
        },
        batch: 17,
        samples,
        seed: 3,
        ..Settings::default()
    }
}

fn gaussian(settings: Settings) -> Settings {
    of_variance(Variance::Learned, settings)
}

fn of_variance(variance: Variance, settings: Settings) -> Settings {
    let likelihood = Likelihood::Gaussian { variance };
    let architecture = Architecture { likelihood, ..settings.architecture };
    Settings { architecture, binarization: Binarization::None, ..settings }
}

fn told(settings: Settings) -> Settings {
    let classes = ["0", "1", "2"].map(String::from).to_vec();
    let architecture = Architecture { classes, ..settings.architecture };
    // Embeddings begin far from zero: of a smaller way their own rounding would be a large part.
    Settings { architecture, learning_rate: 0.01, ..settings }
}

fn iwae(settings: Settings) -> Settings {
    let objective = Objective { bound: Bound::Iwae, kl: Kl::Sampled, ..settings.objective };
    Settings { objective, ..settings }
}

/// Plans that differ in what can be fused.
fn all_settings() -> Vec<(&'static str, Settings)> {
    let free_bits = Objective { free_bits: 0.1, ..Objective::default() };
    vec![
        ("one sample", settings(&[40, 33], 1)),
        ("three samples", settings(&[40], 3)),
        ("no hidden layer", settings(&[], 1)),
        ("Gaussian", gaussian(settings(&[40], 1))),
        ("optimal variance", of_variance(Variance::Optimal, settings(&[40], 1))),
        ("weight decay", Settings { weight_decay: 3.0, ..settings(&[40, 33], 1) }),
        ("clipped", Settings { clip_norm: Some(0.5), ..settings(&[40, 33], 1) }),
        ("free bits", Settings { objective: free_bits, ..settings(&[40], 1) }),
        ("iwae", iwae(settings(&[40], 3))),
        ("iwae, Gaussian", iwae(gaussian(settings(&[40], 3)))),
        ("told classes", told(settings(&[40], 1))),
        ("told classes, no hidden layer", told(settings(&[], 1))),
        ("told classes, iwae", told(iwae(settings(&[40], 3)))),
    ]
}

fn record(settings: &Settings, fusions: &Fusions) -> TrainProgram {
    train::record_fused(&dataset(), settings, fusions).expect("a plan")
}

/// Parameters after [`STEPS`], and the ELBO of the test set.
fn run(
    plan: TrainProgram,
    executor: Box<dyn Executor>,
    settings: &Settings,
) -> (Vec<Vec<f32>>, f64) {
    let mut trainer = Trainer::on(executor, plan, &dataset(), settings).expect("begins");
    trainer.advance(STEPS, |_| ControlFlow::Continue(())).expect("steps");
    let elbo = trainer.evaluate().expect("evaluates").elbo();
    (trainer.parameters().expect("reads"), elbo)
}

/// How often each fusion was applied, in training and evaluation.
fn times(plan: &TrainProgram) -> BTreeMap<&'static str, usize> {
    let mut times = BTreeMap::new();
    for (name, n) in plan.fused.iter().flatten() {
        *times.entry(*name).or_default() += n;
    }
    times
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// In double precision the plans agree to its rounding; on every device the plan without the fusion agrees
/// with double precision as the fused one does, see `runs`.
#[test]
fn every_fusion_computes_what_it_replaces() {
    let mut applied: BTreeMap<&str, usize> = FUSIONS.iter().map(|f| (f.name, 0)).collect();
    for (label, settings) in all_settings() {
        let plan = record(&settings, &fusions());
        let times = times(&plan);
        let first = plan.network.initial_values(settings.init, settings.seed, &Default::default());
        let terms: usize = plan.network.layers().map(|l| l.inputs() + l.outputs()).sum();
        let exponent = match settings.objective.bound {
            Bound::Elbo => 0.0,
            Bound::Iwae => 400.0 / ((settings.batch * settings.samples) as f64).sqrt(),
        };
        let bound = 4.0 * STEPS as f64 * ((terms as f64).sqrt() + exponent) / f64::from(1 << 24);
        let in_f64 = |plan: TrainProgram| {
            let executor = harness::cpu().load::<f64>(plan.program.clone()).expect("memory");
            run(plan, Box::new(executor), &settings)
        };
        let expected = in_f64(plan);
        for fusion in FUSIONS.iter().filter(|fusion| times[fusion.name] > 0) {
            *applied.get_mut(fusion.name).expect("of the table") += times[fusion.name];
            let without = fusions().without(fusion.name).expect("of the table");
            let label = format!("{label} without {}", fusion.name);
            let (parameters, elbo) = in_f64(record(&settings, &without));
            // Parameters are read in single precision.
            let off =
                norm(parameters.iter().zip(&expected.0).flat_map(|(p, e)| {
                    p.iter().zip(e).map(|(p, e)| f64::from(*p) - f64::from(*e))
                }));
            assert!(off < 1e-7, "{label}: parameters differ by {off:e} in double precision");
            let difference = (elbo - expected.1).abs();
            assert!(difference < 1e-4, "{label}: ELBO {elbo} and {}", expected.1);
            for device in harness::devices() {
                let name = &device.description().name;
                let plan = record(&settings, &without);
                let executor = device.load(plan.program.clone()).expect("loads");
                let (parameters, _) = run(plan, executor, &settings);
                for ((got, expected), first) in parameters.iter().zip(&expected.0).zip(&first) {
                    let of = |a: &[f32], b: &[f32]| {
                        norm(a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)))
                    };
                    let (error, moved) = (of(got, expected), of(expected, first));
                    assert!(
                        error < bound * moved,
                        "{name}: {label}: off by {:e} of the way, allowed {bound:e}",
                        error / moved
                    );
                }
            }
        }
    }
    for (name, times) in applied {
        assert!(times > 0, "no settings of this test have a plan that {name} applies to");
    }
}

/// Whether all fusions are switched off together is tested too: that is the textbook's plan.
#[test]
fn the_textbook_plan_computes_the_same() {
    for (label, settings) in all_settings() {
        let in_f64 = |fusions: &Fusions| {
            let plan = record(&settings, fusions);
            let executor = harness::cpu().load::<f64>(plan.program.clone()).expect("memory");
            run(plan, Box::new(executor), &settings)
        };
        let (fused, textbook) = (in_f64(&fusions()), in_f64(&Fusions::none()));
        let pairs = fused.0.iter().flatten().zip(textbook.0.iter().flatten());
        let off = norm(pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        assert!(off < 1e-7, "{label}: parameters differ by {off:e}");
    }
}

fn kernels(plan: &TrainProgram) -> Vec<String> {
    let dispatches = &plan.program.plan(plan.train.plan).dispatches;
    dispatches.iter().map(|d| d.kernel.to_string()).collect()
}

/// What the fusions make of the default step.
#[test]
fn the_default_step_is_ten_dispatches() {
    let kernels = kernels(&record(&settings(&[40], 1), &fusions()));
    assert_eq!(kernels.len(), 10, "{kernels:?}");
    let textbook = record(&settings(&[40], 1), &Fusions::none());
    let recorded = textbook.program.plan(textbook.train.plan).dispatches.len();
    assert_eq!(recorded, 26, "ARCHITECTURE.md has this number");
    assert!(textbook.fused.iter().all(Vec::is_empty));
    // A plan that importance weights stand in the middle of keeps what they read.
    let iwae = record(&iwae(settings(&[40], 3)), &fusions());
    let times = times(&iwae);
    assert_eq!(times["bernoulli.decode"], 0);
    assert_eq!(times["posterior.sample_forward"], 0);
    assert_eq!(times["linear.update"], 4);
}

/// What is fused away takes no memory.
#[test]
fn dropped_tensors_are_not_stored() {
    let plan = record(&settings(&[40], 1), &fusions());
    assert!(plan.program.tensors().iter().any(|t| t.dropped));
    assert!(plan.program.stored().all(|t| !t.dropped));
    assert!(plan.program.stored().all(|t| !t.name.starts_with("train/d_encoder")));
}

#[test]
fn an_unknown_fusion_cannot_be_switched_off() {
    let error = fusions().without("linear.nothing").map(|_| ()).expect_err("unknown");
    assert!(error.contains("linear.nothing") && error.contains("bernoulli.decode"), "{error}");
}
