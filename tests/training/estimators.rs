//! The estimates of log p(x) against a model whose every integral is known by quadrature, and what must
//! hold of them whatever the model: the order of the bounds, the limits, the independence of the draws
//! from device and chunks.

use std::ops::ControlFlow;

use elbo::data::{Dataset, Images};
use elbo::device::Device;
use elbo::evaluate::{
    Bounds, Estimate, EvaluateError, Evaluation, ImageFigures, Model, Posteriors, Request, evaluate,
};
use elbo::kernels::activation::Activation;
use elbo::plan::Program;
use elbo::train::{Settings, Trainer};
use elbo::vae::estimate::{Chunks, EstimateProgram};
use elbo::vae::network::Moments;
use elbo::vae::posterior::Reader;
use elbo::vae::step::Content;
use elbo::vae::{Architecture, Binarization, Family, Init, Likelihood, Network, Prior};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::harness;

const SEED: u64 = 11;

fn cpu() -> Device {
    Device::Cpu(harness::cpu())
}

fn tiny(latent: usize) -> Architecture {
    Architecture {
        image: (2, 4),
        channels: 1,
        hidden: vec![6].into(),
        decoder_hidden: vec![5].into(),
        latent,
        activation: Activation::Tanh,
        posterior: Default::default(),
        likelihood: Likelihood::Bernoulli,
        classes: Vec::new(),
        prior: Prior::Normal,
    }
}

fn random_images(n: usize, (height, width): (usize, usize)) -> Images {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let pixels = (0..n * height * width).map(|_| rng.next_u32() as u8).collect();
    Images { n_images: n, height, width, channels: 1, pixels, labels: None }
}

/// Parameters three times as large as at the beginning of training, so that posteriors differ from the
/// prior and from q; but log variances near zero: below ln 1/2 a weight's variance is infinite, as is any
/// importance sampler's whose tails are lighter than the prior's.
fn parameters(architecture: &Architecture) -> Vec<Vec<f32>> {
    let network = Network::declare(&mut Program::new(), architecture);
    let mut values = network.initial_values(Init::Pytorch, 5, &Moments::default());
    values.iter_mut().flatten().for_each(|v| *v *= 3.0);
    for heads in [2, 3] {
        // the second half of the outputs is l
        let half = values[heads].len() / 2;
        values[heads][half..].iter_mut().for_each(|v| *v *= 0.1);
    }
    values
}

fn run(
    device: &Device,
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    test: &Images,
    ks: &[usize],
    rows: Option<usize>,
) -> Evaluation {
    let model = Model { architecture, parameters, binarization: Binarization::Fixed, seed: SEED };
    let request = Request { images: test.n_images, ks: ks.to_vec(), rows, resident: None };
    evaluate(device, model, test, &request, &mut |_| ControlFlow::Continue(())).expect("evaluates")
}

/// y = f(x W^T + b) in double precision; the tests know nothing of the kernels.
fn layer(x: &[f64], weight: &[f32], bias: &[f32], f: fn(f64) -> f64) -> Vec<f64> {
    bias.iter()
        .zip(weight.chunks_exact(x.len()))
        .map(|(b, w)| {
            f(f64::from(*b) + w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>())
        })
        .collect()
}

/// What the estimates of one image should be, and the exact variance of each draw.
struct Truth {
    log_p: f64,
    elbo: f64,
    /// of log p(x|z), z ~ q
    reconstruction_variance: f64,
    /// of w / p(x), z ~ q
    weight_variance: f64,
    /// of p(x|z) / p(x), z ~ p
    prior_variance: f64,
}

