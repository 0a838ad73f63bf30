//! The backward pass: what was computed forward, walked in reverse.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Activation, Layer};
use crate::kernels::add;
use crate::plan::{PlanError, Recorder, TensorId};

/// The layers that were recorded, each with its input and output.
#[derive(Default)]
pub struct Tape {
    entries: Vec<Entry>,
}

struct Entry {
    layer: Arc<dyn Layer>,
    x: TensorId,
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
        layers.iter().try_fold(x, |x, layer| {
            let y = layer.forward(r, x)?;
            self.entries.push(Entry { layer: layer.clone(), x, y });
            Ok(y)
        })
    }

    /// Records the backward pass from some outputs, each with its gradient, to every parameter before them, and
    /// to those of `inputs` that no layer of the tape made. Gradients that meet, where a tensor or a parameter
    /// is used twice, are added.
    ///
    /// # Errors
    /// As [`Layer::forward`].
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
    /// As [`Layer::forward`].
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
        for Entry { layer, x, y } in self.entries.iter().rev() {
            let Some(d_y) = gradients.at(*y) else { continue };
            let made_by = self.entries.iter().find(|entry| entry.y == *x);
            if made_by.is_some() || inputs.contains(x) {
                let made_by =
                    made_by.map_or(Activation::Identity, |entry| entry.layer.activation());
                let d_x = layer.backward_input(r, *x, made_by, d_y)?;
                let d_x = sum(r, gradients.at(*x), d_x)?;
                gradients.tensors.insert(*x, d_x);
            }
            if !to_parameters {
                continue;
            }
            let own = layer.backward_parameters(r, *x, d_y)?;
            for (parameter, gradient) in layer.parameters().into_iter().zip(own) {
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
