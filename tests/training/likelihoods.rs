//! Likelihoods against their closed forms: what they say of all values sums to one, the mean is the mean of that,
//! and each is the formula of its paper.

use elbo::ImageShape;
use elbo::device::Executor;
use elbo::plan::{Program, Recorder};
use elbo::vae::Likelihood;
use elbo::vae::likelihood::{Observed, SizeFactor};

use crate::harness;

/// log p(x|z) and E[x|z] of images of one pixel, in double precision: a row each of `x` and of the decoder's
/// output `eta`, (rows, outputs).
fn of(likelihood: Likelihood, x: &[f64], eta: &[f64]) -> (Vec<f64>, Vec<f64>) {
    with(likelihood, &[], 1, x, eta)
}

/// The same with parameters of the likelihood's own, of rows of several `values`; the mean is that of the rows as they are.
fn with(
    likelihood: Likelihood,
    parameters: &[&[f64]],
    values: usize,
    x: &[f64],
    eta: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let module = likelihood.module();
    let mut program = Program::new();
    let mut r = Recorder::new(&mut program, "likelihood");
    let (rows, outputs) = (x.len() / values, module.outputs(values));
    let observed = r.tensor("x", &[rows, values]);
    let output = r.tensor("eta", &[rows, outputs]);
    let own: Vec<_> = parameters.iter().map(|v| r.tensor("own", &[v.len()])).collect();
    let of = Observed { x: observed, eta: output, parameters: &own, samples: 1, masked: false };
    let log_px = module.log_px(&mut r, of).expect("records");
    let mean = module.reconstruction(&mut r, of).expect("records");
    let plan = r.finish();
    let mut executor = harness::cpu().load::<f64>(program).expect("memory");
    let given = own.iter().copied().zip(parameters.iter().copied());
    for (tensor, values) in given.chain([(observed, x), (output, eta)]) {
        executor.floats_mut(tensor).copy_from_slice(values);
    }
    let run: &mut dyn Executor = &mut executor;
    run.run_all(plan, 1).expect("the CPU runs");
    (executor.floats_mut(log_px).to_vec(), executor.floats_mut(mean).to_vec())
}

fn assert_near(got: f64, expected: f64, relative: f64, what: &str) {
    let error = (got - expected).abs();
    assert!(error <= relative * (1.0 + expected.abs()), "{what}: {got}, expected {expected}");
}

