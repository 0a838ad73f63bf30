//! The fully connected layer, y = f(x W^T + b).

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Shape, Uniform};
use crate::kernels::linear;
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// One of several layers that lie side by side in the output of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub outputs: usize,
    /// Whether its parameters begin at zero.
    zero: bool,
}

impl Part {
    /// One that begins as any layer.
    pub fn of(outputs: usize) -> Self {
        Part { outputs, zero: false }
    }

    /// One whose parameters begin at zero.
    pub fn from_zero(outputs: usize) -> Self {
        Part { outputs, zero: true }
    }

    /// `n` uniform numbers on ±bound, or zeros.
    fn numbers(self, uniform: &mut Uniform, n: usize, bound: f32) -> Vec<f32> {
        if self.zero { vec![0.0; n] } else { uniform.numbers(n, bound) }
    }
}

/// A fully connected layer y = f(x W^T + b).
#[derive(Debug, Clone)]
pub struct Dense {
    name: String,
    inputs: usize,
    outputs: usize,
    /// What its input and its output are to the layers beside it.
    shapes: [Shape; 2],
    activation: Activation,
    /// Layers that lie side by side in the output.
    parts: Vec<Part>,
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
        let parts = vec![Part::of(outputs)];
        Dense { name, inputs, outputs, shapes, activation, parts, weight, bias }
    }

    /// The same as layers side by side that have its outputs between them: in files each is a module, and each is initialised
    /// by its own number of outputs.
    pub fn in_parts(self, parts: Vec<Part>) -> Self {
        debug_assert_eq!(parts.iter().map(|part| part.outputs).sum::<usize>(), self.outputs);
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
        let bound = |part: &Part| match init {
            Init::Pytorch => 1.0 / (self.inputs as f32).sqrt(),
            Init::Glorot => (6.0 / (self.inputs + part.outputs) as f32).sqrt(),
        };
        let mut of_parts = |rows: usize| -> Vec<f32> {
            let each = self.parts.iter();
            let numbers = |part: &Part| part.numbers(uniform, part.outputs * rows, bound(part));
            each.flat_map(numbers).collect()
        };
        let weight = of_parts(self.inputs);
        match init {
            Init::Pytorch => vec![weight, of_parts(1)],
            Init::Glorot => vec![weight, vec![0.0; self.outputs]],
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
        let inputs = self.inputs;
        let [from, to] = self.shapes;
        // Files have the channels of a map first.
        let split = |shape: Shape, units: usize| match shape {
            Shape::Map([height, width, channels]) => (vec![height, width, channels], vec![2, 0, 1]),
            Shape::Units(_) => (vec![units], vec![0]),
        };
        let (columns, column_axes) = split(from, inputs);
        let order = |tensor: StoredTensor, axes: &[usize], shape: Vec<usize>| match axes.is_sorted()
        {
            true => tensor.flattened(shape),
            false => tensor.ordered(axes).flattened(shape),
        };
        let mut first = 0; // of the part's outputs
        let of_part = |&Part { outputs, .. }: &Part| {
            let (rows, row_axes) = split(to, outputs);
            let of_columns = column_axes.iter().map(|axis| axis + rows.len());
            let axes: Vec<usize> = row_axes.iter().copied().chain(of_columns).collect();
            let weight = StoredTensor::new("weight", 0, [&rows[..], &columns[..]].concat());
            let bias = StoredTensor::new("bias", 1, rows);
            let weight = order(weight, &axes, vec![outputs, inputs]);
            let bias = order(bias, &row_axes, vec![outputs]);
            let behind = |tensor: StoredTensor, width: usize| StoredTensor {
                range: first * width..(first + outputs) * width,
                ..tensor
            };
            let both = vec![behind(weight, inputs), behind(bias, 1)];
            first += outputs;
            both
        };
        self.parts.iter().map(of_part).collect()
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
