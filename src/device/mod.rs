//! What runs a plan: any adapter through wgpu, or the CPU.

mod cgroup;
#[doc(hidden)]
pub mod cpu;
#[doc(hidden)]
pub mod gpu;
mod select;

use std::ops::{ControlFlow, Range};
use std::path::Path;

pub use crate::numeric::Precision;
use crate::plan::variant::Choices;
use crate::plan::{DType, PlanId, Program, Tensor, TensorId};
pub use select::Choice;

/// A device that cannot be had, or that failed. One line each.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// No device is meant by what was asked for.
    #[error("{0}")]
    Selection(String),
    /// An adapter that does not open or refuses a shader.
    #[error("{adapter}: {message}")]
    Adapter {
        /// Its name.
        adapter: String,
        /// What was said.
        message: String,
    },
    /// Mixed precision is asked for of an adapter that cannot compute in it.
    #[error(
        "`precision` mixed: {adapter}: {problem}; `precision` f32 needs none, and `Device::cpu` imitates them"
    )]
    Precision {
        /// Its name.
        adapter: String,
        /// What it lacks, or what it computes wrongly.
        problem: String,
    },
    /// A tensor that is larger than what the adapter can bind, in bytes.
    #[error(
        "{adapter}: the tensor {tensor} needs {needed} bytes, and the adapter binds at most {limit} bytes"
    )]
    TooLarge {
        /// Its name.
        adapter: String,
        /// Name and dimensions of the tensor.
        tensor: String,
        /// Bytes of the tensor.
        needed: usize,
        /// Bytes that can be bound.
        limit: u64,
    },
    /// Less memory is free than all tensors need, or the process may have less, in bytes.
    #[error(
        "this needs {needed} bytes of memory, more than {}; the largest tensor is {tensor}",
        match available {
            Some(free) if free >= needed => format!("the process may have ({free} are free)"),
            Some(free) => format!("is free ({free})"),
            None => "is free".to_string(),
        }
    )]
    OutOfMemory {
        /// Name and dimensions of the largest tensor.
        tensor: String,
        /// Bytes of all tensors.
        needed: usize,
        /// Bytes that are free, where that is known.
        available: Option<usize>,
    },
    /// The driver gave the device up, as after a reset.
    #[error("{adapter}: the device was lost: {message}")]
    Lost {
        /// Its name.
        adapter: String,
        /// What the driver said.
        message: String,
    },
}

/// What a device is, for the console and the run's summary.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// As its driver or maker calls it.
    pub name: String,
    /// "cpu" for the CPU device, else wgpu's device type.
    pub kind: String,
    /// "none" for the CPU device, else "Vulkan", "Metal" or "Dx12".
    pub backend: String,
    /// Name and version of the driver; for the CPU, what its kernels are compiled for.
    pub driver: String,
}

/// How a duration on a device was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum TimedBy {
    /// The adapter's own, written at the beginning and the end of a compute pass.
    #[serde(rename = "GPU timestamps")]
    Timestamps,
    /// The host's, around the submission and the wait for it.
    #[serde(rename = "wall clock")]
    Wall,
}

/// Whether a program fits the computer's memory. Linux hands out more than there is, and ends the process
/// that uses it.
///
/// # Errors
/// It does not, with floats of `float_bytes`.
fn check_memory(program: &Program, float_bytes: usize) -> Result<(), DeviceError> {
    let needed = memory(program, float_bytes);
    match available_memory() {
        Some(free) if needed > free => Err(out_of_memory(program, float_bytes)),
        _ => Ok(()),
    }
}

/// Whether the computer has `host` bytes beside what a program takes of its memory, which on an adapter with
/// memory of its own is little.
///
/// # Errors
/// It has not.
pub(crate) fn check_host_memory(
    device: &Device,
    program: &Program,
    host: usize,
) -> Result<(), DeviceError> {
    let kind = &device.description().kind;
    let on_host = kind == "cpu" || kind == "software" || kind == "integrated GPU";
    let tensors = if on_host { memory(program, size_of::<f32>()) } else { 0 };
    let needed = tensors.saturating_add(host);
    match available_memory() {
        Some(free) if needed > free => Err(lack_of_memory(program, needed)),
        _ => Ok(()),
    }
}

/// What to say where there are not `needed` bytes for a program and what belongs to it: of the machine, or of what
/// it lets the process have.
fn lack_of_memory(program: &Program, needed: usize) -> DeviceError {
    let largest = program.stored().max_by_key(|t| t.size_bytes());
    let enough = memory_of_machine().filter(|&free| free >= needed);
    DeviceError::OutOfMemory {
        tensor: largest.map_or(String::new(), Tensor::to_string),
        needed,
        available: enough.or(available_memory()),
    }
}

/// Bytes of all tensors of a program, with floats of `float_bytes`.
fn memory(program: &Program, float_bytes: usize) -> usize {
    let element =
        |t: &Tensor| if t.dtype == DType::F32 { float_bytes } else { t.dtype.size_bytes() };
    let sizes = program.stored().map(|t| t.len().saturating_mul(element(t)));
    sizes.fold(0, usize::saturating_add)
}

