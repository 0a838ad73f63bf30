//! The fully connected layer, y = f(x W^T + b).

use super::graph::{Node, Operand, StoredTensor, operator};
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::linear;
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// A fully connected layer y = f(x W^T + b).
#[derive(Debug, Clone)]
pub struct Dense {
    name: String,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    /// Layers of equal width that lie side by side in the output.
    parts: usize,
    /// (outputs, inputs)
    weight: TensorId,
    /// (outputs)
    bias: TensorId,
}

impl Dense {
    /// Declares its parameters, "name.weight" and "name.bias".
    pub fn declare(
        program: &mut Program,
        name: String,
        [inputs, outputs]: [usize; 2],
        activation: Activation,
    ) -> Self {
        let weight = program.tensor(format!("{name}.weight"), &[outputs, inputs], DType::F32);
        let bias = program.tensor(format!("{name}.bias"), &[outputs], DType::F32);
        Dense { name, inputs, outputs, activation, parts: 1, weight, bias }
    }

    /// The same as so many layers side by side: in files each is a module, and each is initialised by its own
    /// number of outputs.
    pub fn in_parts(self, parts: usize) -> Self {
        Dense { parts, ..self }
    }
}

impl Layer for Dense {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.weight, self.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let n = self.outputs * self.inputs;
        match init {
            Init::Pytorch => {
                let bound = 1.0 / (self.inputs as f32).sqrt();
                vec![uniform.numbers(n, bound), uniform.numbers(self.outputs, bound)]
            }
            Init::Glorot => {
                let units = self.inputs + self.outputs / self.parts;
                vec![uniform.numbers(n, (6.0 / units as f32).sqrt()), vec![0.0; self.outputs]]
            }
        }
    }

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &[r.dims(x)[0], self.outputs]);
        r.dispatch(
            &linear::FORWARD,
            &[("x", x), ("weight", self.weight), ("bias", self.bias), ("y", y)],
            &[("ACTIVATION", self.activation.number())],
        )?;
        Ok(y)
    }

    fn backward_input(
        &self,
        r: &mut Recorder,
        x: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError> {
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x));
        r.dispatch(
            &linear::BACKWARD_INPUT,
            &[("x", x), ("weight", self.weight), ("d_y", d_y), ("d_x", d_x)],
            &[("ACTIVATION", made_by.number())],
        )?;
        Ok(d_x)
    }

    fn backward_parameters(
        &self,
        r: &mut Recorder,
        x: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let d_weight = r.tensor(&format!("d_{}.weight", self.name), &[self.outputs, self.inputs]);
        let d_bias = r.tensor(&format!("d_{}.bias", self.name), &[self.outputs]);
        r.dispatch(
            &linear::BACKWARD_PARAMETERS,
            &[("x", x), ("d_y", d_y), ("d_weight", d_weight), ("d_bias", d_bias)],
            &[],
        )?;
        Ok(vec![d_weight, d_bias])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let (inputs, outputs) = (self.inputs, self.outputs / self.parts);
        let tensor = |part: usize, name, parameter, shape: Vec<usize>| {
            let n: usize = shape.iter().product();
            StoredTensor { name, shape, parameter, range: part * n..(part + 1) * n }
        };
        (0..self.parts)
            .map(|part| {
                vec![
                    tensor(part, "weight", 0, vec![outputs, inputs]),
                    tensor(part, "bias", 1, vec![outputs]),
                ]
            })
            .collect()
    }

    fn nodes(&self) -> Vec<Node> {
        let mut nodes = vec![Node {
            op: "Gemm",
            inputs: vec![
                Operand::Previous,
                Operand::Parameter("weight"),
                Operand::Parameter("bias"),
            ],
            attributes: vec![("transB", 1)], // the weight is (outputs, inputs)
        }];
        nodes.extend(operator(self.activation).map(|op| Node {
            op,
            inputs: vec![Operand::Previous],
            attributes: Vec::new(),
        }));
        nodes
    }
}
