//! Residual blocks: y = f(skip(x) + path(x)), the path two convolutions with an activation between them.

use std::sync::Arc;

use super::graph::{Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Stack, Uniform};
use crate::kernels::residual;
use crate::plan::{PlanError, Recorder, TensorId};

/// A residual block (He et al. 2016). Its layers are called by the last word of their names in files: conv1, norm1, ...
#[derive(Debug, Clone)]
pub struct Residual {
    pub name: String,
    /// The last of it has no activation.
    pub path: Stack,
    /// What brings x to the path's channels; `None` is x itself.
    pub skip: Option<Arc<dyn Layer>>,
    /// Behind the sum.
    pub activation: Activation,
}

/// The sum where its ways meet.
#[derive(Debug)]
struct Meeting {
    name: String,
    activation: Activation,
}

impl Residual {
    /// Its layers in the order of their parameters.
    fn layers(&self) -> impl Iterator<Item = &Arc<dyn Layer>> {
        self.path.iter().chain(&self.skip)
    }
}

/// The last word of a layer's name.
fn own_name(layer: &dyn Layer) -> &str {
    layer.name().rsplit('.').next().unwrap_or_default()
}

impl Layer for Residual {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.path.first().map_or(0, |layer| layer.inputs())
    }

    fn outputs(&self) -> usize {
        self.path.last().map_or(0, |layer| layer.outputs())
    }

    fn parameters(&self) -> Vec<TensorId> {
        self.layers().flat_map(|layer| layer.parameters()).collect()
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        self.layers().flat_map(|layer| layer.initial_values(init, uniform)).collect()
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let b = tape.forward(r, &self.path, x)?;
        let a = match &self.skip {
            Some(layer) => layer.forward(r, tape, x)?,
            None => x,
        };
        let y = r.tensor(&self.name, &r.dims(b));
        let activation = [("ACTIVATION", self.activation.number())];
        r.dispatch(&residual::FORWARD, &[("a", a), ("b", b), ("y", y)], &activation)?;
        let meeting = Meeting { name: self.name.clone(), activation: self.activation };
        tape.push(meeting, &[a, b], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module::Stored, Module::Activation]
    }

    /// One module, whose own have names.
    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let mut first = 0;
        let mut all = Vec::new();
        for layer in self.layers() {
            let tensors = layer.stored().into_iter().flatten();
            all.extend(tensors.map(|tensor| tensor.behind(first).within(own_name(&**layer))));
            first += layer.parameters().len();
        }
        vec![all]
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        let b = self.path.iter().fold(x.clone(), |h, layer| {
            nodes.within(own_name(&**layer), |nodes| layer.nodes(nodes, h))
        });
        let a = match &self.skip {
            Some(layer) => nodes.within(own_name(&**layer), |nodes| layer.nodes(nodes, x)),
            None => x,
        };
        let sum = nodes.add("Add", &[a, b], Vec::new());
        nodes.activation(self.activation, sum)
    }
}

impl Operation for Meeting {
    fn activation(&self) -> Activation {
        self.activation
    }

    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        _: bool,
    ) -> Result<Passed, PlanError> {
        let mut back = |input: &Input| {
            if !input.wanted {
                return Ok(None);
            }
            if input.made_by == Activation::Identity {
                return Ok(Some(d_y));
            }
            let d_a = r.tensor(&format!("d_skipped of {}", self.name), &r.dims(input.tensor));
            let tensors = [("a", input.tensor), ("d_y", d_y), ("d_a", d_a)];
            let activation = [("ACTIVATION", input.made_by.number())];
            r.dispatch(&residual::BACKWARD, &tensors, &activation)?;
            Ok(Some(d_a))
        };
        let inputs = inputs.iter().map(&mut back).collect::<Result<_, PlanError>>()?;
        Ok(Passed { inputs, parameters: Vec::new() })
    }
}