/// Loaiza-Ganem and Cunningham 2019, equations 6 to 8, and the integrals by Simpson's rule.
#[test]
fn a_continuous_bernoulli_is_a_density_on_the_unit_interval() {
    const STEPS: usize = 20_000;
    for eta in [0.0, 1e-9, -1e-3, 0.4, -0.6, 0.99, 1.01, -3.0, 12.0, -40.0, 200.0] {
        let x: Vec<f64> = (0..=STEPS).map(|i| i as f64 / STEPS as f64).collect();
        let (log_px, mean) = of(Likelihood::ContinuousBernoulli, &x, &vec![eta; x.len()]);
        let simpson = |f: &dyn Fn(usize) -> f64| {
            let weight = |i: usize| match i {
                0 | STEPS => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            (0..=STEPS).map(|i| weight(i) * f(i)).sum::<f64>() / (3 * STEPS) as f64
        };
        assert_near(simpson(&|i| log_px[i].exp()), 1.0, 1e-9, &format!("{eta}: integral"));
        let expected = simpson(&|i| x[i] * log_px[i].exp());
        assert_near(mean[0], expected, 1e-9, &format!("{eta}: mean"));
        let lambda = 1.0 / (1.0 + f64::exp(-eta));
        if (1e-2..20.0).contains(&eta.abs()) {
            let m = 1.0 - 2.0 * lambda;
            let constant = 2.0 * m.atanh() / m;
            for i in [0, STEPS / 3, STEPS] {
                let paper = constant.ln() + x[i] * lambda.ln() + (1.0 - x[i]) * (-lambda).ln_1p();
                assert_near(log_px[i], paper, 1e-7, &format!("{eta}: log density at {}", x[i]));
            }
            let paper = lambda / (2.0 * lambda - 1.0) + 1.0 / (2.0 * m.atanh());
            assert_near(mean[0], paper, 1e-7, &format!("{eta}: the paper's mean"));
        }
    }
}

/// Far out, where the exponentials under- and overflow in single precision, against the limits.
#[test]
fn a_continuous_bernoulli_holds_in_its_tails() {
    for eta in [1e3, 1e10, 1e30] {
        let (log_px, mean) = of(Likelihood::ContinuousBernoulli, &[1.0, 0.0], &[eta, -eta]);
        for (got, mean) in log_px.into_iter().zip([1.0 - mean[0], mean[1]]) {
            assert_near(got, f64::ln(eta), 1e-12, "the density at its edge is |eta|");
            assert!(
                (mean - 1.0 / eta).abs() < 1e-16,
                "{eta}: the distance from the edge is {mean}"
            );
        }
    }
}

/// The scale of the decoder's output l.
fn scale(l: f64) -> f64 {
    let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
    (softplus(l.min(20.0) + 6.0) - 8.0).exp()
}

#[test]
fn a_discretized_logistic_gives_all_levels_one() {
    let levels: Vec<f64> = (0..256).map(|level| f64::from(level) / 255.0).collect();
    for mu in [-1e4, -0.2, 0.0, 0.001, 0.3, 0.5, 127.5 / 255.0, 0.9999, 1.0, 1.7, 30.0] {
        for l in [-1e3, -9.0, -6.0, -3.0, 0.0, 2.0, 7.0, 19.0, 25.0] {
            let what = format!("mu = {mu}, l = {l}");
            let (log_px, mean) = of(Likelihood::DiscretizedLogistic, &levels, &[mu, l].repeat(256));
            let p: Vec<f64> = log_px.iter().map(|log| log.exp()).collect();
            assert_near(p.iter().sum(), 1.0, 1e-12, &format!("{what}: sum"));
            let expected: f64 = p.iter().zip(&levels).map(|(p, level)| p * level).sum();
            assert_near(mean[0], expected, 1e-12, &format!("{what}: mean"));
            // As it is defined, by the distribution's own function, where the difference keeps its digits.
            let below = |edge: f64| 1.0 / (1.0 + f64::exp(-(edge - mu) / scale(l)));
            for (i, &level) in levels.iter().enumerate() {
                let low = if i == 0 { 0.0 } else { below(level - 1.0 / 510.0) };
                let high = if i == 255 { 1.0 } else { below(level + 1.0 / 510.0) };
                if high - low > 1e-4 {
                    assert_near(p[i], high - low, 1e-11, &format!("{what}: level {i}"));
                }
            }
        }
    }
}

/// A level far from all the mass has as many nats as scales lie between.
#[test]
fn a_discretized_logistic_holds_in_its_tails() {
    let (log_px, _) = of(
        Likelihood::DiscretizedLogistic,
        &[0.0, 1.0, 0.2],
        &[1e3, -50.0, -1e3, -50.0, 1e3, -50.0],
    );
    for got in log_px {
        assert_near(got / 1e3, -(8.0_f64.exp()), 1e-3, "nats");
    }
}

const POISSON: Likelihood = Likelihood::Poisson { size_factor: SizeFactor::None };
const NEGATIVE_BINOMIAL: Likelihood =
    Likelihood::NegativeBinomial { size_factor: SizeFactor::None };

/// log p of counts of a mean, and of an inverse dispersion, by the textbook's products rather than by any series: ln of
/// (x + theta - 1) .. theta / x! (theta / (theta + r))^theta (r / (theta + r))^x, or of r^x e^-r / x!.
fn log_probabilities(rate: f64, theta: Option<f64>, most: usize) -> Vec<f64> {
    let mut log_p = match theta {
        Some(theta) => theta * (theta / (theta + rate)).ln(),
        None => -rate,
    };
    let mut all = vec![log_p];
    for x in 1..=most {
        let x = x as f64;
        log_p += match theta {
            Some(theta) => ((x - 1.0 + theta) / x * rate / (theta + rate)).ln(),
            None => (rate / x).ln(),
        };
        all.push(log_p);
    }
    all
}

#[test]
fn counts_have_the_probabilities_and_moments_of_the_textbook() {
    for eta in [-3.0, 0.0, 0.7, 2.3, 4.1] {
        for v in [None, Some(-1.2), Some(0.0), Some(1.6), Some(4.0), Some(12.0)] {
            let what = format!("eta = {eta}, v = {v:?}");
            let (rate, theta) = (f64::exp(eta), v.map(f64::exp));
            let x: Vec<f64> = (0..6000).map(f64::from).collect();
            let etas = vec![eta; x.len()];
            let (log_px, mean) = match &v {
                None => with(POISSON, &[&[0.0]], 1, &x, &etas),
                Some(v) => with(NEGATIVE_BINOMIAL, &[&[0.0], &[*v]], 1, &x, &etas),
            };
            for (i, expected) in log_probabilities(rate, theta, 300).into_iter().enumerate() {
                assert_near(log_px[i], expected, 1e-11, &format!("{what}: log p({i})"));
            }
            let moment = |f: &dyn Fn(f64) -> f64| -> f64 {
                log_px.iter().zip(&x).map(|(log_p, &x)| log_p.exp() * f(x)).sum()
            };
            assert_near(moment(&|_| 1.0), 1.0, 1e-9, &format!("{what}: sum"));
            assert_near(moment(&|x| x), mean[0], 1e-9, &format!("{what}: mean"));
            assert_near(mean[0], rate, 1e-12, &format!("{what}: mean"));
            let variance = rate + theta.map_or(0.0, |theta| rate * rate / theta);
            let found = moment(&|x| (x - rate) * (x - rate));
            assert_near(found, variance, 1e-8, &format!("{what}: variance"));
        }
    }
}

/// Values of scipy 1.x's nbinom and poisson where those keep their digits, else of the formula in 40 digits.
#[test]
fn counts_have_known_probabilities() {
    for (x, rate, theta, of_theta, of_rate) in [
        (0.0, 3.5, 2.0, -2.023_201_823_356_96, -3.5),
        (5.0, 3.5, 0.25, -3.536_115_264_803_737, -2.023_676_900_305_206),
        (120.0, 100.0, 7.5, -4.864_269_879_640_132, -5.191_965_662_707_217),
        (3.0, 1e-3, 1.0, -20.727_263_838_278_745, -22.516_025_306_174_466),
        (1e6, 999_000.0, 1e6, -8.423_517_746_404_444, -8.327_027_479_053_644),
        (40.0, 4000.0, 0.05, -7.038_900_373_480_025, -3_778.558_654_110_676),
    ] {
        let what = format!("{x} of {rate}, theta = {theta}");
        let eta = [f64::ln(rate)];
        let (log_px, _) = with(NEGATIVE_BINOMIAL, &[&[0.0], &[f64::ln(theta)]], 1, &[x], &eta);
        assert_near(log_px[0], of_theta, 1e-10, &what);
        let (log_px, _) = with(POISSON, &[&[0.0]], 1, &[x], &eta);
        assert_near(log_px[0], of_rate, 1e-10, &format!("{what}: Poisson"));
    }
}

/// A row with twice the counts has twice the rates, and one of nothing those of a row of one count.
#[test]
fn a_size_factor_is_the_rows_total_over_the_mean_total() {
    let x = [4.0, 0.0, 11.0, 8.0, 0.0, 22.0, 0.0, 0.0, 0.0];
    let eta = [1.2, -0.4, 2.0].repeat(3);
    let mean_total = 10.0;
    let size_factor = SizeFactor::Total;
    let likelihoods = [
        (Likelihood::Poisson { size_factor }, vec![], None),
        (Likelihood::NegativeBinomial { size_factor }, vec![0.5; 3], Some(f64::exp(0.5))),
    ];
    for (likelihood, v, theta) in likelihoods {
        let parameters: &[&[f64]] =
            if v.is_empty() { &[&[mean_total]] } else { &[&[mean_total], &v] };
        let (log_px, mean) = with(likelihood, parameters, 3, &x, &eta);
        for (row, total) in [15.0, 30.0, 1.0].into_iter().enumerate() {
            let mut expected = 0.0;
            for i in row * 3..row * 3 + 3 {
                let rate = total / mean_total * f64::exp(eta[i]);
                assert_near(mean[i], rate, 1e-12, "the mean of a row as it is");
                expected += log_probabilities(rate, theta, 30)[x[i] as usize];
            }
            assert_near(log_px[row], expected, 1e-12, &format!("{likelihood:?}, row {row}"));
        }
    }
}

/// Beyond the upper bound of its logarithm, an inverse dispersion leaves no more variance than a Poisson distribution has.
#[test]
fn a_negative_binomial_of_no_dispersion_is_a_poisson_distribution() {
    let x = [0.0, 1.0, 9.0, 150.0, 4000.0];
    let eta = [0.3, 2.0, 2.0, 5.0, 8.3];
    let (of_rates, _) = with(POISSON, &[&[0.0]], 1, &x, &eta);
    let (log_px, _) = with(NEGATIVE_BINOMIAL, &[&[0.0], &[50.0]], 1, &x, &eta);
    for (got, expected) in log_px.into_iter().zip(of_rates) {
        assert_near(got, expected, 1e-4, "log p");
    }
}

/// No output of a decoder, however far out, gives a NaN or an infinity in single precision.
#[test]
fn extreme_outputs_give_numbers_on_every_device() {
    let outputs = [0.0, 1e-38, -1e-38, 1.0, -90.0, 90.0, 1e5, -1e5, 1e30, -1e30];
    let pairs: Vec<[f32; 3]> = [0.0_f32, 1.0 / 255.0, 0.5, 1.0]
        .into_iter()
        .flat_map(|x| outputs.map(|first| outputs.map(|second| [x, first, second])).concat())
        .collect();
    let likelihoods = [
        Likelihood::ContinuousBernoulli,
        Likelihood::DiscretizedLogistic,
        POISSON,
        Likelihood::NegativeBinomial { size_factor: SizeFactor::Total },
    ];
    for likelihood in likelihoods {
        let module = likelihood.module();
        let own = module.parameters(ImageShape { height: 1, width: 1, channels: 1 });
        // A rate has no bound but that of its logarithm.
        let of_mean = if own.is_empty() { 1.0 } else { f32::MAX };
        let mut program = Program::new();
        let mut r = Recorder::new(&mut program, "extremes");
        let (rows, count) = (pairs.len(), module.outputs(1));
        let [x, eta, weight] = [("x", 1), ("eta", count), ("weight", 0)].map(|(name, columns)| {
            let dims = [rows, columns];
            r.tensor(name, if columns == 0 { &dims[..1] } else { &dims })
        });
        let parameters: Vec<_> = own.iter().map(|own| r.tensor(own.name, &own.dims)).collect();
        let of = Observed { x, eta, parameters: &parameters, samples: 1, masked: false };
        let log_px = module.log_px(&mut r, of).expect("records");
        let mean = module.mean(&mut r, eta, 1).expect("records");
        let d_eta = module.backward(&mut r, of, weight).expect("records").d_eta;
        let plan = r.finish();
        for device in harness::devices() {
            let mut executor = device.load(program.clone()).expect("loads");
            let column = |i: usize| pairs.iter().map(move |pair| pair[i]);
            let outputs: Vec<f32> =
                pairs.iter().flat_map(|pair| pair[1..][..count].to_vec()).collect();
            executor.write_f32(x, &column(0).collect::<Vec<_>>()).expect("writes");
            executor.write_f32(eta, &outputs).expect("writes");
            executor.write_f32(weight, &vec![1.0; rows]).expect("writes");
            for (&tensor, own) in parameters.iter().zip(&own) {
                executor.write_f32(tensor, &own.initial).expect("writes");
            }
            executor.run_all(plan, 1).expect("runs");
            for (name, tensor, limit) in [
                ("log p(x|z)", log_px, f32::MAX),
                ("mean", mean, of_mean),
                ("d_eta", d_eta, f32::MAX),
            ] {
                let values = executor.read_f32(tensor).expect("reads");
                let per_row = values.len() / rows;
                for (i, v) in values.iter().enumerate() {
                    let pair = pairs[i / per_row];
                    assert!(v.abs() <= limit, "{likelihood:?}: {name} of {pair:?} is {v}");
                }
            }
        }
    }
}
