//! Compiles the pipelines of a training step on an adapter, every variant of every kernel, and runs none of them: the
//! adapter may be a driver without its GPU. What each is goes to the file that PIPELINE_STATISTICS names, a line of
//! JSON before each pipeline; the layer of scripts/compilers/statistics.c appends what the driver says of it.
//!
//! `pipelines [--batch N] [--shaders FOLDER] [--only TEXT] [--every] ADAPTER`

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use elbo::device::gpu::Adapters;
use elbo::kernels::REGISTRY;
use elbo::plan::shader::resolve_imports;
use elbo::plan::variant::place;
use elbo::plan::{Access, Case, Dispatch, Kernel, Plan, Program, Variant};
use elbo::train::{self, Settings};
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

struct Options {
    adapter: String,
    /// Images of the step's minibatch.
    batch: usize,
    /// Where shaders are read, in place of those that were compiled in.
    shaders: Option<PathBuf>,
    /// What the name of a kernel and its variant must contain.
    only: String,
    /// Also the kernels that the step does not have, on the last of their tests' cases.
    every: bool,
}

impl Options {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, Failure> {
        let mut options = Options {
            adapter: String::new(),
            batch: 128,
            shaders: None,
            only: String::new(),
            every: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--batch" => options.batch = value()?.parse()?,
                "--shaders" => options.shaders = Some(value()?.into()),
                "--only" => options.only = value()?,
                "--every" => options.every = true,
                _ if !argument.starts_with('-') => options.adapter = argument,
                _ => return Err(format!("unknown option {argument}").into()),
            }
        }
        match options.adapter.is_empty() {
            true => Err("an adapter is needed: its number, or a part of its name".into()),
            false => Ok(options),
        }
    }
}

/// A device on which every variant compiles that the adapter has the means for.
struct Compiler {
    adapter: wgpu::Adapter,
    device: wgpu::Device,
    features: wgpu::Features,
}

impl Compiler {
    fn open(name: &str) -> Result<Compiler, Failure> {
        let adapters = Adapters::enumerate();
        let adapter = adapters.find(name)?.clone();
        let features = adapter.features()
            & (wgpu::Features::SUBGROUP
                | wgpu::Features::SHADER_F16
                | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX);
        let (device, _) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("pipelines"),
            required_features: features,
            required_limits: adapter.limits(),
            // SAFETY: nothing is run.
            experimental_features: unsafe { wgpu::ExperimentalFeatures::enabled() },
            ..Default::default()
        }))?;
        Ok(Compiler { adapter, device, features })
    }

    fn has_means_for(&self, variant: &Variant) -> bool {
        let info = self.adapter.get_info();
        let sizes = info.subgroup_min_size..=info.subgroup_max_size;
        let size_fits = variant.subgroup.is_none_or(|size| sizes.contains(&size));
        let Some(side) = variant.cooperative else {
            return variant.subgroup.is_none()
                || size_fits && self.features.contains(wgpu::Features::SUBGROUP);
        };
        let half = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
        let shapes = self.adapter.cooperative_matrix_properties();
        size_fits
            && self.features.contains(half)
            && shapes.iter().any(|shape| {
                [shape.m_size, shape.n_size, shape.k_size] == [side; 3]
                    && shape.ab_type == wgpu::CooperativeScalarType::F16
                    && shape.cr_type == wgpu::CooperativeScalarType::F32
            })
    }

    /// The compiler's objection, if it has one.
    fn compile(&self, dispatch: &Dispatch, variant: &Variant, text: &str) -> Option<String> {
        let device = &self.device;
        let label = Some(dispatch.kernel.file);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let descriptor =
            wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text.into()) };
        // SAFETY: as the program has it, see src/device/gpu/pipelines.rs; and nothing is run.
        let module = unsafe {
            device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked())
        };
        let binding = |b: &elbo::plan::BoundTensor| wgpu::BindGroupLayoutEntry {
            binding: b.index,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: b.access == Access::Read },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<_> = dispatch.bindings.iter().map(binding).collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label,
            entries: &entries,
        });
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            ..Default::default()
        });
        let _ = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(variant.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(dispatch.kernel.entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &dispatch.constants.pairs(),
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let errors = [validation.pop(), internal.pop()].map(pollster::block_on);
        errors.into_iter().flatten().next().map(|error| error.to_string())
    }
}

