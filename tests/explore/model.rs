//! The explorer itself: on every device, and what its standard errors are worth.

use std::ops::ControlFlow;

use elbo::checkpoint::RunFolder;
use elbo::data;
use elbo::device::Device;
use elbo::evaluate::Model;
use elbo::explore::model::{Explorer, Figure, Inferred, Subject};
use elbo::vae::Binarization;

use crate::harness;
use crate::harness::program::Home;

pub fn explorer(home: &Home, device: &Device, seed: u64, samples: usize) -> Explorer {
    let (folder, settings) = RunFolder::open(&home.at("run")).expect("the run");
    let parameters = folder.read_model(&settings.architecture).expect("its model");
    let test = data::load(&home.at("data"), data::Options::default()).expect("its data").test;
    let model = Model {
        architecture: &settings.architecture,
        parameters: &parameters,
        binarization: Binarization::Fixed,
        seed,
    };
    let subject = Subject { run: "run", model, test, samples };
    Explorer::load(device, subject, &mut |_| ControlFlow::Continue(())).expect("it loads")
}

#[test]
fn every_device_answers_alike() {
    let home = Home::with_run("--latent 2");
    let mut devices = harness::devices().into_iter();
    let mut cpu = explorer(&home, &devices.next().expect("the CPU"), 3, 500);
    let expected = cpu.infer_test(7, None).expect("an answer");
    for device in devices {
        let name = device.description().name.clone();
        let mut other = explorer(&home, &device, 3, 500);
        let got = other.infer_test(7, None).expect("an answer");
        assert_eq!(got.x, expected.x, "{name}");
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-3, "{name}: {a} and {b}");
        for figure in FIGURES {
            near(figure(&got).value, figure(&expected).value);
        }
        got.mu.iter().zip(&expected.mu).for_each(|(&a, &b)| near(a, b));
        let level = |(a, b): (&u8, &u8)| assert!(a.abs_diff(*b) <= 1, "{name}: {a} and {b}");
        got.reconstruction.iter().zip(&expected.reconstruction).for_each(level);
        let (a, b) = (other.map().expect("a map"), cpu.map().expect("a map"));
        assert_eq!((a.width, a.height), (b.width, b.height));
        a.pixels.iter().zip(&b.pixels).for_each(level);
    }
}

const FIGURES: [fn(&Inferred) -> Figure; 3] =
    [|i| i.simple_monte_carlo, |i| i.elbo, |i| i.importance_weighted];

/// The standard error that is shown is the deviation of the estimate over seeds.
#[test]
fn standard_errors_are_right() {
    const SEEDS: u64 = 60;
    let home = Home::with_run("--latent 2 --binarization fixed");
    let cpu = Device::Cpu(harness::cpu());
    let of_seed = |seed| explorer(&home, &cpu, seed, 400).infer_test(7, None).expect("an answer");
    let answers: Vec<Inferred> = (0..SEEDS).map(of_seed).collect();
    for figure in FIGURES {
        let values = answers.iter().map(|i| figure(i).value);
        let mean = values.clone().sum::<f64>() / SEEDS as f64;
        let squares: f64 = values.map(|v| (v - mean) * (v - mean)).sum();
        let deviation = (squares / (SEEDS - 1) as f64).sqrt();
        let claimed = |i: &Inferred| figure(i).standard_error.expect("many draws").powi(2);
        let claimed = (answers.iter().map(claimed).sum::<f64>() / SEEDS as f64).sqrt();
        // The deviation of 60 values is known to 9 %.
        let ratio = claimed / deviation;
        assert!((0.7..1.4).contains(&ratio), "{claimed} for {deviation}");
    }
    let one = explorer(&home, &cpu, 0, 1).infer_test(7, None).expect("an answer");
    assert!(FIGURES.iter().all(|figure| figure(&one).standard_error.is_none()));
}
