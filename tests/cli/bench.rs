//! The benchmark: that it measures what it says on every device, and that a wrong result has no figure.

use std::ops::Range;
use std::process::{Command, Output};

use elbo::bench::{self, Report, Request, Target, Timing, percentile, table};
use elbo::device::{Device, DeviceError, Executor, Precision, Progress, TimedBy};
use elbo::plan::{PlanId, TensorId};
use elbo::train::{self, Settings};
use serde_json::Value;

use crate::harness;
use crate::harness::wrapped::{Hooks, Wrapped};

/// Everything, as small as it gets.
fn request() -> Request {
    Request {
        ceilings: true,
        kernels: true,
        steps: true,
        fusions: false,
        bounds: false,
        rows: 40,
        networks: vec![bench::network("12-8-3").expect("a network")],
        batches: vec![6],
        samples: 2,
        precision: Precision::F32,
        seconds: 0.005,
        warm_up: 10,
        copied: 1 << 20,
        largest_matmul: 256,
    }
}

fn measure(target: &Target, request: &Request) -> Report {
    bench::run(target, request, &mut |_| {}).expect("a report")
}

fn json(report: &Report) -> Value {
    serde_json::to_value(report).expect("JSON")
}

#[test]
fn percentiles_are_those_of_the_samples() {
    let sorted = [1.0, 2.0, 3.0, 4.0, 10.0];
    assert_eq!(percentile(&sorted, 0.0), 1.0);
    assert_eq!(percentile(&sorted, 0.5), 3.0);
    assert_eq!(percentile(&sorted, 1.0), 10.0);
    assert!((percentile(&sorted, 0.1) - 1.4).abs() < 1e-12);
    assert!((percentile(&sorted, 0.9) - 7.6).abs() < 1e-12);
    assert_eq!(percentile(&[7.0], 0.9), 7.0);
    let timing = Timing::new(vec![3.0, 1.0, 2.0, 10.0], 5, TimedBy::Wall);
    assert_eq!((timing.median, timing.n, timing.runs), (2.5, 4, 5));
    assert!(timing.p10 < timing.median && timing.median < timing.p90);
}

