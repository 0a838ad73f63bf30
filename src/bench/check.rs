//! Whether a result is right.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::BenchError;
use crate::device::Executor;
use crate::device::cpu::{CpuDevice, CpuExecutor, Number};
use crate::numeric::Precision;
use crate::numeric::bounded::Bounded;
use crate::numeric::precision::HALF_STEP;
use crate::plan::{BoundTensor, DType, Dispatch, Plan, PlanId, Program, TensorId};

/// Unit roundoff of `f32`.
const U: f64 = 1.0 / 16_777_216.0;
/// The bounds of `Bounded` are first order; what they leave out fits in this factor.
const SAFETY: f64 = 2.0;
/// Beyond this many operations the formula with bounds takes too long.
const MOST_BOUNDED: u64 = 100_000_000;
/// Without bounds: what a tensor's error may be, relative to the tensor or to how far it was moved.
const RELATIVE: f64 = 1e-4;

/// What a tensor's error may be in mixed precision: eight times that of an operand.
const RELATIVE_MIXED: f64 = 8.0 * HALF_STEP;

/// y = a b^T + c of n x n matrices, row by row by its product with a vector of random signs (Freivalds):
/// one wrong element shows in its row's.
///
/// The rounding errors of a row's elements, each of about sqrt(n) U |a_i| |b_j| (Higham and Mary 2019),
/// add up with random signs to sqrt(n) U |a_i| |b|; eight times that is allowed. In mixed precision each term
/// is off by its operands' roundings besides, which add up to |a_i| |b| / sqrt(n) times those.
pub fn product_is_right(
    precision: Precision,
    n: usize,
    a: &[f32],
    b: &[f32],
    c: &[f32],
    y: &[f32],
) -> Result<(), String> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let signs: Vec<f64> = (0..n).map(|_| if rng.random() { 1.0 } else { -1.0 }).collect();
    let mut b_signs = vec![0.0; n];
    let mut constant = 0.0;
    for ((row, &c), &sign) in b.chunks_exact(n).zip(c).zip(&signs) {
        for (sum, &v) in b_signs.iter_mut().zip(row) {
            *sum += sign * f64::from(v);
        }
        constant += sign * f64::from(c);
    }
    let b_norm = norm(b.iter().map(|&v| f64::from(v)));
    for (i, (a, y)) in a.chunks_exact(n).zip(y.chunks_exact(n)).enumerate() {
        let expected: f64 =
            constant + a.iter().zip(&b_signs).map(|(&a, b)| f64::from(a) * b).sum::<f64>();
        let got: f64 = y.iter().zip(&signs).map(|(&y, sign)| f64::from(y) * sign).sum();
        let a_norm = norm(a.iter().map(|&v| f64::from(v)));
        let root = (n as f64).sqrt();
        let of_operands = match precision {
            Precision::F32 => 0.0,
            Precision::Mixed => HALF_STEP / root,
        };
        let allowed = 8.0 * (root * U + of_operands) * a_norm * b_norm;
        let within = (got - expected).abs() <= allowed; // which a NaN is not
        if !within {
            return Err(format!(
                "the signed sum of row {i} is {got:e}, expected {expected:e} ± {allowed:e}"
            ));
        }
    }
    Ok(())
}

/// The content of a tensor of one dispatch.
pub struct Content<'a> {
    pub bound: &'a BoundTensor,
    pub bytes: Vec<u8>,
}

/// What a NaN in a result means: the dispatch has not written the element.
pub const UNWRITTEN: u32 = 0x7fc0_1234;

/// Whether a dispatch that began with `before` should have ended with `after`, by its formula: with a
/// bound on every element where it can be had in reasonable time, else in double precision with a bound
/// on every tensor.
///
/// # Errors
/// The inner one: which tensor is wrong, and how.
pub fn dispatch_is_right(
    precision: Precision,
    program: &Program,
    dispatch: &Dispatch,
    before: &[Content],
    after: &[Content],
) -> Result<Result<(), String>, BenchError> {
    let device = CpuDevice::new(None)?.in_precision(precision);
    let (alone, plan) = isolated(program, dispatch);
    if (dispatch.kernel.cost)(&dispatch.constants).flops <= MOST_BOUNDED {
        let mut oracle = device.load::<Bounded>(alone)?;
        run(&mut oracle, plan, before)?;
        compare(&mut oracle, before, after, |expected, _, got| elements(expected, got))
    } else {
        let mut oracle = device.load::<f64>(alone)?;
        run(&mut oracle, plan, before)?;
        let allowed = match precision {
            Precision::F32 => RELATIVE,
            Precision::Mixed => RELATIVE_MIXED,
        };
        compare(&mut oracle, before, after, |e, b, g| whole(e, b, g, allowed))
    }
}

