//! The harness is tested here: faults are planted in devices and in shaders, and each must be caught,
//! where the same case without the fault passes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use elbo::device::cpu::CpuExecutor;
use elbo::device::gpu::GUARD_BYTE;
use elbo::device::gpu::{GpuDevice, adapter};
use elbo::device::{Clock, Description, DeviceError, Executor, Progress};
use elbo::kernels::bound::Bounded;
use elbo::kernels::case::Fill;
use elbo::kernels::{Case, Kernel, Parts, REGISTRY, Real, Twin, Variant};
use elbo::kernels::{
    adam, bernoulli, ceiling, decode, gather, gaussian, importance, keep, latent, linear,
    posterior, prior, tally, update,
};
use elbo::plan::shader::resolve_imports;
use elbo::plan::{Access, DType, PlanId, Program, TensorId};

use crate::harness::{self, GUARD, Prepared, SAFETY, Tested};

/// What a device does wrong, most of it to one tensor.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Runs nothing.
    NoOp,
    /// Fails to run.
    Lost,
    Zeros,
    /// One word of the result is another.
    Word(usize, u32),
    /// One word of the result is what the tensor held before.
    Unwritten(usize),
    /// The result is shifted by one element.
    Shifted,
    /// The words of this tensor are in the place of another's.
    SwappedWith(TensorId),
    /// Reads come back this many bytes short.
    Short(usize),
    /// Reads come back this many bytes long.
    Long(usize),
    /// One bit differs, but only in the second run.
    Unsteady,
    /// One bit differs in the first byte, or the last.
    FirstBit,
    LastBit,
    /// A byte beside the tensor is written.
    OutOfBounds,
}

/// The CPU device with a fault.
struct Faulty {
    inner: CpuExecutor<f32>,
    fault: Fault,
    tensor: TensorId,
    runs: usize,
    /// Whether the fault has changed anything: zeros in place of zeros are no fault.
    planted: Rc<Cell<bool>>,
}

impl Faulty {
    fn distort(&self, before: &[u8], bytes: &mut [u8]) {
        let right = bytes.to_vec();
        match self.fault {
            Fault::Zeros => bytes.fill(0),
            Fault::Word(i, word) => bytes[4 * i..][..4].copy_from_slice(&word.to_le_bytes()),
            Fault::Unwritten(i) => bytes[4 * i..][..4].copy_from_slice(&before[4 * i..][..4]),
            Fault::Shifted => bytes.rotate_right(4),
            Fault::Unsteady if self.runs == 2 => bytes[0] ^= 1,
            Fault::FirstBit => bytes[0] ^= 1,
            Fault::LastBit => *bytes.last_mut().expect("not empty") ^= 1,
            _ => return,
        }
        // The sign of a zero is no fault.
        let words = |bytes: &[u8]| -> Vec<u32> {
            let words: Vec<u32> = bytemuck::pod_collect_to_vec(bytes);
            words.into_iter().map(|w| if w == 1 << 31 { 0 } else { w }).collect()
        };
        self.planted.set(self.planted.get() || words(bytes) != words(&right));
    }
}

impl Executor for Faulty {
    fn description(&self) -> &Description {
        self.inner.description()
    }

    fn program(&self) -> &Program {
        self.inner.program()
    }

    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        self.inner.run(plan, n, progress)
    }

    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        self.runs += 1;
        let before = self.inner.read_bytes(self.tensor)?;
        match self.fault {
            Fault::NoOp => self.planted.set(true),
            Fault::Lost => {
                self.planted.set(true);
                let (adapter, message) = ("faulty".to_string(), "unplugged".to_string());
                return Err(DeviceError::Lost { adapter, message });
            }
            _ => self.inner.run_dispatch(plan, index)?,
        }
        let mut bytes = self.inner.read_bytes(self.tensor)?;
        self.distort(&before, &mut bytes);
        self.inner.write_bytes(self.tensor, &bytes)
    }

    fn time(
        &mut self,
        plan: PlanId,
        dispatches: std::ops::Range<usize>,
        n: usize,
    ) -> Result<(f64, Clock), DeviceError> {
        self.inner.time(plan, dispatches, n)
    }

    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        let place = match self.fault {
            Fault::SwappedWith(other) if tensor == self.tensor => other,
            Fault::SwappedWith(other) if tensor == other => self.tensor,
            _ => tensor,
        };
        self.planted.set(self.planted.get() || place != tensor);
        self.inner.write_bytes(place, bytes)
    }

    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.inner.write_part(tensor, offset, bytes)
    }

    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let place = match self.fault {
            // Inputs must look untouched: the fault is in what the kernel sees.
            Fault::SwappedWith(other) if tensor == self.tensor => other,
            Fault::SwappedWith(other) if tensor == other => self.tensor,
            _ => tensor,
        };
        let mut bytes = self.inner.read_bytes(place)?;
        match self.fault {
            Fault::Short(n) if tensor == self.tensor => bytes.truncate(bytes.len() - n),
            Fault::Long(n) if tensor == self.tensor => bytes.resize(bytes.len() + n, 0),
            _ => return Ok(bytes),
        }
        self.planted.set(true);
        Ok(bytes)
    }
}

impl Tested for Faulty {
    fn guards(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let mut guards = vec![GUARD_BYTE; 2 * GUARD as usize];
        if let Fault::OutOfBounds = self.fault
            && tensor == self.tensor
        {
            guards[GUARD as usize] = 0;
            self.planted.set(true);
        }
        Ok(guards)
    }
}

/// The smallest fault of one element: the first number beyond what the bound allows.
fn just_beyond(e: &Bounded) -> f32 {
    let mut v = (e.value + SAFETY * e.error) as f32;
    while f64::from(v) - e.value <= SAFETY * e.error {
        v = v.next_up();
    }
    v
}

/// A fault, its name, and words that the message must hold.
type Named = (&'static str, Fault, &'static str);

fn faults_of_output(prepared: &Prepared, id: TensorId, blank: bool) -> Vec<Named> {
    let tensor = prepared.program.get(id);
    let mut faults = vec![
        ("no-op", Fault::NoOp, "expected"),
        ("zeros", Fault::Zeros, "expected"),
        ("a word short", Fault::Short(4), "expected"),
        ("a byte short", Fault::Short(1), "expected"),
        ("a byte long", Fault::Long(1), "expected"),
        ("a word long", Fault::Long(4), "expected"),
        ("unsteady", Fault::Unsteady, "two runs differ"),
        ("out of bounds", Fault::OutOfBounds, "outside the tensor"),
    ];
    if tensor.len() > 1 {
        faults.push(("shifted", Fault::Shifted, "expected"));
    }
    let mut oracle = harness::oracle(prepared).unwrap();
    for i in [0, tensor.len() / 2, tensor.len() - 1] {
        if blank {
            // An output begins as NaN; anything else could be right by accident.
            let words = if tensor.dtype == DType::F32 { "is NaN" } else { "expected" };
            faults.push(("unwritten", Fault::Unwritten(i), words));
        }
        match tensor.dtype {
            DType::F32 => {
                let e = oracle.floats_mut(id)[i];
                let mut word = |name, v: f32, words| {
                    faults.push((name, Fault::Word(i, v.to_bits()), words));
                };
                word("NaN", f32::NAN, "is NaN");
                word("infinity", f32::INFINITY, "is inf");
                word("just beyond", just_beyond(&e), "expected");
                if e.value.abs() > 200.0 * SAFETY * e.error {
                    word("percent", 1.01 * e.value as f32, "expected");
                }
            }
            _ => {
                let bytes = oracle.read_bytes(id).unwrap();
                let v = bytemuck::pod_read_unaligned::<u32>(&bytes[4 * i..][..4]);
                faults.push(("one more", Fault::Word(i, v.wrapping_add(1)), "expected"));
            }
        }
    }
    faults
}

