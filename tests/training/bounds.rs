//! Bounds on log p(x) from both sides, where p(x) is known: by a closed form, or by adding up all there is.

use std::ops::ControlFlow;

use elbo::bounds::{Bounds, EvaluateError, Simulated, UpperBounds, sandwich, simulate};
use elbo::device::Device;
use elbo::evaluate::Model;
use elbo::kernels::activation::Activation;
use elbo::nn::Layers;
use elbo::plan::Program;
use elbo::vae::network::Moments;
use elbo::vae::{Architecture, Binarization, Init, Likelihood, Network, Variance};

use crate::harness;

const LN_2PI: f64 = 1.837_877_066_409_345_3;

fn cpu() -> Device {
    Device::Cpu(harness::cpu())
}

fn on(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// z ~ N(0, 1), x ~ N(z, 1/4), q(z|x) = N(x/2, 1/2) where the posterior is N(0.8 x, 0.2): the bounds by another program
/// (NumPy, 10 000 x) are -2.097 < -1.532 < -1.254 of one draw, -1.584 < -1.527 < -1.477 of five and -1.544 < -1.540 <
/// -1.534 of fifty, log p(x) standing between them.
#[test]
fn a_gaussian_of_one_dimension_has_the_bounds_of_another_program() {
    let architecture = Architecture {
        image: (1, 1),
        channels: 1,
        hidden: Layers::default(),
        decoder_hidden: Layers::default(),
        latent: 1,
        activation: Activation::Identity,
        likelihood: Likelihood::Gaussian { variance: Variance::Given(0.25) },
    };
    let half = f32::ln(0.5);
    let parameters = [vec![0.5, 0.0], vec![0.0, half], vec![1.0], vec![0.0], vec![f32::ln(0.25)]];
    for device in harness::devices() {
        let model = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::None,
            seed: 3,
        };
        let simulated = simulate(&device, model, 20_000).expect("the device runs");
        let log_p = |x: f32| -0.5 * (LN_2PI + f64::ln(1.25) + f64::from(x).powi(2) / 1.25);
        let ks = [1, 5, 50];
        let found = sandwich(&device, model, &simulated, &ks, None, &mut on).expect("it runs");
        let expected = [(0.565, 0.278), (0.057, 0.050), (0.004, 0.006)];
        for (k, (below, above)) in expected.into_iter().enumerate() {
            let images = || found.images.iter().zip(&simulated.x);
            let (lower, error) = mean(images().map(|(image, &x)| log_p(x) - image.lower[k]));
            // their figures have an error of twice ours, and three digits
            assert!((lower - below).abs() < 6.0 * error + 2e-3, "K = {}: {lower} {error}", ks[k]);
            let (upper, error) = mean(images().map(|(image, &x)| image.upper[k] - log_p(x)));
            assert!((upper - above).abs() < 6.0 * error + 2e-3, "K = {}: {upper} {error}", ks[k]);
        }
    }
}

fn tiny() -> (Architecture, Vec<Vec<f32>>) {
    let architecture = Architecture {
        image: (2, 3),
        channels: 1,
        hidden: vec![6].into(),
        decoder_hidden: vec![5].into(),
        latent: 1,
        activation: Activation::Tanh,
        likelihood: Likelihood::Bernoulli,
    };
    let network = Network::declare(&mut Program::new(), &architecture);
    let mut values = network.initial_values(Init::Pytorch, 5, &Moments::default());
    values.iter_mut().flatten().for_each(|v| *v *= 3.0);
    (architecture, values)
}

/// log p(x) of each of the 64 images of [`tiny`], by the midpoint rule over z.
fn all_log_p(parameters: &[Vec<f32>]) -> Vec<f64> {
    let [.., w1, b1, w2, b2] = parameters else { panic!("a decoder of two layers") };
    let f = |v: &f32| f64::from(*v);
    let mut p = vec![0.0; 64];
    let step = 16.0 / 4000.0;
    for i in 0..4000 {
        let z = (i as f64 + 0.5) * step - 8.0;
        let hidden: Vec<f64> = w1.iter().zip(b1).map(|(w, b)| (f(w) * z + f(b)).tanh()).collect();
        let ones = w2.chunks(5).zip(b2).map(|(row, b)| {
            let eta: f64 = row.iter().zip(&hidden).map(|(w, h)| f(w) * h).sum::<f64>() + f(b);
            1.0 / (1.0 + (-eta).exp())
        });
        let ones: Vec<f64> = ones.collect();
        let prior = step * (-0.5 * (z * z + LN_2PI)).exp();
        for (x, p) in p.iter_mut().enumerate() {
            let each = ones.iter().enumerate();
            *p += prior
                * each.map(|(d, q)| if x >> d & 1 == 1 { *q } else { 1.0 - q }).product::<f64>();
        }
    }
    p.into_iter().map(f64::ln).collect()
}

