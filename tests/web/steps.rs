//! Training in the browser against the other devices: every kernel of every step, the way that parameters go, the ELBO that
//! comes of it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elbo::data::Dataset;
use elbo::device::{Device, Executor};
use elbo::interchange::document::of_training;
use elbo::interchange::weights;
use elbo::interchange::{Names, Trained};
use elbo::numeric::Bounded;
use elbo::plan::document::Document;
use elbo::plan::{DType, TensorId};
use elbo::train::{self, Settings, Trainer};
use serde_json::{Value, json};

use crate::harness;
use crate::harness::browser::Browser;
use crate::settings::{dataset, networks, small, with};

const STEPS: u64 = 20;

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("base64")).expect("base64")
}

fn floats(value: &Value) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(&bytes(value))
}

/// Serves a training document and its data, and begins a run as `tools.run`.
fn begin(browser: &Browser, document: &Document, dataset: &Dataset, seed: u64) {
    browser.serve("run", document);
    browser.site.put("/train.bin", &dataset.train.pixels[..]);
    browser.site.put("/test.bin", &dataset.test.pixels[..]);
    browser.ok(&format!(
        "const get = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
         const [plan, modules, train, test] = await Promise.all(
             [tools.json('/run.json'), tools.json('/run.modules.json'), get('/train.bin'), get('/test.bin')]);
         tools.run = await tools.Training.begin(tools.opened, plan, modules, {{ seed: {seed}n, train, test }});"
    ));
}

/// Each kernel of each step, on what the browser had before it: within the bound of single precision about the result in
/// double precision. What are integers, minibatches and clocks, are equal.
#[test]
fn every_kernel_of_twenty_steps_is_within_its_bound() {
    let settings = small();
    let browser = Rc::new(Browser::new());
    let document = of_training(&dataset(), &settings).expect("a document");
    begin(&browser, &document, &dataset(), settings.seed);
    let plan = train::record(&dataset(), &settings).expect("a plan");
    let program = &plan.program;
    let mut reference = harness::single_thread().load::<Bounded>(program.clone()).expect("memory");
    train::begin(&mut reference, &plan, &dataset(), &settings).expect("begins");
    let mut known: HashMap<TensorId, Vec<u8>> = HashMap::new();
    let mut worst = (0.0, String::new());
    for step in 0..STEPS {
        for (i, dispatch) in program.plan(plan.train.plan).dispatches.iter().enumerate() {
            for bound in &dispatch.bindings {
                if let Some(bytes) = known.get(&bound.tensor) {
                    reference.write_bytes(bound.tensor, bytes).expect("writes");
                }
            }
            reference.run_dispatch(plan.train.plan, i).expect("runs");
            let written: Vec<TensorId> = dispatch
                .bindings
                .iter()
                .filter(|bound| bound.access.writes())
                .map(|bound| bound.tensor)
                .collect();
            let names: Vec<&str> =
                written.iter().map(|&id| program.get(id).name.as_str()).collect();
            let got = browser.ok(&format!(
                "const p = tools.run.program; await p.dispatch('train', {i});
                 return (await p.readAll({})).map(tools.textOf)",
                json!(names)
            ));
            for (j, &id) in written.iter().enumerate() {
                let (tensor, got) = (program.get(id), bytes(&got[j]));
                let what = format!("step {step}, {}: {tensor}", dispatch.kernel);
                if tensor.dtype == DType::F32 {
                    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&got);
                    let ratio = harness::compare(reference.floats_mut(id), &values);
                    let ratio = ratio.unwrap_or_else(|e| panic!("{what}: {e}"));
                    if ratio > worst.0 {
                        worst = (ratio, what);
                    }
                } else {
                    assert!(got == reference.read_bytes(id).expect("reads"), "{what}");
                }
                // The whole that a part is in is written by its parts.
                known.insert(id, got);
            }
        }
    }
    println!("the worst of {STEPS} steps: {worst:?} of its bound");
    assert_eq!(browser.tab.borrow_mut().complaints(), Vec::<String>::new());
}

fn norm(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
}

