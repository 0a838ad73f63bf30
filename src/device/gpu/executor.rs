//! Runs plans on an adapter: many dispatches a submission, three submissions in flight, no host round
//! trip inside a step.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::GpuDevice;
use super::pipelines::{Pipelines, Prepared};
use super::stopwatch::Stopwatch;
use crate::device::{Description, DeviceError, Executor, Progress, TimedBy, check_memory};
use crate::plan::Variant;
use crate::plan::variant::Choices;
use crate::plan::{Dispatch, PlanId, Program, Tensor, TensorId};

/// What a submission should take. A watchdog kills one after seconds (Windows: 2 s), so this leaves room
/// for the load to change; shorter would let the host's overhead show.
const TARGET: Duration = Duration::from_millis(50);
/// What the first submission of a run should take, and each that follows twice as long: the device has nothing to do
/// while the host records the first.
const FIRST_TARGET: Duration = Duration::from_millis(1);
/// Submissions in flight.
const IN_FLIGHT: usize = 3;
/// An adapter is taken for this slow until it is measured, in operations and bytes a second.
const FIRST_RATE: f64 = 1e9;
/// How far one measurement may move an estimate: the first submissions hold the driver's compilation.
const MOST_CHANGE: f64 = 8.0;
/// Most dispatches of a submission. Longer lists of commands cost more for each: on a driver that executes nothing a step
/// of ten took 7.8 us in submissions of 1 000, and 10 us in those of 16 000.
const MOST: usize = 1024;

/// Most bytes of several tensors that are read through one buffer.
const READ_AT_ONCE: u64 = 1 << 27;

/// What guard bands are filled with: no kernel writes it by chance.
pub const GUARD_BYTE: u8 = 0xA5;

pub struct GpuExecutor {
    gpu: GpuDevice,
    program: Program,
    /// Of each tensor: its buffer, or that of what it is a part of, and its first byte there; of a dropped one
    /// nothing.
    places: Vec<Option<(wgpu::Buffer, u64)>>,
    plans: Vec<PreparedPlan>,
    variants: Choices,
    /// Bytes before and after each tensor that belong to no tensor: 0 outside tests.
    guard: u64,
}

struct PreparedPlan {
    name: String,
    dispatches: Vec<Prepared>,
    /// What each dispatch is estimated to take, in seconds: first from its cost, then from the
    /// submissions it was in.
    seconds: Vec<f64>,
}

struct InFlight {
    index: wgpu::SubmissionIndex,
    /// Dispatches issued before it, and in it.
    start: u64,
    count: usize,
}

