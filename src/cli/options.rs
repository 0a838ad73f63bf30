//! Options that several commands share.

use std::path::Path;

use super::Failure;
use crate::data::{self, DataError, Dataset};
use crate::device::cpu::CpuDevice;
use crate::device::gpu::{Adapters, GpuDevice, adapter};
use crate::device::{Description, Device};
use crate::report::console::note;
use crate::train::Settings;

#[derive(clap::Args)]
pub struct DeviceOption {
    /// Where to compute: auto (a hardware GPU if there is one, else the CPU), gpu (the best adapter, a
    /// software one if need be), cpu, or an adapter's index or part of its name as `elbo devices` lists
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    device: String,
}

impl Default for DeviceOption {
    fn default() -> Self {
        DeviceOption { device: "auto".to_string() }
    }
}

impl DeviceOption {
    /// The device of this description, or auto where it is no longer there.
    pub fn like(description: &Description) -> Self {
        let device = match description.kind.as_str() {
            "cpu" => "cpu",
            _ if Adapters::enumerate().find(&description.name).is_ok() => &description.name,
            _ => "auto",
        };
        DeviceOption { device: device.to_string() }
    }

    /// Opens the device and says in one line what was taken and what else there is.
    pub fn open(&self) -> Result<Device, Failure> {
        let wanted = self.device.to_lowercase();
        if wanted == "cpu" {
            let device = CpuDevice::new(None).map_err(Failure::run)?;
            note(format_args!("device: {}", describe(device.description())));
            return Ok(Device::Cpu(device));
        }
        let adapters = Adapters::enumerate();
        let chosen = match wanted.as_str() {
            "auto" => adapters.hardware(),
            "gpu" => Some(adapters.best().map_err(Failure::input)?),
            _ => Some(adapters.find(&self.device).map_err(Failure::input)?),
        };
        let opened = chosen.map(|adapter| GpuDevice::open(adapter).map(Box::new)).transpose();
        let (chosen, opened) = match opened {
            // Somebody who named no device is served by another.
            Err(error) if self.device == "auto" => {
                note(error);
                (None, None)
            }
            opened => (chosen, opened.map_err(Failure::run)?),
        };
        let device = match opened {
            Some(device) => Device::Gpu(device),
            None => Device::Cpu(CpuDevice::new(None).map_err(Failure::run)?),
        };
        let mut others: Vec<String> = adapters
            .all()
            .iter()
            .enumerate()
            .filter(|(_, a)| chosen.is_none_or(|c| *c != **a))
            .map(|(i, a)| format!("{} (--device {i})", adapter::describe(&a.get_info()).name))
            .collect();
        let why = match (chosen, adapters.hardware()) {
            (None, None) => "; no hardware GPU found",
            _ => "",
        };
        if chosen.is_some() {
            others.push("the CPU (--device cpu)".to_string());
        }
        let others = match others.is_empty() {
            true => String::new(),
            false => format!("; also there: {}", others.join(", ")),
        };
        note(format_args!("device: {}{why}{others}", describe(device.description())));
        Ok(device)
    }
}

fn describe(d: &Description) -> String {
    match d.kind.as_str() {
        "cpu" => format!("{} ({})", d.name, d.driver),
        _ => format!("{} ({}, {}, {})", d.name, d.kind, d.backend, d.driver),
    }
}

/// Height and width, as in 28x28.
pub fn size(text: &str) -> Result<(usize, usize), String> {
    let sides = text.split_once('x').map(|(height, width)| (height.parse(), width.parse()));
    match sides {
        Some((Ok(height), Ok(width))) => Ok((height, width)),
        _ => Err("write height and width in pixels, as in 28x28".to_string()),
    }
}

/// Loads what `--data` or a run's configuration names.
pub fn load_data(name: &str, options: data::Options) -> Result<Dataset, String> {
    data::open(name, options).map_err(|error| match error {
        DataError::Options { message } => message,
        error => format!("--data {error}"),
    })
}

/// Loads the data of a run.
pub fn load_data_of(config: &Path, settings: &Settings) -> Result<Dataset, Failure> {
    data::open(&settings.data, settings.data_options())
        .map_err(|e| Failure::input(format!("the data that {} names: {e}", config.display())))
}
