//! What a kernel is tried on: sizes, constants and contents of its inputs.

/// The content of an input tensor.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// Normal numbers of this standard deviation.
    Normal(f64),
    /// Uniform on [low, high).
    Uniform(f64, f64),
    /// Zeros and ones.
    Bits,
    /// Random bytes.
    Bytes,
    /// These numbers, over and over.
    Cycle(Vec<f64>),
    /// These words, over and over.
    Words(Vec<u32>),
}

/// One call of a kernel on inputs of its own making; tensors' shapes follow from `dims`.
#[derive(Debug, Clone)]
pub struct Case {
    pub dims: Vec<(&'static str, usize)>,
    pub constants: Vec<(&'static str, f64)>,
    /// Inputs not named here are `Fill::Normal(1.0)`; outputs hold NaN, unless named.
    pub fills: Vec<(&'static str, Fill)>,
}

impl Case {
    pub fn new(dims: &[(&'static str, usize)]) -> Self {
        Case { dims: dims.to_vec(), constants: Vec::new(), fills: Vec::new() }
    }

    pub fn dim(mut self, name: &'static str, size: usize) -> Self {
        self.dims.push((name, size));
        self
    }

    pub fn constant(mut self, name: &'static str, value: f64) -> Self {
        self.constants.push((name, value));
        self
    }

    pub fn fill(mut self, binding: &'static str, fill: Fill) -> Self {
        self.fills.push((binding, fill));
        self
    }
}

/// A clock tensor's content.
pub fn clock_words(seed: u64, step: u32, epoch: u32, position: u32) -> Fill {
    Fill::Words(vec![seed as u32, (seed >> 32) as u32, step, epoch, position, 600, 0, 0])
}
