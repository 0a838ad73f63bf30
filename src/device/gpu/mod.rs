//! Any Vulkan, Metal or DX12 adapter, through wgpu.

pub mod adapter;
mod executor;
mod pipelines;

use std::sync::{Arc, Mutex};

use super::{Description, DeviceError};
use crate::plan::Program;
pub use adapter::Adapters;
pub use executor::{GUARD_BYTE, GpuExecutor};

/// Marks the loss of the device among the recorded failures.
const LOST: &str = "lost: ";

/// An opened adapter. A clone is the same device.
#[derive(Clone)]
pub struct GpuDevice {
    device: wgpu::Device,
    queue: wgpu::Queue,
    description: Description,
    /// The first error that no scope caught, or the loss of the device.
    failure: Arc<Mutex<Option<String>>>,
}

impl GpuDevice {
    /// Opens an adapter with the limits it reports: the default ones refuse buffers above 128 MiB.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn open(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        let description = adapter::describe(&adapter.get_info());
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("elbo"),
            required_limits: adapter.limits(),
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|e| DeviceError::Adapter {
            adapter: description.name.clone(),
            message: format!("cannot open the device: {}", one_line(&e.to_string())),
        })?;
        let failure = Arc::new(Mutex::new(None));
        let note = failure.clone();
        device.on_uncaptured_error(Arc::new(move |e: wgpu::Error| record(&note, &e.to_string())));
        let note = failure.clone();
        device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                record(&note, &format!("{LOST}{message}"));
            }
        });
        Ok(GpuDevice { device, queue, description, failure })
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Allocates the program's tensors and compiles its plans.
    ///
    /// # Errors
    /// A tensor beyond the adapter's limits, out of memory, a shader the driver refuses.
    pub fn load(&self, program: Program) -> Result<GpuExecutor, DeviceError> {
        GpuExecutor::new(self, program, 0)
    }

    /// As [`GpuDevice::load`], with `guard` bytes (a multiple of 256) around every tensor that no kernel
    /// may touch: for [`GpuExecutor::read_guards`].
    ///
    /// # Errors
    /// As [`GpuDevice::load`].
    pub fn load_guarded(&self, program: Program, guard: u64) -> Result<GpuExecutor, DeviceError> {
        GpuExecutor::new(self, program, guard)
    }

    /// Runs `f` and turns the errors it raises on the device into one.
    fn checked<R>(&self, what: &str, f: impl FnOnce() -> R) -> Result<R, DeviceError> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let result = f();
        let errors = [internal.pop(), validation.pop(), memory.pop()].map(pollster::block_on);
        match errors.into_iter().flatten().next() {
            Some(wgpu::Error::OutOfMemory { .. }) => {
                Err(self.error(format!("{what}: the adapter has not that much memory free")))
            }
            Some(error) => Err(self.error(format!("{what}: {error}"))),
            None => self.healthy().map(|()| result),
        }
    }

    fn error(&self, message: String) -> DeviceError {
        DeviceError::Adapter { adapter: self.description.name.clone(), message: one_line(&message) }
    }

    /// The failure that was reported since the device was opened, if any.
    fn healthy(&self) -> Result<(), DeviceError> {
        let failure = self.failure.lock().unwrap_or_else(|e| e.into_inner());
        let Some(message) = failure.as_ref() else { return Ok(()) };
        Err(match message.strip_prefix(LOST) {
            Some(message) => DeviceError::Lost {
                adapter: self.description.name.clone(),
                message: one_line(message),
            },
            None => self.error(message.clone()),
        })
    }
}

fn record(failure: &Mutex<Option<String>>, message: &str) {
    failure.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert_with(|| message.to_string());
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
