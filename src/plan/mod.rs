//! A step as a list of kernels over named tensors: recorded and checked once, run many times by any device.

pub mod case;
mod dispatch;
pub mod document;
pub mod fuse;
pub mod kernel;
mod program;
pub mod record;
pub mod shader;
pub mod variant;

pub use case::Case;
pub use dispatch::{BoundTensor, Constants, Dispatch};
pub(crate) use kernel::formula;
pub use kernel::{Buffer, Call, Cost, Formula, Kernel, Parts};
pub use program::{DType, PART_ALIGNMENT, Plan, PlanId, Program, Tensor, TensorId};
pub use record::Recorder;
pub use shader::{Access, ShaderError};
pub use variant::Variant;

/// A dispatch that does not fit its kernel. Found when the plan is recorded, before anything runs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Shader(#[from] ShaderError),
    #[error("{kernel}: no tensor is given for the binding {binding}")]
    MissingBinding { kernel: String, binding: String },
    #[error("{kernel}: there is no binding {binding}; there are {known}")]
    UnknownBinding { kernel: String, binding: String, known: String },
    #[error("{kernel}: the binding {binding} is given twice")]
    RepeatedBinding { kernel: String, binding: String },
    #[error("{kernel}: binding {binding} expects {expected}, got {tensor} of {got}")]
    Mismatch {
        kernel: Box<str>,
        binding: Box<str>,
        expected: Box<str>,
        tensor: Box<str>,
        got: Box<str>,
    },
    #[error("{kernel}: the tensor {tensor} is bound twice, as {first} and as {second}")]
    Aliased { kernel: String, tensor: String, first: String, second: String },
    #[error("{kernel}: the constant {name} {problem}")]
    Constant { kernel: String, name: String, problem: String },
    #[error("{kernel}: the grid {grid:?} exceeds 65535 workgroups in a dimension, or is empty")]
    Grid { kernel: String, grid: [usize; 3] },
}
