//! Layers of a network: what each declares, computes forward and backward, and is called in files. Nothing here
//! knows what the network is for.
//!
//! R rows of an input go through a layer: x (R, inputs) to y (R, outputs). A layer is one operation of the tape or
//! several. `d_y` is the gradient of the objective with respect to an operation's output *before its activation*: the
//! operation that reads y multiplies what it passes back by the derivative of the activation that made y, which follows
//! from y. So none keeps its pre-activations.

mod chain;
pub mod convolution;
pub mod dense;
pub mod embedding;
pub mod gate;
pub mod graph;
pub mod group_norm;
mod init;
mod layers;
pub mod notation;
pub mod residual;
mod shape;
pub mod silu;
mod sliding;
mod spec;
pub mod split_channels;
pub mod tape;
pub mod transposed_convolution;

use std::fmt;
use std::sync::Arc;

pub use crate::kernels::activation::Activation;
use crate::kernels::sum_rows;
use crate::plan::{PlanError, Recorder, TensorId};
pub use convolution::Convolution;
pub use dense::{Dense, Part};
pub use embedding::{Embedding, Told};
pub use gate::Gate;
pub use graph::{Module, Nodes, Operand, StoredTensor};
pub use group_norm::GroupNorm;
pub use init::{Init, Uniform};
pub use layers::{Layers, NetworkKind};
pub use residual::Residual;
pub use shape::Shape;
pub use silu::Silu;
pub use spec::{Kind, LayerSpec, Window};
pub use split_channels::SplitChannels;
pub use tape::{Input, Operation, Passed, Tape};
pub use transposed_convolution::TransposedConvolution;

/// A layer whose parameters are declared in a program.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Its name, as in "encoder.0"; those of its parameters begin with it.
    fn name(&self) -> &str;

    /// Units of a row of its input.
    fn inputs(&self) -> usize;

    /// Units of a row of its output.
    fn outputs(&self) -> usize;

    /// Its parameter tensors.
    fn parameters(&self) -> Vec<TensorId>;

    /// First values of [`Layer::parameters`].
    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>>;

    /// Records y of x, and on the tape how gradients pass back from y: see [`Tape::push`].
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError>;

    /// What it is where PyTorch has modules one after the other.
    fn modules(&self) -> Vec<Module>;

    /// The same layer told the classes of the rows, if it takes them.
    fn telling(&self, _: Told) -> Option<Arc<dyn Layer>> {
        None
    }

    /// Whether it takes the classes of the rows: then it is a module beside those that stand one after the other.
    fn takes_class(&self) -> bool {
        false
    }

    /// The tensors of each of its modules that have parameters, as files know them. Of a layer in parts that lie side by
    /// side in the output (the encoder's heads are two) each part is a module.
    fn stored(&self) -> Vec<Vec<StoredTensor>>;

    /// Adds what computes it of `x` in ONNX, its output last; of a layer in parts one of them. Returns what the output is.
    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand;
}

/// Layers one after the other.
pub type Stack = Vec<Arc<dyn Layer>>;

/// The same layers told the classes of what goes through them, if there are any.
pub fn told(layers: &[Arc<dyn Layer>], told: Option<Told>) -> Stack {
    let with = |layer: &Arc<dyn Layer>| told.and_then(|told| layer.telling(told));
    layers.iter().map(|layer| with(layer).unwrap_or_else(|| layer.clone())).collect()
}

/// Records layers one after the other, without a backward pass.
///
/// # Errors
/// As [`Layer::forward`].
pub fn forward(
    r: &mut Recorder,
    layers: &[Arc<dyn Layer>],
    x: TensorId,
) -> Result<TensorId, PlanError> {
    Tape::default().forward(r, layers, x)
}

/// Records `sums` of blocks of the rows of `values` of these [rows, columns].
fn sum_blocks(
    r: &mut Recorder,
    [values, sums]: [TensorId; 2],
    [rows, columns]: [usize; 2],
    block: usize,
) -> Result<(), PlanError> {
    let sizes = [("N", rows), ("C", columns), ("BLOCK", block), ("G", rows.div_ceil(block))];
    let sizes = sizes.map(|(name, size)| (name, size as f64));
    r.dispatch(&sum_rows::SUM_ROWS, &[("values", values), ("sums", sums)], &sizes)
}
