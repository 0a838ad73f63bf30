//! Transposed convolutions, y = f(x ∗ᵀ W + b), of maps with their channels last.

use super::graph::{Attribute, Node, Operand, StoredTensor, activation_node};
use super::notation::Window;
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::convolution::Geometry;
use crate::kernels::{sum_rows, transposed_convolution};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// A transposed convolution: in its geometry the output is the image, and the input's pixels are the places.
#[derive(Debug, Clone)]
pub struct TransposedConvolution {
    name: String,
    geometry: Geometry,
    activation: Activation,
    /// (O, KERNEL*KERNEL*I), O channels of the input, I of the output
    weight: TensorId,
    /// (I)
    bias: TensorId,
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
        let dims = [from[2], geometry.patch_len()];
        let weight = program.tensor(format!("{name}.weight"), &dims, DType::F32);
        let bias = program.tensor(format!("{name}.bias"), &[to[2]], DType::F32);
        TransposedConvolution { name, geometry, activation, weight, bias }
    }

    fn constants(&self, activation: Activation) -> Vec<(&'static str, f64)> {
        let mut constants = self.geometry.constants();
        constants.push(("ACTIVATION", activation.number()));
        constants
    }

    /// Records `sums` of blocks of the rows of `values`, (rows, channels).
    fn sum_blocks(
        &self,
        r: &mut Recorder,
        [values, sums]: [TensorId; 2],
        rows: usize,
        block: usize,
    ) -> Result<(), PlanError> {
        let sizes = [
            ("N", rows),
            ("C", self.geometry.image[2]),
            ("BLOCK", block),
            ("G", rows.div_ceil(block)),
        ];
        let sizes = sizes.map(|(name, size)| (name, size as f64));
        r.dispatch(&sum_rows::SUM_ROWS, &[("values", values), ("sums", sums)], &sizes)
    }
}

impl Layer for TransposedConvolution {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.geometry.places_len()
    }

    fn outputs(&self) -> usize {
        self.geometry.image_len()
    }

    fn activation(&self) -> Activation {
        self.activation
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.weight, self.bias]
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        let Geometry { image: [.., outputs], places: [.., inputs], kernel, .. } = self.geometry;
        // PyTorch takes the second dimension of its weight, here the outputs, for the fan-in.
        init.of_window(uniform, [inputs, outputs], kernel * kernel, [outputs, inputs])
    }

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &[r.dims(x)[0], self.outputs()]);
        r.dispatch(
            &transposed_convolution::FORWARD,
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
            &transposed_convolution::BACKWARD_INPUT,
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
        r.dispatch(
            &transposed_convolution::BACKWARD_WEIGHT,
            &[("x", x), ("d_y", d_y), ("d_weight", d_weight)],
            &self.geometry.constants(),
        )?;
        // In two rounds of about as many sums each, so that many are computed at a time.
        let [height, width, channels] = self.geometry.image;
        let rows = r.dims(d_y)[0] * height * width;
        let block = rows.isqrt().max(1);
        let blocks = rows.div_ceil(block);
        let sums = r.tensor(&format!("sums to d_{}.bias", self.name), &[blocks, channels]);
        let d_bias = r.tensor(&format!("d_{}.bias", self.name), &[channels]);
        self.sum_blocks(r, [d_y, sums], rows, block)?;
        self.sum_blocks(r, [sums, d_bias], blocks, blocks)?;
        Ok(vec![d_weight, d_bias])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let Geometry { image: [.., outputs], places: [.., inputs], kernel, .. } = self.geometry;
        let weight = StoredTensor::new("weight", 0, vec![inputs, kernel, kernel, outputs]);
        let bias = StoredTensor::new("bias", 1, vec![outputs]);
        vec![vec![weight.ordered(&[0, 3, 1, 2]), bias]]
    }

    fn nodes(&self) -> Vec<Node> {
        let Geometry { image, places, kernel, stride, padding } = self.geometry;
        // Pixels beyond the last patch.
        let beyond =
            |axis: usize| (image[axis] + 2 * padding - kernel - (places[axis] - 1) * stride) as i64;
        let mut nodes = vec![Node {
            op: "ConvTranspose",
            inputs: vec![
                Operand::Previous,
                Operand::Parameter("weight"),
                Operand::Parameter("bias"),
            ],
            attributes: vec![
                ("kernel_shape", Attribute::Ints(vec![kernel as i64; 2])),
                ("strides", Attribute::Ints(vec![stride as i64; 2])),
                ("pads", Attribute::Ints(vec![padding as i64; 4])),
                ("output_padding", Attribute::Ints(vec![beyond(0), beyond(1)])),
            ],
        }];
        nodes.extend(activation_node(self.activation));
        nodes
    }
}