/// Sums over a grid of z, which for smooth integrands that vanish at its ends is exact to many digits.
fn truth(architecture: &Architecture, p: &[Vec<f32>], pixels: &[u8]) -> Truth {
    let n = architecture.latent;
    let x: Vec<f64> = pixels.iter().map(|&v| if v >= 128 { 1.0 } else { 0.0 }).collect();
    let hidden = layer(&x, &p[0], &p[1], f64::tanh);
    let heads = layer(&hidden, &p[2], &p[3], |v| v);
    let (mu, l) = heads.split_at(n);
    const POINTS: usize = 321;
    const END: f64 = 10.0;
    let step = 2.0 * END / (POINTS - 1) as f64;
    let cell = step.powi(n as i32).ln();
    let log_normal = |z: f64, mu: f64, l: f64| {
        -0.5 * ((z - mu) * (z - mu) / l.exp() + l + std::f64::consts::TAU.ln())
    };
    let (mut p_x, mut p_x2, mut w2) = (0.0, 0.0, 0.0);
    let (mut reconstruction, mut reconstruction2, mut kl, mut q_sum) = (0.0, 0.0, 0.0, 0.0);
    for point in 0..POINTS.pow(n as u32) {
        let z: Vec<f64> =
            (0..n).map(|u| step * (point / POINTS.pow(u as u32) % POINTS) as f64 - END).collect();
        let logits = layer(&layer(&z, &p[4], &p[5], f64::tanh), &p[6], &p[7], |v| v);
        let log_px: f64 = x
            .iter()
            .zip(&logits)
            .map(|(x, eta)| x * eta - eta.max(0.0) - (-eta.abs()).exp().ln_1p())
            .sum();
        let log_p: f64 = z.iter().map(|&z| log_normal(z, 0.0, 0.0)).sum();
        let log_q: f64 = (0..n).map(|u| log_normal(z[u], mu[u], l[u])).sum();
        let (prior, q) = ((log_p + cell).exp(), (log_q + cell).exp());
        p_x += prior * log_px.exp();
        p_x2 += prior * (2.0 * log_px).exp();
        w2 += (2.0 * (log_px + log_p) - log_q + cell).exp();
        reconstruction += q * log_px;
        reconstruction2 += q * log_px * log_px;
        kl += q * (log_q - log_p);
        q_sum += q;
    }
    assert!((q_sum - 1.0).abs() < 1e-6, "the grid misses part of q: {q_sum}");
    Truth {
        log_p: p_x.ln(),
        elbo: reconstruction - kl,
        reconstruction_variance: reconstruction2 - reconstruction * reconstruction,
        weight_variance: w2 / (p_x * p_x) - 1.0,
        prior_variance: p_x2 / (p_x * p_x) - 1.0,
    }
}

/// Every estimate of every image within four of its own standard errors of the integral.
#[test]
fn the_estimates_meet_the_integrals() {
    const SAMPLES: usize = 20_000;
    for latent in [1, 2] {
        let architecture = tiny(latent);
        let parameters = parameters(&architecture);
        let test = random_images(12, architecture.image);
        let e = run(&cpu(), &architecture, &parameters, &test, &[1, 5, 50, SAMPLES], None);
        let mut sizes = 0;
        for (i, got) in e.images.iter().enumerate() {
            let truth = truth(&architecture, &parameters, test.image(i));
            // 1e-4 for single precision
            let error = |variance: f64| 4.0 * (variance / SAMPLES as f64).sqrt() + 1e-4;
            let within = |name: &str, got: f64, expected: f64, error: f64| {
                println!("Z = {latent}, image {i}: {name} {got:.4}, {expected:.4} ± {error:.4}");
                assert!((got - expected).abs() < error, "{name} of image {i}");
            };
            within("ELBO", got.elbo(), truth.elbo, error(truth.reconstruction_variance));
            let gap = truth.log_p - truth.elbo;
            assert!(gap > 0.005, "the test needs a model with a gap, {gap}");
            within(
                "log p by importance",
                got.importance[3],
                truth.log_p,
                error(truth.weight_variance),
            );
            within("log p by the prior", got.prior[3], truth.log_p, error(truth.prior_variance));
            // An effective size has noise of its own, large where few draws have all the weight.
            let size = SAMPLES as f64 / (1.0 + truth.weight_variance);
            if size > SAMPLES as f64 / 4.0 {
                within("effective size", got.effective_size, size, 0.15 * size);
                sizes += 1;
            }
            // E log w is the ELBO: L_1 has all draws, each alone, and is it too, with more noise.
            let noise = error(truth.weight_variance + truth.reconstruction_variance + 1.0);
            within("L_1", got.importance[0], truth.elbo, noise);
        }
        assert!(sizes >= 3, "{sizes} images have weights that can be compared");
        let mean = |figure: fn(&ImageFigures) -> f64| e.mean(figure).value;
        let bounds: [fn(&ImageFigures) -> f64; 4] =
            [|i| i.importance[0], |i| i.importance[1], |i| i.importance[2], |i| i.importance[3]];
        assert!(bounds.windows(2).all(|b| mean(b[0]) < mean(b[1])));
        assert!((0..3).all(|k| e.mean(move |i| i.prior[k + 1] - i.prior[k]).value > 0.0));
        assert!(mean(ImageFigures::gap) > 0.0);
    }
}

