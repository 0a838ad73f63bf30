//! Compute pipelines and bind groups, made from what reflection says of a kernel.

use std::collections::{BTreeMap, HashMap};

use rayon::prelude::*;

use super::GpuDevice;
use crate::device::DeviceError;
use crate::plan::Variant;
use crate::plan::{Access, Dispatch, Plan};

/// A dispatch as the encoder needs it.
pub struct Prepared {
    pub pipeline: wgpu::ComputePipeline,
    pub bind_group: wgpu::BindGroup,
    pub grid: [u32; 3],
}

/// Compiled pipelines that a device has at most: of a dozen programs or so.
const MOST: usize = 512;

/// The pipelines of a device, by kernel, variant and constants: layers of one shape share one, and a program
/// that is loaded again compiles nothing.
#[derive(Default)]
pub struct Made {
    pipelines: HashMap<String, Pipeline>,
    /// How many were compiled so far.
    pub compiled: u64,
}

type Pipeline = (wgpu::ComputePipeline, wgpu::BindGroupLayout);

impl Made {
    fn insert(&mut self, key: String, new: Pipeline) {
        if self.pipelines.len() >= MOST {
            self.pipelines.clear();
        }
        self.compiled += 1;
        self.pipelines.insert(key, new);
    }
}

/// The pipelines of a program that is being loaded.
pub struct Pipelines<'a> {
    gpu: &'a GpuDevice,
    /// By file and variant.
    modules: HashMap<(&'static str, &'static str), wgpu::ShaderModule>,
}

impl<'a> Pipelines<'a> {
    pub fn new(gpu: &'a GpuDevice) -> Self {
        Pipelines { gpu, modules: HashMap::new() }
    }

    /// Compiles these, on all cores at once: a driver takes a tenth of a second for one of them. What cannot be
    /// compiled is left out; who needs it will hear why.
    pub fn compile_all<'d>(
        &mut self,
        wanted: impl IntoIterator<Item = (&'d Dispatch, &'static Variant)>,
    ) {
        let mut missing = BTreeMap::new();
        {
            let made = self.gpu.made.lock().unwrap_or_else(|e| e.into_inner());
            for (dispatch, variant) in wanted {
                let key = key(dispatch, variant);
                if self.gpu.can_run(variant) && !made.pipelines.contains_key(&key) {
                    missing.insert(key, (dispatch, variant));
                }
            }
        }
        let gpu = self.gpu;
        let mut files: BTreeMap<(&str, &str), (&Dispatch, &'static Variant)> = BTreeMap::new();
        for &(dispatch, variant) in missing.values() {
            let file = (dispatch.kernel.file, variant.name);
            if !self.modules.contains_key(&file) {
                files.insert(file, (dispatch, variant));
            }
        }
        let of_file = |(file, (dispatch, variant)): (_, (&Dispatch, &'static Variant))| {
            let module = gpu.scoped("a shader", || module(gpu, dispatch, variant)).ok()?.ok()?;
            Some((file, module))
        };
        let modules: Vec<_> = files.into_par_iter().filter_map(of_file).collect();
        self.modules.extend(modules);
        let modules = &self.modules;
        let of_dispatch = |(key, (dispatch, variant)): (String, (&Dispatch, &'static Variant))| {
            let module = modules.get(&(dispatch.kernel.file, variant.name))?;
            let new = gpu.scoped("a pipeline", || pipeline(gpu, dispatch, module)).ok()?;
            Some((key, new))
        };
        let new: Vec<_> = missing.into_par_iter().filter_map(of_dispatch).collect();
        let mut made = self.gpu.made.lock().unwrap_or_else(|e| e.into_inner());
        for (key, new) in new {
            made.insert(key, new);
        }
    }

    pub fn prepare(
        &mut self,
        plan: &Plan,
        dispatch: &Dispatch,
        variant: &'static Variant,
        bindings: &[Option<wgpu::BindingResource>],
    ) -> Result<Prepared, DeviceError> {
        let kernel = dispatch.kernel;
        if !self.gpu.can_run(variant) {
            return Err(self
                .gpu
                .error(format!("{kernel}: cannot run the variant {}", variant.name)));
        }
        let key = key(dispatch, variant);
        let mut made = self.gpu.made.lock().unwrap_or_else(|e| e.into_inner());
        let found = made.pipelines.get(&key).cloned();
        let (pipeline, layout) = match found {
            Some(found) => found,
            None => {
                let new =
                    self.gpu.scoped(&kernel.to_string(), || self.compile(dispatch, variant))??;
                made.insert(key, new.clone());
                new
            }
        };
        drop(made);
        let entries: Vec<_> = dispatch
            .bindings
            .iter()
            .map(|b| wgpu::BindGroupEntry {
                binding: b.index,
                resource: bindings[b.tensor.0].clone().expect("a dropped tensor is in no plan"),
            })
            .collect();
        let bind_group = self.gpu.scoped(&kernel.to_string(), || {
            self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&format!("{}: {kernel}", plan.name)),
                layout: &layout,
                entries: &entries,
            })
        })?;
        Ok(Prepared { pipeline, bind_group, grid: dispatch.grid(variant) })
    }

    fn compile(
        &mut self,
        dispatch: &Dispatch,
        variant: &'static Variant,
    ) -> Result<Pipeline, DeviceError> {
        let file = (dispatch.kernel.file, variant.name);
        if !self.modules.contains_key(&file) {
            self.modules.insert(file, module(self.gpu, dispatch, variant)?);
        }
        Ok(pipeline(self.gpu, dispatch, &self.modules[&file]))
    }
}

