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
    /// Where the file has them in another order.
    pub order: Option<Order>,
}

/// Elements in another order: those of an array of `dims`, whose axes the file has in the order of `axes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub dims: Vec<usize>,
    pub axes: Vec<usize>,
}

impl StoredTensor {
    /// A whole parameter, as it is.
    pub fn new(name: &'static str, parameter: usize, shape: Vec<usize>) -> Self {
        let range = 0..shape.iter().product();
        StoredTensor { name, shape, parameter, range, order: None }
    }

    /// The same with the axes of its shape in this order.
    pub fn ordered(self, axes: &[usize]) -> Self {
        let shape = axes.iter().map(|&axis| self.shape[axis]).collect();
        let order = Some(Order { dims: self.shape, axes: axes.to_vec() });
        StoredTensor { shape, order, ..self }
    }

    /// The same, flattened to this shape in the file.
    pub fn flattened(self, shape: Vec<usize>) -> Self {
        StoredTensor { shape, ..self }
    }
}

impl Order {
    /// For each element of the file, in its order, which of the parameter's elements it is.
    pub fn places(&self) -> Vec<usize> {
        let mut strides = vec![1; self.dims.len()];
        for axis in (1..self.dims.len()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        let mut places = vec![0];
        for &axis in &self.axes {
            let along = |place: &usize| {
                let (place, stride) = (*place, strides[axis]);
                (0..self.dims[axis]).map(move |i| place + i * stride)
            };
            places = places.iter().flat_map(along).collect();
        }
        places
    }
}

/// An ONNX node with one output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The operator.
    pub op: &'static str,
    pub inputs: Vec<Operand>,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// What a [`Node`] is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
}

/// An input of a [`Node`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// The output of the node before, or the layer's input.
    Previous,
    /// The layer's input.
    Input,
    /// The classes of the rows, (N).
    Class,
    /// The parameter tensor of this name, see [`StoredTensor::name`].
    Parameter(&'static str),
    /// These integers.
    Ints(Vec<i64>),
}

/// The node of an activation; none of the identity.
pub fn activation_node(activation: Activation) -> Option<Node> {
    operator(activation).map(|op| Node {
        op,
        inputs: vec![Operand::Previous],
        attributes: Vec::new(),
    })
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
