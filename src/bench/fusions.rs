//! What each fusion gains: steps of the fused plan beside steps of the plan that lacks it, in turn.

use std::ops::ControlFlow;
use std::time::Instant;

use serde::Serialize;

use super::timing::percentile;
use super::{BenchError, Job, Request, Target};
use crate::device::DeviceError;
use crate::kernels::{FUSIONS, fusions};
use crate::plan::fuse::Fusions;
use crate::train::{self, Trainer};

/// Pairs of measurements.
const ROUNDS: usize = 9;
/// Steps before the first.
const WARM_UP: u64 = 5;

/// One fusion on one network and batch size.
#[derive(Debug, Clone, Serialize)]
pub struct FusionRow {
    pub network: String,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
    /// Its name in the table of fusions.
    pub fusion: &'static str,
    pub summary: &'static str,
    /// How often it was applied to the training step.
    pub times: usize,
    /// Dispatches of a step with it, and without.
    pub dispatches: [usize; 2],
    /// Time of a step without it over that of one with it, pair by pair: the median, and the 10th and 90th
    /// percentile. Above 1 it gains.
    pub ratio: f64,
    pub p10: f64,
    pub p90: f64,
}

pub fn measure(
    target: &Target,
    request: &Request,
    job: &Job,
) -> Result<Vec<FusionRow>, BenchError> {
    let mut fused = trainer(target, job, &fusions())?;
    let applied = fused.program().fused[0].clone();
    let mut rows = Vec::new();
    for fusion in FUSIONS {
        let times = applied.iter().find(|(name, _)| *name == fusion.name).map_or(0, |(_, n)| *n);
        if times == 0 {
            continue;
        }
        let without = fusions().without(fusion.name).expect("it is of the table");
        let mut unfused = trainer(target, job, &without)?;
        // As many steps as fill a share of the time that a step is measured for.
        let share = request.seconds / ROUNDS as f64 / 2.0;
        let one = seconds(&mut fused, WARM_UP)?.max(seconds(&mut unfused, WARM_UP)?);
        let n = (share * WARM_UP as f64 / one.max(1e-9)).ceil().max(1.0) as u64;
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            // Each goes first in every other round.
            let (with, without) = if round % 2 == 0 {
                let with = seconds(&mut fused, n)?;
                (with, seconds(&mut unfused, n)?)
            } else {
                let without = seconds(&mut unfused, n)?;
                (seconds(&mut fused, n)?, without)
            };
            ratios.push(without / with);
        }
        ratios.sort_by(f64::total_cmp);
        rows.push(FusionRow {
            network: job.network(),
            batch: job.settings.batch,
            samples: job.settings.samples,
            fusion: fusion.name,
            summary: fusion.summary,
            times,
            dispatches: [dispatches(&fused), dispatches(&unfused)],
            ratio: percentile(&ratios, 0.5),
            p10: percentile(&ratios, 0.1),
            p90: percentile(&ratios, 0.9),
        });
    }
    Ok(rows)
}

fn trainer(target: &Target, job: &Job, fusions: &Fusions) -> Result<Trainer, BenchError> {
    let plan = train::record_fused(&job.dataset, &job.settings, fusions)?;
    let executor = (target.load)(plan.program.clone())?;
    let mut trainer = Trainer::on(executor, plan, &job.dataset, &job.settings)?;
    seconds(&mut trainer, WARM_UP)?;
    Ok(trainer)
}

fn dispatches(trainer: &Trainer) -> usize {
    let plan = trainer.program();
    plan.program.plan(plan.train.plan).dispatches.len()
}

/// Wall clock of the next `n` steps.
fn seconds(trainer: &mut Trainer, n: u64) -> Result<f64, DeviceError> {
    let begin = Instant::now();
    trainer.advance(trainer.step() + n, |_| ControlFlow::Continue(()))?;
    Ok(begin.elapsed().as_secs_f64())
}