/// Twenty steps without a look, as a user takes them, against double precision, the CPU and the adapter: the minibatches
/// are the same to the bit, and the parameters as far from double precision's as rounding brings them, which is as
/// tests/training/fusions.rs has it for the other devices.
#[test]
fn twenty_steps_go_where_they_go_elsewhere() {
    let browser = Rc::new(Browser::new());
    let deeper = networks().into_iter().find(|(name, _)| *name == "two hidden layers");
    for settings in [small(), deeper.expect("one of them").1] {
        let document = of_training(&dataset(), &settings).expect("a document");
        begin(&browser, &document, &dataset(), settings.seed);
        let devices = harness::devices();
        let mut trainers: Vec<Trainer> = devices
            .iter()
            .map(|device| Trainer::new(device, &dataset(), &settings).expect("begins"))
            .collect();
        let plan = train::record(&dataset(), &settings).expect("a plan");
        let named = |name: &str| {
            let found = plan.program.tensors().iter().position(|tensor| tensor.name == name);
            TensorId(found.expect("a tensor"))
        };
        let (x, clock) = (named("train/x"), plan.train.clock);
        for step in 1..=STEPS {
            let got = browser.ok(
                "await tools.run.advance(1);
                 return (await tools.run.program.readAll(['train/x', 'train/clock'])).map(tools.textOf)",
            );
            for trainer in &mut trainers {
                trainer.advance(step, |_| ControlFlow::Continue(())).expect("steps");
                let executor = trainer.executor();
                assert!(bytes(&got[0]) == executor.read_bytes(x).expect("reads"), "step {step}");
                assert!(
                    bytes(&got[1]) == executor.read_bytes(clock).expect("reads"),
                    "step {step}"
                );
            }
        }
        let exact = harness::cpu().load::<f64>(plan.program.clone()).expect("memory");
        let terms: usize = plan.network.layers().map(|l| l.inputs() + l.outputs()).sum();
        let mut begun = Trainer::new(&devices[0], &dataset(), &settings).expect("begins");
        let first = begun.parameters().expect("reads");
        let mut exact = Trainer::on(Box::new(exact), plan, &dataset(), &settings).expect("begins");
        exact.advance(STEPS, |_| ControlFlow::Continue(())).expect("steps");
        let expected = exact.parameters().expect("reads");
        let allowed = 4.0 * STEPS as f64 * (terms as f64).sqrt() / f64::from(1 << 24);
        let got = browser.ok("return (await tools.run.parameters()).map(tools.textOf)");
        for (i, (expected, first)) in expected.iter().zip(&first).enumerate() {
            let moved = norm(expected, first);
            let off = norm(&floats(&got[i]), expected) / moved;
            let others: Vec<f64> = trainers
                .iter_mut()
                .map(|t| norm(&t.parameters().expect("reads")[i], expected) / moved)
                .collect();
            println!(
                "parameter {i}: off by {off:.1e} of its way, the others {others:?}, allowed {allowed:.1e}"
            );
            assert!(moved > 0.0 && off < allowed, "parameter {i}: {off:e} of {allowed:e}");
        }
        browser.ok("tools.run.close()");
    }
    assert_eq!(browser.tab.borrow_mut().complaints(), Vec::<String>::new());
}