impl GpuExecutor {
    pub(super) fn new(
        gpu: &GpuDevice,
        program: Program,
        guard: u64,
        variant_of: &dyn Fn(PlanId, &Dispatch) -> &'static Variant,
    ) -> Result<Self, DeviceError> {
        let limits = gpu.device.limits();
        // Shaders index in u32, and Metal passes a binding's length as one.
        let limit = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size)
            .min(u64::from(u32::MAX) - 3);
        if let Some(tensor) = program.stored().find(|t| padded_size(t) > limit) {
            return Err(DeviceError::TooLarge {
                adapter: gpu.description.name.clone(),
                tensor: tensor.to_string(),
                needed: tensor.size_bytes(),
                limit,
            });
        }
        // A software adapter computes in the computer's own memory.
        if gpu.description.kind == "software" {
            check_memory(&program, size_of::<f32>())?;
        }
        let total: u64 = program.stored().map(padded_size).sum();
        let mut buffers = Vec::new();
        for tensor in program.tensors() {
            if tensor.part_of.is_some() || tensor.dropped {
                buffers.push(None);
                continue;
            }
            let size = padded_size(tensor);
            let usage = wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_DST
                | wgpu::BufferUsages::COPY_SRC;
            buffers.push(Some(gpu.scoped(
                &format!("allocating {tensor}, of {total} bytes in all"),
                || {
                    gpu.device.create_buffer(&wgpu::BufferDescriptor {
                        label: Some(&tensor.name),
                        size: size + 2 * guard,
                        usage,
                        mapped_at_creation: false,
                    })
                },
            )?));
        }
        // A part is where it is in the buffer of the whole.
        let ids = (0..program.tensors().len()).map(TensorId);
        let places: Vec<Option<(wgpu::Buffer, u64)>> = ids
            .map(|id| {
                let (whole, first) = program.place(id);
                Some((buffers[whole.0].clone()?, guard + 4 * first as u64))
            })
            .collect();
        let bindings: Vec<Option<wgpu::BindingResource>> = places
            .iter()
            .zip(program.tensors())
            .map(|(place, tensor)| {
                let (buffer, offset) = place.as_ref()?;
                let (offset, size) = (*offset, wgpu::BufferSize::new(padded_size(tensor)));
                Some(wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }))
            })
            .collect();
        if guard > 0 {
            let pattern = vec![GUARD_BYTE; guard as usize];
            for (buffer, tensor) in buffers.iter().zip(program.tensors()) {
                let Some(buffer) = buffer else { continue };
                gpu.queue.write_buffer(buffer, 0, &pattern);
                gpu.queue.write_buffer(buffer, guard + padded_size(tensor), &pattern);
            }
        }
        let mut variants = Choices::default();
        let mut pipelines = Pipelines::new(gpu);
        pipelines.compile_all(program.plans().iter().enumerate().flat_map(|(index, plan)| {
            plan.dispatches.iter().map(move |d| (d, variant_of(PlanId(index), d)))
        }));
        let mut plans = Vec::new();
        for (index, plan) in program.plans().iter().enumerate() {
            let dispatches = plan
                .dispatches
                .iter()
                .map(|d| {
                    let variant = variant_of(PlanId(index), d);
                    if d.kernel.variants.len() > 1 {
                        variants.set(d, variant);
                    }
                    pipelines.prepare(plan, d, variant, &bindings)
                })
                .collect::<Result<_, _>>()?;
            let seconds = plan
                .dispatches
                .iter()
                .map(|d| {
                    let cost = (d.kernel.cost)(&d.constants);
                    (cost.flops + cost.bytes) as f64 / FIRST_RATE + 1e-5
                })
                .collect();
            plans.push(PreparedPlan { name: plan.name.clone(), dispatches, seconds });
        }
        let constants = program.constants().to_vec();
        let mut executor =
            GpuExecutor { gpu: gpu.clone(), program, places, plans, variants, guard };
        for (tensor, bytes) in &constants {
            executor.write_bytes(*tensor, bytes)?;
        }
        Ok(executor)
    }

    /// The buffer that holds a tensor, and its first byte there.
    fn place(&self, tensor: TensorId) -> &(wgpu::Buffer, u64) {
        let place = self.places[tensor.0].as_ref();
        place.unwrap_or_else(|| panic!("{} was dropped", self.program.get(tensor)))
    }

    /// Dispatches `start..start + count` of the endless repetition of a plan, in one compute pass.
    fn submit(&self, plan: PlanId, start: u64, count: usize) -> InFlight {
        let gpu = &self.gpu;
        let prepared = &self.plans[plan.0];
        let label = Some(prepared.name.as_str());
        let mut encoder =
            gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        let mut pass = encoder
            .begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: None });
        let first = (start % prepared.dispatches.len() as u64) as usize;
        encode(&mut pass, prepared.dispatches.iter().cycle().skip(first).take(count));
        drop(pass);
        let index = gpu.queue.submit([encoder.finish()]);
        InFlight { index, start, count }
    }

    fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<(), DeviceError> {
        let gpu = &self.gpu;
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        gpu.device.poll(poll).map_err(|e| gpu.error(e.to_string()))?;
        gpu.healthy()
    }
}

impl Executor for GpuExecutor {
    fn description(&self) -> &Description {
        &self.gpu.description
    }

    fn program(&self) -> &Program {
        &self.program
    }

