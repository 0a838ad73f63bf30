//! The CPU device: the same plan on all cores.
//!
//! In `f32`, by the kernels' fast forms, it is what runs where there is no hardware GPU. In `f64`, and on numbers
//! that carry an error bound, it is the reference of the tests: there it computes the kernels' formulas.

mod fast;

use std::cell::RefCell;
use std::collections::TryReserveError;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use fast::lanes::Registers;

use super::{Description, DeviceError, Executor, Progress, TimedBy, check_memory, out_of_memory};
use crate::numeric::bounded::Bounded;
use crate::numeric::thread_pool::ThreadPool;
use crate::numeric::{Precision, Real};
use crate::plan::{Buffer, Call, Kernel};
use crate::plan::{DType, Dispatch, PlanId, Program, TensorId};

/// A number type that the CPU device computes in.
pub trait Number: Real {
    /// What runs a kernel.
    fn implementation(kernel: &Kernel) -> fn(&Call<Self>);
}

impl Number for f32 {
    /// The fast form, where there is one.
    fn implementation(kernel: &Kernel) -> fn(&Call<f32>) {
        fast::form(kernel).unwrap_or(kernel.formula.f32)
    }
}

impl Number for f64 {
    fn implementation(kernel: &Kernel) -> fn(&Call<f64>) {
        kernel.formula.f64
    }
}

impl Number for Bounded {
    fn implementation(kernel: &Kernel) -> fn(&Call<Bounded>) {
        kernel.formula.bounded
    }
}

/// A clone is the same threads.
#[derive(Clone)]
pub struct CpuDevice {
    threads: Arc<ThreadPool>,
    description: Description,
    precision: Precision,
}

impl CpuDevice {
    /// A device of this many threads, or of all cores.
    ///
    /// # Errors
    /// The operating system gives no threads.
    pub fn new(threads: Option<usize>) -> Result<Self, DeviceError> {
        let threads = ThreadPool::new(threads).map_err(|e| {
            DeviceError::Selection(format!("cannot start the CPU device's threads: {e}"))
        })?;
        let n = threads.threads();
        let description = Description {
            name: format!("CPU, {n} thread{}", if n == 1 { "" } else { "s" }),
            kind: "cpu".to_string(),
            backend: "none".to_string(),
            driver: instruction_set().to_string(),
        };
        Ok(CpuDevice { threads: Arc::new(threads), description, precision: Precision::F32 })
    }

    /// The same device with products of this precision; mixed precision is imitated, and no faster.
    pub fn in_precision(&self, precision: Precision) -> Self {
        CpuDevice { precision, ..self.clone() }
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Allocates the program's tensors.
    ///
    /// # Errors
    /// There is not that much memory: how much it needs, and how much is free.
    pub fn load<T: Number>(&self, program: Program) -> Result<CpuExecutor<T>, DeviceError> {
        check_memory(&program, size_of::<T>())?;
        let mut buffers = Vec::new();
        for tensor in program.tensors() {
            if let Some((whole, first)) = tensor.part_of {
                buffers.push(RefCell::new(Buffer::Part(whole, first..first + tensor.len())));
                continue;
            }
            let n = if tensor.dropped { 0 } else { tensor.len() };
            let buffer = match tensor.dtype {
                DType::F32 => zeros(n, T::ZERO).map(Buffer::Float),
                DType::U32 => zeros(n, 0).map(Buffer::U32),
                DType::U8 => zeros(n, 0).map(Buffer::U8),
            };
            // A limit of the process may leave it less than is free.
            let buffer = buffer.map_err(|_| out_of_memory(&program, size_of::<T>()))?;
            buffers.push(RefCell::new(buffer));
        }
        let (threads, precision) = (self.threads.clone(), self.precision);
        let constants = program.constants().to_vec();
        let mut executor = CpuExecutor {
            program,
            buffers,
            threads,
            description: self.description.clone(),
            precision,
        };
        for (tensor, bytes) in &constants {
            executor.write_bytes(*tensor, bytes)?;
        }
        Ok(executor)
    }
}

/// A tensor's `n` elements, where `vec!` would end the process if they do not fit.
fn zeros<T: Clone>(n: usize, zero: T) -> Result<Vec<T>, TryReserveError> {
    let mut values = Vec::new();
    values.try_reserve_exact(n)?;
    values.resize(n, zero);
    Ok(values)
}

/// The widest vector instructions that the fast forms and `gemm` use.
fn instruction_set() -> &'static str {
    match Registers::of_processor() {
        Some(Registers::Of16) => "AVX-512",
        Some(Registers::Of8) => "AVX2",
        Some(Registers::Of4) => "NEON",
        None => std::env::consts::ARCH,
    }
}