/// The dispatch as a program of its own, its tensors in the order of its bindings.
fn isolated(program: &Program, dispatch: &Dispatch) -> (Program, PlanId) {
    let mut alone = Program::new();
    let mut dispatch = dispatch.clone();
    for bound in &mut dispatch.bindings {
        let tensor = program.get(bound.tensor);
        bound.tensor = alone.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
    }
    let plan = alone.add(Plan { name: "alone".to_string(), dispatches: vec![dispatch] });
    (alone, plan)
}

fn run<T: Number>(
    oracle: &mut CpuExecutor<T>,
    plan: PlanId,
    before: &[Content],
) -> Result<(), BenchError> {
    for (i, content) in before.iter().enumerate() {
        oracle.write_bytes(TensorId(i), &content.bytes)?;
    }
    Ok(oracle.run_dispatch(plan, 0)?)
}

fn compare<T: Number>(
    oracle: &mut CpuExecutor<T>,
    before: &[Content],
    after: &[Content],
    floats: impl Fn(&[T], &[f32], &[f32]) -> Result<(), String>,
) -> Result<Result<(), String>, BenchError> {
    for (i, (before, after)) in before.iter().zip(after).enumerate() {
        let tensor = oracle.program().get(TensorId(i)).clone();
        let result = match tensor.dtype {
            _ if !before.bound.access.writes() => match before.bytes == after.bytes {
                true => Ok(()),
                false => Err("an input was changed".to_string()),
            },
            DType::F32 => floats(
                oracle.floats_mut(TensorId(i)),
                &bytemuck::pod_collect_to_vec(&before.bytes),
                &bytemuck::pod_collect_to_vec(&after.bytes),
            ),
            _ => match oracle.read_bytes(TensorId(i))? == after.bytes {
                true => Ok(()),
                false => Err("not the expected words".to_string()),
            },
        };
        if let Err(what) = result {
            return Ok(Err(format!("{tensor}: {what}")));
        }
    }
    Ok(Ok(()))
}

/// Each element within its own bound.
fn elements(expected: &[Bounded], got: &[f32]) -> Result<(), String> {
    for (i, (e, &g)) in expected.iter().zip(got).enumerate() {
        let left_alone = e.value.is_nan() && g.to_bits() == UNWRITTEN;
        let near = (f64::from(g) - e.value).abs() <= SAFETY * e.error;
        if !(near || left_alone || f64::from(g) == e.value) {
            return Err(format!(
                "element {i} is {g:e}, expected {:e} ± {:e}",
                e.value,
                SAFETY * e.error
            ));
        }
    }
    Ok(())
}

/// The whole tensor within a bound on the root of the sum of squares. What held a number before has been
/// moved, and the error is relative to how far.
fn whole(expected: &[f64], before: &[f32], got: &[f32], allowed: f64) -> Result<(), String> {
    let (mut error, mut scale) = (0.0, 0.0);
    for (i, ((&e, &b), &g)) in expected.iter().zip(before).zip(got).enumerate() {
        if e.is_nan() && g.to_bits() == UNWRITTEN {
            continue;
        }
        if !g.is_finite() {
            return Err(format!("element {i} is {g}, expected {e:e}"));
        }
        error += (f64::from(g) - e).powi(2);
        scale += (e - if b.is_nan() { 0.0 } else { f64::from(b) }).powi(2);
    }
    relative(error.sqrt(), scale.sqrt(), allowed)
}

fn relative(error: f64, scale: f64, allowed: f64) -> Result<(), String> {
    match error <= allowed * scale {
        true => Ok(()),
        false => Err(format!("off by {:.1e} of its size, allowed {allowed:.1e}", error / scale)),
    }
}

/// Parameters after a few steps, held to those of a run in double precision: the error of each tensor
/// relative to how far it moved.
///
/// # Errors
/// Which tensor is off, by how much.
pub fn moved_rightly(
    name: &str,
    first: &[f32],
    expected: &[f32],
    got: &[f32],
    allowed: f64,
) -> Result<(), String> {
    let difference =
        |a: &[f32], b: &[f32]| norm(a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
    let (error, moved) = (difference(got, expected), difference(expected, first));
    match error <= allowed * moved {
        true => Ok(()),
        false => Err(format!(
            "{name} is off by {:.1e} of its way in double precision, allowed {allowed:.1e}",
            error / moved
        )),
    }
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|v| v * v).sum::<f64>().sqrt()
}
