//! Mixed precision: the test that adapters must pass, the range of f16, runs that use it, and what people
//! are told where it cannot be had. That its kernels are right is tested in reference.rs.

use std::path::Path;
use std::process::{Command, Output};

use elbo::device::cpu::CpuDevice;
use elbo::device::gpu::{Tuning, test_mixed_precision};
use elbo::device::{Device, DeviceError, Executor, Precision};
use elbo::kernels::activation::Activation;
use elbo::kernels::{REGISTRY, linear};
use elbo::numeric::precision::to_half;
use elbo::plan::case::Fill;
use elbo::plan::{Access, PlanId, Program, TensorId};
use elbo::plan::{Case, Kernel};
use elbo::train::{Settings, Trainer};
use serde_json::Value;

use crate::harness;
use crate::harness::wrapped::{Hooks, Wrapped};

/// What may be wrong with an adapter's products.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// Operands that are exact in f16 anyway.
    SinglePrecision,
    /// Sums in f16.
    HalfSums,
    /// The left operand by columns.
    Transposed,
    /// Rows 8 to 15 and 16 to 23.
    SwappedTiles,
    /// Doubled, in the third of several runs.
    OneElementOnce,
    NotANumber,
}

/// A fault, and how many dispatches have run.
struct Planted {
    fault: Fault,
    runs: usize,
}

fn planted(fault: Fault, program: Program) -> Result<Box<dyn Executor>, DeviceError> {
    let precision = match fault {
        Fault::SinglePrecision => Precision::F32,
        _ => Precision::Mixed,
    };
    let inner = Box::new(CpuDevice::new(Some(1))?.in_precision(precision).load::<f32>(program)?);
    Ok(Box::new(Wrapped { inner, hooks: Planted { fault, runs: 0 } }))
}

impl Hooks for Planted {
    fn run_dispatch(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        index: usize,
    ) -> Result<(), DeviceError> {
        self.runs += 1;
        inner.run_dispatch(plan, index)
    }

    fn write_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let declared = inner.program().get(tensor).clone();
        if self.fault == Fault::Transposed && ["x", "d_y"].contains(&declared.name.as_str()) {
            let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            let (rows, columns) = (declared.dims[0], declared.dims[1]);
            let other = |e: usize| values[e % rows * columns + e / rows];
            let turned: Vec<f32> = (0..values.len()).map(other).collect();
            return inner.write_bytes(tensor, bytemuck::cast_slice(&turned));
        }
        inner.write_bytes(tensor, bytes)
    }

    fn read_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
    ) -> Result<Vec<u8>, DeviceError> {
        let bytes = inner.read_bytes(tensor)?;
        let declared = inner.program().get(tensor);
        if !["y", "d_x", "weight_state"].contains(&declared.name.as_str()) {
            return Ok(bytes);
        }
        let mut values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let width = *declared.dims.last().expect("a matrix");
        match self.fault {
            Fault::HalfSums => values.iter_mut().for_each(|v| *v = to_half(*v)),
            Fault::SwappedTiles => {
                let (low, high) = values.split_at_mut(16 * width);
                low[8 * width..].swap_with_slice(&mut high[..8 * width]);
            }
            Fault::OneElementOnce if self.runs == 3 => values[7 * width + 3] *= 2.0,
            Fault::NotANumber => values[0] = f32::NAN,
            _ => {}
        }
        Ok(bytemuck::cast_slice(&values).to_vec())
    }
}

#[test]
fn an_adapter_is_tested_before_it_is_used() {
    let tested = |fault| test_mixed_precision(&|program| planted(fault, program)).expect("runs");
    for fault in [Fault::None, Fault::SinglePrecision] {
        assert_eq!(tested(fault), Ok(()), "{fault:?}");
    }
    for fault in [
        Fault::HalfSums,
        Fault::Transposed,
        Fault::SwappedTiles,
        Fault::OneElementOnce,
        Fault::NotANumber,
    ] {
        let wrong = tested(fault).expect_err(&format!("{fault:?}"));
        assert!(wrong.starts_with("linear.") && wrong.lines().count() == 1, "{fault:?}: {wrong}");
    }
}