#[test]
fn networks_are_lists_of_widths() {
    let network = bench::network("784-200-100-50").expect("a network");
    assert_eq!(network.image, (28, 28));
    assert_eq!((&network.hidden, network.latent), (&vec![200, 100].into(), 50));
    assert_eq!(network.decoder_hidden, vec![100, 200].into());
    assert!(bench::network("9-2").expect("a linear one").hidden.is_empty());
    let network = bench::network("8x9x3-conv 4 3/2-conv 5 3-20-2").expect("a network");
    assert_eq!((network.image, network.channels), ((8, 9), 3));
    let decoder = "20, dense 4x5x5, convt 4 3/1, convt 3/2 to 8x9";
    assert_eq!(network.decoder_hidden.to_string(), decoder);
    for wrong in [
        "",
        "784",
        "8x-conv 4 3-2",
        "8x9-pool 2-3",
        "8x9-20-conv 4 3-2",
        "784-",
        "784-0-20",
        "a-b-c",
        "784,400",
        "-3-4",
        "99999-99999-2",
    ] {
        let message = bench::network(wrong).expect_err(wrong);
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

/// Every figure is there, within what it must be, and adds up.
#[test]
fn every_device_is_measured() {
    for device in harness::devices() {
        let name = device.description().name.clone();
        let has_clock = device.description().kind != "cpu";
        let report = measure(&Target::from(device), &request());
        assert_eq!(report.wrong(), Vec::<String>::new(), "{name}");
        let ceilings = report.ceilings.as_ref().expect("asked for");
        assert!(ceilings.gap().expect("right") > 0.0);
        assert!(ceilings.bandwidth().expect("right") > 1e6, "{name}");
        assert!(ceilings.flops().expect("right") > 1e6, "{name}");
        assert_eq!(ceilings.matmul.len(), 1);
        assert_eq!(ceilings.matmul[0].flops, 2 * 256 * 256 * 256);

        let [step] = &report.steps[..] else { panic!("one network, one batch size") };
        let figures = step.figures.right().expect("right");
        let images = figures.images_per_second * figures.time.median;
        assert!((images - 6.0).abs() < 1e-9, "{images} images a step");
        assert!(figures.time.p10 <= figures.time.median && figures.time.median <= figures.time.p90);
        assert!(figures.time.n >= 5);
        assert_eq!(figures.time.clock, TimedBy::Wall);
        if has_clock && figures.device_time.is_none() {
            println!("{name} has no timestamps");
        }
        assert!(step.warm_up_elbo < 0.0 && step.warm_up_elbo > -100.0, "{}", step.warm_up_elbo);
        assert!(step.first_step > 0.0);

        // every dispatch of the step's plan is among the kernels
        assert_eq!(report.kernels.iter().map(|k| k.times).sum::<usize>(), step.dispatches);
        let flops: u64 = report.kernels.iter().map(|k| k.flops * k.times as u64).sum();
        assert_eq!(flops, step.flops);
        for kernel in &report.kernels {
            assert!(kernel.time.right().expect("right").median > 0.0, "{}", kernel.kernel);
        }

        let text = table(&report);
        assert!(text.contains(&name) && text.contains("12-8-3 K=2"), "{text}");
        assert!(!text.contains("WRONG"), "{text}");
    }
}

/// What a step uses, from the plan itself: parameters with two moments, images as bytes.
#[test]
fn memory_is_that_of_the_plan() {
    let device = || Target::from(Device::Cpu(harness::cpu()));
    let at = |batches: Vec<usize>| {
        let only_steps = Request { ceilings: false, kernels: false, batches, ..request() };
        measure(&device(), &only_steps).steps
    };
    // Rows whose parts of a tensor end at its alignment: padding, which does not grow, is the same in all.
    let steps = at(vec![64, 128, 256]);
    let parameters = (12 * 8 + 8) + (8 * 6 + 6) + (3 * 8 + 8) + (8 * 12 + 12);
    for step in &steps {
        assert_eq!(step.parameters, parameters);
        assert_eq!(step.memory.parameters, 12 * parameters as u64);
        assert!(step.memory.data >= (step.images * 12) as u64);
        let m = step.memory;
        let linear = m.rest_fixed + m.rest_per_image * (step.batch * step.samples) as u64;
        assert!(m.rest.abs_diff(linear) <= 16 * step.batch as u64, "{m:?}");
        assert!(m.rest_per_image > 0);
    }
    // nothing grows but with the rows
    let slope = |a: usize, b: usize| {
        let rows = (steps[b].batch - steps[a].batch) * steps[a].samples;
        (steps[b].memory.rest - steps[a].memory.rest) as f64 / rows as f64
    };
    assert!((slope(0, 1) - slope(1, 2)).abs() < 1.0, "{} and {}", slope(0, 1), slope(1, 2));
}

/// What a device does wrong.
#[derive(Clone, Copy)]
enum Fault {
    /// One element of a tensor is off after timed dispatches.
    Element(&'static str),
    /// Timed dispatches do not run.
    Idle,
    /// Steps do not run.
    NoSteps,
    /// A parameter drifts in every step.
    Drift,
    /// A parameter is NaN after the steps.
    Nan,
    /// Constants read as ones in every bit: places that are none.
    Constants,
}

/// Changes the last element of the first tensor whose name ends so, if there is one.
fn distort(
    device: &mut dyn Executor,
    name: &str,
    change: impl Fn(f32) -> f32,
) -> Result<(), DeviceError> {
    let found = device.program().tensors().iter().position(|t| t.name.ends_with(name));
    let Some(tensor) = found.map(TensorId) else { return Ok(()) };
    let mut values = device.read_f32(tensor)?;
    // A NaN that stays one would be no fault.
    if let Some(last) = values.iter_mut().rfind(|v| v.is_finite()) {
        *last = change(*last);
    }
    device.write_f32(tensor, &values)
}

impl Hooks for Fault {
    fn run(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        n: u64,
        progress: &mut Progress,
    ) -> Result<u64, DeviceError> {
        if let Fault::NoSteps = self {
            return Ok(n);
        }
        let done = inner.run(plan, n, progress)?;
        match self {
            Fault::Drift => distort(inner, "encoder.0.weight", |v| v + 1e-4)?,
            Fault::Nan => distort(inner, "decoder.0.bias", |_| f32::NAN)?,
            _ => {}
        }
        Ok(done)
    }

    fn read_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
    ) -> Result<Vec<u8>, DeviceError> {
        let mut bytes = inner.read_bytes(tensor)?;
        let constants = inner.program().constants();
        if matches!(self, Fault::Constants) && constants.iter().any(|(id, _)| *id == tensor) {
            bytes.fill(0xff);
        }
        Ok(bytes)
    }

    fn time(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        if let Fault::Idle = self {
            return Ok((1e-3, TimedBy::Wall));
        }
        let timing = inner.time(plan, dispatches, n)?;
        if let Fault::Element(name) = self {
            distort(inner, name, |v| v + 1e-2 * (1.0 + v.abs()))?;
        }
        Ok(timing)
    }
}

fn faulty(fault: Fault) -> Target {
    let device = Device::Cpu(harness::cpu());
    let description = device.description().clone();
    let load = move |program| {
        let inner = device.load(program)?;
        Ok(Box::new(Wrapped { inner, hooks: fault }) as Box<dyn Executor>)
    };
    Target { description, load: Box::new(load) }
}

/// What a report of a faulty device calls wrong; each of it has no figure, in the table or as JSON.
fn wrong_by(fault: Fault, request: &Request) -> Vec<String> {
    let report = measure(&faulty(fault), request);
    let wrong = report.wrong();
    let text = table(&report);
    for line in &wrong {
        assert!(text.contains(&format!("WRONG: {line}")), "{text}");
    }
    for kernel in json(&report)["kernels"].as_array().expect("rows") {
        let time = &kernel["time"];
        assert_ne!(time.get("wrong").is_some(), time.get("median").is_some(), "{time}");
    }
    for step in json(&report)["steps"].as_array().expect("rows") {
        let figures = &step["figures"];
        assert_ne!(figures.get("wrong").is_some(), figures.get("time").is_some(), "{figures}");
    }
    wrong
}

#[test]
fn each_fusion_of_a_step_is_priced() {
    let request = Request {
        ceilings: false,
        kernels: false,
        steps: false,
        fusions: true,
        samples: 1,
        ..request()
    };
    for device in harness::devices() {
        let report = measure(&Target::from(device), &request);
        let names: Vec<&str> = report.fusions.iter().map(|f| f.fusion).collect();
        let of_the_step = [
            "bernoulli.decode",
            "posterior.sample_forward",
            "posterior.backward_input",
            "linear.update",
            "linear.update_all",
        ];
        assert_eq!(names, of_the_step);
        for row in &report.fusions {
            let [with, without] = row.dispatches;
            assert!(row.times > 0 && with < without, "{row:?}");
            assert!(row.ratio > 0.0 && row.p10 <= row.ratio && row.ratio <= row.p90, "{row:?}");
            assert!(table(&report).contains(row.fusion));
        }
    }
}

/// The plans of the bounds on log p(x), with all their kernels; where one of these is wrong the plan has no figure.
#[test]
fn bounds_are_measured() {
    let request = Request {
        ceilings: false,
        kernels: false,
        steps: false,
        bounds: true,
        batches: vec![6, 8], // which they do not depend on
        ..request()
    };
    for device in harness::devices() {
        let report = measure(&Target::from(device), &request);
        assert_eq!(report.wrong(), Vec::<String>::new());
        let of = |row: &bench::BoundsRow| (row.images, row.draws, row.runs);
        let sizes: Vec<_> = report.bounds.iter().map(of).collect();
        assert_eq!(sizes, [(4, 10, 10), (8, 5, 1), (1, 40, 1)]);
        for row in &report.bounds {
            let time = row.time.right().expect("right");
            assert!(time.p10 <= time.median && time.median <= time.p90 && time.p10 > 0.0);
            let flops: u64 = row.kernels.iter().map(|k| k.flops * k.times as u64).sum();
            assert_eq!(flops * row.runs as u64, row.flops);
            assert!(row.kernels.iter().all(|k| k.time.right().is_some()), "{row:?}");
            assert!(table(&report).contains(row.work), "{}", table(&report));
        }
        assert!(table(&report).contains("annealed.leapfrog"), "{}", table(&report));
    }
    for (tensor, row, kernel) in [
        ("state", 0, "annealed.transition"),
        ("v", 0, "annealed.leapfrog"),
        ("d_heads", 1, "posterior.backward"),
        ("log_w", 2, "importance.log_weight"),
    ] {
        let report = measure(&faulty(Fault::Element(tensor)), &request);
        let wrong = report.wrong();
        assert!(wrong.iter().any(|w| w.contains(kernel)), "{kernel}: {wrong:?}");
        assert!(report.bounds[row].time.right().is_none(), "{:?}", report.bounds[row]);
        assert!(table(&report).contains("WRONG"));
    }
}

#[test]
fn a_wrong_ceiling_has_no_figure() {
    let only = Request { kernels: false, steps: false, ..request() };
    let wrong = wrong_by(Fault::Idle, &only).join("\n");
    for what in ["independent dispatches", "dependent dispatches", "copy", "matmul 256 x 256"] {
        assert!(wrong.contains(what), "{what} in {wrong}");
    }
    let wrong = wrong_by(Fault::Element("y"), &only);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("matmul 256 x 256"), "{wrong:?}");
}

#[test]
fn a_wrong_kernel_has_no_figure() {
    let only = Request { ceilings: false, steps: false, ..request() };
    // every tensor of floats that the step writes, whatever its kernels are
    let network = bench::network("12-8-3").expect("a network");
    let settings = Settings { architecture: network, batch: 6, samples: 2, ..Settings::default() };
    let images = |n_images: usize| elbo::data::Images {
        n_images,
        height: 1,
        width: 12,
        channels: 1,
        pixels: vec![128; n_images * 12].into(),
        labels: None,
    };
    let dataset = elbo::data::Dataset {
        name: String::new(),
        train: images(60),
        test: images(1),
        valid: None,
    };
    let plan = train::record(&dataset, &settings).expect("a plan");
    let written: Vec<String> = plan
        .program
        .plan(plan.train.plan)
        .dispatches
        .iter()
        .flat_map(|d| &d.bindings)
        .filter(|b| b.access.writes())
        .map(|b| plan.program.get(b.tensor))
        .filter(|t| t.dtype == elbo::plan::DType::F32)
        .map(|t| t.name.clone())
        .collect();
    assert!(written.len() > 5, "{written:?}");
    for name in written {
        let wrong = wrong_by(Fault::Element(name.clone().leak()), &only);
        assert!(wrong.iter().any(|w| w.contains(&name)), "{name}: {wrong:?}");
    }
    assert!(!wrong_by(Fault::Idle, &only).is_empty());
}

/// Where every layer's parameters are is a constant, which the check of their update goes by.
#[test]
fn a_device_whose_memory_is_wrong_is_called_so() {
    // With one sample an image all layers have as many rows, and their updates are one kernel.
    let only = Request { ceilings: false, steps: false, samples: 1, ..request() };
    let wrong = wrong_by(Fault::Constants, &only).join("\n");
    assert!(wrong.contains("linear.update_all: train/layers"), "{wrong}");
    assert!(wrong.contains("an input was changed"), "{wrong}");
}

#[test]
fn a_wrong_step_has_no_figure() {
    let only = Request { ceilings: false, kernels: false, ..request() };
    for fault in [Fault::NoSteps, Fault::Drift, Fault::Nan] {
        let wrong = wrong_by(fault, &only);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].starts_with("12-8-3, batch 6: step"), "{wrong:?}");
    }
}

