//! Runs of many steps: the devices agree, a seed is a seed, a snapshot goes on bit for bit, a NaN is found.

mod harness;

use std::ops::ControlFlow;

use elbo::data::{self, Dataset, Images};
use elbo::device::{Device, Executor};
use elbo::kernels::linear::Activation;
use elbo::train::{self, EpochReport, Observer, Settings, TrainError, Trainer};
use elbo::vae::{Architecture, Binarization};

fn cpu() -> Device {
    Device::Cpu(harness::cpu())
}

fn gpu() -> Device {
    Device::Gpu(Box::new(harness::gpu()))
}

/// The first images of MNIST.
fn mnist(train: usize, test: usize) -> Dataset {
    let whole = data::mnist().expect("the embedded set");
    let first = |images: &Images, n: usize| Images {
        n_images: n,
        pixels: images.pixels[..n * images.n_pixels()].to_vec(),
        labels: None,
        ..images.clone()
    };
    Dataset {
        name: "MNIST".to_string(),
        train: first(&whole.train, train),
        test: first(&whole.test, test),
    }
}

fn settings(hidden: usize, batch: usize) -> Settings {
    Settings {
        data: "mnist".to_string(),
        architecture: Architecture {
            image: (28, 28),
            hidden: vec![hidden],
            decoder_hidden: vec![hidden],
            latent: 10,
            activation: Activation::Relu,
        },
        binarization: Binarization::Dynamic,
        epochs: 3,
        steps: None,
        batch,
        samples: 1,
        learning_rate: 1e-3,
        beta: 1.0,
        seed: 5,
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
    let dataset = mnist(1000, 100);
    let mut settings = settings(100, 50);
    settings.samples = 2;
    let plan = train::record(&dataset, &settings).expect("a plan");
    let terms: usize = plan.network.layers().map(|l| l.inputs + l.outputs).sum();
    let bound = 4.0 * 20.0 * (terms as f64).sqrt() / f64::from(1 << 24);
    let names: Vec<String> =
        plan.network.parameters().iter().map(|&p| plan.program.get(p).name.clone()).collect();
    let first = plan.network.initial_values(settings.seed);
    let oracle: Box<dyn Executor> = Box::new(harness::cpu().load::<f64>(plan.program.clone()));
    let mut oracle = Trainer::on(oracle, plan, &dataset, &settings).expect("begin");
    advance(&mut oracle, 20);
    let expected = oracle.parameters().expect("parameters");
    let expected_metrics = oracle.metrics_since(0).expect("metrics").expect("finite");
    for device in [cpu(), gpu()] {
        let label = device.description().name.clone();
        let mut trainer = trainer(&device, &dataset, &settings);
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
    for device in [cpu(), gpu()] {
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
    for device in [cpu(), gpu()] {
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

#[test]
fn an_end_asked_for_comes_at_the_end_of_a_step() {
    let dataset = mnist(500, 50);
    let settings = settings(40, 32);
    for device in [cpu(), gpu()] {
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

/// Real images, a real run at small size: the GPU learns what the CPU learns.
#[test]
fn the_gpu_learns_mnist_as_the_cpu_does() {
    let dataset = mnist(4000, 500);
    let settings = settings(64, 50);
    let mut last = Vec::new();
    for device in [cpu(), gpu()] {
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
    assert!((last[0] - last[1]).abs() < 0.5, "CPU {}, GPU {}", last[0], last[1]);
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
    for device in [cpu(), gpu()] {
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
                assert_eq!((d.step, d.tensor.as_str()), (1, "train/decoder.logits"), "{d}");
                assert!(d.value.is_nan());
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
    for device in [cpu(), gpu()] {
        let elbos = [50, 32, 7, 1].map(|batch| {
            let metrics =
                trainer(&device, &dataset, &settings(8, batch)).evaluate().expect("evaluates");
            assert_eq!(metrics.images, 50);
            metrics.elbo()
        });
        assert!(elbos.iter().all(|e| (e - elbos[0]).abs() < 1e-3), "{elbos:?}");
    }
}
