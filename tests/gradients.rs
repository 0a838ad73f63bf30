//! The gradient of a whole step: in f64 against central finite differences, then every device's against
//! the f64 one.

mod harness;

use elbo::data::{Dataset, Images};
use elbo::device::cpu::CpuExecutor;
use elbo::device::{Device, Executor};
use elbo::kernels::linear::Activation;
use elbo::plan::{Program, TensorId};
use elbo::train::{self, Settings};
use elbo::vae::step::TrainProgram;
use elbo::vae::{Architecture, Binarization};

fn images(n: usize, height: usize, width: usize) -> Images {
    let pixels = (0..n * height * width).map(|i| ((i * 2_654_435_761) >> 7) as u8).collect();
    Images { n_images: n, height, width, pixels, labels: None }
}

fn dataset() -> Dataset {
    Dataset { name: "bytes".to_string(), train: images(10, 3, 4), test: images(5, 3, 4) }
}

fn settings(hidden: &[usize], decoder_hidden: &[usize], activation: Activation) -> Settings {
    Settings {
        data: "bytes".to_string(),
        architecture: Architecture {
            image: (3, 4),
            hidden: hidden.to_vec(),
            decoder_hidden: decoder_hidden.to_vec(),
            latent: 3,
            activation,
        },
        binarization: Binarization::Dynamic,
        epochs: 1,
        steps: None,
        batch: 4,
        samples: 2,
        learning_rate: 1e-3,
        beta: 0.7,
        seed: 11,
    }
}

fn named(program: &Program, name: &str) -> TensorId {
    let found = program.tensors().iter().position(|t| t.name == name);
    TensorId(found.unwrap_or_else(|| panic!("no tensor {name}")))
}

/// mean_rows log p(x|z) - beta mean_images KL, from the tensors that the gradient plan leaves.
fn objective(executor: &mut CpuExecutor<f64>, plan: &TrainProgram, beta: f64) -> f64 {
    executor
        .run(plan.gradient, 1, &mut |_| std::ops::ControlFlow::Continue(()))
        .expect("the CPU runs");
    let mut mean = |name: &str| {
        let values = executor.floats_mut(named(&plan.program, name));
        values.iter().sum::<f64>() / values.len() as f64
    };
    mean("train/log_px") - beta * mean("train/kl")
}

#[test]
fn the_step_is_the_gradient_of_the_elbo() {
    let all = Activation::ALL.map(|a| (vec![7], vec![6], a));
    let shapes =
        [(vec![], vec![], Activation::Relu), (vec![5, 7], vec![6, 4, 8], Activation::Tanh)];
    for (hidden, decoder_hidden, activation) in all.into_iter().chain(shapes) {
        let settings = settings(&hidden, &decoder_hidden, activation);
        let dataset = dataset();
        let plan = train::record(&dataset, &settings).expect("a plan");
        let mut executor = harness::cpu().load::<f64>(plan.program.clone());
        train::begin(&mut executor, &plan, &dataset, &settings).expect("begin");
        for t in &plan.trained {
            let name = &plan.program.get(t.parameter).name;
            objective(&mut executor, &plan, settings.beta);
            let gradient = executor.floats_mut(t.gradient).to_vec();
            assert!(gradient.iter().any(|g| g.abs() > 1e-4), "{name}: all but zero");
            for (i, &got) in gradient.iter().enumerate() {
                // The cube root of the unit roundoff balances truncation and cancellation.
                let h = 1e-5;
                let mut at = |offset: f64| {
                    executor.floats_mut(t.parameter)[i] += offset;
                    let value = objective(&mut executor, &plan, settings.beta);
                    executor.floats_mut(t.parameter)[i] -= offset;
                    value
                };
                let expected = (at(h) - at(-h)) / (2.0 * h);
                assert!(
                    (got - expected).abs() < 1e-8 + 1e-7 * expected.abs(),
                    "{} {activation:?}: {name}[{i}]: gradient {got}, finite difference {expected}",
                    settings.architecture
                );
            }
        }
    }
}

/// The gradient plan on a device against the f64 one, tensor by tensor. An element of a gradient is the
/// end of a chain of sums; to first order its relative error is at most 2^-24 times the number of terms
/// added along the chain, and rounding errors, being of both signs, stay far below that.
fn check_device(device: &Device) {
    let dataset =
        Dataset { name: "bytes".to_string(), train: images(64, 12, 11), test: images(5, 12, 11) };
    for activation in Activation::ALL {
        let mut settings = settings(&[40, 33], &[37], activation);
        settings.architecture.image = (12, 11);
        settings.batch = 17;
        let plan = train::record(&dataset, &settings).expect("a plan");
        let mut oracle = harness::cpu().load::<f64>(plan.program.clone());
        let mut executor = device.load(plan.program.clone()).expect("loads");
        train::begin(&mut oracle, &plan, &dataset, &settings).expect("begin");
        train::begin(&mut *executor, &plan, &dataset, &settings).expect("begin");
        objective(&mut oracle, &plan, settings.beta);
        executor.run_all(plan.gradient, 1).expect("runs");
        let terms: usize = plan.network.layers().map(|l| l.inputs + l.outputs).sum();
        let bound = terms as f64 / f64::from(1 << 24);
        for t in &plan.trained {
            let name = &plan.program.get(t.parameter).name;
            let expected = oracle.floats_mut(t.gradient);
            let got = executor.read_f32(t.gradient).expect("reads");
            assert_eq!(expected.len(), got.len());
            let norm =
                |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
            let size = norm(&mut expected.iter().copied());
            let error = norm(&mut expected.iter().zip(&got).map(|(e, &g)| f64::from(g) - e));
            println!(
                "{activation:?} {name}: relative error {:.1e}, bound {bound:.1e}",
                error / size
            );
            assert!(error < bound * size, "{activation:?} {name}: error {error:e} of {size:e}"); // false for NaN
        }
    }
}

#[test]
fn the_cpu_computes_that_gradient() {
    check_device(&Device::Cpu(harness::cpu()));
}

#[test]
fn the_gpu_computes_that_gradient() {
    check_device(&Device::Gpu(Box::new(harness::gpu())));
}