/// Where q is the prior, importance sampling is simple Monte Carlo, with other draws.
#[test]
fn with_the_prior_for_q_the_two_estimates_are_one() {
    let architecture = tiny(2);
    let mut parameters = parameters(&architecture);
    parameters[2].fill(0.0);
    parameters[3].fill(0.0);
    let test = random_images(12, architecture.image);
    let e = run(&cpu(), &architecture, &parameters, &test, &[1, 10, 4000], None);
    let mut differ = false;
    for (i, image) in e.images.iter().enumerate() {
        assert_eq!(image.kl, 0.0);
        let variance = truth(&architecture, &parameters, test.image(i)).prior_variance;
        let error = 4.0 * (2.0 * variance / 4000.0).sqrt() + 1e-4;
        assert!((image.importance[2] - image.prior[2]).abs() < error, "image {i}: {image:?}");
        assert!((image.importance[0] - image.elbo()).abs() < 1e-5, "{image:?}");
        differ |= image.importance[2] != image.prior[2];
    }
    assert!(differ, "the draws of the two estimates must be independent");
    let information = &e.information;
    assert!(information.mutual_information.value.abs() < 1e-9, "{information:?}");
    assert!(information.marginal_kl.value.abs() < 1e-9, "{information:?}");
    assert!(e.units.iter().all(|u| !u.active && u.kl.value == 0.0));
}

/// Where the decoder does not look at z and q is the prior, every weight is p(x).
#[test]
fn equal_weights_count_as_all_draws() {
    let architecture = tiny(2);
    let mut parameters = parameters(&architecture);
    for i in [2, 3, 4] {
        parameters[i].fill(0.0);
    }
    let test = random_images(5, architecture.image);
    let e = run(&cpu(), &architecture, &parameters, &test, &[1, 7, 300], None);
    for (i, image) in e.images.iter().enumerate() {
        let truth = truth(&architecture, &parameters, test.image(i));
        assert!((image.effective_size - 300.0).abs() < 1e-3, "{image:?}");
        assert!(image.gap().abs() < 1e-6, "{image:?}");
        for estimate in image.importance.iter().chain(&image.prior) {
            assert!((estimate - truth.log_p).abs() < 1e-5, "{estimate} and {}", truth.log_p);
        }
    }
}

fn close(a: &Evaluation, b: &Evaluation, bound: f64, label: &str) {
    assert_eq!(a.images.len(), b.images.len());
    for (i, (a, b)) in a.images.iter().zip(&b.images).enumerate() {
        let figures = |i: &ImageFigures| {
            let mut all = vec![i.reconstruction, i.kl, i.effective_size];
            all.extend(i.importance.iter().chain(&i.prior));
            all
        };
        for (a, b) in figures(a).into_iter().zip(figures(b)) {
            assert!((a - b).abs() <= bound * a.abs().max(1.0), "{label}: image {i}: {a} and {b}");
        }
    }
}

/// The draws are the same in chunks of any size, ones that do not divide anything among them, and on any
/// device; what differs is rounding.
#[test]
fn chunks_and_devices_do_not_change_the_draws() {
    let architecture = tiny(3);
    let parameters = parameters(&architecture);
    let test = random_images(23, architecture.image);
    let ks = [1, 2, 5, 10, 61];
    let whole = run(&cpu(), &architecture, &parameters, &test, &ks, None);
    for device in harness::devices() {
        let label = device.description().name.clone();
        for rows in [1, 7, 64, 200, 5000] {
            let chunked = run(&device, &architecture, &parameters, &test, &ks, Some(rows));
            close(&whole, &chunked, 2e-5, &format!("{label}, {rows} rows"));
        }
    }
    // nor does it matter how many of the images are on the device at a time
    for device in harness::devices() {
        let model = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: Binarization::Fixed,
            seed: SEED,
        };
        let figures = |resident| {
            let request = Request { images: 22, ks: ks.to_vec(), rows: Some(200), resident };
            let go_on = &mut |_| ControlFlow::Continue(());
            evaluate(&device, model, &test, &request, go_on).expect("evaluates").images
        };
        assert_eq!(figures(Some(0)), figures(None));
    }
    // and fewer images or samples are the first of more
    let first = Images { n_images: 9, pixels: test.pixels.part(0..9 * 8), ..test.clone() };
    let mut fewer = run(&cpu(), &architecture, &parameters, &test, &ks, None);
    fewer.images.truncate(9);
    close(&fewer, &run(&cpu(), &architecture, &parameters, &first, &ks, None), 2e-5, "9 images");
    let other = Model {
        architecture: &architecture,
        parameters: &parameters,
        binarization: Binarization::Fixed,
        seed: SEED + 1,
    };
    let request = Request { images: 23, ks: ks.to_vec(), rows: None, resident: None };
    let other = evaluate(&cpu(), other, &test, &request, &mut |_| ControlFlow::Continue(()));
    let other = other.expect("evaluates");
    assert!(whole.images.iter().zip(&other.images).all(|(a, b)| a.importance != b.importance));
}

