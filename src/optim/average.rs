//! An exponential moving average of the parameters over the steps, by which a run is evaluated and kept.

use super::TrainedParameter;
use crate::kernels::average;
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// Declares the average of each parameter, of its shape.
pub fn declare(program: &mut Program, trained: &[TrainedParameter]) -> Vec<TensorId> {
    let of = |t: &TrainedParameter| {
        let parameter = program.get(t.parameter).clone();
        program.tensor(format!("{}.average", parameter.name), &parameter.dims, DType::F32)
    };
    trained.iter().map(of).collect()
}

/// Records that the averages take the parameters after the step of `clock` (8) in, where each step counts `decay`
/// times as much as the next.
///
/// # Errors
/// Sizes beyond what a kernel's grid can cover.
pub fn follow(
    r: &mut Recorder,
    decay: f64,
    clock: TensorId,
    trained: &[TrainedParameter],
    averages: &[TensorId],
) -> Result<(), PlanError> {
    for (t, &average) in trained.iter().zip(averages) {
        let tensors = [("parameter", t.parameter), ("clock", clock), ("average", average)];
        let constants = [("FRESH", 1.0 - decay), ("LN_DECAY", decay.ln())];
        r.dispatch(&average::FOLLOW, &tensors, &constants)?;
    }
    Ok(())
}

/// Records that parameters and averages change places.
///
/// # Errors
/// As [`follow`].
pub fn swap(
    r: &mut Recorder,
    trained: &[TrainedParameter],
    averages: &[TensorId],
) -> Result<(), PlanError> {
    for (t, &average) in trained.iter().zip(averages) {
        r.dispatch(&average::SWAP, &[("here", t.parameter), ("there", average)], &[])?;
    }
    Ok(())
}
