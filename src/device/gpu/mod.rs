//! Any Vulkan, Metal or DX12 adapter, through wgpu.

pub mod adapter;
mod autotune;
mod autotune_timing;
mod cache_dir;
mod default_variant;
mod executor;
mod mixed;
mod pipeline_cache;
mod pipelines;
mod stopwatch;

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::{Description, DeviceError};
use crate::plan::Variant;
use crate::plan::variant::Choices;
use crate::plan::{Dispatch, Program};
pub use adapter::Adapters;
pub use autotune::Tuning;
pub use default_variant::portable_variant;
pub use executor::{GUARD_BYTE, GpuExecutor};
pub use mixed::test as test_mixed_precision;
use pipeline_cache::Compiled;
use pipelines::Made;

/// The environment variable that turns on the checks of shaders.
const CHECKED: &str = "ELBO_CHECKED";

/// Marks the loss of the device among the recorded failures.
const LOST: &str = "lost: ";

/// An opened adapter. A clone is the same device.
#[derive(Clone)]
pub struct GpuDevice {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    queue: wgpu::Queue,
    description: Description,
    /// Invocations of a subgroup, where shaders may use them and all have one size.
    subgroup: Option<u32>,
    /// The variants for mixed precision that may be used.
    cooperative: Vec<&'static str>,
    /// Whether shaders get wgpu's checks of every index and loop.
    checked: bool,
    /// How variants are chosen that no rule or run has chosen; None takes the defaults.
    tuning: Option<Tuning>,
    /// The variants that an earlier part of the run has chosen.
    variants: Choices,
    /// Where what the driver has compiled is kept, if it is.
    compiled: Option<Arc<Compiled>>,
    /// What was compiled since it was opened.
    made: Arc<Mutex<Made>>,
    /// The first error that no scope caught, or the loss of the device.
    failure: Arc<Mutex<Option<String>>>,
}

impl GpuDevice {
    /// Opens an adapter with the limits it reports: the default ones refuse buffers above 128 MiB. Shaders
    /// are as they are written, every index guarded by themselves; with ELBO_CHECKED=1 in the environment
    /// they are [`GpuDevice::checked`].
    ///
    /// # Errors
    /// The driver refuses.
    pub fn open(adapter: &wgpu::Adapter) -> Result<Self, DeviceError> {
        GpuDevice::open_with(adapter, wgpu::Features::empty())
    }

    fn open_with(adapter: &wgpu::Adapter, needed: wgpu::Features) -> Result<Self, DeviceError> {
        let info = adapter.get_info();
        let description = adapter::describe(&info);
        let same_size = info.subgroup_min_size == info.subgroup_max_size;
        let subgroups = adapter.features().contains(wgpu::Features::SUBGROUP) && same_size;
        // The first for the benchmark.
        let useful = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::PIPELINE_CACHE;
        let mut wanted = adapter.features() & useful;
        wanted.set(wgpu::Features::SUBGROUP, subgroups);
        wanted |= needed;
        let experimental_features = match needed.is_empty() {
            true => wgpu::ExperimentalFeatures::disabled(),
            // SAFETY: what an adapter's cooperative matrices compute is tested before they are used.
            false => unsafe { wgpu::ExperimentalFeatures::enabled() },
        };
        let request = adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("elbo"),
            required_features: wanted,
            required_limits: adapter.limits(),
            experimental_features,
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
        let subgroup = subgroups.then_some(info.subgroup_min_size);
        let checked = std::env::var_os(CHECKED).is_some_and(|value| value == "1");
        Ok(GpuDevice {
            adapter: adapter.clone(),
            device,
            queue,
            description,
            subgroup,
            cooperative: Vec::new(),
            checked,
            tuning: None,
            variants: Choices::default(),
            compiled: None,
            made: Arc::default(),
            failure,
        })
    }

    /// The same device, on which a shader's index beyond its tensor, or a loop without end, does no harm:
    /// at a cost, and with results that are as wrong.
    pub fn checked(&self) -> Self {
        GpuDevice { checked: true, made: Arc::default(), ..self.clone() }
    }

    /// The same device, which measures what variant of a kernel is the fastest, once for each size.
    pub fn tuned(&self, tuning: Tuning) -> Self {
        GpuDevice { tuning: Some(tuning), ..self.clone() }
    }

    /// The same device, which keeps what its driver compiles in a folder, if the adapter lets it, and begins
    /// with what was kept there. A file that is damaged or of another driver is not used and written anew.
    pub fn keeping_compiled(&self, folder: &Path) -> Self {
        let compiled = Compiled::open(self, folder).map(Arc::new);
        GpuDevice { compiled, made: Arc::default(), ..self.clone() }
    }

