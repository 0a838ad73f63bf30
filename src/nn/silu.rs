//! The SiLU, y = x sigmoid(x), behind a layer: an activation whose derivative does not follow from its value.

use super::graph::{Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Init, Layer, Uniform};
use crate::kernels::silu;
use crate::plan::{PlanError, Recorder, TensorId};

/// A SiLU of so many units.
#[derive(Debug, Clone)]
pub struct Silu {
    pub name: String,
    pub units: usize,
}

impl Layer for Silu {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.units
    }

    fn outputs(&self) -> usize {
        self.units
    }

    fn parameters(&self) -> Vec<TensorId> {
        Vec::new()
    }

    fn initial_values(&self, _: Init, _: &mut Uniform) -> Vec<Vec<f32>> {
        Vec::new()
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &r.dims(x));
        r.dispatch(&silu::FORWARD, &[("x", x), ("y", y)], &[])?;
        tape.push(self.clone(), &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module::Activation]
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        Vec::new()
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        let s = nodes.add("Sigmoid", std::slice::from_ref(&x), Vec::new());
        nodes.add("Mul", &[x, s], Vec::new())
    }
}

impl Operation for Silu {
    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        _: bool,
    ) -> Result<Passed, PlanError> {
        let x = inputs[0].linear();
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x));
        r.dispatch(&silu::BACKWARD, &[("x", x), ("d_y", d_y), ("d_x", d_x)], &[])?;
        Ok(Passed { inputs: vec![Some(d_x)], parameters: Vec::new() })
    }
}
