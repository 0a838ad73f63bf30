//! The plans by which log p(x) is bounded: a transition of annealed chains, a step towards the best q, a run of draws.

use serde::Serialize;

use super::kernels::{KernelRow, Labels, of_plan};
use super::report::{line, spread, time, with_share};
use super::timing::{Timing, sample};
use super::{BenchError, Ceilings, Checked, Job, Report, Request, Target};
use crate::bounds::tempering::Direction;
use crate::bounds::{Annealing, Tempering};
use crate::device::{DeviceError, Executor};
use crate::kernels::{clock, rates};
use crate::plan::{PlanId, Program, TensorId};
use crate::train::moments;
use crate::vae::Network;
use crate::vae::anneal::{AnnealProgram, Chains, Path};
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::refine::{Draws, RefineProgram};
use crate::vae::step::Content;

/// Chains an image, leapfrogs of a transition, and temperatures.
const CHAINS: usize = 10;
const LEAPFROGS: usize = 10;
const TEMPERATURES: usize = 100;
/// Draws an image of a step towards the best q, and of the estimate.
const REFINED: usize = 5;
const DRAWN: usize = 5000;

/// One of the plans, of one network.
#[derive(Debug, Clone, Serialize)]
pub struct BoundsRow {
    pub network: String,
    /// What is done.
    pub work: &'static str,
    /// Images of a run of the plan, and chains or draws of each.
    pub images: usize,
    pub draws: usize,
    /// Runs of the plan in it: a transition has one for each leapfrog.
    pub runs: usize,
    /// Of all of it, the sums over its kernels.
    pub flops: u64,
    pub bytes: u64,
    pub time: Checked<Timing>,
    /// Each kernel of the plan by itself.
    pub kernels: Vec<KernelRow>,
}

/// A plan on a device, and what it is.
struct Loaded {
    executor: Box<dyn Executor>,
    plan: PlanId,
    work: &'static str,
    images: usize,
    draws: usize,
    runs: usize,
}

pub fn measure(
    target: &Target,
    request: &Request,
    job: &Job,
) -> Result<Vec<BoundsRow>, BenchError> {
    let plans = [annealing, refining, drawing];
    plans.into_iter().map(|load| row(load(target, request, job)?, request, job)).collect()
}

fn row(loaded: Loaded, request: &Request, job: &Job) -> Result<BoundsRow, BenchError> {
    let Loaded { mut executor, plan, work, images, draws, runs } = loaded;
    let dispatches = executor.program().plan(plan).dispatches.clone();
    // A multiple of a transition's leapfrogs each time, so that the next run begins one.
    let timing = sample(request.seconds / 5.0, |n| {
        let (seconds, clock) = executor.time(plan, 0..dispatches.len(), n * runs)?;
        Ok((seconds, clock))
    })?;
    let labels = Labels { network: job.network(), batch: images, samples: draws };
    let kernels = of_plan(&mut *executor, plan, &dispatches, request, &labels)?;
    let wrong = kernels.iter().find_map(|k| Some(format!("{}: {}", k.kernel, k.time.wrong()?)));
    let cost = |d: &crate::plan::Dispatch| (d.kernel.cost)(&d.constants);
    Ok(BoundsRow {
        network: job.network(),
        work,
        images,
        draws,
        runs,
        flops: runs as u64 * dispatches.iter().map(|d| cost(d).flops).sum::<u64>(),
        bytes: runs as u64 * dispatches.iter().map(|d| cost(d).bytes).sum::<u64>(),
        time: Checked::of(timing, wrong.map_or(Ok(()), Err)),
        kernels,
    })
}

/// Loads a program, with the parameters that a run begins with.
fn load(
    target: &Target,
    job: &Job,
    program: &Program,
    network: &Network,
) -> Result<Box<dyn Executor>, DeviceError> {
    let Job { settings, dataset } = job;
    let mut executor = (target.load)(program.clone())?;
    let first = network.initial_values(settings.init, settings.seed, &moments(dataset, settings));
    for (tensor, values) in network.parameters().into_iter().zip(&first) {
        executor.write_f32(tensor, values)?;
    }
    Ok(executor)
}

/// The first training images, over again if there are too few, with black and white pixels.
fn observe(executor: &mut dyn Executor, job: &Job, x: TensorId) -> Result<(), DeviceError> {
    let n = executor.program().get(x).len();
    let images = &job.dataset.train;
    let bytes = (0..images.n_images).cycle().flat_map(|i| images.image(i));
    let values: Vec<f32> = bytes.map(|&v| f32::from(u8::from(v >= 128))).take(n).collect();
    executor.write_f32(x, &values)
}

