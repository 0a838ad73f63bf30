//! Bounds on log p(x) from both sides, where p(x) is known: by a closed form, or by adding up all there is.

use std::ops::ControlFlow;

use elbo::bounds::{
    Annealing, Bounds, EvaluateError, Observed, Refining, Simulated, Spoilt, Tempering,
    UpperBounds, Weights, anneal, anneal_spoilt, lower, refine, sandwich, simulate, tune,
};
use elbo::device::Device;
use elbo::evaluate::Model;
use elbo::kernels::LIBRARY;
use elbo::kernels::activation::Activation;
use elbo::nn::Layers;
use elbo::plan::variant::SINGLE;
use elbo::plan::{Cost, Formula, Kernel, Parts, Program};
use elbo::vae::anneal::{AnnealProgram, Path};
use elbo::vae::network::Moments;
use elbo::vae::{Architecture, Binarization, Init, Likelihood, Network, Prior, Variance};

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
        classes: Vec::new(),
        prior: Prior::Normal,
        activation: Activation::Identity,
        posterior: Default::default(),
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

/// A model of pixels that are bits.
fn fixed<'a>(architecture: &'a Architecture, parameters: &'a [Vec<f32>], seed: u64) -> Model<'a> {
    Model { architecture, parameters, binarization: Binarization::Fixed, seed }
}

fn tiny() -> (Architecture, Vec<Vec<f32>>) {
    let architecture = Architecture {
        image: (2, 3),
        channels: 1,
        hidden: vec![6].into(),
        decoder_hidden: vec![5].into(),
        latent: 1,
        classes: Vec::new(),
        prior: Prior::Normal,
        activation: Activation::Tanh,
        posterior: Default::default(),
        likelihood: Likelihood::Bernoulli,
    };
    let network = Network::declare(&mut Program::new(), &architecture);
    let mut values = network.initial_values(Init::Pytorch, 5, &Moments::default());
    values.iter_mut().flatten().for_each(|v| *v *= 3.0);
    // Log variances near zero: the weights of a q much narrower than the posterior have no variance.
    for heads in [2, 3] {
        let half = values[heads].len() / 2;
        values[heads][half..].iter_mut().for_each(|v| *v *= 0.1);
    }
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
        let model = fixed(&architecture, &parameters, 8);
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
    let model = fixed(&architecture, &parameters, 8);
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

/// What is found of an image does not depend on which others are at hand: its noise is that of its place.
#[test]
fn an_image_is_the_same_in_any_part() {
    let (architecture, parameters) = tiny();
    let model = fixed(&architecture, &parameters, 8);
    let simulated = simulate(&cpu(), model, 40).expect("it runs");
    let whole = simulated.observed();
    let tempering = Tempering::new(SETTINGS);
    let refining = Refining { steps: 30, scored: 20, ..Refining::default() };
    let find = |observed: Observed| {
        let drawn = lower(&cpu(), model, observed, &[1, 9], &mut on).expect("it runs").images;
        let refined = refine(&cpu(), model, observed, refining, &mut on).expect("it runs").0;
        let chains = anneal(&cpu(), model, observed, &tempering, &mut on).expect("it runs").images;
        let each = drawn.into_iter().zip(refined).zip(chains);
        let figures = each.map(|((drawn, refined), chains)| {
            [drawn.lower[1], refined.encoder, refined.best, chains.lower(), chains.upper()]
        });
        figures.collect::<Vec<_>>()
    };
    let all = find(whole);
    for range in [0..40, 11..14, 17..40] {
        let part = whole.part(range.clone(), &architecture);
        assert_eq!((part.first, part.count(&architecture)), (range.start, range.len()));
        for (a, b) in find(part).iter().zip(&all[range]) {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3), "{a:?} {b:?}");
        }
    }
    let moved = Observed { first: 1, ..whole };
    assert!(find(moved).iter().zip(&all).all(|(a, b)| a.iter().zip(b).all(|(a, b)| a != b)));
}

