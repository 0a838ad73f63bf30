//! Convolutions, y = f(x ∗ W + b), of maps with their channels last.

use super::graph::{Attribute, Node, Operand, StoredTensor, activation_node};
use super::notation::Window;
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::convolution::{self, Geometry};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// A convolution.
#[derive(Debug, Clone)]
pub struct Convolution {
    name: String,
    geometry: Geometry,
    activation: Activation,
    /// (O, KERNEL*KERNEL*I)
    weight: TensorId,
    /// (O)
    bias: TensorId,
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
        let dims = [to[2], geometry.patch_len()];
        let weight = program.tensor(format!("{name}.weight"), &dims, DType::F32);
        let bias = program.tensor(format!("{name}.bias"), &dims[..1], DType::F32);
        Convolution { name, geometry, activation, weight, bias }
    }

    fn constants(&self, activation: Activation) -> Vec<(&'static str, f64)> {
        let mut constants = self.geometry.constants();
        constants.push(("ACTIVATION", activation.number()));
        constants
    }
}

impl Layer for Convolution {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.geometry.image_len()
    }

    fn outputs(&self) -> usize {
        self.geometry.places_len()
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.weight, self.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let Geometry { image: [.., inputs], places: [.., outputs], kernel, .. } = self.geometry;
        init.of_window(uniform, [inputs, outputs], kernel * kernel, [inputs, outputs])
    }

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &[r.dims(x)[0], self.outputs()]);
        r.dispatch(
            &convolution::FORWARD,
            &[("x", x), ("weight", self.weight), ("bias", self.bias), ("y", y)],
            &self.constants(self.activation),
        )?;
        Ok(y)
    }

    fn backward_input(
        &self,
        r: &mut Recorder,
        x: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError> {
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x));
        r.dispatch(
            &convolution::BACKWARD_INPUT,
            &[("x", x), ("weight", self.weight), ("d_y", d_y), ("d_x", d_x)],
            &self.constants(made_by),
        )?;
        Ok(d_x)
    }

    fn backward_parameters(
        &self,
        r: &mut Recorder,
        x: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let d_weight = r.tensor(&format!("d_{}.weight", self.name), &r.dims(self.weight));
        let d_bias = r.tensor(&format!("d_{}.bias", self.name), &r.dims(self.bias));
        r.dispatch(
            &convolution::BACKWARD_PARAMETERS,
            &[("x", x), ("d_y", d_y), ("d_weight", d_weight), ("d_bias", d_bias)],
            &self.geometry.constants(),
        )?;
        Ok(vec![d_weight, d_bias])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let Geometry { image: [.., inputs], places: [.., outputs], kernel, .. } = self.geometry;
        let weight = StoredTensor::new("weight", 0, vec![outputs, kernel, kernel, inputs]);
        let bias = StoredTensor::new("bias", 1, vec![outputs]);
        vec![vec![weight.ordered(&[0, 3, 1, 2]), bias]]
    }

    fn nodes(&self) -> Vec<Node> {
        let Geometry { kernel, stride, padding, .. } = self.geometry;
        let mut nodes = vec![Node {
            op: "Conv",
            inputs: vec![
                Operand::Previous,
                Operand::Parameter("weight"),
                Operand::Parameter("bias"),
            ],
            attributes: vec![
                ("kernel_shape", Attribute::Ints(vec![kernel as i64; 2])),
                ("strides", Attribute::Ints(vec![stride as i64; 2])),
                ("pads", Attribute::Ints(vec![padding as i64; 4])),
            ],
        }];
        nodes.extend(activation_node(self.activation));
        nodes
    }
}