/// A large product and a large kernel are checked by other means than small ones.
#[test]
fn a_wrong_large_kernel_has_no_figure() {
    let only = Request {
        ceilings: false,
        steps: false,
        networks: vec![bench::network("300-300-10").expect("a network")],
        batches: vec![700],
        samples: 1,
        ..request()
    };
    assert_eq!(wrong_by(Fault::Element("no tensor"), &only), Vec::<String>::new());
    let wrong = wrong_by(Fault::Element("encoder.0.weight"), &only);
    assert!(wrong.iter().any(|w| w.contains("encoder.0.weight")), "{wrong:?}");
}

fn elbo(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
    command.arg("bench").args(arguments.split_whitespace());
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir()).output().expect("it runs")
}

#[test]
fn the_json_names_device_driver_versions_and_commit() {
    let output = elbo(
        "--device cpu --only steps,kernels --arch 12-8-3,12-3 --batch 4,8 --seconds 0.005 --warm-up 4 --json -",
    );
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    for key in ["name", "kind", "backend", "driver"] {
        assert!(!report["device"][key].as_str().expect(key).is_empty(), "{key}");
    }
    assert!(!report["commit"].as_str().expect("a commit").is_empty());
    assert!(report["versions"]["wgpu"].as_str().expect("a version").starts_with("30."));
    assert!(report["date"].as_str().expect("a date").starts_with("20"));
    assert!(report["ceilings"].is_null());
    let steps = report["steps"].as_array().expect("rows");
    let at = |i: usize| (steps[i]["network"].as_str().expect("text"), steps[i]["batch"].as_u64());
    let expected = [("12-8-3", Some(4)), ("12-8-3", Some(8)), ("12-3", Some(4)), ("12-3", Some(8))];
    assert_eq!((0..steps.len()).map(at).collect::<Vec<_>>(), expected);
    for step in steps {
        assert!(step["figures"]["images_per_second"].as_f64().expect("a figure") > 0.0);
        assert_eq!(step["figures"]["time"]["clock"], "wall clock");
    }
}