/// 200 steps, after which rounding has led the runs apart: the test ELBO is the same to what its own noise is.
#[test]
fn after_two_hundred_steps_the_test_elbo_is_the_same() {
    let settings = with(|s| {
        s.learning_rate = 3e-3;
        s.batch = 8;
    });
    let browser = Rc::new(Browser::new());
    let document = of_training(&dataset(), &settings).expect("a document");
    begin(&browser, &document, &dataset(), settings.seed);
    let before = browser.ok("return (await tools.run.evaluate()).elbo").as_f64().expect("nats");
    let seconds = "const begin = performance.now(); await tools.run.advance(100); await tools.run.advance(100);
         const seconds = (performance.now() - begin) / 1000;
         const from = tools.run.step - tools.run.host.train.history_steps;
         return { test: await tools.run.evaluate(), train: await tools.run.metrics(from), seconds,
             script: tools.run.program.script, epoch: tools.run.epoch,
             parameters: (await tools.run.parameters()).map(tools.textOf) }";
    let got = browser.ok(seconds);
    let elbo = |of: &str| got[of]["elbo"].as_f64().expect("nats");
    assert_eq!(got["test"]["images"], 50.0);
    assert_eq!(got["epoch"], 9);
    let trained = |device: &Device| {
        let mut trainer = Trainer::new(device, &dataset(), &settings).expect("begins");
        trainer.advance(200, |_| ControlFlow::Continue(())).expect("steps");
        let test = trainer.evaluate().expect("evaluates").elbo();
        (
            test,
            trainer.metrics_since(200 - 26).expect("reads").expect("finite").elbo(),
            trainer.parameters().expect("reads"),
        )
    };
    let cpu = Device::Cpu(harness::cpu());
    let (expected, on_train, parameters) = trained(&cpu);
    // What the draws of z and of pixels alone make of it.
    let by_noise: Vec<f64> = (1..=6)
        .map(|seed| {
            let other = Settings { seed: 100 + seed, ..settings.clone() };
            let mut trainer = Trainer::new(&cpu, &dataset(), &other).expect("begins");
            trainer.begin_with(&parameters).expect("writes");
            trainer.evaluate().expect("evaluates").elbo()
        })
        .collect();
    let mean = by_noise.iter().sum::<f64>() / by_noise.len() as f64;
    let noise = (by_noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>()
        / (by_noise.len() - 1) as f64)
        .sqrt();
    println!(
        "test ELBO {:.4} before, {:.4} after 200 steps; the CPU has {expected:.4}; noise {noise:.4}; {} s",
        before,
        elbo("test"),
        got["seconds"]
    );
    assert!(expected > before + 2.0, "{before} -> {expected}");
    assert!(
        (elbo("test") - expected).abs() < noise,
        "{} and {expected}: noise {noise}",
        elbo("test")
    );
    assert!(
        (elbo("train") - on_train).abs() < noise,
        "{} and {on_train}: noise {noise}",
        elbo("train")
    );

    // The same model as a file, which the native program reads, and back.
    let a = &settings.architecture;
    let file = browser.ok("return tools.textOf(tools.writeFile(tools.run.host, await tools.run.parameters(), { epoch: '8' }))");
    let read = weights::decode(a, &bytes(&file)).expect("a model's file");
    for (i, values) in read.iter().enumerate() {
        assert_eq!(*values, floats(&got["parameters"][i]));
    }
    let native = weights::encode(a, Names::of(a), &parameters, &Trained::of(&settings));
    browser.site.put("/native.bin", native.expect("a file"));
    let back = browser.ok(
        "const bytes = new Uint8Array(await (await fetch('/native.bin')).arrayBuffer());
         const values = tools.readFile(tools.run.host, bytes);
         await tools.run.restart({ seed: 5, parameters: values });
         return { values: values.map(tools.textOf), elbo: (await tools.run.evaluate()).elbo }",
    );
    for (i, values) in parameters.iter().enumerate() {
        assert_eq!(*values, floats(&back["values"][i]));
    }
    let elbo = back["elbo"].as_f64().expect("nats");
    assert!((elbo - expected).abs() < 1e-3, "{elbo} and {expected} of the same parameters");
    assert_eq!(browser.tab.borrow_mut().complaints(), Vec::<String>::new());
}

/// What encoding and submitting takes of the script: the goal is 30 us a dispatch.
#[test]
fn a_dispatch_takes_little_of_the_script() {
    let settings = with(|s| s.batch = 1);
    let browser = Rc::new(Browser::new());
    let document = of_training(&dataset(), &settings).expect("a document");
    begin(&browser, &document, &dataset(), settings.seed);
    let best = (0..3)
        .map(|_| {
            let script = browser
                .ok("const p = tools.run.program; p.script = { dispatches: 0, seconds: 0 };
                 await tools.run.advance(30); return p.script");
            1e6 * script["seconds"].as_f64().expect("s")
                / script["dispatches"].as_f64().expect("dispatches")
        })
        .fold(f64::INFINITY, f64::min);
    println!("{best:.1} us of script a dispatch");
    assert!(best <= 30.0, "{best} us a dispatch");
}

/// Parameters by a seed are those of the library, to the bit, and come back from a file of theirs.
#[test]
fn first_parameters_are_the_librarys() {
    let browser = Rc::new(Browser::new());
    for (name, settings) in networks() {
        let a = &settings.architecture;
        let document = of_training(&dataset(), &settings).expect("a document");
        browser.serve("first", &document);
        let plan = train::record(&dataset(), &settings).expect("a plan");
        for seed in [0, 5, u64::MAX - 3] {
            let got = browser.ok(&format!(
                "const {{ host }} = await tools.json('/first.json');
                 const values = tools.firstParameters(host, {seed}n);
                 const file = tools.writeFile(host, values);
                 const back = tools.readFile(host, file);
                 return {{ values: values.map(tools.textOf), file: tools.textOf(file), back: back.map(tools.textOf) }}"
            ));
            assert_eq!(got["values"], got["back"], "{name}");
            let file = weights::decode(a, &bytes(&got["file"])).expect("a model's file");
            let settings = Settings { seed, ..settings.clone() };
            let mut trainer =
                Trainer::new(&Device::Cpu(harness::cpu()), &dataset(), &settings).expect("begins");
            let expected = trainer.parameters().expect("reads");
            assert_eq!(expected.len(), plan.trained.len());
            for (i, expected) in expected.iter().enumerate() {
                assert!(
                    floats(&got["values"][i]) == *expected,
                    "{name}: parameter {i}, seed {seed}"
                );
                assert!(file[i] == *expected, "{name}: parameter {i} of the file");
            }
        }
    }
}
