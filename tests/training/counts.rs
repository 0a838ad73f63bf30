//! Tables of counts from a known model: what likelihoods of counts make of them.

use std::ops::ControlFlow;

use elbo::data::{Dataset, Images, Table};
use elbo::device::Device;
use elbo::kernels::activation::Activation;
use elbo::train::{Settings, Trainer};
use elbo::vae::likelihood::SizeFactor;
use elbo::vae::{Architecture, Binarization, Init, Likelihood, Prior};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness;

/// Inverse dispersions of the columns.
const THETA: [f64; 6] = [0.8, 1.5, 3.0, 6.0, 12.0, 2.0];

/// What the logarithms of the means rise by with z.
const SLOPES: [f64; 6] = [0.7, -0.6, 0.5, 0.8, -0.4, 0.6];

/// A draw from the negative binomial distribution of this mean: the first count up to which it has a share of `u`.
fn draw(mean: f64, theta: f64, u: f64) -> f64 {
    let mut p = (theta / (theta + mean)).powf(theta);
    let (mut below, mut x) = (p, 0.0);
    while below < u && x < 2000.0 {
        x += 1.0;
        p *= (x - 1.0 + theta) / x * mean / (theta + mean);
        below += p;
    }
    x
}

/// Rows of one latent unit, which are `size` as large as others.
fn rows(n: usize, size: impl Fn(usize) -> f64, rng: &mut ChaCha8Rng) -> Images {
    let mut cells = Vec::new();
    for row in 0..n {
        // Twelve uniform numbers less six are all but normal.
        let z = (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        for (theta, slope) in THETA.into_iter().zip(SLOPES) {
            let mean = size(row) * 8.0 * (slope * z).exp();
            cells.push(draw(mean, theta, rng.random_range(0.0..1.0)));
        }
    }
    let names: Vec<String> = (1..=THETA.len()).map(|column| column.to_string()).collect();
    Images::of_table(Table::unscaled(&names).into(), &cells).expect("counts")
}

/// The test ELBO, and the likelihood's last parameter.
fn trained(dataset: &Dataset, likelihood: Likelihood, init: Init) -> (f64, Vec<f32>) {
    let settings = Settings {
        architecture: Architecture {
            image: (1, THETA.len()),
            channels: 1,
            hidden: vec![32].into(),
            decoder_hidden: vec![32].into(),
            latent: 1,
            classes: Vec::new(),
            prior: Prior::Normal,
            activation: Activation::Tanh,
            posterior: Default::default(),
            likelihood,
        },
        binarization: Binarization::None,
        learning_rate: 1e-2,
        batch: 100,
        init,
        seed: 3,
        ..Settings::default()
    };
    let mut trainer =
        Trainer::new(&Device::Cpu(harness::cpu()), dataset, &settings).expect("a trainer");
    let end = trainer.steps_until(80);
    trainer.advance(end, |_| ControlFlow::Continue(())).expect("steps");
    let elbo = trainer.evaluate().expect("evaluates").elbo();
    (elbo, trainer.parameters().expect("reads").pop().expect("parameters"))
}

fn dataset(size: impl Fn(usize) -> f64) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let (train, test) = (rows(2000, &size, &mut rng), rows(500, &size, &mut rng));
    Dataset::new("counts", train, test).expect("a data set")
}

/// However the parameters of the network begin. The scatter of a column's 2000 counts tells ln theta to about 0.05.
#[test]
fn a_negative_binomial_finds_its_dispersions() {
    let dataset = dataset(|_| 1.0);
    let size_factor = SizeFactor::None;
    let (poisson, _) = trained(&dataset, Likelihood::Poisson { size_factor }, Init::Glorot);
    for init in [Init::Glorot, Init::Pytorch] {
        let (elbo, found) = trained(&dataset, Likelihood::NegativeBinomial { size_factor }, init);
        println!("{init:?}: ELBO {elbo:.2}, Poisson's {poisson:.2}, ln theta {found:.2?}");
        for (theta, found) in THETA.into_iter().zip(found) {
            let difference = f64::from(found) - theta.ln();
            assert!(difference.abs() < 0.25, "theta = {theta}: {:.3}", f64::from(found).exp());
        }
        assert!(elbo > poisson + 5.0, "{elbo} beside {poisson}");
    }
}

/// Rows of three sizes: that of a row is known from its total, and z has not to tell of it.
#[test]
fn size_factors_tell_how_large_a_row_is() {
    let dataset = dataset(|row| [0.3, 1.0, 3.0][row % 3]);
    let of = |size_factor| {
        trained(&dataset, Likelihood::NegativeBinomial { size_factor }, Init::Glorot).0
    };
    let (total, none) = (of(SizeFactor::Total), of(SizeFactor::None));
    println!("ELBO {total:.2}, without size factors {none:.2}");
    assert!(total > none + 0.5, "{total} beside {none}");
}