/// One draw an image is what training evaluates.
#[test]
fn one_sample_gives_the_test_elbo_of_training() {
    let architecture = tiny(2);
    let dataset = Dataset {
        name: "noise".to_string(),
        train: random_images(40, architecture.image),
        test: random_images(30, architecture.image),
        valid: None,
    };
    let settings = Settings {
        binarization: Binarization::Dynamic,
        seed: SEED,
        batch: 8,
        ..serde_json::from_value(serde_json::json!({
            "data": "noise", "architecture": architecture, "binarization": "dynamic", "epochs": 1,
            "steps": null, "batch": 8, "samples": 1, "learning_rate": 0.001, "beta": 1.0, "seed": 1
        }))
        .expect("settings")
    };
    for device in harness::devices() {
        let mut trainer = Trainer::new(&device, &dataset, &settings).expect("a trainer");
        let expected = trainer.evaluate().expect("evaluates");
        let parameters = trainer.parameters().expect("parameters");
        let model = Model {
            architecture: &architecture,
            parameters: &parameters,
            binarization: settings.binarization,
            seed: settings.seed,
        };
        let request = Request { images: 30, ks: vec![1], rows: None, resident: None };
        let e =
            evaluate(&device, model, &dataset.test, &request, &mut |_| ControlFlow::Continue(()));
        let got = e.expect("evaluates").mean(ImageFigures::elbo);
        assert!((got.value - expected.elbo()).abs() < 1e-4, "{got:?} and {}", expected.elbo());
    }
}

#[test]
fn memory_does_not_grow_with_the_samples() {
    let architecture = Architecture {
        image: (28, 28),
        channels: 1,
        hidden: vec![400].into(),
        decoder_hidden: vec![400].into(),
        latent: 20,
        activation: Activation::Relu,
        posterior: Default::default(),
        likelihood: Likelihood::Bernoulli,
        classes: Vec::new(),
        prior: Prior::Normal,
    };
    let bytes = |rows: usize, samples: usize| {
        let chunks = Chunks::new(rows, 10_000, samples);
        assert!(chunks.rows() <= rows && chunks.runs >= 1);
        let plan = EstimateProgram::record(
            &architecture,
            Content::Bytes(Binarization::Dynamic),
            10_000,
            None,
            chunks,
        );
        let program = plan.expect("a plan").program;
        program.stored().map(|t| t.size_bytes()).sum::<usize>()
    };
    for rows in [1024, 16_384] {
        let (few, many) = (bytes(rows, 5000), bytes(rows, 500_000_000));
        println!("{rows} rows: {few} and {many} bytes");
        assert!(many < few + 3 * (16 << 20) && many < 400 << 20);
    }
}