/// One result of a case, element by element, on the CPU and on every adapter that has mixed precision, with
/// the result in f64.
fn results(kernel: &'static Kernel, case: &Case, output: &str) -> (Vec<f64>, Vec<Vec<f32>>) {
    let prepared = harness::prepare(kernel, case, 0).expect("a case");
    let run = |device: &mut dyn Executor| -> Vec<f32> {
        for (id, _, bytes) in &prepared.tensors {
            device.write_bytes(*id, bytes).expect("writes");
        }
        device.run_dispatch(prepared.plan, 0).expect("runs");
        let found = |t: &&(TensorId, Access, Vec<u8>)| prepared.program.get(t.0).name == output;
        device.read_f32(prepared.tensors.iter().find(found).expect("an output").0).expect("reads")
    };
    let mut all = Vec::new();
    let cpu = harness::cpu().in_precision(Precision::Mixed);
    all.push(run(&mut cpu.load::<f32>(prepared.program.clone()).expect("loads")));
    for gpu in harness::mixed_gpus() {
        all.push(run(&mut gpu.load(prepared.program.clone()).expect("loads")));
    }
    let mut oracle = harness::cpu().load::<f64>(prepared.program.clone()).expect("loads");
    run(&mut oracle);
    let id =
        TensorId(prepared.program.tensors().iter().position(|t| t.name == output).expect("it"));
    (oracle.floats_mut(id).to_vec(), all)
}

fn layer(r: usize, i: usize, o: usize) -> Case {
    Case::new(&[("R", r), ("I", i), ("O", o)])
}

/// An infinity would be lost in the ReLU behind it, and so would what it means.
#[test]
fn a_number_beyond_f16_is_a_nan_and_no_infinity() {
    let cases = |value: f64| {
        let huge = move || Fill::Cycle(vec![-value]);
        let relu = ("ACTIVATION", Activation::Relu.number());
        let update = layer(4, 7, 9)
            .dim("PLANES", 2)
            .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
            .fill("weight_state", Fill::Uniform(0.1, 1.0))
            .fill("bias_state", Fill::Uniform(0.1, 1.0));
        let forward = layer(5, 7, 9).constant(relu.0, relu.1);
        [
            (&linear::FORWARD, forward.clone().fill("x", huge()), "y"),
            (&linear::FORWARD, forward.fill("weight", huge()), "y"),
            // 4 rows of a mean
            (&linear::BACKWARD_INPUT, layer(4, 7, 9).fill("d_y", huge()), "d_x"),
            (&linear::UPDATE, update.fill("x", huge()), "weight"),
        ]
    };
    for (kernel, case, output) in cases(65_600.0) {
        for result in results(kernel, &case, output).1 {
            assert!(result.iter().all(|v| v.is_nan()), "{kernel}: {result:?}");
        }
    }
    for (kernel, case, output) in cases(16_000.0) {
        for result in results(kernel, &case, output).1 {
            assert!(result.iter().all(|v| v.is_finite()), "{kernel}: {result:?}");
        }
    }
}

/// A mean's gradient is the smaller the more rows there are, and f16 ends at 6e-8.
#[test]
fn small_gradients_are_kept() {
    // one part in a thousand of 1 / 4096: without a scale two or three bits of it were left
    let d_y = || Fill::Uniform(1e-7, 3e-7);
    for (kernel, case, output) in [
        (&linear::BACKWARD_INPUT, layer(4096, 3, 5).fill("weight", Fill::Uniform(0.1, 1.0)), "d_x"),
        (&linear::UPDATE, layer(4096, 3, 5).fill("x", Fill::Uniform(0.1, 1.0)), "weight_state"),
    ] {
        let zero = || Fill::Cycle(vec![0.0]);
        let case = case.fill("d_y", d_y());
        let case = match output {
            "weight_state" => {
                case.dim("PLANES", 2).fill("weight_state", zero()).fill("bias_state", zero())
            }
            _ => case,
        };
        let (expected, all) = results(kernel, &case, output);
        for result in all {
            // the first moments, which are a tenth of the gradient
            let n = if output == "weight_state" { result.len() / 2 } else { result.len() };
            for (e, g) in expected.iter().zip(&result).take(n) {
                let error = (f64::from(*g) - e).abs() / e.abs();
                assert!(error < 2.1 / 1024.0, "{kernel}: {g:e}, expected {e:e}");
            }
        }
    }
}

