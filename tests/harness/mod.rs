//! Runs one kernel case on a device and holds every element of every output against the f64 twin.
//! tests/kernels/faults plants faults to see that nothing gets past it.
#![allow(dead_code)] // each test crate uses its part

use std::io::Write;
use std::process::Command;
use std::sync::Once;

use elbo::device::cpu::{CpuDevice, CpuExecutor};
use elbo::device::gpu::{Adapters, GUARD_BYTE, GpuDevice, adapter};
use elbo::device::{Device, DeviceError, Executor};
use elbo::kernels::bound::Bounded;
use elbo::kernels::case::Fill;
use elbo::kernels::{Case, Kernel, Precision, Real, Variant};
use elbo::plan::{Access, DType, Plan, PlanId, Program, TensorId};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The bounds of `Bounded` are first order; what they leave out fits in this factor.
pub const SAFETY: f64 = 2.0;

/// Bytes around each tensor that must stay untouched.
pub const GUARD: u64 = 512;

/// The device under test: loads a program.
pub type Load<'a> = &'a dyn Fn(Program) -> Result<Box<dyn Tested>, DeviceError>;

/// An executor whose guard bands, if it has any, can be looked at.
pub trait Tested: Executor {
    fn guards(&mut self, _tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        Ok(Vec::new())
    }
}

impl Tested for CpuExecutor<f32> {}

impl Tested for elbo::device::gpu::GpuExecutor {
    fn guards(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let (mut before, after) = self.read_guards(tensor)?;
        before.extend(after);
        assert_eq!(before.len() as u64, 2 * GUARD, "load with load_guarded(program, GUARD)");
        Ok(before)
    }
}

/// The adapter that the GPU tests run on. A machine without one fails them: a test that is skipped in
/// silence looks like one that passed.
pub fn gpu() -> GpuDevice {
    match open_gpu(&Adapters::enumerate()) {
        Ok(device) => device,
        Err(message) => panic!("{message}"),
    }
}

/// Every adapter of this machine: the software one that is the same everywhere, and any hardware.
pub fn gpus() -> Vec<GpuDevice> {
    let adapters = Adapters::enumerate();
    assert!(!adapters.all().is_empty(), "no GPU adapter for the tests: {}", adapter::HINT);
    let open = |a| GpuDevice::open(a).unwrap_or_else(|e| panic!("{e}"));
    adapters.all().iter().map(open).collect()
}

/// Every adapter that has cooperative matrices, in mixed precision. The others are named on the terminal,
/// past what the test runner keeps to itself: there the shaders are not tested.
pub fn mixed_gpus() -> Vec<GpuDevice> {
    let mixed = |gpu: &GpuDevice| match gpu.in_precision(Precision::Mixed) {
        Ok(gpu) => Some(gpu),
        Err(DeviceError::Precision { adapter, problem }) => {
            assert!(!problem.contains("wrongly"), "{adapter}: {problem}");
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                let line = format!("NOT TESTED: cooperative matrices on {adapter}: {problem}\n");
                std::io::stderr().write_all(line.as_bytes()).expect("a terminal");
            });
            None
        }
        Err(error) => panic!("{error}"),
    };
    gpus().iter().filter_map(mixed).collect()
}

/// The CPU and every adapter.
pub fn devices() -> Vec<Device> {
    let gpus = gpus().into_iter().map(|gpu| Device::Gpu(Box::new(gpu)));
    std::iter::once(Device::Cpu(cpu())).chain(gpus).collect()
}

/// The variants of a kernel that an adapter can run.
pub fn variants(device: &GpuDevice, kernel: &Kernel) -> Vec<&'static Variant> {
    kernel.variants.iter().filter(|variant| device.can_run(variant)).collect()
}

pub fn open_gpu(adapters: &Adapters) -> Result<GpuDevice, String> {
    // The software adapter is preferred: the tests are the same on every machine.
    let software = adapters.find("llvmpipe").or_else(|_| adapters.best());
    let chosen =
        software.map_err(|_| format!("no GPU adapter for the tests: {}", adapter::HINT))?;
    GpuDevice::open(chosen).map_err(|e| e.to_string())
}

pub fn cpu() -> CpuDevice {
    CpuDevice::new(None).expect("threads")
}

/// A test of this program again, in a process of its own. The module is `module_path!()`.
pub fn again(module: &str, test: &str) -> Command {
    let (_, module) = module.split_once("::").expect("a module of a test program");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]);
    command
}

/// Whether the test runs alone in its process, which one that changes or measures the whole process needs.
/// Where it does not, it runs there now, and must pass.
pub fn is_alone(module: &str, test: &str) -> bool {
    const ALONE: &str = "ELBO_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = again(module, test).env(ALONE, "1").output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {output:?}");
    false
}

/// A case as a program of one dispatch, with the bytes that its tensors begin with.
pub struct Prepared {
    pub program: Program,
    pub plan: PlanId,
    pub tensors: Vec<(TensorId, Access, Vec<u8>)>,
}

