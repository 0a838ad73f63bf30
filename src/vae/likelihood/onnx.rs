//! What a decoder in ONNX computes of its last layer.

/// An output of a decoder in ONNX.
pub struct OnnxOutput {
    /// What it is called.
    pub name: &'static str,
    /// The operator that computes it and its input: an output's name, or that of a stored parameter. `None` is
    /// the decoder's last layer itself, or what a node of the [`OnnxGraph`] computes.
    pub of: Option<(&'static str, &'static str)>,
    /// Whether it is (N, D); else it is (1).
    pub of_pixels: bool,
    /// What it means; `None` is pixels as they are fed to the encoder.
    pub meaning: Option<&'static str>,
}

/// Outputs, and what leads to them, that take more than one operator.
#[derive(Default)]
pub struct OnnxGraph {
    /// What its nodes take besides.
    pub constants: Vec<OnnxConstant>,
    /// Each behind those whose outputs it takes.
    pub nodes: Vec<OnnxNode>,
}

/// Numbers that nodes take.
pub struct OnnxConstant {
    /// As nodes name it.
    pub name: &'static str,
    /// None of a number by itself.
    pub dims: Vec<usize>,
    /// In the order of rows.
    pub values: OnnxValues,
}

/// The values of a constant.
pub enum OnnxValues {
    /// In single precision.
    Reals(Vec<f32>),
    /// Of 64 bits, as ONNX has places of dimensions.
    Integers(Vec<i64>),
}

/// An operator and what it joins, by name: constants, outputs of nodes before, the decoder's last layer.
pub struct OnnxNode {
    /// The operator.
    pub op: &'static str,
    /// What it takes, in its order.
    pub inputs: Vec<&'static str>,
    /// What it gives, in its order.
    pub outputs: Vec<&'static str>,
    /// Its integer attributes.
    pub attributes: Vec<(&'static str, i64)>,
}

impl OnnxGraph {
    /// Adds a number.
    pub fn number(&mut self, name: &'static str, value: f64) {
        let values = OnnxValues::Reals(vec![value as f32]);
        self.constants.push(OnnxConstant { name, dims: Vec::new(), values });
    }

    /// Adds a node of one output and no attributes.
    pub fn node(&mut self, op: &'static str, inputs: &[&'static str], output: &'static str) {
        self.nodes.push(OnnxNode {
            op,
            inputs: inputs.to_vec(),
            outputs: vec![output],
            attributes: Vec::new(),
        });
    }
}
