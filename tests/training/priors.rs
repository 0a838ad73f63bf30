//! Priors other than N(0, I), where what they are is known.

use std::ops::ControlFlow;

use elbo::bounds::{Annealing, Simulated, anneal, sandwich, simulate, tune};
use elbo::device::Device;
use elbo::evaluate::{Evaluation, Model, Request, evaluate};
use elbo::kernels::activation::Activation;
use elbo::nn::Layers;
use elbo::vae::anneal::Path;
use elbo::vae::prior::PseudoValues;
use elbo::vae::{Architecture, Binarization, Family, Likelihood, Prior, Variance};
use elbo::{Dataset, Images, Settings};

use crate::harness;

const LN_2PI: f64 = 1.837_877_066_409_345_3;
/// The prior's mean and log variance where there is one component.
const MEAN: [f32; 2] = [1.5, -0.7];
const LOG_VARIANCE: [f32; 2] = [-1.2, 0.6];

fn on(_: f64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// x of two values and z of two units, both linear; the prior of `n` pseudo-inputs of real values.
fn linear(n: usize) -> Architecture {
    Architecture {
        image: (1, 2),
        channels: 1,
        hidden: Layers::default(),
        decoder_hidden: Layers::default(),
        latent: 2,
        posterior: Family::Diagonal,
        classes: Vec::new(),
        prior: Prior::Vamp { pseudo_inputs: n, values: PseudoValues::Reals },
        activation: Activation::Identity,
        likelihood: Likelihood::Gaussian { variance: Variance::Given(0.25) },
    }
}

fn model<'a>(architecture: &'a Architecture, parameters: &'a [Vec<f32>]) -> Model<'a> {
    Model { architecture, parameters, binarization: Binarization::None, seed: 3 }
}

/// The decoder's weights, biases and log variance.
fn decoder() -> [Vec<f32>; 3] {
    [vec![1.0, -0.5, 0.4, 0.8], vec![0.3, -0.2], vec![f32::ln(0.25)]]
}

/// An encoder whose mean is x_0 w + the prior's, and whose log variance is a given one: at the pseudo-input 0 it gives the
/// prior that is to be.
fn one_component(w: f32) -> Vec<Vec<f32>> {
    let weight = vec![w, 0.0, 0.0, w, 0.0, 0.0, 0.0, 0.0];
    let bias = [MEAN, LOG_VARIANCE].concat();
    let [decoder, decoder_bias, log_variance] = decoder();
    vec![weight, bias, decoder, decoder_bias, vec![0.0, 0.0], log_variance]
}

/// ln p(x) of z ~ N(m, diag e^l), x = W z + b + N(0, 1/4): x is normal.
fn log_density(x: &[f32]) -> f64 {
    let [w, b, _] = decoder().map(|v| v.into_iter().map(f64::from).collect::<Vec<_>>());
    let (m, s) = (MEAN.map(f64::from), LOG_VARIANCE.map(|l| f64::from(l).exp()));
    let row = |i: usize| [w[2 * i], w[2 * i + 1]];
    let mean = |i: usize| b[i] + row(i)[0] * m[0] + row(i)[1] * m[1];
    let covariance = |i: usize, j: usize| {
        let shared: f64 = (0..2).map(|u| row(i)[u] * s[u] * row(j)[u]).sum();
        shared + if i == j { 0.25 } else { 0.0 }
    };
    let d = [0, 1].map(|i| f64::from(x[i]) - mean(i));
    let (a, c, off) = (covariance(0, 0), covariance(1, 1), covariance(0, 1));
    let determinant = a * c - off * off;
    let quadratic = (c * d[0] * d[0] - 2.0 * off * d[0] * d[1] + a * d[1] * d[1]) / determinant;
    -LN_2PI - 0.5 * (determinant.ln() + quadratic)
}

/// Rows that such a model draws, and what they are.
fn simulated(device: &Device, parameters: &[Vec<f32>], n: usize) -> Simulated {
    simulate(device, model(&linear(1), parameters), n).expect("the device runs")
}

fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (variance / n).sqrt())
}

/// The draws have the mean and the variance of the one component.
#[test]
fn draws_are_those_of_the_component() {
    for device in harness::devices() {
        let found = simulated(&device, &one_component(0.5), 20_000);
        for unit in 0..2 {
            let of = || found.z.iter().skip(unit).step_by(2).map(|&z| f64::from(z));
            let (m, error) = mean(of());
            assert!((m - f64::from(MEAN[unit])).abs() < 5.0 * error, "{m} {error}");
            let (variance, error) = mean(of().map(|z| (z - m).powi(2)));
            let expected = f64::from(LOG_VARIANCE[unit]).exp();
            assert!((variance - expected).abs() < 5.0 * error, "{variance} {expected} {error}");
        }
    }
}

/// q(z|x) that is the prior whatever x is has the weight p(x|z), and no KL: of each draw, not on average.
#[test]
fn a_posterior_that_is_the_prior_has_no_divergence() {
    for device in harness::devices() {
        let parameters = one_component(0.0);
        let found = simulated(&device, &parameters, 50);
        let ks = [1, 10];
        let sandwiched =
            sandwich(&device, model(&linear(1), &parameters), &found, &ks, None, &mut on);
        let sandwiched = sandwiched.expect("it runs");
        // U_1 is log w of the code that made the row: log p(x|z).
        for (row, image) in sandwiched.images.iter().enumerate() {
            let [w, b, _] = decoder();
            let z = &found.z[2 * row..][..2];
            let log_px: f64 = (0..2)
                .map(|i| {
                    let mean = w[2 * i] * z[0] + w[2 * i + 1] * z[1] + b[i];
                    let d = f64::from(found.x[2 * row + i] - mean);
                    -0.5 * (LN_2PI + f64::ln(0.25) + d * d / 0.25)
                })
                .sum();
            assert!((image.upper[0] - log_px).abs() < 1e-4, "{} {log_px}", image.upper[0]);
        }
    }
}

