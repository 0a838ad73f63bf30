//! The programs of the page's benchmark besides the training steps: what the device can do at best.

use crate::kernels::ceiling;
use crate::plan::{DType, Plan, PlanError, Program};

/// Rows and columns of the matrices.
pub const SIZES: [usize; 4] = [256, 512, 1024, 2048];
/// Words of the copy.
const COPIED: usize = 4 << 20;
/// Dispatches of the chain.
pub const CHAIN: usize = 256;

/// The plans `copy` of `source` to `copied`, and `chain` of [`CHAIN`] dispatches each of which waits for the one before it.
///
/// # Errors
/// None, as long as WebGPU's limits are what they are.
pub fn ceilings() -> Result<Program, PlanError> {
    let mut program = Program::new();
    let source = program.tensor("source", &[COPIED], DType::U32);
    let copied = program.tensor("copied", &[COPIED], DType::U32);
    let mut plan = Plan::new("copy");
    plan.dispatch(&program, &ceiling::COPY, &[("source", source), ("copied", copied)], &[])?;
    program.add(plan);
    let count = program.tensor("count", &[1], DType::U32);
    let mut plan = Plan::new("chain");
    for _ in 0..CHAIN {
        plan.dispatch(&program, &ceiling::TOUCH, &[("count", count)], &[])?;
    }
    program.add(plan);
    Ok(program)
}
