//! Settings: what is refused, and what `config.json` keeps, of older runs too.

use elbo::checkpoint::RunFolder;
use elbo::optim::{Adam, Adamax, Optimizer, RmsProp};
use elbo::plan::Program;
use elbo::train::{Schedule, Settings};
use elbo::vae::network::Moments;
use elbo::vae::objective::{Bound, Estimator, Kl};
use elbo::vae::{Init, Likelihood, Network, Objective, Variance};

fn full() -> Settings {
    let mut settings = Settings {
        binarization: elbo::vae::Binarization::None,
        learning_rate_warm_up: 1.5,
        weight_decay: 0.01,
        valid: Some(0.2),
        early_stop: Some(3),
        average: Some(0.99),
        clip_norm: Some(2.0),
        schedule: Schedule::Step(vec![(3, 3e-4), (7, 1e-4)]),
        optimizer: Optimizer::Adam(Adam { beta1: 0.99, beta2: 0.9, epsilon: 1e-4 }),
        objective: Objective { beta: 0.3, warm_up: 4, free_bits: 0.25, ..Objective::default() },
        init: Init::Glorot,
        ..Settings::default()
    };
    settings.architecture.likelihood = Likelihood::Gaussian { variance: Variance::Given(0.25) };
    settings
}

#[test]
fn a_configuration_comes_back_as_it_was() {
    let iwae = Settings {
        schedule: Schedule::Iwae,
        objective: Objective {
            bound: Bound::Iwae,
            estimator: Estimator::DoublyReparameterized,
            kl: Kl::Sampled,
            ..Objective::default()
        },
        ..Settings::default()
    };
    let adamax = Adamax { beta1: 0.8, beta2: 0.99, epsilon: 1e-6 };
    let adamax = Settings { optimizer: Optimizer::Adamax(adamax), ..Settings::default() };
    for settings in [Settings::default(), full(), iwae, adamax] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run");
        RunFolder::create(&path, &settings).expect("creates");
        let (_, read) = RunFolder::open(&path).expect("opens");
        assert_eq!(read, settings);
    }
}

/// As the first version wrote it.
#[test]
fn a_configuration_without_the_newer_settings_is_read() {
    let text = r#"{
        "data": "mnist",
        "architecture": {
            "image": [28, 28], "hidden": [400], "decoder_hidden": [400], "latent": 20, "activation": "relu"
        },
        "binarization": "dynamic", "epochs": 3, "steps": null, "batch": 64, "samples": 2,
        "learning_rate": 0.002, "beta": 0.5, "seed": 7
    }"#;
    let read: Settings = serde_json::from_str(text).expect("reads");
    let mut expected = Settings {
        fit: elbo::data::Fit::Stretch,
        epochs: 3,
        batch: 64,
        samples: 2,
        learning_rate: 2e-3,
        seed: 7,
        ..Settings::default()
    };
    expected.objective.beta = 0.5;
    assert_eq!(read, expected);
}