/// L_K and U_K stand about ln p(x), which is known, and so do annealed chains, whose gradient has that of the prior.
#[test]
fn bounds_stand_about_the_density() {
    let parameters = one_component(0.1);
    let architecture = linear(1);
    for device in harness::devices() {
        let model = model(&architecture, &parameters);
        let found = simulated(&device, &parameters, 200);
        let truth: Vec<f64> = found.x.chunks(2).map(log_density).collect();
        let ks = [1, 200];
        let bounds = sandwich(&device, model, &found, &ks, None, &mut on).expect("it runs");
        for (k, &draws) in ks.iter().enumerate() {
            let images = || bounds.images.iter().zip(&truth);
            let (lower, error) = mean(images().map(|(image, truth)| image.lower[k] - truth));
            assert!(lower < 4.0 * error, "K = {draws}: {lower} {error}");
            let (upper, error) = mean(images().map(|(image, truth)| image.upper[k] - truth));
            assert!(upper > -4.0 * error, "K = {draws}: {upper} {error}");
            assert!(k == 0 || upper - lower < 0.1, "K = {draws}: {lower} {upper}");
        }

        let settings =
            Annealing { path: Path::Posterior, temperatures: 100, chains: 8, leapfrogs: 4 };
        let observed = found.observed();
        let tempering = tune(&device, model, observed, settings, &mut on).expect("it runs");
        let annealed = anneal(&device, model, observed, &tempering, &mut on).expect("it runs");
        let images = || annealed.images.iter().zip(&truth);
        let (lower, error) = mean(images().map(|(weights, truth)| weights.lower() - truth));
        assert!(lower < 4.0 * error && lower > -0.1, "from below: {lower} {error}");
        let (upper, error) = mean(images().map(|(weights, truth)| weights.upper() - truth));
        assert!(upper > -4.0 * error && upper < 0.1, "from above: {upper} {error}");
    }
}

/// The figures of an evaluation are those of the prior: the KL is that to the component, and both estimates of log p(x) come
/// to it.
#[test]
fn an_evaluation_knows_the_prior() {
    let architecture = linear(1);
    let parameters = one_component(0.5);
    let device = Device::Cpu(harness::cpu());
    let found = simulated(&device, &parameters, 200);
    let values: Vec<f64> = found.x.iter().map(|&x| f64::from(x)).collect();
    let names: Vec<String> = ["a", "b"].map(String::from).to_vec();
    let table = std::sync::Arc::new(elbo::Table::unscaled(&names));
    let rows = Images::of_table(table, &values).expect("rows");
    let request = Request { images: 200, ks: vec![4000], rows: None, resident: None };
    let evaluation: Evaluation =
        evaluate(&device, model(&architecture, &parameters), &rows, &request, &mut on)
            .expect("it runs");
    for (image, x) in evaluation.images.iter().zip(found.x.chunks(2)) {
        // q has the variance of the prior, so of its KL there is only the distance of the means.
        let kl: f64 = (0..2)
            .map(|u| {
                let d = 0.5 * f64::from(x[u]);
                0.5 * d * d / f64::from(LOG_VARIANCE[u]).exp()
            })
            .sum();
        assert!((image.kl - kl).abs() < 0.1 * (1.0 + kl), "{} {kl}", image.kl);
        let truth = log_density(x);
        assert!((image.prior[0] - truth).abs() < 0.5, "{} {truth}", image.prior[0]);
    }
    let (off, error) = mean(
        evaluation.images.iter().zip(found.x.chunks(2)).map(|(i, x)| i.prior[0] - log_density(x)),
    );
    assert!(off.abs() < 0.02 + 4.0 * error, "{off} {error}");
}

/// Pseudo-inputs begin at training images, each once.
#[test]
fn pseudo_inputs_begin_at_images() {
    let pixels: Vec<u8> = (0..12 * 4).map(|i| if i % 4 == i / 4 % 4 { 255 } else { 0 }).collect();
    let images = Images::new(2, 2, pixels).expect("images");
    let dataset = Dataset::new("corners", images.clone(), images).expect("a set");
    let mut settings = Settings::of(&dataset);
    settings.architecture.prior =
        Prior::Vamp { pseudo_inputs: 12, values: Prior::values_of(false) };
    let error = settings.check_with(&dataset).expect_err("an analytic KL");
    assert!(error.to_string().contains("has no KL in closed form"), "{error}");
    settings.objective.kl = elbo::Kl::Sampled;
    settings.check_with(&dataset).expect("settings");
    let mut trainer =
        elbo::Trainer::new(&Device::Cpu(harness::cpu()), &dataset, &settings).expect("a trainer");
    let parameters = trainer.parameters().expect("reads");
    let own = parameters.last().expect("pseudo-inputs");
    assert_eq!(own.len(), 12 * 4);
    let mut corners = [0; 4];
    for u in own.chunks(4) {
        let sigmoid = |v: &f32| 1.0 / (1.0 + (-v).exp());
        let white: Vec<usize> = (0..4).filter(|&i| sigmoid(&u[i]) > 0.9).collect();
        assert_eq!(white.len(), 1, "{u:?}");
        corners[white[0]] += 1;
    }
    assert_eq!(corners, [3; 4]);
    let table = Prior::Vamp { pseudo_inputs: 12, values: PseudoValues::Reals };
    settings.architecture.prior = table;
    let error = settings.check_with(&dataset).expect_err("values of a table");
    assert!(error.to_string().contains("these data are images"), "{error}");
}
