//! What runs a plan: any adapter through wgpu, or the CPU through the kernels' twins.

pub mod cpu;
pub mod gpu;

use std::ops::ControlFlow;

use crate::plan::{DType, PlanId, Program, Tensor, TensorId};

/// A device that cannot be had, or that failed. One line each.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    #[error("{0}")]
    Selection(String),
    #[error("{adapter}: {message}")]
    Adapter { adapter: String, message: String },
    #[error(
        "{adapter}: the tensor {tensor} needs {needed} bytes, and the adapter binds at most {limit} bytes"
    )]
    TooLarge { adapter: String, tensor: String, needed: usize, limit: u64 },
    #[error(
        "this needs {needed} bytes of memory, more than is free{}; the largest tensor is {tensor}",
        available.map_or(String::new(), |bytes| format!(" ({bytes})"))
    )]
    OutOfMemory { tensor: String, needed: usize, available: Option<usize> },
    #[error("{adapter}: the device was lost: {message}")]
    Lost { adapter: String, message: String },
}

/// What a device is, for the console and the run's summary.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    pub name: String,
    /// "cpu" for the CPU device, else wgpu's device type.
    pub kind: String,
    /// "none" for the CPU device, else "Vulkan", "Metal" or "Dx12".
    pub backend: String,
    pub driver: String,
}

/// Whether a program fits the computer's memory. Linux hands out more than there is, and ends the process
/// that uses it.
///
/// # Errors
/// It does not: how much it needs with floats of `float_bytes`, and how much is free.
fn check_memory(program: &Program, float_bytes: usize) -> Result<(), DeviceError> {
    let element =
        |t: &Tensor| if t.dtype == DType::F32 { float_bytes } else { t.dtype.size_bytes() };
    let sizes = program.tensors().iter().map(|t| t.len().saturating_mul(element(t)));
    let needed = sizes.fold(0, usize::saturating_add);
    match available_memory() {
        available if available.is_some_and(|free| needed > free) => {
            let largest = program.tensors().iter().max_by_key(|t| t.size_bytes());
            let tensor = largest.map_or(String::new(), Tensor::to_string);
            Err(DeviceError::OutOfMemory { tensor, needed, available })
        }
        _ => Ok(()),
    }
}

/// Bytes that can be used without swapping, where the system tells.
fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// Hears how many runs of a plan are finished, and may end them.
pub type Progress<'a> = dyn FnMut(u64) -> ControlFlow<()> + Send + 'a;

/// A program loaded on a device. Tensors start as zeros.
pub trait Executor {
    fn description(&self) -> &Description;

    fn program(&self) -> &Program;

    /// Runs a plan `n` times and returns how often it ran. `progress` hears the number of finished runs
    /// from time to time; on `Break` the runs already begun are finished and no more.
    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError>;

    /// Runs one dispatch of a plan: to look at every tensor between kernels.
    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError>;

    /// Writes a whole tensor, given in its element type's bytes (f32, u32 or u8).
    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Writes a part of a tensor of bytes, from byte `offset` on; both are a multiple of 4.
    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError>;

    /// Reads a whole tensor, after everything before it has run.
    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError>;
}

impl dyn Executor + '_ {
    pub fn write_f32(&mut self, tensor: TensorId, values: &[f32]) -> Result<(), DeviceError> {
        self.write_bytes(tensor, bytemuck::cast_slice(values))
    }

    pub fn write_u32(&mut self, tensor: TensorId, values: &[u32]) -> Result<(), DeviceError> {
        self.write_bytes(tensor, bytemuck::cast_slice(values))
    }

    pub fn read_f32(&mut self, tensor: TensorId) -> Result<Vec<f32>, DeviceError> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes(tensor)?))
    }

    pub fn read_u32(&mut self, tensor: TensorId) -> Result<Vec<u32>, DeviceError> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes(tensor)?))
    }

    /// Runs a plan `n` times to the end.
    pub fn run_all(&mut self, plan: PlanId, n: u64) -> Result<(), DeviceError> {
        self.run(plan, n, &mut |_| ControlFlow::Continue(())).map(|_| ())
    }
}

/// A device that programs can be loaded on.
pub enum Device {
    Cpu(cpu::CpuDevice),
    Gpu(Box<gpu::GpuDevice>),
}

impl Device {
    pub fn description(&self) -> &Description {
        match self {
            Device::Cpu(device) => device.description(),
            Device::Gpu(device) => device.description(),
        }
    }

    /// Allocates the program's tensors and prepares its plans.
    ///
    /// # Errors
    /// A tensor beyond the adapter's limits, out of memory, a shader the driver refuses.
    pub fn load(&self, program: Program) -> Result<Box<dyn Executor>, DeviceError> {
        Ok(match self {
            Device::Cpu(device) => Box::new(device.load::<f32>(program)?),
            Device::Gpu(device) => Box::new(device.load(program)?),
        })
    }
}