/// From N(0, I) an ascent ends where one from the encoder's q does; the better end is taken.
#[test]
fn both_ways_up_lead_to_the_best_q() {
    let (architecture, parameters) = tiny();
    let model = fixed(&architecture, &parameters, 8);
    let simulated = simulate(&cpu(), model, 60).expect("it runs");
    let found = |from_prior| {
        let refining = Refining { from_prior, ..Refining::default() };
        refine(&cpu(), model, simulated.observed(), refining, &mut on).expect("it runs")
    };
    let (both, heads) = found(true);
    let (one, of_one) = found(false);
    for (i, (both, one)) in both.iter().zip(&one).enumerate() {
        let from_prior = both.from_prior.expect("it was tried");
        assert_eq!((one.best, one.from_prior), (one.from_encoder, None));
        assert_eq!((both.encoder, both.from_encoder), (one.encoder, one.best));
        assert_eq!(both.best, from_prior.max(one.best));
        assert!((from_prior - one.best).abs() < 0.02 && from_prior != one.best, "{both:?}");
        let width = heads.len() / 60;
        let same = heads[i * width..][..width] == of_one[i * width..][..width];
        assert_eq!(same, one.best >= from_prior);
    }
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

const SETTINGS: Annealing =
    Annealing { path: Path::Posterior, temperatures: 12, chains: 2, leapfrogs: 4 };

/// Weights forward and backward have the means that make them bounds, on a decoder that is not linear, from q and from the
/// prior, and step sizes are such that proposals are accepted about as often as they are to be.
#[test]
fn annealed_weights_are_unbiased_both_ways() {
    let (architecture, parameters) = tiny();
    let log_p = all_log_p(&parameters);
    for device in harness::devices() {
        let model = fixed(&architecture, &parameters, 4);
        let simulated = simulate(&device, model, 2000).expect("the device runs");
        let number =
            |x: &[f32]| x.iter().enumerate().map(|(d, &v)| (v as usize) << d).sum::<usize>();
        let p: Vec<f64> = simulated.x.chunks(6).map(|x| log_p[number(x)]).collect();
        for path in [Path::Posterior, Path::Prior] {
            let settings = Annealing { path, ..SETTINGS };
            let tempering =
                tune(&device, model, simulated.observed(), settings, &mut on).expect("it runs");
            let observed = simulated.observed();
            let found = anneal(&device, model, observed, &tempering, &mut on).expect("it runs");
            let images = || found.images.iter().zip(&p);
            for (ratio, error) in [
                mean(images().flat_map(|(i, p)| i.forward.iter().map(move |w| (w - p).exp()))),
                mean(images().flat_map(|(i, p)| i.backward.iter().map(move |w| (p - w).exp()))),
            ] {
                assert!((ratio - 1.0).abs() < 4.5 * error, "{path:?}: {ratio} {error}");
            }
            let (below, error) = mean(images().map(|(i, p)| p - i.lower()));
            let (above, other) = mean(images().map(|(i, p)| i.upper() - p));
            assert!(below > -4.5 * error && below < 0.1, "{path:?}: {below} {error}");
            assert!(above > -4.5 * other && above < 0.1, "{path:?}: {above} {other}");
            for acceptance in found.acceptance().into_iter().flatten() {
                assert!((0.5..=1.0).contains(&acceptance), "{path:?}: {acceptance}");
            }
        }
    }
}

/// With one temperature the weights are those of importance sampling, and the chains of an image do not depend on how many
/// others run beside it.
#[test]
fn chains_do_not_depend_on_their_company() {
    let (architecture, parameters) = tiny();
    let model = fixed(&architecture, &parameters, 4);
    let simulated = simulate(&cpu(), model, 40).expect("it runs");
    let tempering = Tempering::new(SETTINGS);
    let run = |images: usize, chains: usize| {
        let settings = Annealing { chains, ..SETTINGS };
        let tempering = Tempering { settings, ..tempering.clone() };
        let observed = Observed {
            x: &simulated.x[..6 * images],
            z: Some(&simulated.z[..images]),
            starts: None,
            ..simulated.observed()
        };
        anneal(&cpu(), model, observed, &tempering, &mut on).expect("it runs").images
    };
    let (all, few, one) = (run(40, 600), run(3, 600), run(40, 1));
    for (i, image) in all.iter().enumerate() {
        assert_eq!((image.forward.len(), image.backward.len()), (600, 600));
        assert!((image.forward[0] - one[i].forward[0]).abs() < 1e-3);
        assert!((image.backward[0] - one[i].backward[0]).abs() < 1e-3);
        if let Some(few) = few.get(i) {
            for (a, b) in image.forward.iter().zip(&few.forward) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
    }
    let different: std::collections::BTreeSet<u64> =
        all[0].forward.iter().chain(&all[0].backward).map(|w| w.to_bits()).collect();
    assert!(different.len() > 1100); // f32, so that a few may meet
    let single = Tempering::new(Annealing { temperatures: 1, ..SETTINGS });
    let observed = simulated.observed();
    let found = anneal(&cpu(), model, observed, &single, &mut on).expect("it runs");
    let bounds = sandwich(&cpu(), model, &simulated, &[1], None, &mut on).expect("it runs");
    for (weights, bracket) in found.images.iter().zip(&bounds.images) {
        assert!((weights.backward[0] - bracket.upper[0]).abs() < 1e-3);
        assert!((weights.forward[0] - bracket.lower[0]).abs() > 1e-6); // noise of their own
    }
    assert_eq!(found.acceptance(), [Some(1.0), Some(1.0)]);
}

/// Kernels in the place of the transition's, each with an error that has been made: they run on the CPU.
mod wrong {
    use elbo::kernels::annealed::{ACCEPTANCE, ENERGY, TAIL, TRANSITION};
    use elbo::kernels::clock;
    use elbo::plan::Call;

    fn tails(c: &Call<f32>, mut change: impl FnMut(usize, &mut [f32])) {
        let width = 2 * c.dim("Z") + TAIL;
        let mut state = c.write("state");
        for (row, state) in state.chunks_mut(width).enumerate() {
            change(row, &mut state[width - TAIL..]);
        }
    }

    /// Every proposal is accepted.
    pub fn without_acceptance(c: &Call<f32>) {
        tails(c, |_, tail| tail[ENERGY] = 1e30);
        (TRANSITION.formula.f32)(c);
    }

    /// As in several published programs: the step size follows the chain's own past. Here there is one chain at a time, and
    /// it stays where it is once a proposal was refused.
    pub fn with_adaptation(c: &Call<f32>) {
        let mut before = 0.0;
        tails(c, |_, tail| before = tail[ACCEPTANCE]);
        (TRANSITION.formula.f32)(c);
        let time = c.read_u32("clock")[clock::STEP] as usize / c.dim("L");
        let mut likely = true;
        tails(c, |_, tail| likely = tail[ACCEPTANCE] - before > 0.95);
        let step = c.read_u32("clock")[clock::STEP] as usize;
        if time > 0 && step.is_multiple_of(c.dim("L")) && !likely {
            c.write("schedule").chunks_mut(3).for_each(|row| row[2] = 1e-4);
        }
    }
}

macro_rules! planted {
    ($name:ident, $formula:expr) => {
        fn $name(program: AnnealProgram) -> AnnealProgram {
            static KERNEL: Kernel = Kernel::new(
                LIBRARY,
                Parts {
                    file: "annealed",
                    source: include_str!("../../shaders/annealed.wgsl"),
                    entry: "transition",
                    summary: "",
                    grid: |_| [1, 1, 1],
                    formula: Formula { f32: $formula, f64: |_| {}, bounded: |_| {} },
                    cases: Vec::new,
                    cost: |_| Cost { flops: 0, bytes: 0 },
                },
                SINGLE,
            );
            planted_in(program, &KERNEL)
        }
    };
}

planted!(without_acceptance, wrong::without_acceptance);
planted!(with_adaptation, wrong::with_adaptation);

/// The program with another kernel as its transition.
fn planted_in(mut anneal: AnnealProgram, kernel: &'static Kernel) -> AnnealProgram {
    let mut changed = Program::new();
    for tensor in anneal.program.tensors() {
        changed.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
    }
    for (tensor, bytes) in anneal.program.constants() {
        changed.constant(*tensor, bytes.clone());
    }
    for plan in anneal.program.plans() {
        let mut plan = plan.clone();
        let of_transition = |d: &&mut elbo::plan::Dispatch| d.kernel.entry == "transition";
        plan.dispatches.iter_mut().filter(of_transition).for_each(|d| d.kernel = kernel);
        changed.add(plan);
    }
    anneal.program = changed;
    anneal
}

/// Each transition at the temperature of the one before.
fn temperatures_off_by_one(schedule: &mut [f32]) {
    for row in (1..schedule.len() / 3).rev() {
        schedule[3 * row + 1] = schedule[3 * (row - 1) + 1];
    }
}

/// An error that has been made in annealing makes weights whose means are not what they must be. The step sizes are
/// large, so that proposals are refused.
#[test]
fn planted_errors_are_noticed() {
    let (architecture, mut parameters) = tiny();
    parameters[6].iter_mut().for_each(|w| *w *= 3.0); // a posterior that q is far from
    let log_p = all_log_p(&parameters);
    let model = fixed(&architecture, &parameters, 4);
    let off = |images: usize, chains: usize, size: f32, spoilt: Spoilt| {
        let simulated = simulate(&cpu(), model, images).expect("it runs");
        let number =
            |x: &[f32]| x.iter().enumerate().map(|(d, &v)| (v as usize) << d).sum::<usize>();
        let p: Vec<f64> = simulated.x.chunks(6).map(|x| log_p[number(x)]).collect();
        let settings = Annealing { path: Path::Prior, temperatures: 12, chains, leapfrogs: 4 };
        let mut tempering = Tempering::new(settings);
        tempering.sizes.fill(size);
        let observed = simulated.observed();
        let found =
            anneal_spoilt(&cpu(), model, observed, &tempering, spoilt, &mut on).expect("it runs");
        let images = || found.images.iter().zip(&p);
        let forward = mean(images().map(|(i, p)| mean2(i.forward.iter().map(|w| (w - p).exp()))));
        let backward = mean(images().map(|(i, p)| mean2(i.backward.iter().map(|w| (p - w).exp()))));
        [forward, backward].map(|(ratio, error)| (ratio - 1.0) / error)
    };
    let worst = |[a, b]: [f64; 2]| f64::max(a.abs(), b.abs());
    let right = off(2000, 20, 1.2, Spoilt::NOT);
    assert!(worst(right) < 4.5, "{right:?}");
    let faults = [
        ("no acceptance", Spoilt { program: without_acceptance, ..Spoilt::NOT }),
        ("temperatures off by one", Spoilt { schedule: temperatures_off_by_one, ..Spoilt::NOT }),
    ];
    for (name, spoilt) in faults {
        let off = off(2000, 20, 1.2, spoilt);
        assert!(worst(off) > 6.0, "nobody noticed: {name}: {off:?}");
    }
}

/// Without the error of the next test.
fn mean2(values: impl Iterator<Item = f64>) -> f64 {
    mean(values).0
}

/// A step size that follows the chain's own past, as in published programs: one chain at a time, so that it does.
#[test]
fn an_adaptive_step_size_is_noticed() {
    let (architecture, mut parameters) = tiny();
    parameters[6].iter_mut().for_each(|w| *w *= 3.0);
    let log_p = all_log_p(&parameters);
    let off = |size: f32, leapfrogs: usize, spoilt: Spoilt| {
        let one = |seed: u64| {
            let binarization = Binarization::Fixed;
            let model =
                Model { architecture: &architecture, parameters: &parameters, binarization, seed };
            let simulated = simulate(&cpu(), model, 1).expect("it runs");
            let bits = simulated.x.iter().enumerate();
            let p = log_p[bits.map(|(d, &v)| (v as usize) << d).sum::<usize>()];
            let settings = Annealing { path: Path::Prior, temperatures: 30, chains: 1, leapfrogs };
            let mut tempering = Tempering::new(settings);
            tempering.sizes.fill(size);
            let observed = simulated.observed();
            let found = anneal_spoilt(&cpu(), model, observed, &tempering, spoilt, &mut on);
            let Weights { forward, backward, .. } = found.expect("it runs").images.remove(0);
            [(forward[0] - p).exp(), (p - backward[0]).exp()]
        };
        let ratios: Vec<[f64; 2]> = (0..4000).map(one).collect();
        let squares = [0, 1].map(|i| {
            let (ratio, error) = mean(ratios.iter().map(|r| r[i]));
            ((ratio - 1.0) / error).powi(2)
        });
        squares.iter().sum::<f64>()
    };
    // In units of the standard errors, over both directions and all settings: chi^2 of 6 degrees of freedom, which is
    // above 25 once in three thousand times.
    let settings = [(1.6, 1), (1.0, 2), (1.8, 2)];
    let total =
        |spoilt: Spoilt| settings.iter().map(|&(size, l)| off(size, l, spoilt)).sum::<f64>();
    let (right, adaptive) =
        (total(Spoilt::NOT), total(Spoilt { program: with_adaptation, ..Spoilt::NOT }));
    assert!(right < 25.0, "{right}");
    assert!(adaptive > 30.0, "nobody noticed: {adaptive}, {right} without");
}