/// Declares the tensors that the case's dimensions imply, and makes their content.
pub fn prepare(kernel: &'static Kernel, case: &Case, seed: u64) -> Result<Prepared, String> {
    let reflection = kernel.reflection().map_err(|e| e.to_string())?;
    let known = |name: &str| {
        let dim = case.dims.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
        dim.or_else(|| case.constants.iter().find(|(n, _)| *n == name).map(|(_, v)| *v as usize))
    };
    // A misspelled name would leave the case's inputs at their default, in silence. A fill may be for
    // another entry point of the file: some share their cases.
    for (name, _) in &case.dims {
        if !reflection.overrides.iter().any(|known| known.name == *name) {
            return Err(format!("{kernel}: the case gives {name}, which the shader does not use"));
        }
    }
    for (name, _) in &case.fills {
        if !reflection.source.contains(&format!("> {name}: array<")) {
            return Err(format!("{kernel}: the case fills {name}, which is no binding"));
        }
    }
    let mut program = Program::new();
    let mut names = Vec::new();
    let mut tensors = Vec::new();
    for (i, binding) in reflection.bindings.iter().enumerate() {
        let mut dims = Vec::new();
        for dim in &binding.dims {
            let mut size = 1;
            for factor in dim {
                size *=
                    factor.value(known).ok_or(format!("{kernel}: the case gives no {factor}"))?;
            }
            dims.push(size);
        }
        let id = program.tensor(binding.name.clone(), &dims, binding.dtype);
        let n = program.get(id).len();
        // A case refines another by filling a tensor again: the last one counts.
        let fill = case.fills.iter().rfind(|(name, _)| *name == binding.name).map(|(_, f)| f);
        let mut rng = ChaCha8Rng::seed_from_u64(seed * 1000 + i as u64);
        let bytes = match (binding.access, fill) {
            (Access::Write, None) => poison(n, binding.dtype),
            (_, fill) => content(fill.unwrap_or(&Fill::Normal(1.0)), n, &mut rng),
        };
        if bytes.len() != program.get(id).size_bytes() {
            return Err(format!("{kernel}: the case fills {} with another type", binding.name));
        }
        names.push((binding.name.as_str(), id));
        tensors.push((id, binding.access, bytes));
    }
    let mut plan = Plan::new("case");
    plan.dispatch(&program, kernel, &names, &case.constants).map_err(|e| e.to_string())?;
    let plan = program.add(plan);
    Ok(Prepared { program, plan, tensors })
}

/// What an output holds before the kernel: a NaN, so that an element never written shows.
fn poison(n: usize, dtype: DType) -> Vec<u8> {
    match dtype {
        DType::U8 => vec![0xAB; n],
        _ => std::iter::repeat_n(0x7fc0_1234_u32.to_le_bytes(), n).flatten().collect(),
    }
}

fn content(fill: &Fill, n: usize, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let floats = |values: &mut dyn FnMut() -> f64| -> Vec<u8> {
        (0..n).flat_map(|_| (values() as f32).to_le_bytes()).collect()
    };
    match fill {
        Fill::Normal(scale) => floats(&mut || {
            let u: f64 = 1.0 - rng.random::<f64>();
            let t: f64 = rng.random();
            scale * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * t).cos()
        }),
        Fill::Uniform(low, high) => floats(&mut || low + (high - low) * rng.random::<f64>()),
        Fill::Bits => floats(&mut || f64::from(rng.next_u32() & 1)),
        Fill::Cycle(values) => {
            let mut cycle = values.iter().cycle();
            floats(&mut || *cycle.next().expect("not empty"))
        }
        Fill::Bytes => (0..n).map(|_| rng.next_u32() as u8).collect(),
        Fill::Words(words) => words.iter().cycle().take(n).flat_map(|w| w.to_le_bytes()).collect(),
    }
}

/// The case's result in f64, with the bound on what single precision may do to it.
pub fn oracle(prepared: &Prepared) -> Result<CpuExecutor<Bounded>, String> {
    oracle_in(Precision::F32, prepared)
}

/// The same with the bound of a precision.
pub fn oracle_in(
    precision: Precision,
    prepared: &Prepared,
) -> Result<CpuExecutor<Bounded>, String> {
    let cpu = cpu().in_precision(precision);
    let mut oracle = cpu.load::<Bounded>(prepared.program.clone()).map_err(|e| e.to_string())?;
    for (id, _, bytes) in &prepared.tensors {
        oracle.write_bytes(*id, bytes).map_err(|e| e.to_string())?;
    }
    oracle.run_dispatch(prepared.plan, 0).map_err(|e| e.to_string())?;
    Ok(oracle)
}

