//! Whole training steps, as `elbo train` takes them.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;

use super::check::moved_rightly;
use super::timing::{Timing, sample, sample_steps};
use super::{BenchError, Checked, Job, Request, Target};
use crate::device::cpu::CpuDevice;
use crate::device::{DeviceError, Executor, Precision, TimedBy};
use crate::plan::{PlanError, TensorId};
use crate::train::{self, Settings, Sums, Trainer};
use crate::vae::step::TrainProgram;

/// Steps that are taken in double precision too, from where the timed ones end.
const CHECKED: u64 = 3;

/// Training steps of one network and batch size.
#[derive(Debug, Clone, Serialize)]
pub struct StepRow {
    pub network: String,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
    pub data: String,
    pub images: usize,
    pub parameters: usize,
    pub dispatches: usize,
    /// Of one step, the sums over its kernels.
    pub flops: u64,
    pub bytes: u64,
    pub memory: Memory,
    /// From an opened device to the end of the first step: allocation, compilation, data, step. Seconds.
    pub first_step: f64,
    /// Steps before the timed ones.
    pub warm_up: usize,
    /// Mean ELBO of the second half of them, in nats per image.
    pub warm_up_elbo: f64,
    pub figures: Checked<Figures>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Of one step, by the host's clock, over many steps that are submitted as training submits them.
    pub time: Timing,
    pub images_per_second: f64,
    /// Of one step on the device, where it has a clock of its own.
    pub device_time: Option<Timing>,
}

/// Bytes of the tensors that a training step uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The images, and the metrics of an epoch.
    pub data: u64,
    /// Parameters and Adam's two moments.
    pub parameters: u64,
    /// All others.
    pub rest: u64,
    /// What `rest` grows by with an image, or a sample of one; from a plan of twice the batch.
    pub rest_per_image: u64,
    /// What `rest` is without any image.
    pub rest_fixed: u64,
}

impl Memory {
    fn of(job: &Job) -> Result<Self, PlanError> {
        let used = |batch: usize| -> Result<[u64; 3], PlanError> {
            let settings = Settings { batch, ..job.settings.clone() };
            let plan = train::record(&job.dataset, &settings)?;
            Ok(used_by(&plan))
        };
        let Settings { batch, samples, .. } = job.settings;
        // A smaller plan rather than a larger one, which the data may not have images for.
        let (large, small) = match batch {
            1 => (2.min(job.dataset.train.n_images), 1),
            _ => (batch, batch / 2),
        };
        let rest = |batch| used(batch).map(|[.., rest]| rest as f64);
        let rows = ((large - small) * samples).max(1) as f64;
        let per_image = (rest(large)? - rest(small)?) / rows;
        let [data, parameters, rest] = used(batch)?;
        let fixed = rest as f64 - per_image * (batch * samples) as f64;
        Ok(Memory {
            data,
            parameters,
            rest,
            rest_per_image: per_image.max(0.0).round() as u64,
            rest_fixed: fixed.max(0.0).round() as u64,
        })
    }
}

/// Bytes of the data, of the parameters with their moments, and of all else that a step has bound.
fn used_by(plan: &TrainProgram) -> [u64; 3] {
    let program = &plan.program;
    let dispatches = &program.plan(plan.train.plan).dispatches;
    let bound: BTreeSet<TensorId> =
        dispatches.iter().flat_map(|d| &d.bindings).map(|b| program.place(b.tensor).0).collect();
    let is_data = |id| id == plan.train.data || id == plan.train.history;
    let is_parameter = |id| plan.trained.iter().any(|t| [t.parameter, t.state].contains(&id));
    let mut sums = [0; 3];
    for whole in bound {
        // What is between the parts of a tensor is padding.
        sums[2] += program.get(whole).size_bytes() as u64;
        for part in program.parts_of(whole) {
            let size = program.get(part).size_bytes() as u64;
            let kind = if is_data(part) {
                0
            } else if is_parameter(part) {
                1
            } else {
                2
            };
            sums[kind] += size;
            sums[2] -= size;
        }
    }
    sums
}

pub fn measure(target: &Target, request: &Request, job: &Job) -> Result<StepRow, BenchError> {
    let begin = Instant::now();
    let plan = train::record(&job.dataset, &job.settings)?;
    let executor = (target.load)(plan.program.clone())?;
    let mut trainer = Trainer::on(executor, plan, &job.dataset, &job.settings)?;
    advance(&mut trainer, 1)?;
    let first_step = begin.elapsed().as_secs_f64();

    let warm_up = request.warm_up as u64;
    advance(&mut trainer, (warm_up / 2).saturating_sub(1))?;
    let half = trainer.step();
    let warm_up_elbo = elbo_of(&mut trainer, warm_up.saturating_sub(half).max(1))?;

    let time = sample_steps(request.seconds, |n| {
        let begin = Instant::now();
        advance(&mut trainer, n as u64)?;
        Ok((begin.elapsed().as_secs_f64(), TimedBy::Wall))
    })?;
    let check = steps_are_right(&mut trainer, job, request.precision, warm_up_elbo)?;
    let device_time = device_time(&mut trainer, request.seconds / 5.0)?;

    let plan = trainer.program();
    let dispatches = &plan.program.plan(plan.train.plan).dispatches;
    let cost = |d: &crate::plan::Dispatch| (d.kernel.cost)(&d.constants);
    Ok(StepRow {
        network: job.network(),
        batch: job.settings.batch,
        samples: job.settings.samples,
        data: job.dataset.name.clone(),
        images: job.dataset.train.n_images,
        parameters: plan.trained.iter().map(|t| plan.program.get(t.parameter).len()).sum(),
        dispatches: dispatches.len(),
        flops: dispatches.iter().map(|d| cost(d).flops).sum(),
        bytes: dispatches.iter().map(|d| cost(d).bytes).sum(),
        memory: Memory::of(job)?,
        first_step,
        warm_up: request.warm_up,
        warm_up_elbo,
        figures: Checked::of(
            Figures {
                time,
                images_per_second: job.settings.batch as f64 / time.median,
                device_time,
            },
            check,
        ),
    })
}