#[test]
fn the_json_goes_to_a_file_beside_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bench.json");
    let arguments = "--device cpu --only steps --arch 12-3 --batch 4 --seconds 0.005 --warm-up 4";
    let output = elbo(&format!("{arguments} --json {}", path.display()));
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("images/s") && text.contains("12-3"), "{text}");
    let report: Value =
        serde_json::from_slice(&std::fs::read(path).expect("the file")).expect("JSON");
    assert_eq!(report["steps"].as_array().map(Vec::len), Some(1));
}

#[test]
fn wrong_input_is_one_line_and_exit_code_2() {
    for (arguments, part) in [
        ("--seconds 0", "--seconds must be from"),
        ("--seconds nan", "--seconds must be from"),
        ("--warm-up 1", "--warm-up must be from"),
        ("--only steps --batch 0", "--batch"),
        ("--only steps --batch 60001", "60001"),
        ("--only steps --samples 0", "--samples"),
        ("--json /nonexistent/x.json", "/nonexistent"),
        ("--json /", "folder"),
        ("--device nosuch", "--device nosuch"),
    ] {
        let output = elbo(arguments);
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{arguments}: {stderr}");
        let errors: Vec<&str> = stderr.lines().filter(|l| l.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "{arguments}: {stderr}");
        assert!(errors[0].contains(part), "{arguments}: {stderr}");
        assert!(output.stdout.is_empty(), "{arguments}");
    }
    for arguments in ["--arch 784", "--arch 784-x-20", "--only nothing", "--quick --batch 5"] {
        assert_eq!(elbo(arguments).status.code(), Some(2), "{arguments}");
    }
}