    /// The same in the user's cache folder, where there is one.
    pub fn keeping_compiled_of_user(&self) -> Self {
        match cache_dir::folder_of_user() {
            Some(folder) => self.keeping_compiled(&folder),
            None => self.clone(),
        }
    }

    /// The same device with variants that another run has chosen, as far as the adapter can run them.
    pub fn with_variants(&self, variants: Choices) -> Self {
        GpuDevice { variants, ..self.clone() }
    }

    /// How many pipelines were compiled for it so far.
    pub fn pipelines_compiled(&self) -> u64 {
        self.made.lock().unwrap_or_else(|e| e.into_inner()).compiled
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Allocates the program's tensors and compiles its plans.
    ///
    /// # Errors
    /// A tensor beyond the adapter's limits, out of memory, a shader the driver refuses.
    pub fn load(&self, program: Program) -> Result<GpuExecutor, DeviceError> {
        let mut choices = self.variants.clone();
        if let Some(tuning) = &self.tuning {
            autotune::choose(self, tuning, &program, &mut choices);
        }
        let executor = GpuExecutor::new(self, program, 0, &|_, dispatch| {
            let chosen = choices.get(dispatch).filter(|variant| self.runs(dispatch, variant));
            chosen.unwrap_or_else(|| self.default_variant(dispatch))
        })?;
        if let Some(compiled) = &self.compiled {
            compiled.keep();
        }
        Ok(executor)
    }

    /// As [`GpuDevice::load`], with `guard` bytes (a multiple of 256) around every tensor that no kernel
    /// may touch, for [`GpuExecutor::read_guards`]; and with this variant of each kernel that has it.
    ///
    /// # Errors
    /// As [`GpuDevice::load`], or the adapter cannot run the variant.
    pub fn load_guarded(
        &self,
        program: Program,
        guard: u64,
        variant: &str,
    ) -> Result<GpuExecutor, DeviceError> {
        GpuExecutor::new(self, program, guard, &|_, dispatch| {
            let wanted = dispatch.kernel.variants.iter().find(|v| v.name == variant);
            wanted.unwrap_or_else(|| self.default_variant(dispatch))
        })
    }

    /// Whether the adapter can run a variant of a kernel.
    pub fn can_run(&self, variant: &Variant) -> bool {
        match variant.cooperative {
            Some(_) => self.cooperative.contains(&variant.name),
            None => variant.subgroup.is_none() || variant.subgroup == self.subgroup,
        }
    }

    /// Whether it can, and the dispatch has not too many workgroups for it.
    fn runs(&self, dispatch: &Dispatch, variant: &Variant) -> bool {
        self.can_run(variant) && dispatch.fits(variant)
    }

    /// What runs where nothing was measured.
    fn default_variant(&self, dispatch: &Dispatch) -> &'static Variant {
        let vendor = self.adapter.get_info().vendor;
        default_variant::default_variant(dispatch, |variant| {
            self.runs(dispatch, variant) && default_variant::has_registers(vendor, variant)
        })
    }

    /// Runs `f` and turns the errors it raises on the device into one.
    fn scoped<R>(&self, what: &str, f: impl FnOnce() -> R) -> Result<R, DeviceError> {
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

    /// These bytes of a buffer, after everything before it has run.
    fn read(
        &self,
        source: &wgpu::Buffer,
        range: Range<u64>,
        what: &str,
    ) -> Result<Vec<u8>, DeviceError> {
        Ok(self.read_parts(&[(source, range)], what)?.remove(0))
    }

    /// These bytes of each of some buffers, through one buffer that the host can read and with one wait.
    fn read_parts(
        &self,
        parts: &[(&wgpu::Buffer, Range<u64>)],
        what: &str,
    ) -> Result<Vec<Vec<u8>>, DeviceError> {
        let sizes = || parts.iter().map(|(_, range)| range.end - range.start);
        let staging = self.scoped(&format!("reading {what}"), || {
            let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: sizes().sum(),
                usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
                mapped_at_creation: false,
            });
            let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor {
                label: Some("read-back"),
            });
            let mut at = 0;
            for ((source, range), size) in parts.iter().zip(sizes()) {
                encoder.copy_buffer_to_buffer(source, range.start, &staging, at, size);
                at += size;
            }
            self.queue.submit([encoder.finish()]);
            staging.map_async(wgpu::MapMode::Read, .., |_| {}); // a failure shows in get_mapped_range
            staging
        })?;
        self.device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|e| self.error(e.to_string()))?;
        self.healthy()?;
        let view = staging.get_mapped_range(..).map_err(|e| self.error(e.to_string()))?;
        let mut rest = &view[..];
        let mut part = |size: u64| {
            let (part, after) = rest.split_at(size as usize);
            rest = after;
            part.to_vec()
        };
        Ok(sizes().map(&mut part).collect())
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
