//! The backward pass: what was computed forward, walked in reverse.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Activation, Layer};
use crate::kernels::add;
use crate::plan::{PlanError, Recorder, TensorId};

/// What leads from some tensors to another: how gradients pass back.
pub trait Operation: fmt::Debug {
    /// What its output has gone through last.
    fn activation(&self) -> Activation {
        Activation::Identity
    }

    /// Records the gradients at its inputs and, where they are asked for, of its parameters from `d_y`, the gradient at its
    /// output before its activation.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError>;
}

/// An input of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    pub tensor: TensorId,
    /// The activation that made it: the gradient is the one before it.
    pub made_by: Activation,
    /// Whether its gradient is asked for.
    pub wanted: bool,
}

impl Input {
    /// The tensor, which no activation made.
    ///
    /// # Panics
    /// One did: the operation would have to undo it.
    pub fn linear(self) -> TensorId {
        assert_eq!(self.made_by, Activation::Identity, "no activation is undone here");
        self.tensor
    }
}

/// What an operation passes back.
pub struct Passed {
    /// The gradient at each of its inputs; at least at those that are wanted.
    pub inputs: Vec<Option<TensorId>>,
    /// Each of its parameters with its gradient, if they were asked for.
    pub parameters: Vec<(TensorId, TensorId)>,
}

/// The operations that were recorded, each with its inputs and its output.
#[derive(Default)]
pub struct Tape {
    entries: Vec<Entry>,
}

struct Entry {
    operation: Box<dyn Operation>,
    inputs: Vec<TensorId>,
    y: TensorId,
}

/// What a backward pass has computed.
pub struct Gradients {
    /// The gradient of a tensor, before the activation that made it.
    tensors: BTreeMap<TensorId, TensorId>,
    /// Each parameter with its gradient.
    pub parameters: Vec<(TensorId, TensorId)>,
}

impl Gradients {
    /// The gradient at a tensor, if it was asked for or passed through.
    pub fn at(&self, tensor: TensorId) -> Option<TensorId> {
        self.tensors.get(&tensor).copied()
    }
}

impl Tape {
    /// Says that an operation has made `y` of `inputs`: a layer does where it records it.
    pub fn push(&mut self, operation: impl Operation + 'static, inputs: &[TensorId], y: TensorId) {
        let operation = Box::new(operation);
        self.entries.push(Entry { operation, inputs: inputs.to_vec(), y });
    }

    /// Records layers one after the other; returns the output of the last, or `x` if there are none.
    ///
    /// # Errors
    /// As [`Layer::forward`].
    pub fn forward(
        &mut self,
        r: &mut Recorder,
        layers: &[Arc<dyn Layer>],
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        layers.iter().try_fold(x, |x, layer| layer.forward(r, self, x))
    }

    /// Records the backward pass from some outputs, each with its gradient, to every parameter before them, and
    /// to those of `inputs` that no layer of the tape made. Gradients that meet, where a tensor or a parameter
    /// is used twice, are added.
    ///
    /// # Errors
    /// As [`Operation::backward`].
    pub fn backward(
        &self,
        r: &mut Recorder,
        outputs: &[(TensorId, TensorId)],
        inputs: &[TensorId],
    ) -> Result<Gradients, PlanError> {
        self.walk(r, outputs, inputs, true)
    }

    /// Records the backward pass from some outputs, each with its gradient, to `input` alone, which no layer of the tape
    /// made, and to no parameter.
    ///
    /// # Errors
    /// As [`Operation::backward`].
    ///
    /// # Panics
    /// If no layers lead from it to an output.
    pub fn backward_to(
        &self,
        r: &mut Recorder,
        outputs: &[(TensorId, TensorId)],
        input: TensorId,
    ) -> Result<TensorId, PlanError> {
        let gradients = self.walk(r, outputs, &[input], false)?;
        Ok(gradients.at(input).expect("layers lead from it to an output"))
    }

    fn walk(
        &self,
        r: &mut Recorder,
        outputs: &[(TensorId, TensorId)],
        inputs: &[TensorId],
        to_parameters: bool,
    ) -> Result<Gradients, PlanError> {
        let tensors = outputs.iter().copied().collect();
        let mut gradients = Gradients { tensors, parameters: Vec::new() };
        let input = |tensor: TensorId| {
            let made = self.entries.iter().find(|entry| entry.y == tensor);
            Input {
                tensor,
                made_by: made.map_or(Activation::Identity, |made| made.operation.activation()),
                wanted: made.is_some() || inputs.contains(&tensor),
            }
        };
        for entry in self.entries.iter().rev() {
            let Some(d_y) = gradients.at(entry.y) else { continue };
            let inputs: Vec<Input> = entry.inputs.iter().map(|&tensor| input(tensor)).collect();
            let passed = entry.operation.backward(r, &inputs, d_y, to_parameters)?;
            for (Input { tensor, wanted, .. }, gradient) in inputs.into_iter().zip(passed.inputs) {
                if let (true, Some(gradient)) = (wanted, gradient) {
                    let gradient = sum(r, gradients.at(tensor), gradient)?;
                    gradients.tensors.insert(tensor, gradient);
                }
            }
            for (parameter, gradient) in passed.parameters {
                match gradients.parameters.iter().position(|(known, _)| *known == parameter) {
                    None => gradients.parameters.push((parameter, gradient)),
                    Some(i) => {
                        let before = gradients.parameters[i].1;
                        gradients.parameters[i].1 = sum(r, Some(before), gradient)?;
                    }
                }
            }
        }
        Ok(gradients)
    }
}

/// `b`, or a + b.
fn sum(r: &mut Recorder, a: Option<TensorId>, b: TensorId) -> Result<TensorId, PlanError> {
    let Some(a) = a else { return Ok(b) };
    let name = r.program.get(b).name.clone();
    let name = name.split_once('/').map_or(&*name, |(_, name)| name);
    let sum = r.tensor(&format!("sum to {name}"), &r.dims(b));
    r.dispatch(&add::ADD, &[("a", a), ("b", b), ("sum", sum)], &[])?;
    Ok(sum)
}