fn annealing(target: &Target, request: &Request, job: &Job) -> Result<Loaded, BenchError> {
    let (path, temperatures, leapfrogs) = (Path::Posterior, TEMPERATURES, LEAPFROGS);
    let Chunks { batch, samples, .. } = Chunks::new(request.rows, request.rows, CHAINS);
    let chains = Chains { batch, samples, path, temperatures, leapfrogs };
    let anneal = AnnealProgram::record(&job.settings.architecture, Content::Reals, chains)?;
    let mut executor = load(target, job, &anneal.program, &anneal.network)?;
    observe(&mut *executor, job, anneal.x)?;
    let settings = Annealing { path, temperatures, chains: CHAINS, leapfrogs };
    let schedule = Tempering::new(settings).schedule(Direction::Forward);
    executor.write_f32(anneal.schedule, &schedule)?;
    executor.write_u32(anneal.clock, &clock::at(job.settings.seed, 0))?;
    executor.run_all(anneal.encode, 1)?;
    executor.run_all(anneal.begin, 1)?;
    // the first share of the weights, and all leapfrogs of the first transition but one
    executor.run_all(anneal.step, leapfrogs as u64)?;
    Ok(Loaded {
        executor,
        plan: anneal.step,
        work: "annealing: a transition",
        images: batch,
        draws: samples,
        runs: leapfrogs,
    })
}

fn refining(target: &Target, request: &Request, job: &Job) -> Result<Loaded, BenchError> {
    let batch = (request.rows / REFINED).max(1);
    let draws = Draws { batch, samples: REFINED, scored: 1 };
    let refine = RefineProgram::record(&job.settings.architecture, Content::Reals, draws)?;
    let mut executor = load(target, job, &refine.program, &refine.network)?;
    observe(&mut *executor, job, refine.x)?;
    executor.write_u32(refine.clock, &clock::at(job.settings.seed, 0))?;
    let mut words = [1.0; rates::WORDS];
    words[rates::LEARNING_RATE] = 1e-3;
    words[rates::KL_WEIGHT] = batch as f32;
    executor.write_f32(refine.rates, &words)?;
    executor.run_all(refine.encode, 1)?;
    Ok(Loaded {
        executor,
        plan: refine.step,
        work: "the best q: a step",
        images: batch,
        draws: REFINED,
        runs: 1,
    })
}

fn drawing(target: &Target, request: &Request, job: &Job) -> Result<Loaded, BenchError> {
    let chunks = Chunks::new(request.rows, request.rows, DRAWN);
    let Chunks { batch, samples, .. } = chunks;
    let architecture = &job.settings.architecture;
    let estimate = EstimateProgram::record(architecture, Content::Reals, batch, None, chunks)?;
    let mut executor = load(target, job, &estimate.program, &estimate.network)?;
    observe(&mut *executor, job, estimate.data)?;
    executor.write_u32(estimate.clock, &clock::at(job.settings.seed, 0))?;
    executor.run_all(estimate.encode, 1)?;
    Ok(Loaded {
        executor,
        plan: estimate.importance,
        work: "importance sampling: draws",
        images: batch,
        draws: samples,
        runs: 1,
    })
}

/// Each of the plans, and below it where its time goes: the kernels, each by itself, longest first.
pub fn table(t: &mut String, report: &Report) {
    let ceilings = report.ceilings.as_ref();
    line(t, format_args!(""));
    line(
        t,
        format_args!(
            "bounds on log p(x); GFLOP/s with its share of the best matmul; below each its kernels"
        ),
    );
    line(
        t,
        format_args!(
            "  {:<15} {:<28} {:>12} {:>9} {:>20} {:>14}",
            "network", "work", "images, each", "time", "p10 - p90, n", "GFLOP/s"
        ),
    );
    let mut row = |head: String, flops: u64, timing: &Checked<Timing>| match timing {
        Checked::Wrong { wrong } => line(t, format_args!("{head} WRONG: {wrong}")),
        Checked::Right(timing) => {
            let rate = flops as f64 / timing.median;
            line(
                t,
                format_args!(
                    "{head} {:>9} {:>20} {:>14}",
                    time(timing.median),
                    spread(timing),
                    with_share(rate / 1e9, ceilings.and_then(Ceilings::flops).map(|c| rate / c)),
                ),
            );
        }
    };
    for b in &report.bounds {
        let size = format!("{} x {}", b.images, b.draws);
        row(format!("  {:<15} {:<28} {size:>12}", b.network, b.work), b.flops, &b.time);
        let longest = |k: &&KernelRow| {
            k.time.right().map_or(f64::INFINITY, |timing| timing.median * k.times as f64)
        };
        let mut kernels: Vec<&KernelRow> = b.kernels.iter().collect();
        kernels.sort_by(|a, b| longest(b).total_cmp(&longest(a)));
        for k in kernels {
            let times = format!("x {}", k.times * b.runs);
            row(format!("  {:<15}   {:<26} {times:>12}", "", k.kernel), k.flops, &k.time);
        }
    }
}
