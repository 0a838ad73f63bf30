//! What the device can do at best: launch, copy, multiply.

use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::check::product_is_right;
use super::timing::{Timing, sample};
use super::{BenchError, Checked, Request, Target};
use crate::device::{Executor, TimedBy};
use crate::kernels::activation::Activation;
use crate::kernels::{ceiling, linear};
use crate::plan::{DType, Plan, PlanError, PlanId, Program, TensorId};

/// Dispatches in a row: enough for the submission around them not to count.
const CHAIN: usize = 256;
/// Seconds that a product may be measured for however little is asked.
const LONGEST: f64 = 4.0;
const SIZES: [usize; 5] = [256, 512, 1024, 2048, 4096];

/// The ceilings of a device. Times are of one dispatch.
#[derive(Debug, Clone, Serialize)]
pub struct Ceilings {
    /// An empty dispatch from its submission to the end of the wait for it, by the host's clock.
    pub round_trip: Checked<Timing>,
    /// Empty dispatches in one submission, none of which waits for another.
    pub independent: Checked<Timing>,
    /// The same where each writes what the one before it wrote.
    pub dependent: Checked<Timing>,
    /// Copying [`Ceilings::copied_bytes`].
    pub copy: Checked<Timing>,
    /// Read and written.
    pub copied_bytes: u64,
    pub matmul: Vec<Matmul>,
    /// Why there is no larger product, if there is none.
    pub stopped: Option<String>,
}

/// The product of two square matrices.
#[derive(Debug, Clone, Serialize)]
pub struct Matmul {
    /// Rows and columns of each.
    pub size: usize,
    pub flops: u64,
    pub time: Checked<Timing>,
}

impl Ceilings {
    /// Seconds from one dispatch to the next that depends on it, with nothing to do in either.
    pub fn gap(&self) -> Option<f64> {
        Some(self.dependent.right()?.median)
    }

    /// Bytes a second, read and written, of a copy.
    pub fn bandwidth(&self) -> Option<f64> {
        Some(self.copied_bytes as f64 / self.copy.right()?.median)
    }

    /// Floating-point operations a second of the best square product.
    pub fn flops(&self) -> Option<f64> {
        let rates =
            self.matmul.iter().filter_map(|m| Some(m.flops as f64 / m.time.right()?.median));
        rates.reduce(f64::max)
    }
}

pub fn measure(target: &Target, request: &Request) -> Result<Ceilings, BenchError> {
    let seconds = request.seconds;
    let (copy, copied_bytes) = measure_copy(target, request)?;
    let (matmul, stopped) = matmuls(target, request)?;
    Ok(Ceilings {
        round_trip: round_trip(target, seconds / 5.0)?,
        independent: chain(target, CHAIN, seconds / 5.0)?,
        dependent: chain(target, 1, seconds / 5.0)?,
        copy,
        copied_bytes,
        matmul,
        stopped,
    })
}

/// A program of [`CHAIN`] touches that share `tensors` tensors.
fn touches(tensors: usize) -> Result<(Program, Plan, Vec<TensorId>), BenchError> {
    let mut program = Program::new();
    let counts: Vec<TensorId> =
        (0..tensors).map(|i| program.tensor(format!("count {i}"), &[1], DType::U32)).collect();
    let mut plan = Plan::new("touch");
    for i in 0..CHAIN {
        plan.dispatch(&program, &ceiling::TOUCH, &[("count", counts[i % tensors])], &[])?;
    }
    Ok((program, plan, counts))
}

/// Seconds of one dispatch in a chain over so many tensors; the counts must be those of the dispatches.
fn chain(target: &Target, tensors: usize, seconds: f64) -> Result<Checked<Timing>, BenchError> {
    let (mut program, plan, counts) = touches(tensors)?;
    let plan = program.add(plan);
    let mut executor = (target.load)(program)?;
    let mut runs = 0;
    // One pass over the chain at a time: a second one would wait for the first.
    let mut once = || {
        runs += 1;
        executor.time(plan, 0..CHAIN, 1)
    };
    once()?;
    let begin = Instant::now();
    let mut samples = Vec::new();
    let clock = loop {
        let (seconds_once, clock) = once()?;
        samples.push(seconds_once / CHAIN as f64);
        if samples.len() >= 20 && begin.elapsed().as_secs_f64() >= seconds || samples.len() == 1000
        {
            break clock;
        }
    };
    let expected = runs * (CHAIN / tensors) as u32;
    let mut check = Ok(());
    for count in counts {
        check = check.and(expect_count(&mut *executor, count, expected)?);
    }
    Ok(Checked::of(Timing::new(samples, 1, clock), check))
}

fn expect_count(
    executor: &mut dyn Executor,
    count: TensorId,
    expected: u32,
) -> Result<Result<(), String>, BenchError> {
    let got = executor.read_u32(count)?[0];
    Ok(match got == expected {
        true => Ok(()),
        false => Err(format!("{got} of {expected} dispatches have run")),
    })
}