fn faults_of_input() -> Vec<Named> {
    vec![
        ("input: first bit", Fault::FirstBit, "an input was changed"),
        ("input: last bit", Fault::LastBit, "an input was changed"),
        ("input: short", Fault::Short(1), "expected"),
        ("input: long", Fault::Long(1), "expected"),
        ("input: out of bounds", Fault::OutOfBounds, "outside the tensor"),
    ]
}

/// What the harness says of a kernel on the CPU device with a fault, and whether the fault was planted.
fn check_faulty(
    kernel: &'static Kernel,
    case: &Case,
    tensor: TensorId,
    fault: Fault,
) -> (Result<f64, String>, bool) {
    let device = harness::cpu();
    let planted = Rc::new(Cell::new(false));
    let result = harness::check(kernel, case, 1, &|program| {
        let (inner, planted) = (device.load::<f32>(program)?, planted.clone());
        Ok(Box::new(Faulty { inner, fault, tensor, runs: 0, planted }))
    });
    (result, planted.get())
}

/// Of every kernel, in every case of moderate size, to every tensor.
#[test]
fn every_fault_of_a_device_is_caught() {
    for kernel in REGISTRY {
        let mut planted_names = BTreeSet::new();
        let mut names = BTreeSet::new();
        for case in (kernel.cases)() {
            let prepared = harness::prepare(kernel, &case, 1).unwrap();
            let bytes: usize = prepared.program.stored().map(|t| t.size_bytes()).sum();
            if bytes > 20_000 {
                continue;
            }
            for (id, access, _) in &prepared.tensors {
                let place = format!("{kernel} {case:?} {}", prepared.program.get(*id));
                if let (Err(message), _) = check_faulty(kernel, &case, *id, Fault::None) {
                    panic!("{place}: no fault, and yet: {message}");
                }
                let name = &prepared.program.get(*id).name;
                let filled = case.fills.iter().any(|(filled, _)| filled == name);
                let faults = match access {
                    Access::Read => faults_of_input(),
                    Access::Write => faults_of_output(&prepared, *id, !filled),
                    Access::Update => faults_of_output(&prepared, *id, false),
                };
                for (name, fault, words) in faults {
                    let (result, planted) = check_faulty(kernel, &case, *id, fault);
                    names.insert(name);
                    if planted {
                        planted_names.insert(name);
                        let message = result.expect_err(&format!("{place}: {name} passes"));
                        assert!(message.contains(words), "{place}: {name}: {message}");
                        assert!(message.contains(&kernel.to_string()), "{message}");
                    }
                }
            }
        }
        assert_eq!(planted_names, names, "{kernel}: faults that no case lets show");
    }
}

#[test]
fn a_device_that_fails_is_not_a_device_that_passes() {
    let case = Case::new(&[("R", 2), ("I", 3), ("O", 4)]);
    let (result, _) = check_faulty(&linear::FORWARD, &case, TensorId(0), Fault::Lost);
    assert!(result.unwrap_err().contains("unplugged"));
}

/// Of every pair of inputs that have one shape.
#[test]
fn swapped_operands_are_caught() {
    let square = Case::new(&[("R", 9), ("I", 9), ("O", 9)]);
    let of = |kernel: &Kernel, case: usize| (kernel.cases)()[case].clone();
    let decode = Case::new(&[("BATCH", 9), ("K", 1), ("D", 9), ("I", 9)]);
    let table: [(&'static Kernel, Case, usize); 12] = [
        (&linear::FORWARD, square.clone(), 1),
        (&linear::BACKWARD_INPUT, square.clone(), 3),
        (&update::UPDATE, Case { dims: square.dims, ..of(&update::UPDATE, 0) }, 1),
        (&decode::DECODE, decode.clone(), 4),
        (&decode::DECODE_LOG_LIKELIHOOD, decode, 3),
        (&posterior::BACKWARD, of(&posterior::BACKWARD, 1), 1),
        (&bernoulli::LOG_LIKELIHOOD, of(&bernoulli::LOG_LIKELIHOOD, 1), 1),
        (&posterior::BACKWARD_SAMPLED, of(&posterior::BACKWARD_SAMPLED, 1), 1),
        (&bernoulli::BACKWARD, of(&bernoulli::BACKWARD, 1), 1),
        (&gaussian::VARIANCE, of(&gaussian::VARIANCE, 1), 1),
        (&tally::TALLY, of(&tally::TALLY, 3), 1),
        (&tally::TALLY_BOUND, of(&tally::TALLY_BOUND, 3), 3),
    ];
    for (kernel, case, expected) in table {
        let prepared = harness::prepare(kernel, &case, 1).unwrap();
        let inputs: Vec<TensorId> =
            prepared.tensors.iter().filter(|(_, a, _)| *a == Access::Read).map(|t| t.0).collect();
        let mut pairs = 0;
        for (i, &a) in inputs.iter().enumerate() {
            for &b in &inputs[i + 1..] {
                let (first, second) = (prepared.program.get(a), prepared.program.get(b));
                if (&first.dims, first.dtype) != (&second.dims, second.dtype) {
                    continue;
                }
                pairs += 1;
                let (result, planted) = check_faulty(kernel, &case, a, Fault::SwappedWith(b));
                assert!(planted);
                let message = result.expect_err(&format!("{kernel}: {first} and {second} swapped"));
                assert!(message.contains("expected"), "{message}");
            }
        }
        assert_eq!(pairs, expected, "{kernel}: pairs of inputs of one shape");
        assert!(check_faulty(kernel, &case, inputs[0], Fault::None).0.is_ok(), "{kernel}");
    }
}

#[test]
fn the_comparison_has_no_holes() {
    let bounded = |value: f64, error: f64| {
        let mut b = Bounded::from_f64(value);
        b.error = error;
        b
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for (value, error, got, passes) in [
        (1.0, 0.25, 1.5, true),
        (1.0, 0.25, 0.5, true),
        (1.0, 0.25, 1.5_f32.next_up(), false),
        (1.0, 0.25, 0.5_f32.next_down(), false),
        (1.0, 0.0, 1.0, true),
        (1.0, 0.0, 1.0_f32.next_up(), false),
        (0.0, 0.0, -0.0, true),
        (1.0, 0.25, nan, false),
        (1.0, 0.25, inf, false),
        (1.0, f64::INFINITY, 7.0, false), // a bound of everything is no bound
        (1.0, f64::INFINITY, 1.0, false),
        (1.0, f64::NAN, 1.0, false),
        (1.0, -1.0, 7.0, false),
        (f64::NAN, 0.0, nan, false),
        (f64::NAN, 0.0, 0.0, false),
        (f64::INFINITY, f64::NAN, inf, true),
        (f64::INFINITY, f64::NAN, -inf, false),
        (f64::INFINITY, f64::INFINITY, f32::MAX, false),
        (1e39, 1.0, inf, false),
    ] {
        // at every place among elements that agree
        for i in 0..3 {
            let (mut expected, mut device) = ([bounded(2.0, 0.1); 3], [2.0; 3]);
            (expected[i], device[i]) = (bounded(value, error), got);
            let result = harness::compare(&expected, &device);
            assert_eq!(result.is_ok(), passes, "{value} ± {error}, got {got}: {result:?}");
        }
    }
    assert!(harness::compare(&[bounded(1.0, 0.1); 2], &[1.0]).is_err());
    assert!(harness::compare(&[bounded(1.0, 0.1)], &[1.0, 1.0]).is_err());
}

#[test]
fn a_case_with_a_misspelled_name_is_refused() {
    let case = Case::new(&[("R", 2), ("I", 3), ("O", 4)]);
    let prepare = |case: &Case| harness::prepare(&linear::FORWARD, case, 0).map(|p| p.tensors);
    let refused = |case: Case| prepare(&case).map(|_| ()).unwrap_err();
    assert!(prepare(&case).is_ok());
    assert!(refused(case.clone().fill("wieght", Fill::Bits)).contains("wieght"));
    assert!(refused(case.clone().fill("x", Fill::Bytes)).contains("another type"));
    assert!(refused(case.clone().constant("ACTIVATOIN", 1.0)).contains("ACTIVATOIN"));
    assert!(refused(Case::new(&[("R", 2), ("I", 3)])).contains("no O"));
    assert!(refused(Case::new(&[("R", 2), ("I", 3), ("O", 4), ("K", 1)])).contains('K'));
    // a case that refines another one's fill
    let twice = case.fill("x", Fill::Bits).fill("x", Fill::Cycle(vec![0.25]));
    let x = &prepare(&twice).unwrap()[0].2;
    assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(x), [0.25; 6]);
}

/// The bound leaves no room for a fault that matters: not even for one term of a sum.
#[test]
fn the_bounds_are_tight() {
    for kernel in REGISTRY {
        for (seed, case) in (kernel.cases)().iter().enumerate() {
            let prepared = harness::prepare(kernel, case, seed as u64).unwrap();
            let mut oracle = harness::oracle(&prepared).unwrap();
            for (id, access, _) in &prepared.tensors {
                let tensor = prepared.program.get(*id);
                if !access.writes() || tensor.dtype != DType::F32 {
                    continue;
                }
                let values = oracle.floats_mut(*id);
                let largest = values.iter().map(|e| SAFETY * e.error).fold(0.0, f64::max);
                let squares: f64 = values.iter().map(|e| e.value * e.value).sum();
                let typical = (squares / values.len() as f64).sqrt();
                let place = format!("{kernel} {case:?} {tensor}: ± {largest:e} of {typical:e}");
                assert!(largest <= 2e-3 * typical + 1e-37, "{place}");
                if case.dims == [("R", 128), ("I", 784), ("O", 400)] {
                    // x and the weights are normal: a term is 1, typically
                    assert!(largest < 0.05, "{place}");
                }
            }
        }
    }
}

/// The environment that tells the test below that it is its own child.
const CHILD: &str = "ELBO_TEST_WITHOUT_ADAPTER";

#[test]
#[cfg(target_os = "linux")]
fn a_missing_adapter_fails_with_the_line_that_installs_one() {
    if std::env::var_os(CHILD).is_some() {
        harness::gpu();
        return;
    }
    let test = "a_missing_adapter_fails_with_the_line_that_installs_one";
    let child = harness::again(module_path!(), test)
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "it passed without an adapter: {text}");
    assert!(text.contains("1 failed"), "{text}");
    assert!(text.contains("no GPU adapter for the tests"), "{text}");
    assert!(text.contains(adapter::HINT) && adapter::HINT.contains("apt-get install"), "{text}");
}

