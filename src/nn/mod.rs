//! Layers of a network: what each declares, computes forward and backward, and is called in files. Nothing here
//! knows what the network is for.
//!
//! R rows of an input go through a layer: x (R, inputs) to y (R, outputs). `d_y` is the gradient of the
//! objective with respect to a layer's output *before its activation*: the layer that reads y multiplies what
//! it passes back by the derivative of the activation that made y. So no layer keeps its pre-activations.

pub mod convolution;
pub mod dense;
pub mod embedding;
pub mod graph;
mod init;
mod layers;
pub mod notation;
mod shape;
mod sliding;
pub mod split_channels;
pub mod tape;
pub mod transposed_convolution;

use std::fmt;
use std::sync::Arc;

pub use crate::kernels::activation::Activation;
use crate::plan::{PlanError, Recorder, TensorId};
pub use convolution::Convolution;
pub use dense::Dense;
pub use embedding::{Embedding, Told};
pub use graph::{Node, StoredTensor};
pub use init::{Init, Uniform};
pub use layers::{Layers, NetworkKind};
pub use notation::LayerSpec;
pub use shape::Shape;
pub use split_channels::SplitChannels;
pub use tape::Tape;
pub use transposed_convolution::TransposedConvolution;

/// A layer whose parameters are declared in a program.
pub trait Layer: fmt::Debug + Send + Sync {
    /// Its name, as in "encoder.0"; those of its parameters begin with it.
    fn name(&self) -> &str;

    /// Units of a row of its input.
    fn inputs(&self) -> usize;

    /// Units of a row of its output.
    fn outputs(&self) -> usize;

    /// What its output has gone through last.
    fn activation(&self) -> Activation;

    /// Its parameter tensors.
    fn parameters(&self) -> Vec<TensorId>;

    /// First values of [`Layer::parameters`].
    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>>;

    /// Records y of x.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError>;

    /// Records the gradient at x from `d_y`, before the activation `made_by` that made x.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_input(
        &self,
        r: &mut Recorder,
        x: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError>;

    /// Records the gradient of each of [`Layer::parameters`].
    ///
    /// # Errors
    /// As [`Layer::forward`].
    fn backward_parameters(
        &self,
        r: &mut Recorder,
        x: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError>;

    /// The same layer told the classes of the rows, if it takes them.
    fn telling(&self, _: Told) -> Option<Arc<dyn Layer>> {
        None
    }

    /// How many modules without parameters stand before it and behind it and its activation where PyTorch has layers one
    /// after the other.
    fn modules(&self) -> [usize; 2] {
        [0, 0]
    }

    /// The layer as files know it: each of its parts that lie side by side in the output (the encoder's heads
    /// are two) as a module of its own.
    fn stored(&self) -> Vec<Vec<StoredTensor>>;

    /// What computes one of those parts in ONNX, one node after the other, its activation last.
    fn nodes(&self) -> Vec<Node>;
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
