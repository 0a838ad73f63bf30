//! A layer in the terms of the formats that models are exchanged in.

use std::borrow::Cow;
use std::ops::Range;

use super::Activation;

/// A parameter tensor of a file: its name behind the module's, as in "weight", its shape, and which elements
/// of a layer's parameter it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    pub name: Cow<'static, str>,
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
        StoredTensor { name: name.into(), shape, parameter, range, order: None }
    }

    /// The same with the axes of its shape in this order.
    pub fn ordered(self, axes: &[usize]) -> Self {
        let shape = axes.iter().map(|&axis| self.shape[axis]).collect();
        let order = Some(Order { dims: self.shape, axes: axes.to_vec() });
        StoredTensor { shape, order, ..self }
    }

    /// The same of a layer whose parameters are behind so many others.
    pub fn behind(self, parameters: usize) -> Self {
        StoredTensor { parameter: self.parameter + parameters, ..self }
    }

    /// The same where its module is within another, by this name.
    pub fn within(self, module: &str) -> Self {
        StoredTensor { name: format!("{module}.{}", self.name).into(), ..self }
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

/// What a layer is in PyTorch's nn.Sequential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Module {
    /// One with parameters, the next of [`super::Layer::stored`].
    Stored,
    /// Its activation.
    Activation,
    /// nn.Flatten or nn.Unflatten.
    Reshape,
}

/// An ONNX node with one output.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The operator.
    pub op: &'static str,
    pub inputs: Vec<Operand>,
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// What a [`Node`] is told.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Real(f32),
}

/// An input of a [`Node`].
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// The layer's input.
    Input,
    /// The classes of the rows, (N).
    Class,
    /// The output of the node of this number.
    Node(usize),
    /// A parameter tensor, see [`StoredTensor::name`], of one of the layer's modules that have some.
    Parameter { module: usize, name: String },
    /// These integers.
    Ints(Vec<i64>),
    /// These numbers.
    Reals(Vec<f32>),
}

/// The ONNX nodes of a layer, each behind those that it takes.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: Vec<Node>,
    /// Modules with parameters before the one whose nodes come next.
    module: usize,
    /// What the names of its parameters begin with.
    prefix: String,
}

impl Nodes {
    /// Those of a layer, its output last.
    pub fn of(layer: &dyn super::Layer) -> Vec<Node> {
        let mut nodes = Nodes::default();
        let y = layer.nodes(&mut nodes, Operand::Input);
        let last = nodes.nodes.len().checked_sub(1);
        assert!(
            last.is_none_or(|last| y == Operand::Node(last)),
            "{}: its output is not its last node",
            layer.name()
        );
        nodes.nodes
    }

    /// Adds one; returns its output.
    pub fn add(
        &mut self,
        op: &'static str,
        inputs: &[Operand],
        attributes: Vec<(&'static str, Attribute)>,
    ) -> Operand {
        self.nodes.push(Node { op, inputs: inputs.to_vec(), attributes });
        Operand::Node(self.nodes.len() - 1)
    }

    /// A parameter of this name of the module whose nodes are added.
    pub fn parameter(&self, name: &str) -> Operand {
        Operand::Parameter { module: self.module, name: format!("{}{name}", self.prefix) }
    }

    /// Says that the nodes to come are of the module behind so many others with parameters.
    pub fn pass_modules(&mut self, modules: usize) {
        self.module += modules;
    }

    /// Adds the nodes of a module within the one whose nodes are added, by this name.
    pub fn within(&mut self, module: &str, add: impl FnOnce(&mut Self) -> Operand) -> Operand {
        let outer = self.prefix.clone();
        self.prefix += &format!("{module}.");
        let y = add(self);
        self.prefix = outer;
        y
    }

    /// Adds an activation of `x`.
    pub fn activation(&mut self, activation: Activation, x: Operand) -> Operand {
        match operator(activation) {
            None => x,
            Some(op) => self.add(op, &[x], Vec::new()),
        }
    }
}

/// The ONNX operator of an activation; `None` of the identity.
fn operator(activation: Activation) -> Option<&'static str> {
    match activation {
        // The SiLU is a layer of its own.
        Activation::Identity | Activation::Silu => None,
        Activation::Relu => Some("Relu"),
        Activation::Tanh => Some("Tanh"),
        Activation::Softplus => Some("Softplus"),
        // Their slope and scale are ONNX's defaults, 0.01 and 1.
        Activation::LeakyRelu => Some("LeakyRelu"),
        Activation::Elu => Some("Elu"),
    }
}
