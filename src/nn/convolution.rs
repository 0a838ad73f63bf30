//! Convolutions, y = f(x ∗ W + b), of maps with their channels last.

use super::graph::{Node, StoredTensor};
use super::notation::Window;
use super::sliding::Sliding;
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

    fn activation(&self) -> Activation {
        self.sliding.activation
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.sliding.weight, self.sliding.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let Geometry { image: [.., inputs], places: [.., outputs], kernel, .. } =
            self.sliding.geometry;
        init.of_window(uniform, [inputs, outputs], kernel * kernel, [inputs, outputs])
    }

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
        self.sliding.forward(r, &convolution::FORWARD, x, self.outputs())
    }

    fn backward_input(
        &self,
        r: &mut Recorder,
        x: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError> {
        self.sliding.backward_input(r, &convolution::BACKWARD_INPUT, x, made_by, d_y)
    }

    fn backward_parameters(
        &self,
        r: &mut Recorder,
        x: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let d_weight =
            r.tensor(&format!("d_{}.weight", self.sliding.name), &r.dims(self.sliding.weight));
        let d_bias = r.tensor(&format!("d_{}.bias", self.sliding.name), &r.dims(self.sliding.bias));
        r.dispatch(
            &convolution::BACKWARD_PARAMETERS,
            &[("x", x), ("d_y", d_y), ("d_weight", d_weight), ("d_bias", d_bias)],
            &self.sliding.geometry.constants(),
        )?;
        Ok(vec![d_weight, d_bias])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        self.sliding.stored(self.sliding.geometry.places[2])
    }

    fn nodes(&self) -> Vec<Node> {
        self.sliding.nodes("Conv", Vec::new())
    }
}
