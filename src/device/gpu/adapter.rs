//! Which adapters there are, and which one `--device` means.

use wgpu::{Backends, DeviceType, Features};

use crate::device::{Description, DeviceError};

/// How to get an adapter on a machine that has none.
pub const HINT: &str =
    "a software adapter for tests comes with Mesa, on Debian: apt-get install mesa-vulkan-drivers";

/// Every adapter of this machine, the one that computes fastest first.
pub struct Adapters(Vec<wgpu::Adapter>);

impl Adapters {
    /// Asks the Vulkan, Metal and DX12 drivers; OpenGL would list a Vulkan adapter a second time.
    pub fn enumerate() -> Self {
        let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
        descriptor.backends = Backends::PRIMARY;
        let instance = wgpu::Instance::new(descriptor);
        let mut adapters = pollster::block_on(instance.enumerate_adapters(Backends::PRIMARY));
        adapters.sort_by_key(|a| rank(a.get_info().device_type));
        Adapters(adapters)
    }

    pub fn all(&self) -> &[wgpu::Adapter] {
        &self.0
    }

    /// The best hardware GPU: what `auto` takes.
    pub fn hardware(&self) -> Option<&wgpu::Adapter> {
        self.0.iter().find(|a| rank(a.get_info().device_type) < rank(DeviceType::Cpu))
    }

    /// The best adapter, a software one if there is no other: what `gpu` takes.
    ///
    /// # Errors
    /// There is none.
    pub fn best(&self) -> Result<&wgpu::Adapter, DeviceError> {
        self.0.first().ok_or_else(|| {
            DeviceError::Selection(format!(
                "`Device::open` gpu: this machine has no GPU adapter; {HINT}"
            ))
        })
    }

    /// The adapter with this index in `elbo devices`, or the one whose name contains this text.
    ///
    /// # Errors
    /// None does, or several do; the message lists what there is.
    pub fn find(&self, wanted: &str) -> Result<&wgpu::Adapter, DeviceError> {
        let fail = |problem: &str| {
            let mut there: Vec<String> = self
                .0
                .iter()
                .enumerate()
                .map(|(i, a)| format!("{i} = {} ({:?})", a.get_info().name, a.get_info().backend))
                .collect();
            there.push("cpu".to_string());
            Err(DeviceError::Selection(format!(
                "`Device::open` {wanted}: {problem}; there are: {}",
                there.join(", ")
            )))
        };
        // A number that is no index may be part of a name, as in RTX 4090.
        if let Some(adapter) = wanted.parse().ok().and_then(|index: usize| self.0.get(index)) {
            return Ok(adapter);
        }
        let lower = wanted.to_lowercase();
        let contains = |name: &str| !lower.is_empty() && name.to_lowercase().contains(&lower);
        let mut matching = self.0.iter().filter(|a| contains(&a.get_info().name));
        match (matching.next(), matching.next()) {
            (Some(adapter), None) => Ok(adapter),
            // One GPU may be there through two backends, on Windows through Vulkan and DX12.
            (Some(first), Some(second))
                if identity(first) == identity(second) && matching.next().is_none() =>
            {
                Ok(first)
            }
            (Some(_), Some(_)) => fail("several adapters' names contain it"),
            (None, _) => fail("no adapter has this index or a name that contains it"),
        }
    }
}

fn identity(adapter: &wgpu::Adapter) -> (String, u32, u32) {
    let info = adapter.get_info();
    (info.name, info.vendor, info.device)
}

fn rank(device_type: DeviceType) -> u8 {
    match device_type {
        DeviceType::DiscreteGpu => 0,
        DeviceType::IntegratedGpu => 1,
        DeviceType::VirtualGpu => 2,
        DeviceType::Other => 3,
        DeviceType::Cpu => 4,
    }
}

/// "discrete GPU" and so on.
pub fn kind(device_type: DeviceType) -> &'static str {
    match device_type {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    }
}

pub fn describe(info: &wgpu::AdapterInfo) -> Description {
    Description {
        name: info.name.clone(),
        kind: kind(info.device_type).to_string(),
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
    }
}

/// The features that matter to this program, by the names people know them.
pub fn features(adapter: &wgpu::Adapter) -> Vec<&'static str> {
    [
        (Features::TIMESTAMP_QUERY, "timestamps"),
        (Features::SUBGROUP, "subgroups"),
        (Features::SHADER_F16, "f16"),
        (Features::EXPERIMENTAL_COOPERATIVE_MATRIX, "cooperative matrix"),
        (Features::PIPELINE_CACHE, "pipeline cache"),
    ]
    .into_iter()
    .filter(|(feature, _)| adapter.features().contains(*feature))
    .map(|(_, name)| name)
    .collect()
}
