//! Images of real values: what a Gaussian likelihood makes of them.

use std::ops::ControlFlow;

use elbo::data::{Dataset, Images};
use elbo::device::Device;
use elbo::kernels::activation::Activation;
use elbo::train::{Metrics, Settings, Trainer};
use elbo::vae::{Architecture, Binarization, Likelihood, Prior, Variance};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness;

const SIDE: usize = 12;

/// A soft spot on a grey ground: where it is and how bright differs from image to image.
fn spots(n: usize, rng: &mut ChaCha8Rng) -> Images {
    let mut pixels = Vec::new();
    for _ in 0..n {
        let mut uniform = |low: f64, high: f64| low + (high - low) * rng.random_range(0.0..1.0);
        let (top, left, bright) = (uniform(3.0, 9.0), uniform(3.0, 9.0), uniform(0.2, 0.5));
        for i in 0..SIDE * SIDE {
            let (y, x) = ((i / SIDE) as f64 - top, (i % SIDE) as f64 - left);
            let spot = bright * (-(y * y + x * x) / 8.0).exp();
            let value = 0.4 + spot + uniform(-0.02, 0.02);
            pixels.push((255.0 * value).round() as u8);
        }
    }
    Images::new(SIDE, SIDE, pixels).expect("images")
}

fn dataset() -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (train, test) = (spots(512, &mut rng), spots(256, &mut rng));
    Dataset::new("spots", train, test).expect("a data set")
}

/// The log density of the test images, (nats), about the mean of the training images with the variance that suits
/// them best.
fn mean_image(dataset: &Dataset) -> f64 {
    let d = SIDE * SIDE;
    let means = dataset.train.means(false);
    let squares = |(i, &v): (usize, &u8)| (f64::from(v) / 255.0 - means[i % d]).powi(2);
    let pixels = &dataset.test.pixels[..];
    let variance = pixels.iter().enumerate().map(squares).sum::<f64>() / pixels.len() as f64;
    -0.5 * d as f64 * (1.0 + (2.0 * std::f64::consts::PI * variance).ln())
}

/// Of the test images after twenty epochs. `start` is what ln s begins with, if not at what the trainer gives it.
fn trained(dataset: &Dataset, settings: &Settings, start: Option<f32>) -> Metrics {
    let mut trainer =
        Trainer::new(&Device::Cpu(harness::cpu()), dataset, settings).expect("a trainer");
    if let Some(start) = start {
        let kept = trainer.program().network.parameters().pop().expect("the variance is the last");
        trainer.executor().write_f32(kept, &[start]).expect("writes");
    }
    let end = trainer.steps_until(20);
    trainer.advance(end, |_| ControlFlow::Continue(())).expect("steps");
    trainer.evaluate().expect("evaluates")
}

fn settings(variance: Variance) -> Settings {
    let architecture = Architecture {
        image: (SIDE, SIDE),
        channels: 1,
        hidden: vec![64].into(),
        decoder_hidden: vec![64].into(),
        latent: 5,
        activation: Activation::Relu,
        posterior: Default::default(),
        likelihood: Likelihood::Gaussian { variance },
        classes: Vec::new(),
        prior: Prior::Normal,
    };
    let (batch, binarization) = (32, Binarization::None);
    Settings {
        architecture,
        batch,
        binarization,
        learning_rate: 3e-3,
        seed: 5,
        ..Settings::default()
    }
}

/// The posterior does not collapse: the images are told apart, and modelled far better than by their mean. With a
/// variance that begins at 1 and is learned they are not.
#[test]
fn real_images_train() {
    let dataset = dataset();
    let baseline = mean_image(&dataset);
    let old = trained(&dataset, &settings(Variance::Learned), Some(0.0));
    println!("mean image {baseline:.1}; learned from 1: ELBO {:.1}, KL {:.2}", old.elbo(), old.kl);
    assert!(old.elbo() < baseline && old.kl < 1.0);
    for (variance, gain) in
        [(Variance::Optimal, 80.0), (Variance::Pixel, 80.0), (Variance::Learned, 25.0)]
    {
        let metrics = trained(&dataset, &settings(variance), None);
        println!("{variance}: ELBO {:.1}, KL {:.2}", metrics.elbo(), metrics.kl);
        assert!(metrics.kl > 4.0, "{variance}: {metrics:?}");
        assert!(metrics.elbo() > baseline + gain, "{variance}: {metrics:?}");
    }
}
