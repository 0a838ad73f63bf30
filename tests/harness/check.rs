//! One kernel case on a device: every element of every output against the reference in f64.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use elbo::device::cpu::CpuExecutor;
use elbo::device::gpu::{GUARD_BYTE, GpuExecutor};
use elbo::device::{DeviceError, Executor};
use elbo::numeric::bounded::Bounded;
use elbo::numeric::{Precision, Real};
use elbo::plan::case::Fill;
use elbo::plan::{Access, DType, Plan, PlanId, Program, TensorId};
use elbo::plan::{Case, Kernel};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{GUARD, single_thread};

/// The bounds of `Bounded` are first order; what they leave out fits in this factor.
pub const SAFETY: f64 = 2.0;

/// The device under test: loads a program.
pub type Load<'a> = &'a dyn Fn(Program) -> Result<Box<dyn Tested>, DeviceError>;

/// An executor whose guard bands, if it has any, can be looked at.
pub trait Tested: Executor {
    fn guards(&mut self, _tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        Ok(Vec::new())
    }
}

impl Tested for CpuExecutor<f32> {}

impl Tested for GpuExecutor {
    fn guards(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let (mut before, after) = self.read_guards(tensor)?;
        before.extend(after);
        assert_eq!(before.len() as u64, 2 * GUARD, "load with load_guarded(program, GUARD)");
        Ok(before)
    }
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

/// What a kernel should leave in a tensor.
pub enum Expected {
    /// An input stays as it was.
    Unchanged,
    /// Each number with the bound on what rounding may do to it.
    Floats(Vec<Bounded>),
    Bytes(Vec<u8>),
}

impl Expected {
    /// # Panics
    /// If the tensor is an input or holds no floats.
    pub fn floats(&self) -> &[Bounded] {
        match self {
            Expected::Floats(values) => values,
            _ => panic!("the tensor is no result of floats"),
        }
    }
}

/// A case and its result in f64.
pub struct Reference {
    pub prepared: Prepared,
    /// By the tensors of `prepared`.
    pub expected: Vec<Expected>,
}

/// The references of this process: each is computed once, for all devices, variants and planted faults.
type References = Mutex<HashMap<String, Arc<OnceLock<Result<Arc<Reference>, String>>>>>;

/// The case's result in f64, with the bounds of a precision.
///
/// # Errors
/// The case does not fit its kernel.
pub fn reference(
    precision: Precision,
    kernel: &'static Kernel,
    case: &Case,
    seed: u64,
) -> Result<Arc<Reference>, String> {
    static REFERENCES: LazyLock<References> = LazyLock::new(References::default);
    // Kernels of one name differ where a test has made one of them.
    let key = format!("{kernel:p} {precision:?} {seed} {case:?}");
    let mut references = REFERENCES.lock().unwrap_or_else(PoisonError::into_inner);
    let reference = references.entry(key).or_default().clone();
    drop(references);
    let compute = || compute_reference(precision, kernel, case, seed).map(Arc::new);
    reference.get_or_init(compute).clone()
}

fn compute_reference(
    precision: Precision,
    kernel: &'static Kernel,
    case: &Case,
    seed: u64,
) -> Result<Reference, String> {
    let prepared = prepare(kernel, case, seed)?;
    let cpu = single_thread().in_precision(precision);
    let mut executor = cpu.load::<Bounded>(prepared.program.clone()).map_err(|e| e.to_string())?;
    for (id, _, bytes) in &prepared.tensors {
        executor.write_bytes(*id, bytes).map_err(|e| e.to_string())?;
    }
    executor.run_dispatch(prepared.plan, 0).map_err(|e| e.to_string())?;
    let mut expected = Vec::new();
    for (id, access, _) in &prepared.tensors {
        expected.push(match (access, prepared.program.get(*id).dtype) {
            (Access::Read, _) => Expected::Unchanged,
            (_, DType::F32) => Expected::Floats(executor.floats_mut(*id).to_vec()),
            _ => Expected::Bytes(executor.read_bytes(*id).map_err(|e| e.to_string())?),
        });
    }
    Ok(Reference { prepared, expected })
}

/// Runs the case on the device twice, and compares everything with the reference.
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
    let reference = reference(precision, kernel, case, seed)?;
    let mut device = load(reference.prepared.program.clone()).map_err(|e| e.to_string())?;
    check_loaded(precision, kernel, case, &reference, &mut *device)
}

/// The same on a device that has loaded the program.
pub fn check_loaded(
    precision: Precision,
    kernel: &'static Kernel,
    case: &Case,
    reference: &Reference,
    device: &mut dyn Tested,
) -> Result<f64, String> {
    let prepared = &reference.prepared;
    let first = run(prepared, device)?;
    let second = run(prepared, device)?;
    let mut worst = 0.0_f64;
    for (i, (id, _, before)) in prepared.tensors.iter().enumerate() {
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
        let result = match &reference.expected[i] {
            Expected::Unchanged if &first[i] != before => {
                return fail("an input was changed".to_string());
            }
            Expected::Unchanged => continue,
            Expected::Floats(expected) => {
                let mut got: Vec<f32> = bytemuck::pod_collect_to_vec(&first[i]);
                match precision {
                    Precision::F32 => compare(expected, &got),
                    Precision::Mixed => {
                        let mut expected = expected.clone();
                        match_overflow(&mut expected, &mut got);
                        compare(&expected, &got)
                    }
                }
            }
            Expected::Bytes(expected) => compare_bytes(expected, &first[i]),
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