fn advance(trainer: &mut Trainer, n: u64) -> Result<(), DeviceError> {
    trainer.advance(trainer.step() + n, |_| ControlFlow::Continue(()))
}

/// Mean ELBO of the steps since `from`; NaN if any is not finite.
fn elbo_since(trainer: &mut Trainer, from: u64) -> Result<f64, DeviceError> {
    Ok(trainer.metrics_since(from)?.map_or(f64::NAN, |metrics| metrics.elbo()))
}

/// Takes steps and returns their ELBO: in pieces that the history holds.
fn elbo_of(trainer: &mut Trainer, steps: u64) -> Result<f64, DeviceError> {
    let end = trainer.step() + steps;
    let most = trainer.program().train.history_steps as u64;
    let mut sums = Sums::default();
    while trainer.step() < end {
        let from = trainer.step();
        advance(trainer, most.min(end - from))?;
        match trainer.sums_since(from, sums)? {
            Ok(more) => sums = more,
            Err(_) => return Ok(f64::NAN),
        }
    }
    Ok(trainer.average(sums).elbo())
}

/// On the device's own clock; None where it has none. The trainer is as before.
fn device_time(trainer: &mut Trainer, seconds: f64) -> Result<Option<Timing>, DeviceError> {
    let snapshot = trainer.snapshot()?;
    let plan = trainer.program().train.plan;
    let length = trainer.program().program.plan(plan).dispatches.len();
    if trainer.executor().time(plan, 0..length, 1)?.1 != TimedBy::Timestamps {
        trainer.restore(&snapshot)?;
        return Ok(None);
    }
    let timing = sample(seconds, |n| trainer.executor().time(plan, 0..length, n))?;
    trainer.restore(&snapshot)?;
    Ok(Some(timing))
}

/// The timed steps have trained the model, and the steps after them are those of double precision.
fn steps_are_right(
    trainer: &mut Trainer,
    job: &Job,
    precision: Precision,
    warm_up_elbo: f64,
) -> Result<Result<(), String>, BenchError> {
    let step = trainer.step();
    let steps_of_epoch = trainer.program().train.history_steps as u64 - 1;
    let elbo = elbo_since(trainer, step - (step / 4).clamp(1, steps_of_epoch))?;
    // On random data the ELBO barely moves: a drop of 2 % is allowed.
    let kept = elbo > warm_up_elbo - 0.02 * warm_up_elbo.abs(); // which a NaN has not
    if !kept {
        return Ok(Err(format!(
            "the ELBO was {warm_up_elbo:.2} in the warm-up and is {elbo:.2} after {step} steps"
        )));
    }
    let snapshot = trainer.snapshot()?;
    let plan = train::record(&job.dataset, &job.settings)?;
    let names: Vec<String> =
        plan.trained.iter().map(|t| plan.program.get(t.parameter).name.clone()).collect();
    let allowed = allowed(&plan, precision);
    advance(trainer, CHECKED)?;
    let got = trainer.parameters()?;
    let oracle: Box<dyn Executor> =
        Box::new(CpuDevice::new(None)?.load::<f64>(plan.program.clone())?);
    let mut oracle = Trainer::on(oracle, plan, &job.dataset, &job.settings)?;
    oracle.restore(&snapshot)?;
    advance(&mut oracle, CHECKED)?;
    let expected = oracle.parameters()?;
    for (i, name) in names.iter().enumerate() {
        let first = &snapshot.parameters[i].values;
        if let Err(wrong) = moved_rightly(name, first, &expected[i], &got[i], allowed) {
            return Ok(Err(wrong));
        }
    }
    Ok(Ok(()))
}

/// What the parameters may be off after a few steps, relative to how far they moved. A gradient is the end
/// of a chain of `terms` additions, whose rounding errors add up like a random walk, sqrt(terms) 2^-24
/// relatively; the steps may add up their errors in full. A step from the middle of a run is smaller than
/// the rounding of the parameters allows to see more exactly, and where Adam divides one small number by
/// another it enlarges the error: a factor of 256 is left for that (1.4e-3 was seen at batch 4096, where a wrong kernel
/// makes it about 1).
///
/// In mixed precision operands are off by 2^-11, and where Adam divides one small number by another the steps
/// are off by more: by up to 0.08 of the way in the first ones of a run.
fn allowed(plan: &TrainProgram, precision: Precision) -> f64 {
    let terms: usize = plan.network.layers().map(|l| l.inputs() + l.outputs()).sum();
    match precision {
        Precision::F32 => 256.0 * CHECKED as f64 * (terms as f64).sqrt() / f64::from(1 << 24),
        Precision::Mixed => 0.2,
    }
}
