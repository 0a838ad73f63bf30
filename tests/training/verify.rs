//! `elbo verify` holds on every device, and each of its rows fails when what it checks is wrong.

use std::collections::BTreeSet;

use elbo::bounds::signal::Signals;
use elbo::device::Device;
use elbo::verify::linear_gaussian::LinearGaussian;
use elbo::verify::refining::Best;
use elbo::verify::two_sided::TwoSided;
use elbo::verify::{Experiment, SIZES, experiment, signal};

use crate::harness;

fn failing(e: &Experiment) -> BTreeSet<&'static str> {
    e.rows().into_iter().filter(|row| !row.passed()).map(|row| row.check).collect()
}

fn shift(values: &mut [Vec<f64>], by: f64) {
    values.iter_mut().flatten().for_each(|v| *v += by);
}

#[test]
fn every_row_holds_on_every_device() {
    for device in harness::devices() {
        for size in SIZES {
            let e = experiment(&device, size).expect("the device runs");
            let name = &device.description().name;
            assert!(failing(&e).is_empty(), "{name} {size:?}: {:?}", e.rows());
        }
    }
}

/// A planted error: its name and how it spoils an experiment.
type Fault = (&'static str, fn(&mut Experiment));

const FAULTS: &[Fault] = &[
    ("log weights off by 0.01 nats, q the posterior", |e| shift(&mut e.exact.log_w, 0.01)),
    ("one log weight off by 0.1", |e| e.exact.log_w[3][7] += 0.1),
    ("a NaN among the weights", |e| e.exact.log_w[3][7] = f64::NAN),
    ("log p(x|z) off by 0.1 nats, q the posterior", |e| shift(&mut e.exact.log_px, 0.1)),
    ("the KL of another variance", |e| {
        e.exact.q.iter_mut().for_each(|q| q.variance *= 1.2);
    }),
    ("log weights off by 0.05 nats, q off", |e| shift(&mut e.off.log_w, 0.05)),
    ("the wrong q", |e| e.off.q.iter_mut().for_each(|q| q.mean.add_scalar_mut(0.3))),
    ("log weights without the prior's term", |e| {
        e.off.log_w.iter_mut().flatten().enumerate().for_each(|(i, w)| *w += (i % 7) as f64 / 6.0);
    }),
    ("the prior's log p(x|z) off by 0.2 nats", |e| shift(&mut e.off.prior_log_px, 0.2)),
    ("a model with another noise", |e| {
        let (weight, mean) = (e.model.weight.clone(), e.model.mean.clone());
        e.model = LinearGaussian::new(weight, mean, 1.1 * e.model.variance).unwrap();
    }),
    ("simulated observations that are too wide", |e| {
        e.two_sided.simulated.x.iter_mut().for_each(|x| *x *= 1.5);
    }),
    ("U_1 off by 0.1 nats", |e| {
        e.two_sided.sandwich.images.iter_mut().for_each(|image| image.upper[0] += 0.1);
    }),
    ("bounds that have changed places", |e| {
        for image in &mut e.two_sided.sandwich.images {
            std::mem::swap(&mut image.lower, &mut image.upper);
        }
    }),
    ("a code that did not make its observation", |e| {
        let device = Device::Cpu(harness::cpu());
        e.two_sided = TwoSided::draw_with(&device, &e.model, |simulated| {
            let z = e.model.weight.ncols();
            simulated.z.rotate_left(z);
            simulated.log_px.rotate_left(1);
        })
        .expect("the CPU runs");
    }),
    ("annealed weights that are further apart than they are", |e| {
        for image in e.annealing.annealed.iter_mut().flat_map(|annealed| &mut annealed.images) {
            image.forward.iter_mut().for_each(|w| *w -= 1.0);
            image.backward.iter_mut().for_each(|w| *w += 1.0);
        }
    }),
    ("annealed bounds that have passed each other", |e| {
        for image in e.annealing.annealed.iter_mut().flat_map(|annealed| &mut annealed.images) {
            image.forward.iter_mut().for_each(|w| *w += 1.0);
            image.backward.iter_mut().for_each(|w| *w -= 1.0);
        }
    }),
    ("a q that was optimized too little", |e| {
        e.best.refined.iter_mut().for_each(|refined| refined.best -= 0.3);
    }),
    ("an optimization of q that stopped early", |e| {
        let device = Device::Cpu(harness::cpu());
        e.best = Best::find_in(&device, &e.model, 10).expect("the CPU runs");
    }),
    ("a decoder of other lengths", |e| e.trained.decoder *= 1.2),
    ("a decoder of two pixels swapped", |e| {
        let last = e.trained.decoder.nrows() - 1;
        e.trained.decoder.swap_rows(0, last);
    }),
    ("another learned noise", |e| e.trained.variance *= 1.05),
    ("an encoder that is not the posterior", |e| {
        e.trained.q.iter_mut().for_each(|q| q.mean.add_scalar_mut(0.15));
    }),
    ("a NaN among the parameters", |e| e.trained.variance = f64::NAN),
];

#[test]
fn every_row_fails_under_a_planted_error() {
    let device = Device::Cpu(harness::cpu());
    for size in [(2, 1), (8, 2)] {
        let right = experiment(&device, size).expect("the CPU runs");
        let all: BTreeSet<_> = right.rows().iter().map(|row| row.check).collect();
        let mut seen = BTreeSet::new();
        for (name, plant) in FAULTS {
            let mut e = right.clone();
            plant(&mut e);
            let failed = failing(&e);
            assert!(!failed.is_empty(), "{size:?}: nobody noticed: {name}");
            seen.extend(failed);
        }
        let missing: Vec<_> = all.difference(&seen).collect();
        assert!(missing.is_empty(), "{size:?}: never seen to fail: {missing:?}");
    }
}

/// And each of these rows fails when the noise is another.
#[test]
fn exponents_of_signal_and_noise_hold() {
    let failing = |found: &Signals| -> Vec<&'static str> {
        let rows = signal::rows(found).into_iter();
        rows.filter(|row| !row.passed()).map(|row| row.check).collect()
    };
    // On the CPU alone: a software adapter takes minutes.
    let right = signal::find(&Device::Cpu(harness::cpu())).expect("the CPU runs");
    assert!(failing(&right).is_empty(), "{:?} {right:?}", signal::rows(&right));
    let swapped = Signals {
        reparameterized: right.doubly_reparameterized.clone(),
        doubly_reparameterized: right.reparameterized.clone(),
    };
    assert_eq!(failing(&swapped).len(), 2);
    let mut stays = right;
    for signal in &mut stays.reparameterized {
        signal.decoder /= (signal.samples as f64).powf(0.2);
    }
    assert_eq!(failing(&stays), ["iwae: exponent of K in the decoder's SNR"]);
}

#[test]
fn the_command_prints_every_row_and_its_exit_code_says_whether_all_hold() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_elbo"))
        .args(["verify", "--device", "cpu"])
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows = text.lines().filter(|line| line.ends_with("  ok")).count();
    assert_eq!((output.status.code(), rows), (Some(0), 21 * SIZES.len() + 3), "{text}");
    assert!(text.ends_with("all 66 rows hold\n"), "{text}");
}
