//! Transposed convolutions, y = f(x ∗ᵀ W + b), of maps with their channels last.

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::sliding::Sliding;
use super::spec::Window;
use super::sum_blocks;
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::convolution::Geometry;
use crate::kernels::transposed_convolution;
use crate::plan::{PlanError, Program, Recorder, TensorId};

/// A transposed convolution: in its geometry the output is the image, and the input's pixels are the places.
#[derive(Debug, Clone)]
pub struct TransposedConvolution {
    sliding: Sliding,
}

impl TransposedConvolution {
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
        let geometry = Geometry { image: to, places: from, kernel, stride, padding };
        TransposedConvolution {
            sliding: Sliding::declare(program, name, geometry, to[2], activation),
        }
    }
}

impl Layer for TransposedConvolution {
    fn name(&self) -> &str {
        &self.sliding.name
    }

    fn inputs(&self) -> usize {
        self.sliding.geometry.places_len()
    }

    fn outputs(&self) -> usize {
        self.sliding.geometry.image_len()
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.sliding.weight, self.sliding.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let Geometry { image: [.., outputs], places: [.., inputs], kernel, .. } =
            self.sliding.geometry;
        // PyTorch takes the second dimension of its weight, here the outputs, for the fan-in.
        init.of_window(uniform, [inputs, outputs], kernel * kernel, [outputs, inputs])
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let y = self.sliding.forward(r, &transposed_convolution::FORWARD, x, self.outputs())?;
        tape.push(self.clone(), &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        vec![Module::Stored, Module::Activation]
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        self.sliding.stored(self.sliding.geometry.image[2])
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        let Geometry { image, places, kernel, stride, padding } = self.sliding.geometry;
        // Pixels beyond the last patch.
        let beyond =
            |axis: usize| (image[axis] + 2 * padding - kernel - (places[axis] - 1) * stride) as i64;
        let beyond = Attribute::Ints(vec![beyond(0), beyond(1)]);
        self.sliding.nodes(nodes, x, "ConvTranspose", vec![("output_padding", beyond)])
    }
}

impl Operation for TransposedConvolution {
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
        let d_x =
            self.sliding.backward_input(r, &transposed_convolution::BACKWARD_INPUT, x, d_y)?;
        if !to_parameters {
            return Ok(Passed { inputs: vec![d_x], parameters: Vec::new() });
        }
        let Sliding { name, weight, bias, geometry, .. } = &self.sliding;
        let d_weight = r.tensor(&format!("d_{name}.weight"), &r.dims(*weight));
        r.dispatch(
            &transposed_convolution::BACKWARD_WEIGHT,
            &[("x", x.tensor), ("d_y", d_y), ("d_weight", d_weight)],
            &geometry.constants(),
        )?;
        // In two rounds of about as many sums each, so that many are computed at a time.
        let [height, width, channels] = geometry.image;
        let rows = r.dims(d_y)[0] * height * width;
        let block = rows.isqrt().max(1);
        let blocks = rows.div_ceil(block);
        let sums = r.tensor(&format!("sums to d_{name}.bias"), &[blocks, channels]);
        let d_bias = r.tensor(&format!("d_{name}.bias"), &[channels]);
        sum_blocks(r, [d_y, sums], [rows, channels], block)?;
        sum_blocks(r, [sums, d_bias], [blocks, channels], blocks)?;
        Ok(Passed { inputs: vec![d_x], parameters: vec![(*weight, d_weight), (*bias, d_bias)] })
    }
}
