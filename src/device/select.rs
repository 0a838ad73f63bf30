//! Which device a name means.

use super::cpu::CpuDevice;
use super::gpu::{Adapters, GpuDevice};
use super::{Device, DeviceError};

/// A device that was chosen by name, and how.
pub struct Choice {
    /// The device, open.
    pub device: Device,
    /// Empty where the CPU was asked for.
    pub adapters: Option<Adapters>,
    /// Which of the adapters the device is.
    pub adapter: Option<wgpu::Adapter>,
    /// Why the best adapter was not taken, where none was asked for.
    pub fallen_back: Option<DeviceError>,
}

impl Device {
    /// The hardware GPU if there is one that opens, else the CPU.
    ///
    /// # Errors
    /// The CPU's threads cannot be made.
    pub fn auto() -> Result<Device, DeviceError> {
        Device::open("auto")
    }

    /// The CPU, with all its cores.
    ///
    /// # Errors
    /// The threads cannot be made.
    pub fn cpu() -> Result<Device, DeviceError> {
        Device::open("cpu")
    }

    /// A device by name, as `elbo train --device` takes it: `auto`, `gpu` (the best adapter, a software one
    /// if need be), `cpu`, or an adapter's index or part of its name as `elbo devices` lists them.
    ///
    /// # Errors
    /// There is none of that name, or it does not open.
    ///
    /// ```
    /// let device = elbo::Device::open("cpu")?;
    /// assert_eq!(device.description().kind, "cpu");
    /// # Ok::<(), elbo::DeviceError>(())
    /// ```
    pub fn open(which: &str) -> Result<Device, DeviceError> {
        Ok(Choice::of(which)?.device)
    }
}

impl Choice {
    /// # Errors
    /// As [`Device::open`].
    pub fn of(which: &str) -> Result<Choice, DeviceError> {
        let cpu = || CpuDevice::new(None).map(Device::Cpu);
        let wanted = which.to_lowercase();
        if wanted == "cpu" {
            let device = cpu()?;
            return Ok(Choice { device, adapters: None, adapter: None, fallen_back: None });
        }
        let adapters = Adapters::enumerate();
        let chosen = match wanted.as_str() {
            "auto" => adapters.hardware(),
            "gpu" => Some(adapters.best()?),
            _ => Some(adapters.find(which)?),
        };
        let opened = chosen.map(|a| GpuDevice::open(a).map(|d| Device::Gpu(Box::new(d))));
        let (device, adapter, fallen_back) = match opened.transpose() {
            // Somebody who named no device is served by another.
            Err(error) if wanted == "auto" => (None, None, Some(error)),
            opened => (opened?, chosen.cloned(), None),
        };
        let device = device.map_or_else(cpu, Ok)?;
        Ok(Choice { device, adapters: Some(adapters), adapter, fallen_back })
    }
}
