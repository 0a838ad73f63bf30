//! Faults of a device, most of them to one tensor.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

use elbo::device::gpu::GUARD_BYTE;
use elbo::device::{DeviceError, Executor};
use elbo::kernels::REGISTRY;
use elbo::kernels::{bernoulli, end_step, gaussian, linear, posterior};
use elbo::numeric::Precision;
use elbo::numeric::bounded::Bounded;
use elbo::plan::{Access, DType, PlanId, Tensor, TensorId};
use elbo::plan::{Case, Kernel};

use crate::harness::wrapped::{Hooks, Wrapped};
use crate::harness::{self, Expected, GUARD, SAFETY, Tested};

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

/// A fault of one tensor of a device.
struct Faulty {
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

    /// Where the words of a tensor are.
    fn place(&self, tensor: TensorId) -> TensorId {
        match self.fault {
            Fault::SwappedWith(other) if tensor == self.tensor => other,
            Fault::SwappedWith(other) if tensor == other => self.tensor,
            _ => tensor,
        }
    }
}

impl Hooks for Faulty {
    fn run_dispatch(
        &mut self,
        inner: &mut dyn Executor,
        plan: PlanId,
        index: usize,
    ) -> Result<(), DeviceError> {
        self.runs += 1;
        let before = inner.read_bytes(self.tensor)?;
        match self.fault {
            Fault::NoOp => self.planted.set(true),
            Fault::Lost => {
                self.planted.set(true);
                let (adapter, message) = ("faulty".to_string(), "unplugged".to_string());
                return Err(DeviceError::Lost { adapter, message });
            }
            _ => inner.run_dispatch(plan, index)?,
        }
        let mut bytes = inner.read_bytes(self.tensor)?;
        self.distort(&before, &mut bytes);
        inner.write_bytes(self.tensor, &bytes)
    }

    fn write_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let place = self.place(tensor);
        self.planted.set(self.planted.get() || place != tensor);
        inner.write_bytes(place, bytes)
    }

    fn read_bytes(
        &mut self,
        inner: &mut dyn Executor,
        tensor: TensorId,
    ) -> Result<Vec<u8>, DeviceError> {
        // Inputs must look untouched: the fault is in what the kernel sees.
        let mut bytes = inner.read_bytes(self.place(tensor))?;
        match self.fault {
            Fault::Short(n) if tensor == self.tensor => bytes.truncate(bytes.len() - n),
            Fault::Long(n) if tensor == self.tensor => bytes.resize(bytes.len() + n, 0),
            _ => return Ok(bytes),
        }
        self.planted.set(true);
        Ok(bytes)
    }
}

impl Tested for Wrapped<Faulty> {
    fn guards(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        let mut guards = vec![GUARD_BYTE; 2 * GUARD as usize];
        if let Fault::OutOfBounds = self.hooks.fault
            && tensor == self.hooks.tensor
        {
            guards[GUARD as usize] = 0;
            self.hooks.planted.set(true);
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

fn faults_of_output(tensor: &Tensor, expected: &Expected, blank: bool) -> Vec<Named> {
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
    for i in [0, tensor.len() / 2, tensor.len() - 1] {
        if blank {
            // An output begins as NaN; anything else could be right by accident.
            let words = if tensor.dtype == DType::F32 { "is NaN" } else { "expected" };
            faults.push(("unwritten", Fault::Unwritten(i), words));
        }
        match expected {
            Expected::Floats(values) => {
                let e = values[i];
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
            Expected::Bytes(bytes) => {
                let v = bytemuck::pod_read_unaligned::<u32>(&bytes[4 * i..][..4]);
                faults.push(("one more", Fault::Word(i, v.wrapping_add(1)), "expected"));
            }
            Expected::Unchanged => panic!("{tensor} is no output"),
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
    let device = harness::single_thread();
    let planted = Rc::new(Cell::new(false));
    let result = harness::check(kernel, case, 1, &|program| {
        let inner = Box::new(device.load::<f32>(program)?);
        let hooks = Faulty { fault, tensor, runs: 0, planted: planted.clone() };
        Ok(Box::new(Wrapped { inner, hooks }))
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
            let small = harness::prepare(kernel, &case, 1).unwrap();
            let bytes: usize = small.program.stored().map(|t| t.size_bytes()).sum();
            if bytes > 20_000 {
                continue;
            }
            let reference = harness::reference(Precision::F32, kernel, &case, 1).unwrap();
            let prepared = &reference.prepared;
            for ((id, access, _), expected) in prepared.tensors.iter().zip(&reference.expected) {
                let tensor = prepared.program.get(*id);
                let place = format!("{kernel} {case:?} {tensor}");
                if let (Err(message), _) = check_faulty(kernel, &case, *id, Fault::None) {
                    panic!("{place}: no fault, and yet: {message}");
                }
                let filled = case.fills.iter().any(|(filled, _)| *filled == tensor.name);
                let faults = match access {
                    Access::Read => faults_of_input(),
                    Access::Write => faults_of_output(tensor, expected, !filled),
                    Access::Update => faults_of_output(tensor, expected, false),
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
    let update = Case { dims: square.clone().dim("PLANES", 2).dims, ..of(&linear::UPDATE, 0) };
    let decode = Case::new(&[("BATCH", 9), ("K", 1), ("D", 9), ("I", 9)]);
    let table: [(&'static Kernel, Case, usize); 12] = [
        (&linear::FORWARD, square.clone(), 1),
        (&linear::BACKWARD_INPUT, square.clone(), 3),
        (&linear::UPDATE, update, 1),
        (&bernoulli::DECODE, decode.clone(), 4),
        (&bernoulli::DECODE_LOG_LIKELIHOOD, decode, 3),
        (&posterior::BACKWARD, of(&posterior::BACKWARD, 1), 1),
        (&bernoulli::LOG_LIKELIHOOD, of(&bernoulli::LOG_LIKELIHOOD, 1), 1),
        (&posterior::BACKWARD_SAMPLED, of(&posterior::BACKWARD_SAMPLED, 1), 1),
        (&bernoulli::BACKWARD, of(&bernoulli::BACKWARD, 1), 1),
        (&gaussian::VARIANCE, of(&gaussian::VARIANCE, 1), 1),
        (&end_step::END_STEP, of(&end_step::END_STEP, 3), 1),
        (&end_step::END_STEP_WITH_BOUND, of(&end_step::END_STEP_WITH_BOUND, 3), 3),
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