#[test]
fn simulated_bits_have_the_models_density_and_the_bounds_hold() {
    let (architecture, parameters) = tiny();
    let log_p = all_log_p(&parameters);
    assert!((log_p.iter().map(|v| v.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
    for device in harness::devices() {
        let model = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::Fixed,
            seed: 8,
        };
        let simulated = simulate(&device, model, 4000).expect("the device runs");
        let number =
            |x: &[f32]| x.iter().enumerate().map(|(d, &v)| (v as usize) << d).sum::<usize>();
        let xs: Vec<usize> = simulated.x.chunks(6).map(number).collect();
        // chi^2 of 63 degrees of freedom: mean 63, standard deviation 11.2
        let chi2: f64 = (0..64)
            .map(|x| {
                let expected = 4000.0 * log_p[x].exp();
                (xs.iter().filter(|&&v| v == x).count() as f64 - expected).powi(2) / expected
            })
            .sum();
        assert!((20.0..120.0).contains(&chi2), "{chi2}");
        let found = sandwich(&device, model, &simulated, &[1, 10], Some(700), &mut on);
        let images = found.expect("it runs").images;
        let (ratio, error) =
            mean(images.iter().zip(&xs).map(|(image, &x)| (log_p[x] - image.upper[1]).exp()));
        assert!((ratio - 1.0).abs() < 4.5 * error, "{ratio} {error}");
        let (ratio, error) =
            mean(images.iter().zip(&xs).map(|(image, &x)| (image.lower[1] - log_p[x]).exp()));
        assert!((ratio - 1.0).abs() < 4.5 * error, "{ratio} {error}");
        for (k, beyond) in [(0, 0.05), (1, 0.005)] {
            let (below, e) = mean(images.iter().zip(&xs).map(|(i, &x)| log_p[x] - i.lower[k]));
            let (above, f) = mean(images.iter().zip(&xs).map(|(i, &x)| i.upper[k] - log_p[x]));
            assert!(below > beyond - 4.5 * e && above > beyond - 4.5 * f, "{below} {above}");
        }
    }
}

/// The first images are the same however many are drawn, and of the same seed on every device; no figure depends on
/// how the work is cut.
#[test]
fn images_and_bounds_do_not_depend_on_the_batch() {
    let (architecture, parameters) = tiny();
    let model = Model {
        architecture: &architecture,
        parameters: &parameters,
        binarization: Binarization::Fixed,
        seed: 8,
    };
    let (few, many) = (simulate(&cpu(), model, 10), simulate(&cpu(), model, 1500));
    let (few, many) = (few.expect("it runs"), many.expect("it runs"));
    assert_eq!((&few.x[..], &few.z[..]), (&many.x[..60], &many.z[..10]));
    let other = simulate(&cpu(), Model { seed: 9, ..model }, 10).expect("it runs");
    assert_ne!(few.z, other.z);
    let at =
        |rows| sandwich(&cpu(), model, &few, &[1, 7, 40], Some(rows), &mut on).expect("it runs");
    let (a, b) = (at(40), at(1024));
    for (a, b) in a.images.iter().zip(&b.images) {
        for (a, b) in a.lower.iter().chain(&a.upper).zip(b.lower.iter().chain(&b.upper)) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
    let broken = Simulated { log_px: vec![f32::NAN; 10], ..few };
    let refused = sandwich(&cpu(), model, &broken, &[2], None, &mut on);
    assert!(matches!(refused, Err(EvaluateError::NotFinite { image: 0, .. })));
}

/// Against the definition.
#[test]
fn upper_bounds_are_means_over_groups_that_share_the_true_code() {
    let draws = [0.3, -2.0, 1.0, 0.7, -0.4, 5.0, 2.0];
    let mut upper = UpperBounds::new(&[1, 3, 7, 9], 0.9);
    let mut lower = Bounds::new(&[1, 3, 7]);
    draws.iter().for_each(|&v| upper.push(v));
    draws.iter().for_each(|&v| lower.push(v));
    let of = |v: &[f64]| (v.iter().map(|v| v.exp()).sum::<f64>() / v.len() as f64).ln();
    let three = [of(&[0.9, 0.3, -2.0]), of(&[0.9, 1.0, 0.7]), of(&[0.9, -0.4, 5.0])];
    let seven = of(&[0.9, 0.3, -2.0, 1.0, 0.7, -0.4, 5.0]);
    let values = upper.values();
    let expected = [0.9, three.iter().sum::<f64>() / 3.0, seven];
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    }
    assert!(values[3].is_nan()); // eight draws besides would be needed
    assert_eq!(lower.values().len(), 3);
}