/// What a pipeline depends on. The kernel by identity: a test's kernel with a planted fault has the name of the one that
/// it is made of.
fn key(dispatch: &Dispatch, variant: &Variant) -> String {
    let constants = dispatch.constants.pairs();
    format!("{:p} {} {constants:?}", dispatch.kernel, variant.name)
}

/// The shader of a variant of a dispatch's kernel.
fn module(
    gpu: &GpuDevice,
    dispatch: &Dispatch,
    variant: &'static Variant,
) -> Result<wgpu::ShaderModule, DeviceError> {
    let reflection = dispatch.kernel.reflection_of(variant);
    let reflection = reflection.map_err(|e| gpu.error(e.to_string()))?;
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(dispatch.kernel.file),
        source: wgpu::ShaderSource::Wgsl(reflection.source.as_str().into()),
    };
    if gpu.checked {
        return Ok(gpu.device.create_shader_module(descriptor));
    }
    // SAFETY: every shader is the program's own. Their indices are guarded or clamped, whatever the tensors hold, and
    // the plan has checked every tensor's shape; their loops end.
    Ok(unsafe {
        let unchecked = wgpu::ShaderRuntimeChecks::unchecked();
        gpu.device.create_shader_module_trusted(descriptor, unchecked)
    })
}

/// The pipeline of a dispatch, whose shader is `module`.
fn pipeline(gpu: &GpuDevice, dispatch: &Dispatch, module: &wgpu::ShaderModule) -> Pipeline {
    let (kernel, device) = (dispatch.kernel, &gpu.device);
    let label = kernel.to_string();
    let entries: Vec<_> = dispatch
        .bindings
        .iter()
        .map(|b| wgpu::BindGroupLayoutEntry {
            binding: b.index,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: wgpu::BufferBindingType::Storage { read_only: b.access == Access::Read },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
        label: Some(&label),
        entries: &entries,
    });
    let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(&label),
        bind_group_layouts: &[Some(&layout)],
        ..Default::default()
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(&label),
        layout: Some(&pipeline_layout),
        module,
        entry_point: Some(kernel.entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &dispatch.constants.pairs(),
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
        },
        cache: gpu.compiled.as_ref().map(|compiled| &compiled.cache),
    });
    (pipeline, layout)
}
