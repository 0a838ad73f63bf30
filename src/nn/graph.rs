//! A layer in the terms of the formats that models are exchanged in.

use std::ops::Range;

use super::Activation;

/// A parameter tensor of a file: its name behind the module's, as in "weight", its shape, and which elements
/// of a layer's parameter it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    pub name: &'static str,
    pub shape: Vec<usize>,
    /// Index in [`super::Layer::parameters`].
    pub parameter: usize,
    /// Elements of the parameter.
    pub range: Range<usize>,
}

/// An ONNX node with one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The operator.
    pub op: &'static str,
    pub inputs: Vec<Operand>,
    /// Its integer attributes.
    pub attributes: Vec<(&'static str, i64)>,
}

/// An input of a [`Node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// The output of the node before, or the layer's input.
    Previous,
    /// The parameter tensor of this name, see [`StoredTensor::name`].
    Parameter(&'static str),
}

/// The ONNX operator of an activation; `None` of the identity.
pub fn operator(activation: Activation) -> Option<&'static str> {
    match activation {
        Activation::Identity => None,
        Activation::Relu => Some("Relu"),
        Activation::Tanh => Some("Tanh"),
        Activation::Softplus => Some("Softplus"),
        // Their slope and scale are ONNX's defaults, 0.01 and 1.
        Activation::LeakyRelu => Some("LeakyRelu"),
        Activation::Elu => Some("Elu"),
    }
}
