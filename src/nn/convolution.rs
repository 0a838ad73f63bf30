//! Convolutions, y = f(x ∗ W + b), of maps with their channels last.

use super::graph::{Module, Nodes, Operand, StoredTensor};
use super::sliding::Sliding;
use super::spec::Window;
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::convolution::{self, Geometry};
use crate::plan::{PlanError, Program, Recorder, TensorId};

/// A convolution: in its geometry the input is the image.
#[derive(Debug, Clone)]
pub struct Convolution {
    sliding: Sliding,
}

impl Convolution {
    /// Declares its parameters, "name.weight" and "name.bias".
    pub fn declare(
        program: &mut Program,
        name: String,
        [from, to]: [[usize; 3]; 2],
        window: &Window,
        activation: Activation,
    ) -> Self {
        let Window { kernel, stride, .. } = *window;
        let padding = window.padding();
        let geometry = Geometry { image: from, places: to, kernel, stride, padding };
        Convolution { sliding: Sliding::declare(program, name, geometry, to[2], activation) }
    }
}

impl Layer for Convolution {
    fn name(&self) -> &str {
        &self.sliding.name
    }

    fn inputs(&self) -> usize {
        self.sliding.geometry.image_len()
    }

    fn outputs(&self) -> usize {
        self.sliding.geometry.places_len()
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.sliding.weight, self.sliding.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let Geometry { image: [.., inputs], places: [.., outputs], kernel, .. } =
            self.sliding.geometry;
        init.of_window(uniform, [inputs, outputs], kernel * kernel, [inputs, outputs])
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let y = self.sliding.forward(r, &convolution::FORWARD, x, self.outputs())?;
        tape.push(self.clone(), &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module::Stored, Module::Activation]
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        self.sliding.stored(self.sliding.geometry.places[2])
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        self.sliding.nodes(nodes, x, "Conv", Vec::new())
    }
}

impl Operation for Convolution {
    fn activation(&self) -> Activation {
        self.sliding.activation
    }

    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError> {
        let x = inputs[0];
        let d_x = self.sliding.backward_input(r, &convolution::BACKWARD_INPUT, x, d_y)?;
        if !to_parameters {
            return Ok(Passed { inputs: vec![d_x], parameters: Vec::new() });
        }
        let Sliding { name, weight, bias, .. } = &self.sliding;
        let d_weight = r.tensor(&format!("d_{name}.weight"), &r.dims(*weight));
        let d_bias = r.tensor(&format!("d_{name}.bias"), &r.dims(*bias));
        r.dispatch(
            &convolution::BACKWARD_PARAMETERS,
            &[("x", x.tensor), ("d_y", d_y), ("d_weight", d_weight), ("d_bias", d_bias)],
            &self.sliding.geometry.constants(),
        )?;
        Ok(Passed { inputs: vec![d_x], parameters: vec![(*weight, d_weight), (*bias, d_bias)] })
    }
}