/// What to say where a program does not fit the computer's memory, or what the process may have of it.
fn out_of_memory(program: &Program, float_bytes: usize) -> DeviceError {
    lack_of_memory(program, memory(program, float_bytes))
}

/// Bytes that can be used without swapping, where the system tells: of the machine, of what the process's
/// control group may still have, or of what its limit (`ulimit -v`) leaves it.
pub(crate) fn available_memory() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_groups = cgroup::available(Path::new("/sys/fs/cgroup"), &groups);
    let of_process = || {
        let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
        let limit = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        let limit: usize = limit.split_whitespace().next()?.parse().ok()?; // or "unlimited"
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let used = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let used: usize = used.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(limit.saturating_sub(used * 1024))
    };
    memory_of_machine().into_iter().chain(of_groups).chain(of_process()).min()
}

/// Bytes of the machine's memory that can be used without swapping, where the system tells.
fn memory_of_machine() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}

/// A callback that is given the number of finished runs of a plan; `Break` ends them.
pub type Progress<'a> = dyn FnMut(u64) -> ControlFlow<()> + 'a;

/// A program loaded on a device. Tensors start as zeros.
pub trait Executor {
    /// The device it runs on.
    fn description(&self) -> &Description;

    /// What was loaded.
    fn program(&self) -> &Program;

    /// The variants of the kernels that have several: what a run needs to be repeated bit for bit, see
    /// [`Device::with_variants`]. None on the CPU.
    fn variants(&self) -> Choices {
        Choices::default()
    }

    /// Runs a plan `n` times and returns how often it ran. `progress` is called with the number of finished runs
    /// from time to time; on `Break` the runs already begun are finished and no more.
    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError>;

    /// Runs one dispatch of a plan: to look at every tensor between kernels.
    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError>;

    /// Runs some dispatches of a plan `n` times over as one piece of work, and returns the seconds that it
    /// took on the device, with how they were measured.
    fn time(
        &mut self,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError>;

    /// Writes a whole tensor, given in its element type's bytes (f32, u32 or u8).
    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Writes a part of a tensor of bytes or of F32, from byte `offset` on; both are a multiple of 4.
    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError>;

    /// Reads a whole tensor, after everything before it has run.
    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError>;

    /// Reads whole tensors, in their order: on an adapter with fewer waits than one by one.
    fn read_all(&mut self, tensors: &[TensorId]) -> Result<Vec<Vec<u8>>, DeviceError> {
        tensors.iter().map(|&tensor| self.read_bytes(tensor)).collect()
    }
}

impl dyn Executor + '_ {
    /// Writes a whole F32 tensor.
    pub fn write_f32(&mut self, tensor: TensorId, values: &[f32]) -> Result<(), DeviceError> {
        self.write_bytes(tensor, bytemuck::cast_slice(values))
    }

    /// Writes a whole U32 tensor.
    pub fn write_u32(&mut self, tensor: TensorId, values: &[u32]) -> Result<(), DeviceError> {
        self.write_bytes(tensor, bytemuck::cast_slice(values))
    }

    /// Reads a whole F32 tensor.
    pub fn read_f32(&mut self, tensor: TensorId) -> Result<Vec<f32>, DeviceError> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes(tensor)?))
    }

    /// Reads a whole U32 tensor.
    pub fn read_u32(&mut self, tensor: TensorId) -> Result<Vec<u32>, DeviceError> {
        Ok(bytemuck::pod_collect_to_vec(&self.read_bytes(tensor)?))
    }

    /// Reads whole F32 tensors, see [`Executor::read_all`].
    pub fn read_all_f32(&mut self, tensors: &[TensorId]) -> Result<Vec<Vec<f32>>, DeviceError> {
        let all = self.read_all(tensors)?;
        Ok(all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect())
    }

    /// Runs a plan `n` times to the end.
    pub fn run_all(&mut self, plan: PlanId, n: u64) -> Result<(), DeviceError> {
        self.run(plan, n, &mut |_| ControlFlow::Continue(())).map(|_| ())
    }
}

/// A device that programs can be loaded on.
pub enum Device {
    /// All cores of the CPU.
    Cpu(cpu::CpuDevice),
    /// An adapter, by the shaders.
    Gpu(Box<gpu::GpuDevice>),
}

impl Device {
    /// What it is.
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

    /// The same device for products of this precision. On the CPU mixed precision is imitated, and no faster.
    ///
    /// # Errors
    /// The adapter has no cooperative matrices for it, or they fail the test that is made of them here.
    pub fn in_precision(&self, precision: Precision) -> Result<Device, DeviceError> {
        Ok(match self {
            Device::Cpu(device) => Device::Cpu(device.in_precision(precision)),
            Device::Gpu(device) => Device::Gpu(Box::new(device.in_precision(precision)?)),
        })
    }

    /// The same device with the variants of kernels that another run has had, as far as it can run them.
    pub fn with_variants(self, variants: Choices) -> Device {
        match self {
            Device::Cpu(device) => Device::Cpu(device),
            Device::Gpu(device) => Device::Gpu(Box::new(device.with_variants(variants))),
        }
    }
}
