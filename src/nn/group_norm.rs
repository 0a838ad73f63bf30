//! Group normalisation behind a layer: y = f(w n + b), n the input with mean 0 and variance 1 over groups of channels.

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Shape, Uniform, sum_blocks};
use crate::kernels::group_norm;
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// A group normalisation; of units, which are a map of one pixel, too.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    name: String,
    shape: Shape,
    groups: usize,
    activation: Activation,
    /// (2 C) [w | b]: no weight decays, which are tensors of rank 2.
    parameters: TensorId,
}

/// One that was recorded, with the mean and 1/σ of each image's groups, (R, 2 G).
#[derive(Debug)]
struct Normalised {
    norm: GroupNorm,
    statistics: TensorId,
}

impl GroupNorm {
    /// Declares its parameters, "name.weight and bias". Its groups divide the channels.
    pub fn declare(
        program: &mut Program,
        name: String,
        shape: Shape,
        groups: usize,
        activation: Activation,
    ) -> Self {
        let dims = [2 * shape.channels()];
        let parameters = program.tensor(format!("{name}.weight and bias"), &dims, DType::F32);
        GroupNorm { name, shape, groups, activation, parameters }
    }
}

impl Layer for GroupNorm {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.shape.units()
    }

    fn outputs(&self) -> usize {
        self.shape.units()
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.parameters]
    }

    fn initial_values(&self, _: Init, _: &mut Uniform) -> Vec<Vec<f32>> {
        let channels = self.shape.channels();
        vec![[vec![1.0; channels], vec![0.0; channels]].concat()]
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &r.dims(x));
        let dims = [r.dims(x)[0], 2 * self.groups];
        let statistics = r.tensor(&format!("statistics of {}", self.name), &dims);
        let tensors =
            [("x", x), ("parameters", self.parameters), ("y", y), ("statistics", statistics)];
        let activation = [("ACTIVATION", self.activation.number())];
        r.dispatch(&group_norm::FORWARD, &tensors, &activation)?;
        tape.push(Normalised { norm: self.clone(), statistics }, &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module::Stored, Module::Activation]
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let channels = self.shape.channels();
        let half = |name, first: usize| StoredTensor {
            range: first..first + channels,
            ..StoredTensor::new(name, 0, vec![channels])
        };
        vec![vec![half("weight", 0), half("bias", channels)]]
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        // The oldest operators know no groups: they become the channels of an instance normalisation.
        let groups = self.groups;
        let shape = Operand::Ints(vec![0, groups as i64, -1]);
        let h = nodes.add("Reshape", &[x, shape], Vec::new());
        let [ones, zeros] = [1.0, 0.0].map(|v| Operand::Reals(vec![v; groups]));
        let epsilon = vec![("epsilon", Attribute::Real(group_norm::EPSILON as f32))];
        let h = nodes.add("InstanceNormalization", &[h, ones, zeros], epsilon);
        let mut sizes = vec![-1];
        let mut parameters = ["weight", "bias"].map(|name| nodes.parameter(name));
        match self.shape {
            Shape::Units(n) => sizes.push(n as i64),
            Shape::Map([height, width, channels]) => {
                sizes.extend([channels, height, width].map(|n| n as i64));
                parameters = parameters
                    .map(|of| nodes.add("Unsqueeze", &[of, Operand::Ints(vec![1, 2])], Vec::new()));
            }
        }
        let [weight, bias] = parameters;
        let h = nodes.add("Reshape", &[h, Operand::Ints(sizes)], Vec::new());
        let h = nodes.add("Mul", &[h, weight], Vec::new());
        let h = nodes.add("Add", &[h, bias], Vec::new());
        nodes.activation(self.activation, h)
    }
}

impl Operation for Normalised {
    fn activation(&self) -> Activation {
        self.norm.activation
    }

    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError> {
        let GroupNorm { name, shape, parameters, .. } = &self.norm;
        let x = inputs[0].linear();
        let (rows, channels) = (r.dims(x)[0], shape.channels());
        let sums = r.tensor(&format!("sums to d_{name}"), &[rows, 2 * channels]);
        let known = [("x", x), ("kept", self.statistics), ("d_y", d_y)];
        let tensors = [&known[..], &[("sums", sums)]].concat();
        r.dispatch(&group_norm::CHANNEL_SUMS, &tensors, &[])?;
        let d_x = r.tensor(&format!("d_input of {name}"), &r.dims(x));
        let of_channels = [("scale_and_shift", *parameters), ("channel_gradients", sums)];
        let tensors = [&known[..], &of_channels[..], &[("d_x", d_x)]].concat();
        r.dispatch(&group_norm::BACKWARD_INPUT, &tensors, &[])?;
        if !to_parameters {
            return Ok(Passed { inputs: vec![Some(d_x)], parameters: Vec::new() });
        }
        let d_parameters = r.tensor(&format!("d_{name}"), &[2 * channels]);
        sum_blocks(r, [sums, d_parameters], [rows, 2 * channels], rows)?;
        Ok(Passed { inputs: vec![Some(d_x)], parameters: vec![(*parameters, d_parameters)] })
    }
}
