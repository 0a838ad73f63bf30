//! The fully connected layer, y = f(x W^T + b).

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Shape, Uniform};
use crate::kernels::linear;
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// A fully connected layer y = f(x W^T + b).
#[derive(Debug, Clone)]
pub struct Dense {
    name: String,
    inputs: usize,
    outputs: usize,
    /// What its input and its output are to the layers beside it.
    shapes: [Shape; 2],
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
        shapes: [Shape; 2],
        activation: Activation,
    ) -> Self {
        let [inputs, outputs] = shapes.map(Shape::units);
        let weight = program.tensor(format!("{name}.weight"), &[outputs, inputs], DType::F32);
        let bias = program.tensor(format!("{name}.bias"), &[outputs], DType::F32);
        Dense { name, inputs, outputs, shapes, activation, parts: 1, weight, bias }
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

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &[r.dims(x)[0], self.outputs]);
        r.dispatch(
            &linear::FORWARD,
            &[("x", x), ("weight", self.weight), ("bias", self.bias), ("y", y)],
            &[("ACTIVATION", self.activation.number())],
        )?;
        tape.push(self.clone(), &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        // nn.Flatten before it, nn.Unflatten behind it
        let [from, to] = self.shapes.map(|shape| matches!(shape, Shape::Map(_)));
        let mut modules = vec![Module::Stored, Module::Activation];
        if from {
            modules.insert(0, Module::Reshape);
        }
        if to {
            modules.push(Module::Reshape);
        }
        modules
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let (inputs, outputs) = (self.inputs, self.outputs / self.parts);
        let [from, to] = self.shapes;
        // Files have the channels of a map first.
        let split = |shape: Shape, units: usize| match shape {
            Shape::Map([height, width, channels]) => (vec![height, width, channels], vec![2, 0, 1]),
            Shape::Units(_) => (vec![units], vec![0]),
        };
        let (rows, row_axes) = split(to, outputs);
        let (columns, column_axes) = split(from, inputs);
        let axes: Vec<usize> = row_axes
            .iter()
            .copied()
            .chain(column_axes.iter().map(|axis| axis + rows.len()))
            .collect();
        let order = |tensor: StoredTensor, axes: &[usize], shape: Vec<usize>| match axes.is_sorted()
        {
            true => tensor.flattened(shape),
            false => tensor.ordered(axes).flattened(shape),
        };
        let of_part = |part: usize, tensor: StoredTensor| {
            let n = tensor.range.len();
            StoredTensor { range: part * n..(part + 1) * n, ..tensor }
        };
        (0..self.parts)
            .map(|part| {
                let weight = StoredTensor::new("weight", 0, [&rows[..], &columns[..]].concat());
                let bias = StoredTensor::new("bias", 1, rows.clone());
                vec![
                    of_part(part, order(weight, &axes, vec![outputs, inputs])),
                    of_part(part, order(bias, &row_axes, vec![outputs])),
                ]
            })
            .collect()
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        let mut h = x;
        if let Shape::Map(_) = self.shapes[0] {
            h = nodes.add("Flatten", &[h], vec![("axis", Attribute::Int(1))]);
        }
        let inputs = [h, nodes.parameter("weight"), nodes.parameter("bias")];
        // The weight is (outputs, inputs).
        h = nodes.add("Gemm", &inputs, vec![("transB", Attribute::Int(1))]);
        h = nodes.activation(self.activation, h);
        if let Shape::Map([height, width, channels]) = self.shapes[1] {
            let shape = [-1, channels as i64, height as i64, width as i64];
            h = nodes.add("Reshape", &[h, Operand::Ints(shape.to_vec())], Vec::new());
        }
        h
    }
}

impl Operation for Dense {
    fn activation(&self) -> Activation {
        self.activation
    }

    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError> {
        let x = inputs[0];
        let mut d_x = None;
        if x.wanted {
            let to = r.tensor(&format!("d_input of {}", self.name), &r.dims(x.tensor));
            r.dispatch(
                &linear::BACKWARD_INPUT,
                &[("x", x.tensor), ("weight", self.weight), ("d_y", d_y), ("d_x", to)],
                &[("ACTIVATION", x.made_by.number())],
            )?;
            d_x = Some(to);
        }
        if !to_parameters {
            return Ok(Passed { inputs: vec![d_x], parameters: Vec::new() });
        }
        let d_weight = r.tensor(&format!("d_{}.weight", self.name), &[self.outputs, self.inputs]);
        let d_bias = r.tensor(&format!("d_{}.bias", self.name), &[self.outputs]);
        r.dispatch(
            &linear::BACKWARD_PARAMETERS,
            &[("x", x.tensor), ("d_y", d_y), ("d_weight", d_weight), ("d_bias", d_bias)],
            &[],
        )?;
        let parameters = vec![(self.weight, d_weight), (self.bias, d_bias)];
        Ok(Passed { inputs: vec![d_x], parameters })
    }
}