/// A program loaded on the CPU at precision `T`.
pub struct CpuExecutor<T> {
    program: Program,
    buffers: Vec<RefCell<Buffer<T>>>,
    threads: Arc<ThreadPool>,
    description: Description,
    precision: Precision,
}

impl<T: Number> CpuExecutor<T> {
    /// The content of a float tensor, to read or change at full precision.
    ///
    /// # Panics
    /// If the tensor is not F32.
    pub fn floats_mut(&mut self, tensor: TensorId) -> &mut [T] {
        let place = self.program.place(tensor);
        let len = self.program.get(tensor).len();
        match self.buffers[place.0.0].get_mut() {
            Buffer::Float(values) => &mut values[place.1..][..len],
            _ => panic!("the tensor is not F32"),
        }
    }
}

fn call<T: Number>(dispatch: &Dispatch, buffers: &[RefCell<Buffer<T>>], precision: Precision) {
    T::implementation(dispatch.kernel)(&Call { dispatch, buffers, precision });
}

impl<T: Number> Executor for CpuExecutor<T> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        let dispatches = &self.program.plan(plan).dispatches;
        for done in 1..=n {
            self.threads.enter(|| {
                for dispatch in dispatches {
                    call(dispatch, &self.buffers, self.precision);
                }
            });
            // Outside of the threads: whoever hears it may use the device.
            if progress(done).is_break() {
                return Ok(done);
            }
        }
        Ok(n)
    }

    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        let dispatch = &self.program.plan(plan).dispatches[index];
        self.threads.enter(|| call(dispatch, &self.buffers, self.precision));
        Ok(())
    }

    fn time(
        &mut self,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        let dispatches = &self.program.plan(plan).dispatches[dispatches];
        let seconds = self.threads.enter(|| {
            let begin = Instant::now();
            for _ in 0..n {
                for dispatch in dispatches {
                    call(dispatch, &self.buffers, self.precision);
                }
            }
            begin.elapsed().as_secs_f64()
        });
        Ok((seconds, TimedBy::Wall))
    }

    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        let declared = self.program.get(tensor);
        assert_eq!(bytes.len(), declared.size_bytes(), "{declared}");
        if declared.dtype == DType::F32 {
            let given: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
            for (value, v) in self.floats_mut(tensor).iter_mut().zip(given) {
                *value = T::from_f64(f64::from(v));
            }
            return Ok(());
        }
        match self.buffers[tensor.0].get_mut() {
            Buffer::U32(values) => {
                values.copy_from_slice(&bytemuck::pod_collect_to_vec::<u8, u32>(bytes));
            }
            Buffer::U8(values) => values.copy_from_slice(bytes),
            Buffer::Float(_) | Buffer::Part(..) => unreachable!("they are F32"),
        }
        Ok(())
    }

    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        if self.program.get(tensor).dtype == DType::F32 {
            let values = &mut self.floats_mut(tensor)[offset / 4..];
            let given = bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
            for (value, v) in values.iter_mut().zip(given) {
                *value = T::from_f64(f64::from(v));
            }
            return Ok(());
        }
        match self.buffers[tensor.0].get_mut() {
            Buffer::U8(values) => values[offset..][..bytes.len()].copy_from_slice(bytes),
            _ => panic!("{} is not of bytes", self.program.get(tensor)),
        }
        Ok(())
    }

    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        if self.program.get(tensor).dtype == DType::F32 {
            let values: Vec<f32> =
                self.floats_mut(tensor).iter().map(|v| v.to_f64() as f32).collect();
            return Ok(bytemuck::pod_collect_to_vec(&values));
        }
        Ok(match self.buffers[tensor.0].get_mut() {
            Buffer::U32(values) => bytemuck::pod_collect_to_vec(values),
            Buffer::U8(values) => values.clone(),
            Buffer::Float(_) | Buffer::Part(..) => unreachable!("they are F32"),
        })
    }
}
