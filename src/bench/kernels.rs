//! Each kernel of a plan by itself, of a training step on the tensors of a step.

use serde::Serialize;

use super::check::{Content, UNWRITTEN, dispatch_is_right};
use super::timing::{Timing, sample};
use super::{BenchError, Checked, Job, Request, Target};
use crate::device::{DeviceError, Executor};
use crate::plan::shader::{Default, Factor};
use crate::plan::{Access, DType, Dispatch, PlanId};
use crate::train::{self, Settings, Trainer};

/// Steps taken before, so that the tensors hold what they do in a run.
const STEPS: u64 = 5;

/// One kernel on the shapes of one network and batch size.
#[derive(Debug, Clone, Serialize)]
pub struct KernelRow {
    pub network: String,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
    /// As in the registry: file.entry.
    pub kernel: String,
    /// The kernel's dimensions: name and size.
    pub shape: Vec<(String, usize)>,
    /// How often the step has it in this shape.
    pub times: usize,
    /// Of one dispatch, as the kernel's cost has them.
    pub flops: u64,
    /// That must cross the bus at least once.
    pub bytes: u64,
    /// Of one dispatch among its like.
    pub time: Checked<Timing>,
}

/// What the rows of a plan have in common.
pub struct Labels {
    pub network: String,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
}

pub fn measure(
    target: &Target,
    request: &Request,
    job: &Job,
) -> Result<Vec<KernelRow>, BenchError> {
    let plan = train::record(&job.dataset, &job.settings)?;
    let executor = (target.load)(plan.program.clone())?;
    let mut trainer = Trainer::on(executor, plan, &job.dataset, &job.settings)?;
    trainer.advance(STEPS, |_| std::ops::ControlFlow::Continue(()))?;
    let train = trainer.program().train.plan;
    let dispatches = trainer.program().program.plan(train).dispatches.clone();
    let Settings { batch, samples, .. } = job.settings;
    let labels = Labels { network: job.network(), batch, samples };
    of_plan(trainer.executor(), train, &dispatches, request, &labels)
}

/// Each kernel of a plan by itself, on the tensors as they are, which come out as the last of its dispatches leaves them.
pub fn of_plan(
    executor: &mut dyn Executor,
    plan: PlanId,
    dispatches: &[Dispatch],
    request: &Request,
    labels: &Labels,
) -> Result<Vec<KernelRow>, BenchError> {
    let alike = |d: &Dispatch| format!("{} {:?}", d.kernel, d.constants.pairs());
    let mut rows: Vec<(String, KernelRow)> = Vec::new();
    for (i, dispatch) in dispatches.iter().enumerate() {
        let before = contents(executor, dispatch)?;
        let known = rows.iter().position(|(key, _)| *key == alike(dispatch));
        let timing = match known {
            Some(at) => rows[at].1.time.clone(),
            None => Checked::Right(sample(request.seconds / 5.0, |n| {
                restore(executor, &before)?;
                executor.time(plan, i..i + 1, n)
            })?),
        };
        // What is checked has run as what was timed has.
        restore(executor, &before)?;
        executor.time(plan, i..i + 1, 1)?;
        let after = contents_now(executor, dispatch)?;
        let check =
            dispatch_is_right(request.precision, executor.program(), dispatch, &before, &after)?;
        let time = match (timing, check) {
            (Checked::Right(_), Err(wrong)) => Checked::Wrong { wrong },
            (timing, _) => timing,
        };
        if let Some(at) = known {
            rows[at].1.times += 1;
            rows[at].1.time = time;
            continue;
        }
        let cost = (dispatch.kernel.cost)(&dispatch.constants);
        let row = KernelRow {
            network: labels.network.clone(),
            batch: labels.batch,
            samples: labels.samples,
            kernel: dispatch.kernel.to_string(),
            shape: shape(dispatch)?,
            times: 1,
            flops: cost.flops,
            bytes: cost.bytes,
            time,
        };
        rows.push((alike(dispatch), row));
    }
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

/// The constants that a kernel has no default for and that are part of a binding's shape.
fn shape(dispatch: &Dispatch) -> Result<Vec<(String, usize)>, BenchError> {
    let reflection = dispatch.kernel.reflection().map_err(crate::plan::PlanError::from)?;
    let in_a_shape = |name: &str| {
        let mut factors = reflection.bindings.iter().flat_map(|b| b.dims.iter().flatten());
        factors.any(|factor| *factor == Factor::Name(name.to_string()))
    };
    let dimensions = reflection
        .overrides
        .iter()
        .filter(|o| o.integer && o.default == Default::Required && in_a_shape(&o.name));
    Ok(dimensions.map(|o| (o.name.clone(), dispatch.constants.dim(&o.name))).collect())
}

fn contents_now<'a>(
    executor: &mut dyn Executor,
    dispatch: &'a Dispatch,
) -> Result<Vec<Content<'a>>, DeviceError> {
    dispatch
        .bindings
        .iter()
        .map(|bound| Ok(Content { bound, bytes: executor.read_bytes(bound.tensor)? }))
        .collect()
}

/// What the tensors hold; those that are only written, something that must not stay; constants, what they are to hold:
/// the formula reads places from them, and a device whose memory is wrong must be called so, not followed.
fn contents<'a>(
    executor: &mut dyn Executor,
    dispatch: &'a Dispatch,
) -> Result<Vec<Content<'a>>, DeviceError> {
    let mut all = contents_now(executor, dispatch)?;
    for content in &mut all {
        let tensor = executor.program().get(content.bound.tensor);
        if content.bound.access == Access::Write && tensor.dtype == DType::F32 {
            content.bytes = UNWRITTEN.to_le_bytes().repeat(tensor.len());
        }
        let constants = executor.program().constants();
        if let Some((_, bytes)) =
            constants.iter().find(|(tensor, _)| *tensor == content.bound.tensor)
        {
            content.bytes.clone_from(bytes);
        }
    }
    Ok(all)
}

fn restore(executor: &mut dyn Executor, contents: &[Content]) -> Result<(), DeviceError> {
    for content in contents.iter().filter(|c| c.bound.access.writes()) {
        executor.write_bytes(content.bound.tensor, &content.bytes)?;
    }
    Ok(())
}