/// Without being asked, no adapter computes in f16.
#[test]
fn cooperative_matrices_are_for_mixed_precision_only() {
    let products = || REGISTRY.iter().filter(|k| k.variants.len() > 1);
    for gpu in harness::gpus() {
        for variant in products().flat_map(|k| k.variants) {
            assert!(variant.cooperative.is_none() || !gpu.can_run(variant), "{}", variant.name);
        }
    }
    for gpu in harness::mixed_gpus() {
        let back = gpu.in_precision(Precision::F32).expect("f32");
        for kernel in products() {
            let can = |gpu: &elbo::device::gpu::GpuDevice| {
                let usable = harness::variants(gpu, kernel);
                usable.iter().filter(|v| v.cooperative.is_some()).count()
            };
            assert!(can(&gpu) > 0 && can(&back) == 0, "{kernel}");
        }
        let case = &(linear::FORWARD.cases)()[8];
        let program = harness::prepare(&linear::FORWARD, case, 0).expect("a case").program;
        let dispatch = program.plans()[0].dispatches[0].clone();
        let chosen = |device: Device| {
            let executor = device.load(program.clone()).expect("loads");
            executor.variants().get(&dispatch).expect("a product has several").name
        };
        let of = |gpu| Device::Gpu(Box::new(gpu));
        let usual = chosen(of(gpu.clone()));
        assert!(usual.starts_with("cooperative"), "{usual}");
        // Another run's choice comes first; of one in mixed precision nothing is left in f32.
        let executor = of(gpu.clone()).load(program.clone()).expect("loads");
        assert!(!chosen(of(back).with_variants(executor.variants())).starts_with("cooperative"));
        let cache = tempfile::tempdir().expect("a folder");
        let cache = cache.path().join("variants.json");
        of(gpu.tuned(Tuning { cache: Some(cache.clone()), notice: |_| {} }))
            .load(program.clone())
            .expect("loads");
        let remembered = std::fs::read_to_string(&cache).expect("measured");
        assert!(remembered.contains(usual), "a candidate: {remembered}");
    }
}

fn elbo(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
    command.current_dir(folder).args(arguments.split_whitespace());
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir()).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON")
}

fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn a_run_keeps_its_precision() {
    let home = tempfile::tempdir().expect("a folder");
    let at = |path: &str| home.path().join(path);
    let train = "train --device cpu --hidden 32 --latent 4 --seed 3 --epochs 1";
    let mixed = elbo(home.path(), &format!("{train} --precision mixed --steps 60 --run whole"));
    succeeds(&mixed);
    let said = text(&mixed.stderr);
    assert!(said.contains("mixed precision is imitated on the CPU"), "{said}");
    assert!(said.contains("; mixed precision; run folder"), "{said}");
    assert_eq!(read(&at("whole/config.json"))["precision"], "mixed");
    // Stopped and resumed, which asks for nothing.
    succeeds(&elbo(home.path(), &format!("{train} --precision mixed --steps 25 --run parts")));
    succeeds(&elbo(home.path(), "train --resume parts --steps 60"));
    let parameters = |run: &str| read(&at(run).join("summary.json"))["parameters_sha256"].clone();
    assert!(parameters("whole").is_string());
    assert_eq!(parameters("whole"), parameters("parts"));
    // f32 is another run, and the usual one.
    succeeds(&elbo(home.path(), &format!("{train} --steps 60 --run single")));
    assert_eq!(read(&at("single/config.json"))["precision"], "f32");
    assert_ne!(parameters("whole"), parameters("single"));
    // A run from before there was a choice is in f32.
    let mut old = read(&at("single/config.json"));
    old.as_object_mut().expect("an object").remove("precision").expect("it was there");
    let old: Settings = serde_json::from_value(old).expect("settings");
    assert_eq!(old.precision, Precision::F32);

    let refused = elbo(home.path(), "train --resume whole --precision f32 --steps 70");
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("--precision cannot be given with --resume"), "{said}");
    let refused = elbo(home.path(), "train --precision half");
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("f32") && said.contains("mixed"), "{said}");
}