/// The step's dispatches, each place once, in its order.
fn dispatches(options: &Options) -> Result<Vec<Dispatch>, Failure> {
    let dataset = elbo::mnist()?;
    let settings = Settings { batch: options.batch, ..Settings::default() };
    let step = train::record(&dataset, &settings)?;
    let mut all: Vec<Dispatch> = Vec::new();
    for dispatch in &step.program.plan(step.train.plan).dispatches {
        if all.iter().all(|other| place(other) != place(dispatch)) {
            all.push(dispatch.clone());
        }
    }
    if options.every {
        for kernel in REGISTRY {
            if all.iter().all(|dispatch| dispatch.kernel.to_string() != kernel.to_string()) {
                let case = (kernel.cases)().pop().ok_or(format!("{kernel} has no cases"))?;
                all.push(of_case(kernel, &case)?);
            }
        }
    }
    Ok(all)
}

/// A case of a kernel's tests as a dispatch, on tensors of the sizes that it implies.
fn of_case(kernel: &'static Kernel, case: &Case) -> Result<Dispatch, Failure> {
    let dims: BTreeMap<&str, usize> = case.dims.iter().copied().collect();
    let constants: BTreeMap<&str, f64> = case.constants.iter().copied().collect();
    let known = |name: &str| {
        dims.get(name).copied().or_else(|| constants.get(name).map(|value| *value as usize))
    };
    let mut program = Program::new();
    let mut names = Vec::new();
    for binding in &kernel.reflection()?.bindings {
        let mut sizes = Vec::new();
        for dim in &binding.dims {
            let factors: Option<Vec<usize>> = dim.iter().map(|f| f.value(known)).collect();
            let factors = factors.ok_or(format!("{kernel}: a size of {} is open", binding.name))?;
            sizes.push(factors.iter().product());
        }
        let tensor = program.tensor(binding.name.clone(), &sizes, binding.dtype);
        names.push((binding.name.as_str(), tensor));
    }
    let mut plan = Plan::new("case");
    plan.dispatch(&program, kernel, &names, &case.constants)?;
    Ok(plan.dispatches.remove(0))
}

/// The text of a variant, from the files of a folder.
fn text_in(folder: &Path, kernel: &Kernel, variant: &Variant) -> Result<String, Failure> {
    let mut library = Vec::new();
    for entry in fs::read_dir(folder.join("lib"))? {
        let path = entry?.path();
        if let (Some(name), Some("wgsl")) =
            (path.file_stem().and_then(|s| s.to_str()), path.extension().and_then(|e| e.to_str()))
        {
            library.push((name.to_string(), fs::read_to_string(&path)?));
        }
    }
    let library: Vec<(&str, &str)> =
        library.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let source = fs::read_to_string(folder.join(format!("{}.wgsl", kernel.file)))?;
    Ok(resolve_imports(&library, variant.imports, kernel.file, &source)?)
}

fn run(options: &Options) -> Result<(), Failure> {
    let path = std::env::var_os("PIPELINE_STATISTICS")
        .ok_or("PIPELINE_STATISTICS must name the file to write")?;
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let compiler = Compiler::open(&options.adapter)?;
    let info = compiler.adapter.get_info();
    let line =
        json!({ "adapter": info.name, "driver": format!("{} {}", info.driver, info.driver_info) });
    writeln!(file, "{line}")?;
    for dispatch in dispatches(options)? {
        let kernel = dispatch.kernel;
        for variant in kernel.variants {
            let name = format!("{kernel} {}", variant.name);
            if !name.contains(&options.only) || !compiler.has_means_for(variant) {
                continue;
            }
            let text = match &options.shaders {
                Some(folder) => text_in(folder, kernel, variant)?,
                None => kernel.reflection_of(variant)?.source.clone(),
            };
            let groups: usize = kernel.grid_of(variant, &dispatch.constants).iter().product();
            let line = json!({
                "kernel": kernel.to_string(),
                "variant": variant.name,
                "place": place(&dispatch),
                "workgroups": groups,
            });
            writeln!(file, "{line}")?;
            if let Some(error) = compiler.compile(&dispatch, variant, &text) {
                writeln!(file, "{}", json!({ "failed": error }))?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipelines: {error}");
            ExitCode::from(2)
        }
    }
}