    fn variants(&self) -> Choices {
        self.variants.clone()
    }

    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        let length = self.plans[plan.0].dispatches.len() as u64;
        let mut end = n * length;
        let mut issued = 0;
        let mut in_flight: VecDeque<InFlight> = VecDeque::with_capacity(IN_FLIGHT);
        let mut target = FIRST_TARGET;
        let mut reported = 0;
        let mut last = Instant::now();
        loop {
            while in_flight.len() < IN_FLIGHT && issued < end {
                let count = self.plans[plan.0].fitting(issued, end - issued, target);
                target = (2 * target).min(TARGET);
                in_flight.push_back(self.submit(plan, issued, count));
                issued += count as u64;
            }
            let Some(InFlight { index, start, count }) = in_flight.pop_front() else {
                break;
            };
            self.wait(index)?;
            let now = Instant::now();
            self.plans[plan.0].learn(start, count, (now - last).as_secs_f64());
            last = now;
            let finished = start + count as u64;
            if finished / length > reported {
                reported = finished / length;
                if progress(reported).is_break() {
                    // What is issued is finished, up to the end of the step it belongs to.
                    end = end.min(issued.div_ceil(length) * length);
                }
            }
        }
        Ok(issued / length)
    }

    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        let submitted = self.submit(plan, index as u64, 1);
        self.wait(submitted.index)
    }

    fn time(
        &mut self,
        plan: PlanId,
        dispatches: Range<usize>,
        n: usize,
    ) -> Result<(f64, TimedBy), DeviceError> {
        let prepared = &self.plans[plan.0];
        let label = Some(prepared.name.as_str());
        let stopwatch = Stopwatch::new(&self.gpu)?;
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        let timestamp_writes = stopwatch.as_ref().map(Stopwatch::writes);
        let mut pass =
            encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes });
        for _ in 0..n {
            encode(&mut pass, &prepared.dispatches[dispatches.clone()]);
        }
        drop(pass);
        if let Some(stopwatch) = &stopwatch {
            stopwatch.resolve(&mut encoder);
        }
        let commands = encoder.finish();
        let begin = Instant::now();
        let submission = self.gpu.queue.submit([commands]);
        self.wait(submission)?;
        let wall = begin.elapsed().as_secs_f64();
        match stopwatch {
            Some(stopwatch) => Ok((stopwatch.read(&self.gpu)?, TimedBy::Timestamps)),
            None => Ok((wall, TimedBy::Wall)),
        }
    }

    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        let gpu = &self.gpu;
        let declared = self.program.get(tensor);
        assert_eq!(bytes.len(), declared.size_bytes(), "{declared}");
        let (buffer, at) = self.place(tensor);
        gpu.scoped(&format!("writing {declared}"), || {
            let whole = bytes.len() / 4 * 4;
            gpu.queue.write_buffer(buffer, *at, &bytes[..whole]);
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                gpu.queue.write_buffer(buffer, at + whole as u64, &word);
            }
        })
    }

    fn write_part(
        &mut self,
        tensor: TensorId,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        let declared = self.program.get(tensor);
        assert!(offset + bytes.len() <= declared.size_bytes(), "{declared}");
        let (buffer, at) = self.place(tensor);
        self.gpu.scoped(&format!("writing {declared}"), || {
            self.gpu.queue.write_buffer(buffer, at + offset as u64, bytes);
        })
    }

    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        Ok(self.read_all(&[tensor])?.remove(0))
    }

    fn read_all(&mut self, tensors: &[TensorId]) -> Result<Vec<Vec<u8>>, DeviceError> {
        let mut all = Vec::with_capacity(tensors.len());
        let mut rest = tensors;
        while let Some(&first) = rest.first() {
            let (now, later) = rest.split_at(self.at_once(rest));
            let part = |&tensor: &TensorId| {
                let (buffer, at) = self.place(tensor);
                (buffer, *at..at + padded_size(self.program.get(tensor)))
            };
            let parts: Vec<_> = now.iter().map(part).collect();
            let what = self.program.get(first).to_string();
            for (mut bytes, &tensor) in self.gpu.read_parts(&parts, &what)?.into_iter().zip(now) {
                bytes.truncate(self.program.get(tensor).size_bytes());
                all.push(bytes);
            }
            rest = later;
        }
        Ok(all)
    }
}

fn encode<'a>(pass: &mut wgpu::ComputePass, dispatches: impl IntoIterator<Item = &'a Prepared>) {
    for dispatch in dispatches {
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, &dispatch.bind_group, &[]);
        let [x, y, z] = dispatch.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A whole number of words, as shaders and copies want it.
fn padded_size(tensor: &Tensor) -> u64 {
    tensor.size_bytes().next_multiple_of(4) as u64
}

impl GpuExecutor {
    /// How many of these tensors are read through one buffer: one at least.
    fn at_once(&self, tensors: &[TensorId]) -> usize {
        let mut left = READ_AT_ONCE;
        let fits = |&&tensor: &&TensorId| {
            let size = padded_size(self.program.get(tensor));
            left = left.saturating_sub(size);
            left > 0
        };
        tensors.iter().take_while(fits).count().max(1)
    }

    /// The bytes around a tensor, before and after it: [`GUARD_BYTE`] unless a kernel wrote out of bounds.
    ///
    /// # Errors
    /// The device failed.
    pub fn read_guards(&mut self, tensor: TensorId) -> Result<(Vec<u8>, Vec<u8>), DeviceError> {
        let (buffer, _) = self.place(tensor);
        let mut before = self.gpu.read(buffer, 0..buffer.size(), "guards")?;
        let after = before.split_off(before.len() - self.guard as usize);
        before.truncate(self.guard as usize);
        Ok((before, after))
    }
}

impl PreparedPlan {
    /// How many dispatches from `start` on, `most` at most, fit into a submission of this length; at least one.
    fn fitting(&self, start: u64, most: u64, target: Duration) -> usize {
        let first = (start % self.seconds.len() as u64) as usize;
        let mut left = target.as_secs_f64();
        let fitting = self.seconds.iter().cycle().skip(first).take_while(|seconds| {
            left -= **seconds;
            left > 0.0
        });
        fitting.take(most.min(MOST as u64) as usize).count().max(1)
    }

    /// Moves the estimates of the dispatches in a submission towards what it took.
    fn learn(&mut self, start: u64, count: usize, elapsed: f64) {
        let n = self.seconds.len();
        let first = (start % n as u64) as usize;
        let expected: f64 = self.seconds.iter().cycle().skip(first).take(count).sum();
        let change = (elapsed / expected).clamp(1.0 / MOST_CHANGE, MOST_CHANGE);
        for i in 0..count.min(n) {
            self.seconds[(first + i) % n] *= change;
        }
    }
}
