//! Runs of many steps: the devices agree, a seed is a seed, a snapshot goes on bit for bit, a NaN is found.

use std::ops::ControlFlow;

use elbo::data::{self, Dataset, Images};
use elbo::device::{Device, Executor};
use elbo::kernels::activation::Activation;
use elbo::kernels::rates;
use elbo::optim::{Adam, Adamax, Optimizer, RmsProp};
use elbo::train::{self, EpochReport, Observer, Schedule, Settings, TrainError, Trainer};
use elbo::vae::network::Moments;
use elbo::vae::objective::{Bound, Estimator, Kl};
use elbo::vae::{Architecture, Binarization, Init, Likelihood, Objective, Prior, Variance};

use crate::harness;

fn cpu() -> Device {
    Device::Cpu(harness::cpu())
}

/// The first images of MNIST.
fn mnist(train: usize, test: usize) -> Dataset {
    let whole = data::mnist().expect("the embedded set");
    let first = |images: &Images, n: usize| Images {
        n_images: n,
        pixels: images.pixels.part(0..n * images.n_pixels()),
        labels: None,
        ..images.clone()
    };
    Dataset {
        name: "MNIST".to_string(),
        train: first(&whole.train, train),
        test: first(&whole.test, test),
        valid: None,
    }
}

fn settings(hidden: usize, batch: usize) -> Settings {
    Settings {
        architecture: Architecture {
            image: (28, 28),
            channels: 1,
            hidden: vec![hidden].into(),
            decoder_hidden: vec![hidden].into(),
            latent: 10,
            activation: Activation::Relu,
            posterior: Default::default(),
            likelihood: Likelihood::Bernoulli,
            classes: Vec::new(),
            prior: Prior::Normal,
        },
        epochs: 3,
        batch,
        seed: 5,
        ..Settings::default()
    }
}

fn trainer(device: &Device, dataset: &Dataset, settings: &Settings) -> Trainer {
    Trainer::new(device, dataset, settings).expect("a trainer")
}

fn advance(trainer: &mut Trainer, end: u64) {
    trainer.advance(end, |_| ControlFlow::Continue(())).expect("steps");
    assert_eq!(trainer.step(), end);
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}

/// After 20 steps, tensor by tensor, how far a run is from the f64 one, relative to how far the
/// parameters have moved. A gradient is the end of a chain of `terms` additions, whose rounding errors
/// add up like a random walk, sqrt(terms) 2^-24 relatively; twenty steps may add up their errors in full;
/// a factor of four is left for what a step's error does to the next.
#[test]
fn twenty_steps_agree_with_double_precision() {
    let mut settings = settings(100, 50);
    settings.samples = 2;
    agree_for_twenty_steps(&settings);
}

/// The same, with every part that the default run does not use. A weight is wrong by the rounding of log w,
/// 400 nats or so as an exponent; the errors of a minibatch's rows are independent.
#[test]
fn twenty_steps_of_iwae_agree_with_double_precision() {
    let mut settings = iwae_settings();
    settings.architecture.activation = Activation::Relu;
    agree_for_twenty_steps(&settings);
    settings.objective.estimator = Estimator::DoublyReparameterized;
    agree_for_twenty_steps(&settings);
}

fn iwae_settings() -> Settings {
    Settings {
        samples: 5,
        objective: Objective { bound: Bound::Iwae, kl: Kl::Sampled, ..Objective::default() },
        init: Init::Glorot,
        optimizer: Optimizer::Adam(Adam { beta1: 0.99, beta2: 0.999, epsilon: 1e-4 }),
        schedule: Schedule::Iwae,
        ..settings(50, 20)
    }
}