/// Runs the case on the device twice and on the oracle, and compares everything.
///
/// Returns the worst error as a share of its bound.
///
/// # Errors
/// What was wrong first: kernel, case, tensor, element, got, expected, bound.
pub fn check(kernel: &'static Kernel, case: &Case, seed: u64, load: Load) -> Result<f64, String> {
    check_in(Precision::F32, kernel, case, seed, load)
}

/// The same with the bounds of a precision.
pub fn check_in(
    precision: Precision,
    kernel: &'static Kernel,
    case: &Case,
    seed: u64,
    load: Load,
) -> Result<f64, String> {
    let prepared = prepare(kernel, case, seed)?;
    let mut oracle = oracle_in(precision, &prepared)?;
    let mut device = load(prepared.program.clone()).map_err(|e| e.to_string())?;
    let first = run(&prepared, &mut *device)?;
    let second = run(&prepared, &mut *device)?;
    let mut worst = 0.0_f64;
    for (i, (id, access, before)) in prepared.tensors.iter().enumerate() {
        let tensor = prepared.program.get(*id);
        let fail = |what: String| {
            Err(format!("{kernel} {:?} {:?}: {tensor}: {what}", case.dims, case.constants))
        };
        for bytes in [&first[i], &second[i]] {
            if bytes.len() != tensor.size_bytes() {
                return fail(format!("{} bytes, expected {}", bytes.len(), tensor.size_bytes()));
            }
        }
        if first[i] != second[i] {
            return fail("two runs differ".to_string());
        }
        if device.guards(*id).map_err(|e| e.to_string())?.iter().any(|&byte| byte != GUARD_BYTE) {
            return fail("wrote outside the tensor".to_string());
        }
        if *access == Access::Read {
            if &first[i] != before {
                return fail("an input was changed".to_string());
            }
            continue;
        }
        let result = match tensor.dtype {
            DType::F32 => {
                let mut got: Vec<f32> = bytemuck::pod_collect_to_vec(&first[i]);
                let expected = oracle.floats_mut(*id);
                if precision == Precision::Mixed {
                    match_overflow(expected, &mut got);
                }
                compare(expected, &got)
            }
            _ => compare_bytes(&oracle.read_bytes(*id).map_err(|e| e.to_string())?, &first[i]),
        };
        match result {
            Ok(ratio) => worst = worst.max(ratio),
            Err(what) => return fail(what),
        }
    }
    Ok(worst)
}

/// In mixed precision a number beyond f16 is a NaN: one that both have is no fault.
fn match_overflow(expected: &mut [Bounded], got: &mut [f32]) {
    for (e, g) in expected.iter_mut().zip(got) {
        if e.value.is_nan() && g.is_nan() {
            (*e, *g) = (Real::ZERO, 0.0);
        }
    }
}

fn run(prepared: &Prepared, device: &mut dyn Tested) -> Result<Vec<Vec<u8>>, String> {
    for (id, _, bytes) in &prepared.tensors {
        device.write_bytes(*id, bytes).map_err(|e| e.to_string())?;
    }
    device.run_dispatch(prepared.plan, 0).map_err(|e| e.to_string())?;
    prepared
        .tensors
        .iter()
        .map(|(id, ..)| device.read_bytes(*id).map_err(|e| e.to_string()))
        .collect()
}

/// Holds each element to its own bound. Returns the worst error as a share of its bound.
///
/// # Errors
/// Different lengths, a NaN or infinity that the other side has not, or the element farthest out.
pub fn compare(expected: &[Bounded], got: &[f32]) -> Result<f64, String> {
    if expected.len() != got.len() {
        return Err(format!("{} elements, expected {}", got.len(), expected.len()));
    }
    let mut worst = (0.0_f64, String::new());
    for (i, (e, &g)) in expected.iter().zip(got).enumerate() {
        let g = f64::from(g);
        let describe =
            || format!("element {i} is {g:e}, expected {:e} ± {:e}", e.value, SAFETY * e.error);
        if !e.value.is_finite() || !g.is_finite() {
            // Neither side may be NaN; an infinity must be one on both.
            if e.value.is_nan() || g.is_nan() || e.value != g {
                return Err(describe());
            }
            continue;
        }
        if !e.error.is_finite() || e.error < 0.0 {
            return Err(format!("no bound: {}", describe()));
        }
        let difference = (g - e.value).abs();
        let ratio = if difference == 0.0 { 0.0 } else { difference / (SAFETY * e.error) };
        if ratio > worst.0 {
            worst = (ratio, describe());
        }
    }
    if worst.0 > 1.0 { Err(worst.1) } else { Ok(worst.0) }
}

fn compare_bytes(expected: &[u8], got: &[u8]) -> Result<f64, String> {
    match expected.iter().zip(got).position(|(e, g)| e != g) {
        Some(i) => Err(format!("byte {i} is {}, expected {}", got[i], expected[i])),
        None if expected.len() != got.len() => {
            Err(format!("{} bytes, expected {}", got.len(), expected.len()))
        }
        None => Ok(0.0),
    }
}
