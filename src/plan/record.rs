//! Records the dispatches of one plan.

use super::fuse::{Fused, Fusions};
use super::{DType, Kernel, Plan, PlanError, PlanId, Program, TensorId};

/// A plan while it is recorded. Its scratch tensors bear its name: "train/z".
pub struct Recorder<'a> {
    pub program: &'a mut Program,
    plan: Plan,
}

impl<'a> Recorder<'a> {
    pub fn new(program: &'a mut Program, name: &str) -> Self {
        Recorder { program, plan: Plan::new(name) }
    }

    /// Declares a tensor of this plan: F32, of dimensions `dims`.
    pub fn tensor(&mut self, name: &str, dims: &[usize]) -> TensorId {
        self.tensor_of(name, dims, DType::F32)
    }

    /// Declares a tensor of this plan.
    pub fn tensor_of(&mut self, name: &str, dims: &[usize], dtype: DType) -> TensorId {
        self.program.tensor(format!("{}/{name}", self.plan.name), dims, dtype)
    }

    /// Declares a tensor (n) of this plan whose elements always are `value`.
    pub fn filled(&mut self, name: &str, n: usize, value: f32) -> TensorId {
        let tensor = self.tensor(name, &[n]);
        self.program.constant(tensor, value.to_le_bytes().repeat(n));
        tensor
    }

    /// The dimensions of a tensor.
    pub fn dims(&self, tensor: TensorId) -> Vec<usize> {
        self.program.get(tensor).dims.clone()
    }

    /// The next kernel of the plan, see [`Plan::dispatch`].
    ///
    /// # Errors
    /// As [`Plan::dispatch`].
    pub fn dispatch(
        &mut self,
        kernel: &'static Kernel,
        tensors: &[(&str, TensorId)],
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        self.plan.dispatch(self.program, kernel, tensors, constants)
    }

    /// Adds the plan to the program as it was recorded.
    pub fn finish(self) -> PlanId {
        self.program.add(self.plan)
    }

    /// Adds the plan to the program, rewritten by `fusions`. Returns how often each of them was applied.
    ///
    /// # Errors
    /// As [`super::fuse::fuse`].
    pub fn finish_fused(mut self, fusions: &Fusions) -> Result<(PlanId, Fused), PlanError> {
        let applied = super::fuse::fuse(self.program, &mut self.plan, fusions)?;
        Ok((self.finish(), applied))
    }
}