#[test]
fn an_adapter_without_cooperative_matrices_is_refused() {
    let home = tempfile::tempdir().expect("a folder");
    let run = home.path().join("run");
    for (i, gpu) in harness::gpus().iter().enumerate() {
        let Err(DeviceError::Precision { adapter, .. }) = gpu.in_precision(Precision::Mixed) else {
            continue;
        };
        for command in ["train --steps 1 --run run", "bench --quick --only steps"] {
            let output = elbo(home.path(), &format!("{command} --precision mixed --device {i}"));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{said}");
            let last = said.lines().last().expect("a line");
            for word in ["--precision mixed", &adapter, "8x8", "--precision f32", "--device cpu"] {
                assert!(last.contains(word), "{word}: {said}");
            }
            assert!(last.starts_with("error: ") && !run.exists(), "{said}");
        }
    }
}

/// What f16 cannot hold ends a run, with what helps.
#[test]
fn an_overflow_is_told() {
    let home = tempfile::tempdir().expect("a folder");
    // gradients of (x - mean) / variance
    let train =
        "train --device cpu --hidden 8 --latent 2 --likelihood gaussian --variance 1e-6 --steps 3";
    let output = elbo(home.path(), &format!("{train} --precision mixed --run mixed"));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("is NaN") && said.contains("--precision f32"), "{said}");
    succeeds(&elbo(home.path(), &format!("{train} --run single")));
}

/// Steps in mixed precision are those of f32, but for roundings.
#[test]
fn steps_go_where_those_of_f32_go() {
    let data = elbo::mnist().expect("it is built in");
    let mut devices = vec![Device::Cpu(harness::cpu())];
    devices.extend(harness::mixed_gpus().into_iter().map(|gpu| Device::Gpu(Box::new(gpu))));
    let moved = |device: &Device, precision| -> Vec<Vec<f32>> {
        let mut settings = Settings { batch: 20, precision, ..Settings::default() };
        settings.architecture.hidden = vec![40].into();
        settings.architecture.decoder_hidden = vec![40].into();
        let mut trainer = Trainer::new(device, &data, &settings).expect("a trainer");
        let first = trainer.parameters().expect("reads");
        trainer.advance(4, |_| std::ops::ControlFlow::Continue(())).expect("steps");
        let difference =
            |(a, b): (Vec<f32>, Vec<f32>)| a.iter().zip(b).map(|(a, b)| b - a).collect();
        first.into_iter().zip(trainer.parameters().expect("reads")).map(difference).collect()
    };
    let expected = moved(&devices[0], Precision::F32);
    for device in &devices {
        let got = moved(device, Precision::Mixed);
        for (i, (e, g)) in expected.iter().zip(&got).enumerate() {
            let norm = |v: &mut dyn Iterator<Item = f32>| {
                v.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
            };
            let off = norm(&mut e.iter().zip(g).map(|(e, g)| e - g)) / norm(&mut e.iter().copied());
            println!("{}, parameter {i}: {off:.1e} of the way", device.description().name);
            assert!(off > 0.0 && off < 0.2, "{}, parameter {i}: {off}", device.description().name);
        }
    }
}
