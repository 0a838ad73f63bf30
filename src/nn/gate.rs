//! A gate behind a layer of twice as many channels: y = a sigmoid(b), [a | b] the channels of a pixel.

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Init, Layer, Shape, Uniform};
use crate::kernels::gate;
use crate::plan::{PlanError, Recorder, TensorId};

/// A gate, in the place of an activation.
#[derive(Debug, Clone)]
pub struct Gate {
    pub name: String,
    /// What it gives.
    pub to: Shape,
}

impl Layer for Gate {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        2 * self.to.units()
    }

    fn outputs(&self) -> usize {
        self.to.units()
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
        let y = r.tensor(&self.name, &[r.dims(x)[0], self.outputs()]);
        let channels = [("C", self.to.channels() as f64)];
        r.dispatch(&gate::FORWARD, &[("x", x), ("y", y)], &channels)?;
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
        let channels = self.to.channels() as i64;
        // Channels stand first, behind the rows.
        let mut half = |from: i64| {
            let ints = [from, from + channels, 1].map(|n| Operand::Ints(vec![n]));
            let [start, end, axis] = ints;
            nodes.add("Slice", &[x.clone(), start, end, axis], Vec::new())
        };
        let (a, b) = (half(0), half(channels));
        let s = nodes.add("Sigmoid", &[b], Vec::<(&str, Attribute)>::new());
        nodes.add("Mul", &[a, s], Vec::new())
    }
}

impl Operation for Gate {
    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        _: bool,
    ) -> Result<Passed, PlanError> {
        let x = inputs[0].linear();
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x));
        let channels = [("C", self.to.channels() as f64)];
        r.dispatch(&gate::BACKWARD, &[("x", x), ("d_y", d_y), ("d_x", d_x)], &channels)?;
        Ok(Passed { inputs: vec![Some(d_x)], parameters: Vec::new() })
    }
}