#[test]
fn an_end_asked_for_and_a_nan_end_the_work() {
    let architecture = tiny(2);
    let mut parameters = parameters(&architecture);
    let test = random_images(10, architecture.image);
    let request = Request { images: 10, ks: vec![100], rows: Some(50), resident: None };
    for device in harness::devices() {
        let mut shares = Vec::new();
        let mut go = |parameters: &[Vec<f32>], until: f64| {
            let model = Model {
                architecture: &architecture,
                parameters,
                binarization: Binarization::Fixed,
                seed: SEED,
            };
            evaluate(&device, model, &test, &request, &mut |share| {
                shares.push(share);
                if share >= until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        };
        assert!(matches!(go(&parameters, 0.3), Err(EvaluateError::Interrupted)));
        assert!(go(&parameters, 2.0).is_ok());
        parameters[7][3] = f32::NAN;
        assert!(matches!(go(&parameters, 2.0), Err(EvaluateError::NotFinite { image: 0, .. })));
        parameters[7][3] = 0.0;
        assert!(shares.contains(&1.0) && shares.iter().all(|s| (0.0..=1.0).contains(s)));
    }
}

/// Against the definition, and at weights whose exponentials under- and overflow.
#[test]
fn bounds_are_means_over_groups_of_the_log_of_a_mean() {
    let draws: Vec<f64> = (0..47).map(|i| f64::from(i * 7919 % 101) * 0.3 - 5.0).collect();
    for shift in [0.0, -5000.0, 5000.0] {
        let ks = [1, 2, 3, 6, 10, 47];
        let mut bounds = Bounds::new(&ks);
        draws.iter().for_each(|d| bounds.push(d + shift));
        for (k, got) in ks.into_iter().zip(bounds.values()) {
            let log_mean = |group: &[f64]| {
                (group.iter().map(|d| d.exp()).sum::<f64>() / k as f64).ln() + shift
            };
            let groups: Vec<f64> = draws.chunks_exact(k).map(log_mean).collect();
            let expected = groups.iter().sum::<f64>() / groups.len() as f64;
            assert!((got - expected).abs() < 1e-9, "k = {k}: {got} and {expected}");
        }
        let sum = |power: f64| draws.iter().map(|d| (power * d).exp()).sum::<f64>();
        let expected = sum(1.0).powi(2) / sum(2.0);
        assert!((bounds.effective_size() / expected - 1.0).abs() < 1e-9);
    }
    assert!(Bounds::new(&[5]).values()[0].is_nan());
}

#[test]
fn an_estimate_is_a_mean_and_its_error() {
    let e = Estimate::of([1.0, 2.0, 3.0, 6.0].into_iter());
    assert_eq!(e.value, 3.0);
    let expected = (14.0_f64 / 3.0).sqrt() / 2.0;
    assert!((e.standard_error.expect("four values") - expected).abs() < 1e-12);
    assert_eq!(Estimate::of([4.0].into_iter()).standard_error, None);
}

/// Posteriors far apart tell the image exactly; a unit whose mean does not move is inactive.
#[test]
fn information_reaches_the_log_of_the_images() {
    let n = 64;
    let mut posteriors = Posteriors::of(&Reader::of_family(Family::Diagonal, 2));
    for i in 0..n {
        posteriors.extend(&[100.0 * i as f32, 0.25, -2.0, 0.5]); // mu, mu, l, l
    }
    let information = posteriors.information(SEED, |image| posteriors.kl(image));
    let (mutual, images) = (information.mutual_information, information.images);
    assert_eq!(images, n);
    assert!((mutual.value - (n as f64).ln()).abs() < 1e-6, "{mutual:?}");
    let mean_kl = (0..n).map(|i| posteriors.kl(i)).sum::<f64>() / n as f64;
    let marginal = information.marginal_kl.value;
    assert!((marginal + mutual.value - mean_kl).abs() < 1e-9 * mean_kl);
    let units = posteriors.units();
    assert!(units[0].active && !units[1].active);
    let kl = 0.5 * (0.25_f64 * 0.25 + 0.5_f64.exp() - 1.0 - 0.5);
    assert!((units[1].kl.value - kl).abs() < 1e-6);
    assert!(units[1].kl.standard_error.expect("images") < 1e-12);
    let total: f64 = (0..n).map(|i| posteriors.kl(i)).sum::<f64>() / n as f64;
    assert!((total - units[0].kl.value - units[1].kl.value).abs() < 1e-6 * total);
}

/// Half the posteriors around 1, half around -1: their mixture's entropy by quadrature.
#[test]
fn information_of_overlapping_posteriors_is_the_mixture_s_entropy() {
    let n = 4000;
    let mut posteriors = Posteriors::of(&Reader::of_family(Family::Diagonal, 1));
    let l = -0.4_f64;
    for i in 0..n {
        posteriors.extend(&[if i % 2 == 0 { 1.0 } else { -1.0 }, l as f32]);
    }
    let log_normal =
        |z: f64, mu: f64| -0.5 * ((z - mu) * (z - mu) / l.exp() + l + std::f64::consts::TAU.ln());
    let step = 0.01;
    let expected: f64 = (-1000..=1000)
        .map(|i| f64::from(i) * step)
        .map(|z| {
            let marginal = 0.5 * (log_normal(z, 1.0).exp() + log_normal(z, -1.0).exp());
            // by symmetry those around 1 will do
            log_normal(z, 1.0).exp() * (log_normal(z, 1.0) - marginal.ln()) * step
        })
        .sum();
    let got = posteriors.information(SEED, |image| posteriors.kl(image)).mutual_information;
    let error = 4.0 * got.standard_error.expect("images");
    println!("{:.4}, {expected:.4} ± {error:.4}", got.value);
    assert!((got.value - expected).abs() < error && error < 0.05);
}