/// A variant of a kernel with one text in place of another, in its own file or in the library.
fn mutated(
    kernel: &'static Kernel,
    variant: &'static Variant,
    from: &str,
    to: &str,
) -> &'static Kernel {
    let source = resolve_imports(kernel.file, kernel.source, variant.imports).unwrap();
    let Kernel { file, entry, summary, grid, cases, cost, .. } = *kernel;
    let twin = Twin { f32: kernel.twin.f32, f64: kernel.twin.f64, bounded: kernel.twin.bounded };
    let source = source.replace(from, to).leak();
    let parts = Parts { file, source, entry, summary, grid, twin, cases, cost };
    let mutant = Kernel::of_variants(parts, std::slice::from_ref(variant));
    let mutant: &'static Kernel = Box::leak(Box::new(mutant));
    if let Err(e) = mutant.reflection() {
        panic!("{kernel}: {from:?} -> {to:?} is no shader: {e}");
    }
    mutant
}

/// The program with every dispatch run by this kernel, bindings and constants as they were.
fn run_by(kernel: &'static Kernel, program: &Program) -> Program {
    let mut changed = Program::new();
    for tensor in program.tensors() {
        changed.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
    }
    for plan in program.plans() {
        let mut plan = plan.clone();
        plan.dispatches.iter_mut().for_each(|dispatch| dispatch.kernel = kernel);
        changed.add(plan);
    }
    changed
}

/// Whether one of the kernel's cases tells the mutant of a variant from the kernel, which passes it.
fn is_caught(
    device: &GpuDevice,
    kernel: &'static Kernel,
    variant: &Variant,
    mutant: &'static Kernel,
) -> bool {
    let check = |case: &Case, seed: usize, kernel_run: &'static Kernel| {
        harness::check(kernel, case, seed as u64, &|program| {
            let program = run_by(kernel_run, &program);
            Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?))
        })
    };
    for (seed, case) in (kernel.cases)().iter().enumerate() {
        if let Err(message) = check(case, seed, mutant) {
            // By its results, not because the driver refused it.
            assert!(message.starts_with(&format!("{kernel} [")), "{mutant}: {message}");
            check(case, seed, kernel).unwrap();
            return true;
        }
    }
    false
}

