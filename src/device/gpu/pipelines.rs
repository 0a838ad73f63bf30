//! Compute pipelines and bind groups, made from what reflection says of a kernel.

use std::collections::HashMap;

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
    pipelines: HashMap<String, (wgpu::ComputePipeline, wgpu::BindGroupLayout)>,
    /// How many were compiled so far.
    pub compiled: u64,
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
        // By identity: a test's kernel with a planted fault has the name of the one that it is made of.
        let constants = dispatch.constants.pairs();
        let key = format!("{kernel:p} {} {constants:?}", variant.name);
        let mut made = self.gpu.made.lock().unwrap_or_else(|e| e.into_inner());
        let found = made.pipelines.get(&key).cloned();
        let (pipeline, layout) = match found {
            Some(found) => found,
            None => {
                let new =
                    self.gpu.scoped(&kernel.to_string(), || self.compile(dispatch, variant))??;
                if made.pipelines.len() >= MOST {
                    made.pipelines.clear();
                }
                made.compiled += 1;
                made.pipelines.insert(key, new.clone());
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
    ) -> Result<(wgpu::ComputePipeline, wgpu::BindGroupLayout), DeviceError> {
        let kernel = dispatch.kernel;
        let device = &self.gpu.device;
        let reflection = kernel.reflection_of(variant);
        let reflection = reflection.map_err(|e| self.gpu.error(e.to_string()))?;
        let module = self.modules.entry((kernel.file, variant.name)).or_insert_with(|| {
            let descriptor = wgpu::ShaderModuleDescriptor {
                label: Some(kernel.file),
                source: wgpu::ShaderSource::Wgsl(reflection.source.as_str().into()),
            };
            if self.gpu.checked {
                return device.create_shader_module(descriptor);
            }
            // SAFETY: every shader is the program's own. Their indices are guarded or clamped, whatever the
            // tensors hold, and the plan has checked every tensor's shape; their loops end.
            unsafe {
                device.create_shader_module_trusted(
                    descriptor,
                    wgpu::ShaderRuntimeChecks::unchecked(),
                )
            }
        });
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
            cache: self.gpu.compiled.as_ref().map(|compiled| &compiled.cache),
        });
        Ok((pipeline, layout))
    }
}