fn agree_for_twenty_steps(settings: &Settings) {
    let dataset = mnist(1000, 100);
    let plan = train::record(&dataset, settings).expect("a plan");
    let terms: usize = plan.network.layers().map(|l| l.inputs() + l.outputs()).sum();
    let exponent = match settings.objective.bound {
        Bound::Elbo => 0.0,
        Bound::Iwae => 400.0 / ((settings.batch * settings.samples) as f64).sqrt(),
    };
    let bound = 4.0 * 20.0 * ((terms as f64).sqrt() + exponent) / f64::from(1 << 24);
    let names: Vec<String> =
        plan.network.parameters().iter().map(|&p| plan.program.get(p).name.clone()).collect();
    let moments = Moments { means: dataset.train.means(false), ..Moments::default() };
    let first = plan.network.initial_values(settings.init, settings.seed, &moments);
    let oracle: Box<dyn Executor> =
        Box::new(harness::cpu().load::<f64>(plan.program.clone()).expect("memory"));
    let mut oracle = Trainer::on(oracle, plan, &dataset, settings).expect("begin");
    advance(&mut oracle, 20);
    let expected = oracle.parameters().expect("parameters");
    let expected_metrics = oracle.metrics_since(0).expect("metrics").expect("finite");
    for device in harness::devices() {
        let label = device.description().name.clone();
        let mut trainer = trainer(&device, &dataset, settings);
        advance(&mut trainer, 20);
        let got = trainer.parameters().expect("parameters");
        for (i, name) in names.iter().enumerate() {
            let pairs =
                || got[i].iter().zip(&expected[i]).map(|(&g, &e)| f64::from(g) - f64::from(e));
            let moved =
                norm(expected[i].iter().zip(&first[i]).map(|(&e, &f)| f64::from(e) - f64::from(f)));
            let error = norm(pairs()) / moved;
            println!("{label}: {name}: {error:.1e} of the way, bound {bound:.1e}");
            assert!(moved > 0.0, "{name} did not move");
            assert!(
                error < bound,
                "{label}: {name} is off by {error:e} of its way, allowed {bound:e}"
            );
        }
        let metrics = trainer.metrics_since(0).expect("metrics").expect("finite");
        match (metrics.bound, expected_metrics.bound) {
            (Some(got), Some(expected)) => {
                assert!((got - expected).abs() < 1e-3, "{label}: L_K {got} and {expected}");
                assert!(got > metrics.elbo(), "L_K is above the ELBO");
            }
            (got, expected) => assert_eq!(got, expected),
        }
        let difference = (metrics.elbo() - expected_metrics.elbo()).abs();
        assert!(
            difference < 1e-3,
            "{label}: ELBO {} and {}",
            metrics.elbo(),
            expected_metrics.elbo()
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let dataset = mnist(500, 50);
    let settings = settings(40, 32);
    for device in harness::devices() {
        let run = |settings: &Settings| {
            let mut trainer = trainer(&device, &dataset, settings);
            advance(&mut trainer, 30);
            (trainer.digest().expect("digest"), trainer.evaluate().expect("evaluates"))
        };
        let (first, second) = (run(&settings), run(&settings));
        assert_eq!(first, second, "{}", device.description().name);
        let other = run(&Settings { seed: 6, ..settings.clone() });
        assert_ne!(first.0, other.0);
        // Evaluation leaves training alone: with one in the middle the end is the same.
        let mut interrupted = trainer(&device, &dataset, &settings);
        advance(&mut interrupted, 11);
        interrupted.evaluate().expect("evaluates");
        advance(&mut interrupted, 30);
        assert_eq!(interrupted.digest().expect("digest"), first.0);
    }
}

#[test]
fn a_snapshot_goes_on_bit_for_bit() {
    let dataset = mnist(500, 50);
    let settings = settings(40, 32); // 15.6 steps an epoch: the snapshots are inside one
    for device in harness::devices() {
        let mut whole = trainer(&device, &dataset, &settings);
        advance(&mut whole, 40);
        let expected = whole.snapshot().expect("snapshot");
        for at in [1, 16, 39] {
            let mut first = trainer(&device, &dataset, &settings);
            advance(&mut first, at);
            let snapshot = first.snapshot().expect("snapshot");
            drop(first);
            let mut second = trainer(&device, &dataset, &settings);
            second.restore(&snapshot).expect("restores");
            advance(&mut second, 40);
            assert!(second.snapshot().expect("snapshot") == expected, "at {at}");
        }
    }
}

/// A data set that is not on the device as a whole is trained on and evaluated bit for bit as one that is.
#[test]
fn a_window_of_the_data_changes_no_bit() {
    let dataset = mnist(500, 300);
    let settings = settings(40, 32); // 15.6 steps an epoch
    for device in harness::devices() {
        let run = |resident: Option<usize>| {
            let trainer = Trainer::within(&device, &dataset, &settings, resident);
            let mut trainer = trainer.expect("a trainer");
            let pass = |t: &Trainer| [t.program().train, t.program().test];
            let windows = pass(&trainer).map(|pass| pass.source.window);
            advance(&mut trainer, 17);
            let snapshot = trainer.snapshot().expect("snapshot");
            let before = trainer.evaluate().expect("evaluates");
            advance(&mut trainer, 40);
            let end = trainer.digest().expect("digest");
            let train = trainer.metrics_since(17).expect("metrics").expect("finite");
            // Back to where the window has moved on from.
            trainer.restore(&snapshot).expect("restores");
            advance(&mut trainer, 40);
            assert_eq!(trainer.digest().expect("digest"), end);
            (windows, (end, train, before))
        };
        let (windows, whole) = run(None);
        assert_eq!(windows, [None; 2]);
        for rows in [64, 256] {
            let (windows, fed) = run(Some(rows * 784 + 100));
            assert_eq!(windows, [Some(rows); 2]);
            assert_eq!(fed, whole, "{}, {rows} rows", device.description().name);
        }
    }
}

/// Without being told, a device holds a window of what it cannot hold: a software adapter binds 128 MiB.
#[test]
fn a_data_set_beyond_the_device_is_fed() {
    let n_images = 9_000_000;
    let pixels = (0..n_images * 16).map(|i| (i >> 9) as u8).collect();
    let train = Images { n_images, height: 4, width: 4, channels: 1, pixels, labels: None };
    let dataset = Dataset { name: "large".into(), test: train.first(100), train, valid: None };
    let mut settings = settings(8, 128);
    settings.architecture.image = (4, 4);
    let mut windows = 0;
    for device in harness::devices() {
        let run = |resident: Option<usize>| {
            let trainer = Trainer::within(&device, &dataset, &settings, resident);
            let mut trainer = trainer.expect("a trainer");
            advance(&mut trainer, 3);
            let window = trainer.program().train.source.window;
            (window.is_some(), trainer.digest().expect("digest"))
        };
        let (is_fed, end) = run(None);
        windows += usize::from(is_fed);
        assert_eq!(run(Some(1 << 20)), (true, end));
    }
    let software = harness::gpus().iter().any(|gpu| gpu.description().name.contains("llvmpipe"));
    assert!(windows > 0 || !software);
}

#[test]
fn an_end_asked_for_comes_at_the_end_of_a_step() {
    let dataset = mnist(500, 50);
    let settings = settings(40, 32);
    for device in harness::devices() {
        let mut stopped = trainer(&device, &dataset, &settings);
        stopped
            .advance(1000, |step| {
                if step >= 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .expect("steps");
        let step = stopped.step();
        assert!((7..1000).contains(&step), "stopped at {step}");
        let mut straight = trainer(&device, &dataset, &settings);
        advance(&mut straight, step);
        assert_eq!(stopped.digest().expect("digest"), straight.digest().expect("digest"));
    }
}

#[test]
fn iwae_is_reproducible_and_evaluates_its_bound() {
    let dataset = mnist(500, 50);
    for estimator in [Estimator::Reparameterized, Estimator::DoublyReparameterized] {
        let mut settings = iwae_settings();
        settings.objective.estimator = estimator;
        for device in harness::devices() {
            let run = || {
                let mut trainer = trainer(&device, &dataset, &settings);
                advance(&mut trainer, 40); // beyond the first epoch, and its learning rate
                (trainer.digest().expect("digest"), trainer.evaluate().expect("evaluates"))
            };
            let first = run();
            assert_eq!(first, run(), "{}", device.description().name);
            let bound = first.1.bound.expect("iwae shows it");
            assert!(bound > first.1.elbo() && bound < 0.0, "L_K {bound}, ELBO {}", first.1.elbo());
        }
    }
}

/// The rate on the device, in every step, however the steps are asked for.
#[test]
fn the_learning_rate_follows_its_schedule() {
    let dataset = mnist(100, 10);
    let mut settings = settings(4, 32); // 3.1 steps an epoch
    settings.epochs = 5;
    settings.schedule = "step:2=5e-4,4=1e-4".parse().expect("a schedule");
    for device in harness::devices() {
        let rate = |trainer: &mut Trainer| {
            let rates = trainer.program().train.rates;
            trainer.executor().read_f32(rates).expect("reads")[rates::LEARNING_RATE]
        };
        // By its first image, step 0..4 belongs to epoch 1, ..7 to 2, ..10 to 3, ..13 to 4, ..16 to 5.
        let expected = |step: u64| match step {
            0..4 => 1e-3,
            4..10 => 5e-4,
            _ => 1e-4,
        };
        let mut single = trainer(&device, &dataset, &settings);
        for step in 0..16 {
            assert_eq!(rate(&mut single), expected(step), "step {step}");
            advance(&mut single, step + 1);
        }
        let mut whole = trainer(&device, &dataset, &settings);
        advance(&mut whole, 2);
        let early = whole.snapshot().expect("snapshot");
        advance(&mut whole, 16);
        assert_eq!(whole.digest().expect("digest"), single.digest().expect("digest"));
        whole.restore(&early).expect("restores");
        assert_eq!(rate(&mut whole), 1e-3);
        advance(&mut whole, 16);
        assert_eq!(whole.digest().expect("digest"), single.digest().expect("digest"));
        settings.schedule = Schedule::Constant;
        let mut constant = trainer(&device, &dataset, &settings);
        advance(&mut constant, 16);
        assert_ne!(constant.digest().expect("digest"), single.digest().expect("digest"));
        settings.schedule = "step:2=5e-4,4=1e-4".parse().expect("a schedule");
    }
}

/// Step by step up to the rate, whichever epoch that falls into, then along the schedule; from a snapshot too.
#[test]
fn the_learning_rate_warms_up() {
    let dataset = mnist(100, 10);
    let mut settings = settings(4, 32); // 3.1 steps an epoch
    settings.epochs = 5;
    settings.learning_rate_warm_up = 1.5; // 4.6875 steps
    settings.schedule = Schedule::Cosine;
    // The first image of steps 4 to 6 is of epoch 2, of 7 to 9 of 3, of 10 to 12 of 4.
    let cosine =
        |epoch: f64| (0.5 + 0.5 * (std::f64::consts::PI * (epoch - 2.5) / 3.5).cos()) as f32;
    let expected = |step: u64| {
        1e-3 * match step {
            0..5 => ((step + 1) as f32 / 4.6875).min(1.0),
            5..7 => 1.0,
            7..10 => cosine(3.0),
            10..13 => cosine(4.0),
            _ => cosine(5.0),
        }
    };
    for device in harness::devices() {
        let rate = |trainer: &mut Trainer| {
            let rates = trainer.program().train.rates;
            trainer.executor().read_f32(rates).expect("reads")[rates::LEARNING_RATE]
        };
        let mut single = trainer(&device, &dataset, &settings);
        for step in 0..16 {
            let got = rate(&mut single);
            assert!((got - expected(step)).abs() < 1e-9, "step {step}: {got}, {}", expected(step));
            advance(&mut single, step + 1);
        }
        let digest = single.digest().expect("digest");
        for stop in [1, 3, 4, 5, 6, 8] {
            let mut whole = trainer(&device, &dataset, &settings);
            advance(&mut whole, stop);
            let early = whole.snapshot().expect("snapshot");
            advance(&mut whole, 16);
            assert_eq!(whole.digest().expect("digest"), digest);
            whole.restore(&early).expect("restores");
            advance(&mut whole, 16);
            assert_eq!(whole.digest().expect("digest"), digest, "from step {stop}");
        }
    }
}

#[test]
fn the_warm_up_rises_to_beta() {
    let dataset = mnist(100, 10);
    let mut settings = settings(4, 32);
    (settings.objective.beta, settings.objective.warm_up) = (0.5, 2); // 6.25 steps
    for device in harness::devices() {
        let mut trainer = trainer(&device, &dataset, &settings);
        let rates = trainer.program().train.rates;
        for step in 0..10 {
            let beta = trainer.executor().read_f32(rates).expect("reads")[rates::KL_WEIGHT];
            let expected = 0.5 * (step as f32 / 6.25).min(1.0);
            assert!((beta - expected).abs() < 1e-6, "step {step}: {beta}, expected {expected}");
            advance(&mut trainer, step + 1);
        }
    }
}

/// A decoder of real values learns, its variance with it from a start at the data; a given variance stays.
#[test]
fn a_gaussian_decoder_learns() {
    let dataset = mnist(1000, 100);
    for device in harness::devices() {
        for variance in [Variance::Optimal, Variance::Learned, Variance::Given(0.1)] {
            let mut settings = Settings { learning_rate: 3e-3, ..settings(40, 50) };
            settings.architecture.likelihood = Likelihood::Gaussian { variance };
            (settings.binarization, settings.init) = (Binarization::None, Init::Glorot);
            let mut trainer = trainer(&device, &dataset, &settings);
            let before = trainer.evaluate().expect("evaluates").elbo();
            let log_variance = |trainer: &mut Trainer| {
                trainer.parameters().expect("parameters").pop().expect("the last")[0]
            };
            let first = log_variance(&mut trainer);
            advance(&mut trainer, 150);
            let after = trainer.evaluate().expect("evaluates").elbo();
            assert!(after > before, "{before} then {after}");
            let last = log_variance(&mut trainer);
            match variance {
                Variance::Given(v) => {
                    assert_eq!([first, last], [f64::ln(v) as f32; 2]);
                }
                _ => assert!((-3.0..-2.5).contains(&first) && last != first, "{first}, {last}"),
            }
            if variance == Variance::Optimal {
                assert!(last < first - 0.02, "{first}, {last}");
            }
        }
    }
}

/// Real images, a real run at small size: the GPU learns what the CPU learns.
#[test]
fn the_gpu_learns_mnist_as_the_cpu_does() {
    let dataset = mnist(4000, 500);
    let settings = settings(64, 50);
    let mut last = Vec::new();
    for device in harness::devices() {
        let mut trainer = trainer(&device, &dataset, &settings);
        let before = trainer.evaluate().expect("evaluates");
        let outcome = train::run(&mut trainer, &mut Quiet).expect("trains");
        assert_eq!(outcome.epochs.len(), 3);
        assert_eq!(outcome.steps, 240);
        let elbos: Vec<f64> = outcome.epochs.iter().map(|e| e.test.elbo).collect();
        println!("{}: {:.2} then {elbos:.2?}", device.description().name, before.elbo());
        assert!(
            before.elbo() < -500.0 && elbos.windows(2).all(|w| w[1] > w[0]) && elbos[2] > -200.0
        );
        last.push(elbos[2]);
    }
    // The noise is the same; rounding has had 240 steps to grow.
    assert!(last.iter().all(|elbo| (elbo - last[0]).abs() < 0.5), "{last:?}");
}

struct Quiet;

impl Observer for Quiet {
    fn epoch_begins(&mut self, _: u32) {}
    fn step(&mut self, _: u64) -> bool {
        false
    }
    fn evaluating(&mut self) {}
    fn epoch_ends(&mut self, _: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_divergence_is_traced_to_its_kernel() {
    let dataset = mnist(500, 50);
    for device in harness::devices() {
        // One step of this size makes weights whose products overflow in the next.
        let mut settings = settings(40, 32);
        settings.learning_rate = 1e30;
        let mut trainer = trainer(&device, &dataset, &settings);
        match train::run(&mut trainer, &mut Quiet) {
            Err(TrainError::Diverged(d)) => {
                assert_eq!((d.step, d.kernel.as_str()), (2, "linear.forward"), "{d}");
                assert_eq!(d.tensor, "train/encoder.heads", "{d}");
                assert!(!d.value.is_finite());
            }
            other => panic!("{other:?}"),
        }
        // A NaN planted in the bias of the logits.
        let mut trainer = trainer_with_nan(&device, &dataset);
        match train::run(&mut trainer, &mut Quiet) {
            Err(TrainError::Diverged(d)) => {
                assert_eq!((d.step, d.tensor.as_str()), (1, "train/d_eta"), "{d}");
                assert!(d.value.is_nan());
            }
            other => panic!("{other:?}"),
        }
        // A moment that has overflowed stills its parameter, and no metric shows it.
        let mut trainer = self::trainer(&device, &dataset, &self::settings(40, 32));
        let moments = trainer.program().trained[0].state;
        let n = trainer.program().program.get(moments).len() / 2;
        let values = [vec![0.0; n], vec![f32::INFINITY; n]].concat();
        trainer.executor().write_f32(moments, &values).expect("writes");
        match train::run(&mut trainer, &mut Quiet) {
            Err(TrainError::Diverged(d)) => {
                assert_eq!((d.step, d.kernel.as_str()), (1, "linear.update_all"), "{d}");
                assert_eq!(d.tensor, "encoder.0.weight.state", "{d}");
                assert!(d.element >= n, "{d}");
            }
            other => panic!("{other:?}"),
        }
    }
}

fn trainer_with_nan(device: &Device, dataset: &Dataset) -> Trainer {
    let mut trainer = trainer(device, dataset, &settings(40, 32));
    let bias = *trainer.program().network.parameters().last().expect("parameters");
    let mut values = trainer.executor().read_f32(bias).expect("reads");
    values[300] = f32::NAN;
    trainer.executor().write_f32(bias, &values).expect("writes");
    trainer
}

/// Batches straddle the boundary of an epoch: none is short, and each image is drawn once an epoch.
#[test]
fn epochs_end_when_every_image_was_drawn() {
    let dataset = mnist(500, 50);
    let trainer = trainer(&cpu(), &dataset, &settings(8, 32));
    let ends: Vec<u64> = (1..=4).map(|epoch| trainer.steps_until(epoch)).collect();
    assert_eq!(ends, [16, 32, 47, 63]);
    assert_eq!(trainer.steps_total(), 47);
}

/// The noise of an image does not depend on the batch it is drawn in, and a short last batch counts its
/// own images only.
#[test]
fn the_test_elbo_is_the_same_in_batches_of_any_size() {
    let dataset = mnist(100, 50);
    for device in harness::devices() {
        let elbos = [50, 32, 7, 1].map(|batch| {
            let metrics =
                trainer(&device, &dataset, &settings(8, batch)).evaluate().expect("evaluates");
            assert_eq!(metrics.images, 50);
            metrics.elbo()
        });
        assert!(elbos.iter().all(|e| (e - elbos[0]).abs() < 1e-3), "{elbos:?}");
    }
}

/// RMSprop trains, on the CPU and on an adapter to the same numbers, and goes on bit for bit from a snapshot.
#[test]
fn rmsprop_trains_and_goes_on() {
    let optimizer = Optimizer::RmsProp(RmsProp { decay: 0.9, epsilon: 1e-6 });
    let settings = Settings { optimizer, ..settings(100, 50) };
    agree_for_twenty_steps(&settings);
    let dataset = mnist(500, 50);
    let mut whole = trainer(&cpu(), &dataset, &settings);
    advance(&mut whole, 4);
    let snapshot = whole.snapshot().expect("a snapshot");
    assert!(snapshot.parameters.iter().all(|saved| saved.planes.len() == 1));
    advance(&mut whole, 8);
    let mut resumed = trainer(&cpu(), &dataset, &settings);
    resumed.restore(&snapshot).expect("restores");
    advance(&mut resumed, 8);
    assert_eq!(resumed.digest().expect("reads"), whole.digest().expect("reads"));
    // PyTorch: torch.optim.RMSprop(alpha=0.9, eps=1e-6) moves a first gradient g by rate g / (sqrt(0.1) |g| + eps).
    let mut first = trainer(&cpu(), &dataset, &settings);
    let before = first.parameters().expect("reads");
    advance(&mut first, 1);
    let after = first.parameters().expect("reads");
    let moved = before.iter().flatten().zip(after.iter().flatten()).map(|(b, a)| (a - b).abs());
    let largest = moved.fold(0.0, f32::max);
    assert!((largest - 1e-3 / 0.1_f32.sqrt()).abs() < 2e-5, "{largest}");
}

/// Adamax trains, on the CPU and on an adapter to the same numbers, goes on bit for bit from a snapshot, and takes
/// PyTorch's steps.
#[test]
fn adamax_trains_and_goes_on() {
    let optimizer = Optimizer::Adamax(Adamax { beta1: 0.8, beta2: 0.9, epsilon: 1e-6 });
    let settings = Settings { optimizer, ..settings(100, 50) };
    agree_for_twenty_steps(&settings);
    let dataset = mnist(500, 50);
    let mut whole = trainer(&cpu(), &dataset, &settings);
    advance(&mut whole, 4);
    let snapshot = whole.snapshot().expect("a snapshot");
    advance(&mut whole, 8);
    let mut resumed = trainer(&cpu(), &dataset, &settings);
    resumed.restore(&snapshot).expect("restores");
    advance(&mut resumed, 8);
    assert_eq!(resumed.digest().expect("reads"), whole.digest().expect("reads"));
    // A first gradient g moves its parameter by rate g / (|g| + eps), whatever the decays are.
    let mut first = trainer(&cpu(), &dataset, &settings);
    let before = first.parameters().expect("reads");
    advance(&mut first, 1);
    let after = first.parameters().expect("reads");
    let moved = before.iter().flatten().zip(after.iter().flatten()).map(|(b, a)| (a - b).abs());
    let largest = moved.fold(0.0, f32::max);
    assert!((largest - 1e-3).abs() < 2e-5, "{largest}");
}

/// Weight decay takes its share of each weight and of no bias, on the CPU and on an adapter, and goes on bit for bit.
#[test]
fn weights_decay_and_biases_do_not() {
    let plain = settings(100, 50);
    let settings = Settings { weight_decay: 20.0, ..plain.clone() };
    agree_for_twenty_steps(&settings);
    let dataset = mnist(500, 50);
    for device in harness::devices() {
        let mut decayed = trainer(&device, &dataset, &settings);
        let mut undecayed = trainer(&device, &dataset, &plain);
        let first = decayed.parameters().expect("reads");
        advance(&mut decayed, 1);
        advance(&mut undecayed, 1);
        let after = [&mut decayed, &mut undecayed].map(|t| t.parameters().expect("reads"));
        for (i, first) in first.iter().enumerate() {
            let share = if i % 2 == 0 { 1e-3 * 20.0 } else { 0.0 }; // weights and biases in turn
            for ((with, without), first) in after[0][i].iter().zip(&after[1][i]).zip(first) {
                let lost = without - with;
                assert!((lost - share * first).abs() < 1e-7, "tensor {i}: {lost} of {first}");
            }
        }
        advance(&mut decayed, 4);
        let snapshot = decayed.snapshot().expect("a snapshot");
        advance(&mut decayed, 8);
        let mut resumed = trainer(&device, &dataset, &settings);
        resumed.restore(&snapshot).expect("restores");
        advance(&mut resumed, 8);
        assert_eq!(resumed.digest().expect("reads"), decayed.digest().expect("reads"));
    }
}

/// A gradient is shortened where it is too long, on the CPU and on an adapter to the same numbers; a bound that none
/// reaches changes nothing, one that all exceed is counted so, and a run goes on bit for bit.
#[test]
fn gradients_are_clipped() {
    let plain = settings(100, 50);
    let clipped = |most| Settings { clip_norm: Some(most), ..plain.clone() };
    agree_for_twenty_steps(&Settings { weight_decay: 20.0, ..clipped(5.0) });
    let dataset = mnist(500, 50);
    for device in harness::devices() {
        let share = |most: f64| {
            let mut trainer = trainer(&device, &dataset, &clipped(most));
            advance(&mut trainer, 10);
            let metrics = trainer.metrics_since(0).expect("reads").expect("finite");
            (metrics.clipped.expect("it is counted"), trainer)
        };
        let (none, mut loose) = share(1e6);
        let (all, mut tight) = share(1e-3);
        // Beyond the median of ten gradients' norms lie some.
        let (norms, _) = loose.program().train.norms.expect("they are kept");
        let mut norms = loose.executor().read_f32(norms).expect("reads")[..10].to_vec();
        norms.sort_by(f32::total_cmp);
        let most = f64::from(norms[5]);
        let (some, mut half) = share(most);
        assert_eq!((none, all), (0.0, 1.0));
        assert!(some > 0.0 && some < 1.0, "{some}");
        let mut undisturbed = trainer(&device, &dataset, &plain);
        advance(&mut undisturbed, 10);
        assert_eq!(undisturbed.metrics_since(0).expect("reads").expect("finite").clipped, None);
        let [plain, loose] = [&mut undisturbed, &mut loose].map(|t| t.parameters().expect("reads"));
        let apart = plain.iter().flatten().zip(loose.iter().flatten()).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        assert!(apart < 1e-3, "{apart}"); // not fused, so rounded otherwise
        assert!(tight.digest().expect("reads") != half.digest().expect("reads"));

        let snapshot = half.snapshot().expect("a snapshot");
        advance(&mut half, 15);
        let (_, mut resumed) = share(most);
        resumed.restore(&snapshot).expect("restores");
        advance(&mut resumed, 15);
        assert_eq!(resumed.digest().expect("reads"), half.digest().expect("reads"));
    }
}

/// The average of the parameters is the weighted mean of those after each step; it is what is evaluated and read,
/// evaluation leaves all as it was, and a run goes on from a snapshot bit for bit.
#[test]
fn the_average_follows_the_parameters() {
    let decay = 0.8_f64;
    let plain = settings(100, 50);
    let settings = Settings { average: Some(decay), ..plain.clone() };
    agree_for_twenty_steps(&settings);
    let dataset = mnist(500, 50);
    for device in harness::devices() {
        let mut averaged = trainer(&device, &dataset, &settings);
        let mut undisturbed = trainer(&device, &dataset, &plain);
        let first: Vec<Vec<f32>> = averaged.parameters().expect("reads");
        assert_eq!(first, undisturbed.parameters().expect("reads"));
        let mut sums: Vec<Vec<f64>> = first.iter().map(|p| vec![0.0; p.len()]).collect();
        let mut snapshots = Vec::new();
        for step in 1..=6 {
            advance(&mut averaged, step);
            let snapshot = averaged.snapshot().expect("a snapshot");
            for (sums, saved) in sums.iter_mut().zip(&snapshot.parameters) {
                for (sum, &p) in sums.iter_mut().zip(&saved.values) {
                    *sum = decay * *sum + (1.0 - decay) * f64::from(p);
                }
            }
            let whole = 1.0 - decay.powi(step as i32);
            let averages = averaged.parameters().expect("reads");
            assert_eq!(averages, snapshot.values());
            for (average, sum) in averages.iter().flatten().zip(sums.iter().flatten()) {
                assert!((f64::from(*average) - sum / whole).abs() < 1e-6, "step {step}");
            }
            snapshots.push(snapshot);
        }
        // The steps are those of a run without an average.
        advance(&mut undisturbed, 6);
        let raw = undisturbed.snapshot().expect("a snapshot");
        let last = snapshots.last().expect("six");
        for (ours, theirs) in last.parameters.iter().zip(&raw.parameters) {
            assert_eq!((&ours.values, &ours.planes), (&theirs.values, &theirs.planes));
        }
        // What is evaluated is a model of the averages.
        let elbo = averaged.evaluate().expect("evaluates").elbo();
        assert_eq!(averaged.snapshot().expect("a snapshot"), *last);
        let mut as_values = last.clone();
        for saved in &mut as_values.parameters {
            saved.values = saved.average.take().expect("an average");
        }
        undisturbed.restore(&as_values).expect("restores");
        assert_eq!(undisturbed.evaluate().expect("evaluates").elbo(), elbo);
        // From the middle.
        let mut resumed = trainer(&device, &dataset, &settings);
        resumed.restore(&snapshots[2]).expect("restores");
        advance(&mut resumed, 6);
        assert_eq!(resumed.snapshot().expect("a snapshot"), *last);
    }
}