#[test]
fn what_means_nothing_is_refused_in_one_line() {
    let iwae = || Objective { bound: Bound::Iwae, kl: Kl::Sampled, ..Objective::default() };
    let base = Objective::default;
    let good = [
        base(),
        iwae(),
        Objective { estimator: Estimator::StickingTheLanding, ..iwae() },
        Objective { estimator: Estimator::DoublyReparameterized, ..iwae() },
        Objective {
            kl: Kl::Sampled,
            estimator: Estimator::StickingTheLanding,
            beta: 2.0,
            ..base()
        },
        Objective { beta: 0.0, warm_up: 5, free_bits: 1.0, ..base() },
    ];
    for objective in good {
        objective.check().unwrap_or_else(|e| panic!("{objective:?}: {e}"));
    }
    let bad = [
        (Objective { beta: -1.0, ..base() }, "`objective.beta`"),
        (Objective { beta: f64::NAN, ..base() }, "`objective.beta`"),
        (Objective { beta: 0.5, ..iwae() }, "`objective.beta` 1"),
        (Objective { warm_up: 1, ..iwae() }, "`objective.warm_up`"),
        (Objective { kl: Kl::Analytic, ..iwae() }, "`objective.kl` sampled"),
        (Objective { free_bits: 0.1, ..iwae() }, "`objective.free_bits`"),
        (Objective { free_bits: -0.1, ..base() }, "`objective.free_bits`"),
        (Objective { free_bits: 0.1, kl: Kl::Sampled, ..base() }, "`objective.kl` analytic"),
        (
            Objective { estimator: Estimator::DoublyReparameterized, ..base() },
            "`objective.bound` iwae",
        ),
        (
            Objective { estimator: Estimator::StickingTheLanding, ..base() },
            "`objective.kl` sampled",
        ),
    ];
    for (objective, word) in bad {
        let message = objective.check().expect_err("refused").to_string();
        assert!(message.contains(word) && message.lines().count() == 1, "{message}");
    }
    fn adam(settings: &mut Settings) -> &mut Adam {
        match &mut settings.optimizer {
            Optimizer::Adam(adam) => adam,
            other => panic!("{other:?} is no Adam"),
        }
    }
    type Change = fn(&mut Settings);
    let rmsprop = |change: fn(&mut RmsProp)| {
        let mut constants = RmsProp::default();
        change(&mut constants);
        Optimizer::RmsProp(constants).rule().check().expect_err("refused").to_string()
    };
    assert!(rmsprop(|r| r.decay = 1.0).contains("rmsprop.decay"));
    for epsilon in [-1.0, 1e300, f64::NAN] {
        let rule = Optimizer::RmsProp(RmsProp { epsilon, ..RmsProp::default() });
        let message = rule.rule().check().expect_err("refused").to_string();
        assert!(message.contains("rmsprop.epsilon"), "{message}");
    }
    let default = Adamax::default();
    for (adamax, word) in [
        (Adamax { beta1: 1.0, ..default }, "`adamax.beta1`"),
        (Adamax { beta2: 0.0, ..default }, "`adamax.beta2`"),
        (Adamax { epsilon: f64::NAN, ..default }, "`adamax.epsilon`"),
    ] {
        let message = Optimizer::Adamax(adamax).rule().check().expect_err("refused").to_string();
        assert!(message.contains(word), "{message}");
    }
    let bad: [(Change, &str); 17] = [
        (|s| s.average = Some(0.0), "`average`"),
        (|s| s.average = Some(1.0), "`average`"),
        (|s| (s.early_stop, s.valid) = (Some(0), Some(0.1)), "`early_stop`"),
        (|s| s.early_stop = Some(2), "`valid`"),
        (|s| s.clip_norm = Some(0.0), "`clip_norm`"),
        (|s| s.clip_norm = Some(f64::INFINITY), "`clip_norm`"),
        (|s| s.weight_decay = -0.1, "`weight_decay`"),
        (|s| s.weight_decay = 1000.0, "less than 1 / `learning_rate`"),
        (|s| s.learning_rate_warm_up = -1.0, "`learning_rate_warm_up`"),
        (|s| s.learning_rate_warm_up = f64::NAN, "`learning_rate_warm_up`"),
        (|s| s.learning_rate_warm_up = 10.0, "less than `epochs`"),
        (|s| adam(s).beta1 = 1.0, "`adam.beta1`"),
        (|s| adam(s).beta2 = 0.0, "`adam.beta2`"),
        (|s| adam(s).epsilon = 0.0, "`adam.epsilon`"),
        (|s| s.schedule = Schedule::Step(vec![(3, 1e-3), (2, 1e-4)]), "`schedule`"),
        (
            |s| s.architecture.likelihood = Likelihood::Gaussian { variance: Variance::Given(0.0) },
            "`architecture.likelihood.variance`",
        ),
        (
            |s| s.architecture.likelihood = Likelihood::Gaussian { variance: Variance::Learned },
            "`binarization`",
        ),
    ];
    for (change, word) in bad {
        let mut settings = Settings::default();
        change(&mut settings);
        let message = settings.check().expect_err("refused").to_string();
        assert!(message.contains(word) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn glorot_begins_at_the_mean_of_the_data() {
    let mut architecture = full().architecture;
    architecture.image = (1, 4);
    let means = vec![0.0, 0.5, 0.25, 1.0];
    let moments = Moments { means, ..Moments::default() };
    for (likelihood, expected) in [
        (Likelihood::Bernoulli, [-6.906_755, 0.0, -1.098_612_3, 6.906_755]),
        (Likelihood::Gaussian { variance: Variance::Learned }, [0.0, 0.5, 0.25, 1.0]),
        (Likelihood::ContinuousBernoulli, [-1000.0, 0.0, -3.593_512, 1000.0]),
        (Likelihood::DiscretizedLogistic, [0.0, 0.5, 0.25, 1.0]),
    ] {
        architecture.likelihood = likelihood;
        let network = Network::declare(&mut Program::new(), &architecture);
        let values = network.initial_values(Init::Glorot, 3, &moments);
        assert_eq!(values.len(), network.parameters().len());
        let layers: Vec<_> = network.layers().collect();
        for (i, layer) in layers.iter().enumerate() {
            let (weight, bias) = (&values[2 * i], &values[2 * i + 1]);
            let fan_out =
                if layer.name() == "encoder.heads" { layer.outputs() / 2 } else { layer.outputs() };
            let bound = (6.0 / (layer.inputs() + fan_out) as f32).sqrt();
            let largest = weight.iter().fold(0.0_f32, |max, v| max.max(v.abs()));
            assert!(
                largest <= bound && largest > 0.9 * bound,
                "{}: {largest}, {bound}",
                layer.name()
            );
            if i + 1 < layers.len() {
                assert!(bias.iter().all(|&b| b == 0.0), "{}", layer.name());
            } else {
                for (got, want) in bias.iter().zip(expected) {
                    assert!((got - want).abs() < 1e-5, "{bias:?}");
                }
            }
        }
    }
}

/// The variance of a Gaussian decoder is a tensor of the model like others, learned or given.
#[test]
fn the_variance_is_kept_with_the_model() {
    let mut settings = full();
    settings.architecture.image = (2, 2);
    let network = Network::declare(&mut Program::new(), &settings.architecture);
    let values = network.initial_values(Init::Pytorch, 1, &Moments::default());
    assert_eq!(values.last().expect("values"), &[0.25_f32.ln()]);
    let folder = tempfile::tempdir().expect("a folder");
    let run = RunFolder::create(&folder.path().join("run"), &settings).expect("creates");
    run.write_model(&settings, &values).expect("writes");
    assert_eq!(run.read_model(&settings.architecture).expect("reads"), values);
    let bytes = std::fs::read(run.file("model.safetensors")).expect("the file");
    let names = String::from_utf8_lossy(&bytes);
    for name in ["observation_log_variance", "decoder.2.weight"] {
        assert!(names.contains(name), "{name}");
    }
}