fn round_trip(target: &Target, seconds: f64) -> Result<Checked<Timing>, BenchError> {
    let (mut program, plan, counts) = touches(1)?;
    let plan = program.add(plan);
    let mut executor = (target.load)(program)?;
    let mut runs = 0;
    let timing = sample(seconds, |n| {
        let begin = Instant::now();
        for _ in 0..n {
            executor.run_dispatch(plan, 0)?;
        }
        runs += n as u32;
        Ok((begin.elapsed().as_secs_f64(), TimedBy::Wall))
    })?;
    let check = expect_count(&mut *executor, counts[0], runs)?;
    Ok(Checked::of(timing, check))
}

fn measure_copy(target: &Target, request: &Request) -> Result<(Checked<Timing>, u64), BenchError> {
    let words = request.copied.next_multiple_of(16) / 4;
    let mut program = Program::new();
    let source = program.tensor("source", &[words], DType::U32);
    let copied = program.tensor("copied", &[words], DType::U32);
    let mut plan = Plan::new("copy");
    plan.dispatch(&program, &ceiling::COPY, &[("source", source), ("copied", copied)], &[])?;
    let cost = (plan.dispatches[0].kernel.cost)(&plan.dispatches[0].constants);
    let plan = program.add(plan);
    let mut executor = (target.load)(program)?;
    // Every word another, and none of them zero.
    let words: Vec<u32> = (0..words as u32).map(|i| i.wrapping_mul(2_654_435_761) | 1).collect();
    executor.write_u32(source, &words)?;
    let timing = sample(request.seconds, |n| executor.time(plan, 0..1, n))?;
    let got = executor.read_u32(copied)?;
    let check = match got.iter().zip(&words).position(|(g, w)| g != w) {
        None => Ok(()),
        Some(i) => Err(format!("word {i} is {}, expected {}", got[i], words[i])),
    };
    Ok((Checked::of(timing, check), cost.bytes))
}

/// Products of growing size, until one would take too long.
fn matmuls(
    target: &Target,
    request: &Request,
) -> Result<(Vec<Matmul>, Option<String>), BenchError> {
    let longest = (4.0 * request.seconds).max(LONGEST);
    let mut all: Vec<Matmul> = Vec::new();
    for size in SIZES.into_iter().filter(|&size| size <= request.largest_matmul) {
        if let Some(last) = all.last()
            && let Some(timing) = last.time.right()
        {
            let expected = timing.median * (size as f64 / last.size as f64).powi(3);
            // seven runs: warm-up, and five samples at least
            if 7.0 * expected > longest {
                return Ok((
                    all,
                    Some(format!(
                        "{size} would take {expected:.1} s each time, too long for {} s a measurement",
                        request.seconds
                    )),
                ));
            }
        }
        all.push(matmul(target, size, request)?);
    }
    Ok((all, None))
}

/// A product of square matrices with its bias, the plan `matmul`: y = x Wᵀ + b.
pub(crate) struct Product {
    pub program: Program,
    plan: PlanId,
    x: TensorId,
    weight: TensorId,
    bias: TensorId,
    y: TensorId,
}

/// Of matrices (n, n), over the tensors `x`, `weight`, `bias` and `y`.
///
/// # Errors
/// Sizes beyond what a kernel's grid can cover.
pub(crate) fn product(n: usize) -> Result<Product, PlanError> {
    let mut program = Program::new();
    let x = program.tensor("x", &[n, n], DType::F32);
    let weight = program.tensor("weight", &[n, n], DType::F32);
    let bias = program.tensor("bias", &[n], DType::F32);
    let y = program.tensor("y", &[n, n], DType::F32);
    let mut plan = Plan::new("matmul");
    plan.dispatch(
        &program,
        &linear::FORWARD,
        &[("x", x), ("weight", weight), ("bias", bias), ("y", y)],
        &[("ACTIVATION", Activation::Identity.number())],
    )?;
    let plan = program.add(plan);
    Ok(Product { program, plan, x, weight, bias, y })
}

fn matmul(target: &Target, n: usize, request: &Request) -> Result<Matmul, BenchError> {
    let Product { program, plan, x, weight, bias, y } = product(n)?;
    let dispatch = &program.plan(plan).dispatches[0];
    let cost = (dispatch.kernel.cost)(&dispatch.constants);
    let mut executor = (target.load)(program)?;
    let mut rng = ChaCha8Rng::seed_from_u64(n as u64);
    let mut random =
        |n: usize| -> Vec<f32> { (0..n).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect() };
    let (a, b, c) = (random(n * n), random(n * n), random(n));
    executor.write_f32(x, &a)?;
    executor.write_f32(weight, &b)?;
    executor.write_f32(bias, &c)?;
    let timing = sample(request.seconds, |runs| executor.time(plan, 0..1, runs))?;
    let check = product_is_right(request.precision, n, &a, &b, &c, &executor.read_f32(y)?);
    Ok(Matmul { size: n, flops: cost.flops, time: Checked::of(timing, check) })
}