/// The variants to plant a fault in: those that hold the text, or one of them where all do.
fn variants_with(kernel: &'static Kernel, text: &str) -> Vec<&'static Variant> {
    let holds = |variant: &&Variant| {
        resolve_imports(kernel.file, kernel.source, variant.imports).unwrap().contains(text)
    };
    let holding: Vec<&Variant> = kernel.variants.iter().filter(holds).collect();
    assert!(!holding.is_empty(), "{kernel}: {text:?} is not in its source");
    match holding.len() == kernel.variants.len() {
        true => vec![&kernel.variants[0]],
        false => holding,
    }
}

#[test]
fn every_fault_of_a_shader_is_caught() {
    // Checked: a fault may make an index wrong.
    let device = harness::gpu().checked();
    let mut survivors = Vec::new();
    for (kernel, mutations) in MUTATIONS {
        for (from, to) in *mutations {
            for variant in variants_with(kernel, from).into_iter().filter(|v| device.can_run(v)) {
                let mutant = mutated(kernel, variant, from, to);
                if !is_caught(&device, kernel, variant, mutant) {
                    survivors.push(format!("{kernel}, {}: {from:?} -> {to:?}", variant.name));
                }
            }
        }
    }
    let n = survivors.len();
    assert!(n == 0, "no case of theirs catches these {n}:\n{}", survivors.join("\n"));
    for kernel in REGISTRY {
        assert!(MUTATIONS.iter().any(|(k, _)| std::ptr::eq(*k, *kernel)), "no fault of {kernel}");
    }
}

/// A text in a kernel's file or the library, and a wrong one in its place.
type Mutation = (&'static str, &'static str);

static MUTATIONS: &[(&Kernel, &[Mutation])] = &[
    (
        &gather::GATHER,
        &[
            ("v >= 128u", "v > 128u"),
            ("f32(v) / 255.0", "f32(v) / 256.0"),
            ("v * 0x01010101u", "v * 0x01000000u"),
            ("uniforms[j] < v", "uniforms[0] < v"),
            ("clock[4] + row", "row"),
            ("clock[3] + (clock[4] + row) / N", "clock[3]"),
            ("clock[3] + (clock[4] + row) / N", "(clock[4] + row) / N"),
            ("(clock[4] + row) % N", "min(clock[4] + row, N - 1u)"),
            ("epoch, place, 0u", "epoch, row, 0u"),
            ("epoch, place, 0u", "clock[2], place, 0u"),
            ("epoch, place, 0u", "epoch, image, 0u"),
            ("place, 0u, STREAM", "place, 0u, 0u"),
            ("8u * (byte % 4u)", "24u - 8u * (byte % 4u)"),
            ("j < 4u", "j < 3u"),
            ("if SHUFFLE == 1u", "if SHUFFLE == 0u"),
            ("if ROWS < N", "if ROWS > N"),
            ("epoch * N + place", "place"),
            ("& (ROWS - 1u)", "% max(ROWS - 1u, 1u)"),
            ("vec2<u32>(clock[0], clock[1])", "vec2<u32>(clock[1], clock[0])"),
            // lib/shuffle
            ("round < 6u", "round < 5u"),
            ("0x85ebca6bu", "0x85ebca6du"),
            ("scramble(epoch)", "epoch"),
            ("if v < n", "if v <= n"),
        ],
    ),
    (
        &gather::GATHER_REAL,
        &[
            ("clock[4] + id.y", "id.y"),
            ("at % N", "min(at, N - 1u)"),
            ("clock[3] + at / N", "clock[3]"),
            ("if SHUFFLE == 1u", "if SHUFFLE == 0u"),
            ("values[image * D + id.x]", "values[image * D]"),
            ("id.x >= D", "id.x >= D - 1u"),
            ("if v < n", "if v <= n"),
        ],
    ),
    (
        &linear::FORWARD,
        &[
            ("x[row * I + k]", "x[row * O + k]"),
            ("weight[column * I + k]", "weight[column * O + k]"),
            (" + bias[column]", ""),
            ("bias[column]", "bias[0]"),
            ("y[row * O + column]", "y[row * I + column]"),
            ("inner() -> u32 { return I; }", "inner() -> u32 { return max(I, 2u) - 1u; }"),
            ("columns() -> u32 { return O; }", "columns() -> u32 { return max(O, 2u) - 1u; }"),
            ("rows() -> u32 { return R; }", "rows() -> u32 { return max(R, 2u) - 1u; }"),
            ("activate(ACTIVATION, v", "activate(min(ACTIVATION, 2u), v"),
            // lib/product
            ("row < rows() && column < columns() { store", "row < rows() { store"),
            ("c < 4u", "c < 3u"),
            ("r < FRAGMENT_ROWS; r++", "r + 1u < FRAGMENT_ROWS; r++"),
            ("let row = at.x + r", "let row = at.x"),
            // lib/tile_subgroups
            ("min(first_row + lane, rows() - 1u)", "min(first_row, rows() - 1u)"),
            ("min(first_row + 8u + lane", "min(first_row + lane"),
            ("subgroupShuffle(a0, r)", "subgroupShuffle(a0, (r + 1u) % 8u)"),
            ("subgroupShuffle(a0, r)", "a0"),
            ("subgroupShuffle(a1, r)", "subgroupShuffle(a0, r)"),
            ("(*t)[r + 8u]", "(*t)[r]"),
            ("min(column + 8u, columns()", "min(column, columns()"),
            ("min(column + 24u, columns()", "min(column + 16u, columns()"),
            ("first_row = group.x * 16u", "first_row = group.x * 8u"),
            ("group.y * 32u + lane", "group.y * 16u + lane"),
            ("return subgroupExclusiveAdd(1u)", "return subgroupExclusiveAdd(1u) ^ 1u"),
            ("COLUMN_STEP = 8u", "COLUMN_STEP = 4u"),
            // lib/tile_loads and lib/tile_memory
            ("k < inner() { return left", "k + 1u < inner() { return left"),
            ("row < rows() && k", "row + 1u < rows() && k"),
            ("column < columns() { return right", "column + 1u < columns() { return right"),
            ("first_row = group.x * 4u", "first_row = group.x * 2u"),
            ("first_column = group.y * 4u", "first_column = group.y * 2u"),
            ("k0 += TILE_K", "k0 += 2u * TILE_K"),
            ("k < TILE_K; k++", "k < TILE_K; k += 2u"),
            ("let k = k0 + p.x", "let k = p.x"),
            ("lefts[p.x * (LEFT_VECTORS + 1u)", "lefts[p.x * LEFT_VECTORS"),
            ("rights[k * (RIGHT_VECTORS + 1u) + x]", "rights[k * RIGHT_VECTORS + x]"),
            ("] += a.y * b", "] += a.x * b"),
            ("(*t)[4u * v + 2u]", "(*t)[4u * v + 3u]"),
            ("left_or_0(row + 3u, k)", "left_or_0(row + 2u, k)"),
            ("right_or_0(k, column + 1u)", "right_or_0(k, column)"),
            ("e % TILE_K, e / TILE_K", "e % TILE_K, e % TILE_K"),
            ("lane / GROUPS_X", "lane % GROUPS_X"),
            ("first_column + 4u * x", "first_column + x"),
            // lib/tile_wide
            ("ROW_VECTORS = 2u", "ROW_VECTORS = 1u"),
            ("GROUPS_X = 16u", "GROUPS_X = 8u"),
            // lib/tile_split
            ("slice = lane / SLICE_INVOCATIONS", "slice = 0u"),
            ("lane % SLICE_INVOCATIONS / RIGHT", "lane / RIGHT"),
            ("slice * SLICE_K + i", "i"),
            ("i < SLICE_K", "i + 1u < SLICE_K"),
            ("part1 += a.y", "part1 += a.x"),
            ("= part3", "= part2"),
            ("at = slice * INVOCATIONS +", "at ="),
            ("4u * y * RIGHT_VECTORS", "y * RIGHT_VECTORS"),
            ("at + 2u * RIGHT_VECTORS", "at + 3u * RIGHT_VECTORS"),
            ("s < SLICES", "s + 1u < SLICES"),
            ("s * INVOCATIONS + lane", "lane"),
            ("first_row + lane / GROUPS_X", "first_row"),
            ("4u * (lane % GROUPS_X)", "lane % GROUPS_X"),
            // lib/tile_skinny
            ("lane % SLICES, RIGHT", "lane / SLICES, RIGHT"),
            ("lane / SLICES, RIGHT", "0u, RIGHT"),
            ("vec4<u32>(rows() - 1u)", "vec4<u32>(0u)"),
            ("k += SLICES", "k += 2u * SLICES"),
            ("var k = slice", "var k = slice + 1u"),
            ("sum1 += a.y", "sum1 += a.x"),
            ("= slice % HALF * STRIDE", "= slice % HALF"),
            ("sums[at + 2u * GROUPS_X] = sum2", "sums[at + 2u * GROUPS_X] = sum1"),
            ("sums[at + 3u * GROUPS_X] += sum3", "sums[at + 3u * GROUPS_X] = sum3"),
            ("slice < HALF {", "slice + 1u < HALF {"),
            ("s < HALF", "s + 1u < HALF"),
            ("sums[s * STRIDE", "sums[s * TILE"),
            ("first_row + lane / GROUPS_X, lane", "first_row, lane"),
            // lib/activation and lib/math
            ("select(v, 0.0, v < 0.0); }", "abs(v); }"),
            ("select(v, 0.0, v < 0.0) + log", "v + log"),
            ("log(1.0 + exp(-abs(v)))", "log(1.0 + exp(-v))"),
            ("select(far, -far, v < 0.0)", "far"),
            ("let e = exp(-2.0 * abs(v))", "let e = exp(2.0 * abs(v))"),
            ("abs(v) < 0.25", "abs(v) < 1.0"),
            ("0.13333333", "0.13"),
        ],
    ),
    (
        &linear::BACKWARD_INPUT,
        &[
            ("activation_gradient(ACTIVATION, x[e])", "1.0"),
            ("activation_gradient(ACTIVATION, x[e])", "activation_gradient(ACTIVATION, v)"),
            ("d_y[row * O + k]", "d_y[row * I + k]"),
            ("weight[k * I + column]", "weight[k * O + column]"),
            // lib/tile_skinny
            ("lane / GROUPS_X, lane % SLICES", "lane % GROUPS_X, lane % SLICES"),
            ("lane % GROUPS_X, lane / SLICES", "0u, lane / SLICES"),
            ("let e = row * I + column", "let e = row * O + column"),
            ("inner() -> u32 { return O; }", "inner() -> u32 { return max(O, 2u) - 1u; }"),
            ("columns() -> u32 { return I; }", "columns() -> u32 { return max(I, 2u) - 1u; }"),
            // lib/tile_loads
            ("e / vectors, e % vectors", "e / vectors, e / vectors"),
            // lib/activation
            ("y > 0.0", "y >= 0.0"),
            ("1.0 - y * y", "1.0 - y"),
            ("1.0 - exp(-y)", "exp(-y)"),
        ],
    ),
    (
        &update::UPDATE,
        &[
            ("d_y[k * O + row]", "d_y[k * I + row]"),
            ("x[k * I + min", "x[k * O + min"),
            ("1.0, column == I", "0.5, column == I"),
            ("1.0, column == I", "1.0, column + 1u == I"),
            ("inner() -> u32 { return R; }", "inner() -> u32 { return max(R, 2u) - 1u; }"),
            ("columns() -> u32 { return I + 1u; }", "columns() -> u32 { return I; }"),
            ("rows() -> u32 { return O; }", "rows() -> u32 { return max(O, 2u) - 1u; }"),
            ("if column < I {", "if column + 1u < I {"),
            // the wrong plane of the moments, or the wrong element
            ("weight_moments[O * I + e], g", "weight_moments[e], g"),
            ("weight_moments[O * I + e] = next.y", "weight_moments[e] = next.y"),
            ("weight_moments[O * I + e] = next.y", "weight_moments[O * I + e] = next.x"),
            ("bias_moments[O + row], g", "bias_moments[row], g"),
            ("bias_moments[O + row] = next.y", "bias_moments[row] = next.y"),
            ("bias_moments[row] = next.x", "bias_moments[0] = next.x"),
            ("weight[e] +=", "weight[e] -="),
            ("bias[row] +=", "bias[row] ="),
            (
                "rates[1], rates[2], EPSILON);\n    } else",
                "rates[2], rates[1], EPSILON);\n    } else",
            ),
            (
                "rates[0], rates[1], rates[2], EPSILON);\n    }\n}",
                "rates[3], rates[1], rates[2], EPSILON);\n    }\n}",
            ),
            ("g, BETA1, BETA2", "g, BETA2, BETA1"),
            ("bias_moments[O + row], g,", "bias_moments[O + row], -g,"),
            // lib/adam_step
            ("(1.0 - beta1) * g", "g"),
            ("beta1 * m", "beta2 * m"),
            ("beta2 * v", "beta1 * v"),
            ("* g * g", "* g"),
            ("return rate * (", "return 1e-3 * ("),
            ("moments.x / c1", "moments.x"),
            ("moments.y / c2", "moments.y"),
            ("+ epsilon", ""),
            ("+ epsilon", "+ 2.0 * epsilon"),
            ("sqrt(moments.y / c2) + epsilon", "sqrt(moments.y / c2 + epsilon)"),
            ("< 1.17549435e-38", "< 1e-36"),
            ("abs(v) < 1.17549435e-38", "v < 1.17549435e-38"),
            // lib/tile_subgroups and lib/tile_loads
            ("subgroupShuffle(a1, r)", "subgroupShuffle(a1, r ^ 1u)"),
            ("left_or_0(row + 1u, k)", "left_or_0(row, k)"),
        ],
    ),
    (
        &update::UPDATE_ALL,
        &[
            ("let words = WORDS * min(group.z, L - 1u)", "let words = 0u"),
            ("group.y * TILE_COLUMNS > layers", "group.y * TILE_COLUMNS + 1u > layers"),
            (">= layers[words + 1u]", ">= layers[words]"),
            ("return min(layer[1], MOST_OUTPUTS)", "return min(layer[1], 16u)"),
            ("min(layer[0], MOST_INPUTS) + 1u", "min(layer[0], MOST_INPUTS)"),
            ("inner() -> u32 { return BATCH; }", "inner() -> u32 { return max(BATCH, 2u) - 1u; }"),
            ("layer[5] + k * layer[1] + row", "layer[5] + k * layer[0] + row"),
            ("layer[5] + k", "k"),
            ("layer[3] + k * layer[0] + column", "layer[3] + k * layer[1] + column"),
            ("if layer[4] == 1u", "if layer[4] == 0u"),
            ("if layer[2] == 1u", "if layer[4] == 1u"),
            ("{ return 1.0; }", "{ return 0.5; }"),
            ("if column == layer[0] { return", "if column + 1u == layer[0] { return"),
            ("if column < layer[0] {", "if column + 1u < layer[0] {"),
            ("let weights = layer[1] * layer[0]", "let weights = layer[1]"),
            ("layer[8] + weights + e, g", "layer[8] + e, g"),
            ("layer[9] + layer[1] + row, g", "layer[9] + row, g"),
            ("step(layer[7] + row", "step(layer[6] + row"),
            ("parameter >= P ||", "parameter + 8u >= P ||"),
            ("max(first, second) >= M", "max(first, second) + 8u >= M"),
            ("g, BETA1, BETA2", "g, BETA2, BETA1"),
            ("parameters[parameter] +=", "parameters[parameter] -="),
            ("moments[second] = next.y", "moments[second] = next.x"),
            ("rates[0], rates[1], rates[2]", "rates[0], rates[2], rates[1]"),
            ("rates[0], rates[1]", "rates[3], rates[1]"),
        ],
    ),
    (
        &posterior::SAMPLE,
        &[
            ("exp(0.5 * l) * e[j]", "exp(l) * e[j]"),
            ("exp(0.5 * l) * e[j]", "exp(0.5 * l)"),
            ("= mu + exp", "= exp"),
            ("NOISE * normal4", "normal4"),
            ("clock[5] + row % K, STREAM", "clock[5], STREAM"),
            ("clock[5] + row % K, STREAM", "row % K, STREAM"),
            ("clock[4] + image", "clock[4] + row"),
            ("clock[4] + image", "image"),
            ("clock[3] + place / N", "clock[3]"),
            ("clock[3] + place / N", "clock[2] + place / N"),
            ("place % N", "place"),
            ("vec2<u32>(clock[0], clock[1])", "vec2<u32>(clock[1], clock[0])"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-20.0, l < -20.0"),
        ],
    ),
    (
        &posterior::GAUSSIAN_KL,
        &[
            ("1.0 - l)", "1.0 + l)"),
            ("0.5 * total", "total"),
            ("mu * mu", "mu"),
            ("group.x + group.y * groups.x", "group.x"),
            ("select(l, 20.0, l > 20.0)", "select(l, 19.0, l > 19.0)"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
            // lib/reduce
            ("width > 0u", "width > 1u"),
            ("var width = WORKGROUP / 2u", "var width = WORKGROUP / 4u"),
            ("lane < width", "lane + 1u < width"),
        ],
    ),
    (
        &posterior::BACKWARD,
        &[
            ("0.5 * exp(0.5 * l)", "exp(0.5 * l)"),
            ("0.5 * kl_weight", "kl_weight"),
            ("rates[3] / f32(B)", "rates[3]"),
            ("rates[3] / f32(B)", "rates[0] / f32(B)"),
            ("(exp(l) - 1.0));", "exp(l));"),
            ("sum - kl_weight * mu", "sum + kl_weight * mu"),
            ("k < K", "k < 1u"),
            ("inside * (", "("),
            ("exp(0.5 * l) * sum_noise", "exp(0.5 * raw) * sum_noise"),
            ("(image * K + k) * Z", "(k * B + image) * Z"),
            ("sum_noise += d_z[e] * noise[e]", "sum_noise += d_z[e]"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-29.0, l < -29.0"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
        ],
    ),
    (
        &posterior::KL_OF_UNITS,
        &[
            ("1.0 - l)", "1.0 + l)"),
            ("0.5 * total / f32(B)", "total / f32(B)"),
            ("total / f32(B)", "total"),
            ("mu * mu", "mu"),
            ("let unit = group.x + group.y * groups.x", "let unit = group.y"),
            ("image += WORKGROUP", "image += 2u * WORKGROUP"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
        ],
    ),
    (
        &posterior::BACKWARD_FREE_BITS,
        &[
            ("unit_kl[id.x] < FREE_BITS", "unit_kl[id.x] > FREE_BITS"),
            ("unit_kl[id.x]", "unit_kl[0]"),
            ("rates[3] / f32(B), 0.0", "rates[3], 0.0"),
            ("sum - kl_weight * mu", "sum"),
            ("inside * (", "("),
        ],
    ),
    (
        &posterior::BACKWARD_SAMPLED,
        &[
            ("u * (mu + sigma * eps_k)", "u * (mu + eps_k)"),
            ("u * (mu + sigma", "w * (mu + sigma"),
            ("eps_k / sigma", "eps_k * sigma"),
            ("direct += u", "direct = u"),
            ("g *= f32(B) * w", "g *= w"),
            ("0.5 * sigma * sum_noise", "sigma * sum_noise"),
            ("0.5 * direct", "direct"),
            ("if ESTIMATOR == 2u", "if ESTIMATOR == 3u"),
            ("if ESTIMATOR == 0u", "if ESTIMATOR == 1u"),
            ("rates[3] * w", "rates[0] * w"),
            ("let inside = select(0.0, 1.0, l == raw)", "let inside = 1.0"),
            ("weight[row]", "weight[image]"),
            ("sum_noise += g * eps_k", "sum_noise += g"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
        ],
    ),
    (
        &latent::SAMPLE_FORWARD,
        &[
            ("clock[4] + image", "image"),
            ("clock[3] + place / N", "clock[3]"),
            ("place % N", "place"),
            ("clock[5], STREAM", "0u, STREAM"),
            ("clock[5], STREAM", "clock[5], 0u"),
            ("STREAM, unit / 4u", "STREAM, unit / 2u"),
            ("unit % 4u >= 2u", "unit % 4u >= 1u"),
            ("unit % 2u == 1u", "unit % 2u == 0u"),
            ("vec2<u32>(clock[0], clock[1])", "vec2<u32>(clock[1], clock[0])"),
            ("heads[image * 2u * Z + Z + unit]", "heads[image * 2u * Z + unit]"),
            ("exp(0.5 * log_variance", "exp(log_variance"),
            ("return mean(image, unit) + exp", "return exp"),
            ("weight[column * Z + k]", "weight[k * O + column]"),
            (" + bias[column]", ""),
            ("y[row * O + column]", "y[row * Z + column]"),
            ("inner() -> u32 { return Z; }", "inner() -> u32 { return max(Z, 2u) - 1u; }"),
            ("activate(ACTIVATION, v", "activate(min(ACTIVATION, 2u), v"),
            ("e += step", "e += 2u * step"),
            ("let draw = noise(e / Z, e % Z)", "let draw = noise(e / Z, e / Z)"),
            ("latent(e / Z, e % Z, draw)", "latent(e / Z, e % Z, 0.0)"),
            ("group.x * INVOCATIONS + lane", "group.x * INVOCATIONS"),
            ("exp(l) - 1.0 - l", "exp(l) - 1.0 + l"),
            ("0.5 * sum", "sum"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-20.0, l < -20.0"),
        ],
    ),
    (
        &latent::BACKWARD_INPUT,
        &[
            ("rates[3] / f32(BATCH)", "rates[3]"),
            ("rates[3] / f32(BATCH)", "rates[0] / f32(BATCH)"),
            ("+ head] - kl_weight * value", "+ head] + kl_weight * value"),
            ("if head < Z {", "if head <= Z {"),
            ("image * Z + head - Z", "image * Z"),
            ("0.5 * exp(0.5 * l)", "exp(0.5 * l)"),
            ("exp(0.5 * l) * (d_z", "exp(0.5 * value) * (d_z"),
            ("d_z[e] * noise[e]", "d_z[e]"),
            ("0.5 * kl_weight", "kl_weight"),
            ("(exp(l) - 1.0));", "exp(l));"),
            ("inside * (", "("),
            ("weight[k * I + column]", "weight[column * 2u * Z + k]"),
            ("inner() -> u32 { return 2u * Z; }", "inner() -> u32 { return Z; }"),
            ("activation_gradient(ACTIVATION, x[e])", "1.0"),
            ("e < BATCH * 2u * Z", "e < BATCH * Z"),
            ("e += groups.x * INVOCATIONS", "e += BATCH * 2u * Z"),
            ("d_head(e / (2u * Z), e % (2u * Z))", "d_head(e / (2u * Z), e % Z)"),
            ("if group.y > 0u { return; }", "if group.x > 0u { return; }"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-29.0, l < -29.0"),
        ],
    ),
    (
        &prior::SAMPLE,
        &[
            ("vec2<u32>(clock[0], clock[1])", "vec2<u32>(clock[1], clock[0])"),
            ("clock[3], clock[4]", "clock[2], clock[4]"),
            ("clock[3], clock[4]", "clock[3], 0u"),
            ("clock[5] + row", "row"),
            ("row / K", "0u"),
            ("row % K", "row"),
            ("quad * 4u + j] = e[j]", "quad * 4u + j] = e[0]"),
            // lib/philox
            ("0xD2511F53u", "0xD2511F55u"),
            ("0xBB67AE85u", "0xBB67AE87u"),
            ("return philox_round(c, key + 9u * weyl)", "return c"),
            ("key + 5u * weyl", "key + 4u * weyl"),
            (" + (carry >> 16u)", ""),
            ("(stream << 24u) | quad", "(stream << 16u) | quad"),
            // lib/normal
            ("(a >> 8u) + 1u", "(a >> 8u)"),
            ("exponent -= 1;", ""),
            ("3.3333331174e-1", "3.33e-1"),
            ("2.12194440e-4", "2.1e-4"),
            ("case 1u: { return vec2<f32>(-s, c)", "case 1u: { return vec2<f32>(s, c)"),
            ("(1u << 21u)", "(1u << 20u)"),
            ("8.3321608736e-3", "8.3e-3"),
        ],
    ),
    (
        &bernoulli::LOG_LIKELIHOOD,
        &[
            ("eta - select(eta, 0.0, eta < 0.0)", "eta - eta"),
            ("1.0 + exp(-abs(eta))", "1.0 + exp(-eta)"),
            ("row / K * D", "row * D"),
            ("x[row / K * D + d] * eta", "ceil(x[row / K * D + d]) * eta"),
            ("product > 1e30", "product > 3e38"),
            ("                product = 1.0;\n", ""),
            ("        part -= log(product);\n    }", "    }"),
            ("var d = lane;", "var d = lane + 1u;"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    ),
    (
        &bernoulli::BACKWARD,
        &[
            ("weight[id.y] *", "weight[id.y / K] *"),
            ("x[id.y / K * D + id.x]", "x[id.y * D + id.x]"),
            ("- sigmoid(logits[e])", "+ sigmoid(logits[e])"),
            ("id.x >= D ||", "id.x >= D - 1u ||"),
            ("let e = exp(-abs(v))", "let e = exp(-v)"),
        ],
    ),
    (
        &bernoulli::EXPECTATION,
        &[
            ("id.x >= D", "id.x >= D - 1u"),
            ("id.y >= B * K", "id.y >= B"),
            ("sigmoid(logits[e])", "sigmoid(logits[id.x])"),
            // lib/math
            ("return select(1.0, e, v < 0.0) / (1.0 + e)", "return 1.0 / (1.0 + e)"),
            ("let e = exp(-abs(v))", "let e = exp(-v)"),
        ],
    ),
    (
        &decode::DECODE,
        &[
            ("h[row * I + k]", "h[row * D + k]"),
            ("weight[column * I + k]", "weight[column * D + k]"),
            ("x[row / K * D + column]", "x[row * D + column]"),
            ("x[row / K * D + column]", "ceil(x[row / K * D + column])"),
            ("row_weight[row]", "row_weight[row / K]"),
            ("row_weight[row] *", ""),
            ("(pixel - mean)", "(pixel + mean)"),
            ("v + bias[column]", "v"),
            ("exp(-abs(eta))", "exp(-eta)"),
            ("select(1.0, e, eta < 0.0) /", "1.0 /"),
            ("select(1.0, e, eta < 0.0)", "select(e, 1.0, eta < 0.0)"),
            ("pixel * eta - select(eta, 0.0, eta < 0.0)", "pixel * eta"),
            ("d_eta[row * D + column]", "d_eta[row * I + column]"),
            ("score.x - log(score.y)", "score.x"),
            ("score.x - log(score.y)", "score.x + log(score.y)"),
            ("(D + PART - 1u) / PART) + part", "D / PART) + part"),
            (") + part] =", ")] ="),
            ("columns() -> u32 { return D; }", "columns() -> u32 { return max(D, 2u) - 1u; }"),
            ("rows() -> u32 { return BATCH * K; }", "rows() -> u32 { return BATCH; }"),
            // lib/product_sums
            ("part.x + one.x", "one.x"),
            ("part.y * one.y", "one.y"),
            ("part.y * one.y", "part.y"),
            ("row < rows() && column < columns() {\n", "row < rows() {\n"),
            ("c < 4u", "c < 3u"),
            // lib/row_parts_subgroups
            ("lane == r", "lane == 0u"),
            ("(*parts)[first + r].x", "(*parts)[r].x"),
            ("(*parts)[first + r].y, i", "(*parts)[first + r].y, 0u"),
            ("i < 8u", "i < 7u"),
            ("total.y *=", "total.y ="),
            ("group.x * 16u + first + lane", "group.x * 16u + lane"),
            ("finish_row(row, group.y, own)", "finish_row(row, 0u, own)"),
            ("if row < rows() { finish_row", "if row + 1u < rows() { finish_row"),
            // lib/row_parts_memory
            ("i < PART_GROUPS", "i + 1u < PART_GROUPS"),
            ("total.y * one.y", "one.y"),
            ("total.x + one.x", "one.x"),
            ("held % ROWS_HELD", "held / ROWS_HELD"),
            ("+ held / ROWS_HELD", ""),
            ("(ROWS_HELD * y + r) * GROUPS_X + x", "(ROWS_HELD * y + r) * GROUPS_X"),
            ("y < GROUPS_Y;", "y + 1u < GROUPS_Y;"),
            ("[held * GROUPS_X", "[(held ^ 1u) * GROUPS_X"),
            ("group.y * (GROUPS_X / PART_GROUPS) + part", "part"),
            ("in_row * PART < columns()", "(in_row + 1u) * PART < columns()"),
            // lib/tile_wide
            ("ROW_VECTORS = 2u", "ROW_VECTORS = 1u"),
            ("GROUPS_X = 16u", "GROUPS_X = 8u"),
        ],
    ),
    (
        &decode::DECODE_LOG_LIKELIHOOD,
        &[
            ("h[row * I + k]", "h[row * D + k]"),
            ("weight[column * I + k]", "weight[column * D + k]"),
            ("x[row / K * D + column]", "x[row * D + column]"),
            ("x[row / K * D + column]", "ceil(x[row / K * D + column])"),
            ("v + bias[column]", "v"),
            ("exp(-abs(eta))", "exp(-eta)"),
            ("- select(eta, 0.0, eta < 0.0)", "- eta"),
            ("score.x - log(score.y)", "score.x"),
            ("(D + PART - 1u) / PART) + part", "D / PART) + part"),
            ("rows() -> u32 { return BATCH * K; }", "rows() -> u32 { return BATCH; }"),
            ("inner() -> u32 { return I; }", "inner() -> u32 { return max(I, 2u) - 1u; }"),
        ],
    ),
    (
        &importance::LOG_WEIGHT,
        &[
            ("row < B * K {", "row < B {"),
            ("e * e + l - v * v", "e * e - l - v * v"),
            ("e * e + l - v * v", "e * e + l + v * v"),
            ("e * e + l - v * v", "l - v * v"),
            ("+ 0.5 * total", "+ total"),
            ("log_px[row] + ", "log_px[row / K] + "),
            ("heads[row / K * 2u * Z + Z + unit]", "heads[row / K * 2u * Z + unit]"),
            ("heads[row / K * 2u", "heads[row * 2u"),
            ("clamp_log_variance(heads[", "(heads["),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    ),
    (
        &importance::NORMALIZE,
        &[
            ("exp(log_weights[image * K + k] - largest)", "exp(log_weights[image * K + k])"),
            ("log(f32(K))", "0.0"),
            ("total * f32(B)", "total"),
            ("largest + (log(total)", "(log(total)"),
            (
                "if other > partial_sums[lane] { partial_sums[lane] = other; }",
                "partial_sums[lane] = other;",
            ),
            ("weight[image * K + k] = exp", "weight[image * K + k] = 2.0 * exp"),
            ("k += WORKGROUP", "k += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    ),
    (
        &gaussian::LOG_LIKELIHOOD,
        &[
            ("part += r * r", "part += abs(r)"),
            ("* exp(-v)", "* exp(v)"),
            ("LN_TWO_PI + v", "LN_TWO_PI"),
            ("-0.5 * (", "-1.0 * ("),
            ("f32(D) * (", "f32(D + 1u) * ("),
            ("row / K * D", "row * D"),
            ("d += WORKGROUP", "d += 2u * WORKGROUP"),
            ("group.x + group.y * groups.x", "group.x"),
            ("select(l, 20.0, l > 20.0)", "select(l, 21.0, l > 21.0)"),
            ("-30.0, l < -30.0", "-31.0, l < -31.0"),
        ],
    ),
    (
        &gaussian::GRADIENT,
        &[
            ("w * (r * inverse)", "(r * inverse)"),
            ("r * inverse", "r"),
            ("weight[row]", "weight[row / K]"),
            ("exp(-v)", "exp(v)"),
            ("squares[row] = total", "squares[row] = 2.0 * total"),
            ("log_density(total, v)", "log_density(total, 0.0)"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    ),
    (
        &gaussian::BACKWARD,
        &[
            ("w * (r * inverse)", "w * r"),
            ("x[row / K * D + d] - eta", "x[row / K * D + d] + eta"),
            ("weight[row]", "weight[row / K]"),
            ("squares[row] = total; }", "squares[row] = 0.5 * total; }"),
            ("clamp_log_variance(log_variance[0])", "log_variance[0]"),
            ("group.x + group.y * groups.x", "group.x"),
        ],
    ),
    (
        &gaussian::VARIANCE,
        &[
            ("0.5 * weight", "weight"),
            ("- f32(D)", "- 1.0"),
            ("row_squares[row]", "row_squares[0]"),
            ("row += WORKGROUP", "row += 2u * WORKGROUP"),
            ("clamp_log_variance(v) == v", "clamp_log_variance(v) != v"),
            ("inside * total", "total"),
            ("weight[row] *", "weight[0] *"),
        ],
    ),
    (
        &adam::ADAM,
        &[
            ("rates[0], rates[1]", "1e-3, rates[1]"),
            ("rates[1], rates[2]", "rates[2], rates[1]"),
            ("rates[1], rates[2]", "0.1, rates[2]"),
            ("BETA1, BETA2", "BETA2, BETA1"),
            ("parameter[e] +=", "parameter[e] -="),
            ("moments[N + e], gradient", "moments[e], gradient"),
            ("moments[N + e] = next.y", "moments[e] = next.y"),
            ("moments[e] = next.x", "moments[e] = next.x / rates[1]"),
            ("group.x + group.y * groups.x", "group.x"),
            // lib/adam_step
            ("(1.0 - beta1) * g", "g"),
            ("* g * g", "* g"),
            ("moments.x / c1", "moments.x"),
            ("moments.y / c2", "moments.y"),
            ("+ epsilon", ""),
            ("+ epsilon", "+ 10.0 * epsilon"),
            ("sqrt(moments.y / c2) + epsilon", "sqrt(moments.y / c2 + epsilon)"),
            ("< 1.17549435e-38", "< 1e-36"),
            ("abs(v) < 1.17549435e-38", "v < 1.17549435e-38"),
        ],
    ),
    (
        &ceiling::TOUCH,
        &[("count[0] += 1u", "count[0] += 2u"), ("count[0] += 1u", "count[0] = count[0] | 1u")],
    ),
    (
        &ceiling::COPY,
        &[
            ("if at < N", "if at + 1u < N"),
            ("= source[at]", "= source[0]"),
            ("* WORKGROUP + lane", "* WORKGROUP"),
            ("+ group.x) * WORKGROUP", ") * WORKGROUP"),
        ],
    ),
    (
        &keep::KEEP,
        &[
            ("clock[2] % S", "clock[2]"),
            ("clock[2] % S * R", "clock[2] % S * S"),
            ("id.x >= R", "id.x > R"),
            ("id.x >= R", "id.x >= R - 1u"),
        ],
    ),
    (
        &keep::ADVANCE,
        &[
            ("time[2] += 1u", "time[2] = 1u"),
            ("time[5] += K", "time[5] = K"),
            ("time[5] += K", "time[4] += K"),
        ],
    ),
    (
        &tally::TALLY,
        &[
            ("if WRAP == 0u { return min(B, N - min(clock[4], N)); }", ""),
            ("let parts = counted * K * T", "let parts = counted * K"),
            ("let parts = counted * K * T", "let parts = counted * T"),
            ("log_px[part]", "log_px[part / T]"),
            ("part += 4u * WORKGROUP", "part += 8u * WORKGROUP"),
            ("if part < parts { return", "if part + 1u < parts { return"),
            ("likelihood_of(part + 2u * WORKGROUP", "likelihood_of(part + WORKGROUP"),
            ("likelihood.z + likelihood.w", "likelihood.z"),
            ("likelihood_sum / f32(K)", "likelihood_sum"),
            ("clock[2] % S", "min(clock[2], S - 1u)"),
            ("clock[2] = step;", "clock[2] = step + 1u;"),
            ("clock[4] = position + B;", "clock[4] = position + counted;"),
            ("f32(counted)", "f32(B)"),
            ("clock[4] = (position + B) % N", "clock[4] = position + B"),
            ("clock[3] += (position + B) / N", "clock[3] += min((position + B) / N, 1u)"),
            ("if WRAP == 1u", "if WRAP == 0u"),
            ("N - min(clock[4], N)", "N - clock[4]"),
            ("f32(step + 1u) * LN_BETA1", "f32(step) * LN_BETA1"),
            ("f32(step + 1u) * LN_BETA2", "f32(step) * LN_BETA2"),
            ("a / 4.0", "a / 5.0"),
            ("if a < -0.5", "if a < -5.0"),
            ("rows_counted(), 0.0)", "rows_counted(), 1.0)"),
            ("BETA * (f32(step) / WARM_UP)", "BETA"),
            ("f32(step) / WARM_UP", "f32(step + 1u) / WARM_UP"),
            ("rates[3] = BETA;", "rates[3] = 1.0;"),
            ("if f32(step) < WARM_UP", "if f32(step) < 0.5 * WARM_UP"),
            ("divergence += kl[row]", "divergence = kl[row]"),
        ],
    ),
    (
        &tally::TALLY_BOUND,
        &[
            ("part += bound[row]", "part = bound[row]"),
            ("= bound_sum;", "= 0.0;"),
            ("workgroup_sum(part, lane));", "part);"),
            ("row < counted; row += WORKGROUP) { part", "row < B; row += WORKGROUP) { part"),
            ("if WRAP == 0u { return", "if WRAP == 1u { return"),
        ],
    ),
];
