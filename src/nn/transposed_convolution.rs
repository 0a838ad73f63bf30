//! Transposed convolutions, y = f(x ∗ᵀ W + b), of maps with their channels last.

use super::graph::{Attribute, Node, StoredTensor};
use super::notation::Window;
use super::sliding::Sliding;
use super::{Activation, Init, Layer, Uniform};
use crate::kernels::convolution::Geometry;
use crate::kernels::{sum_rows, transposed_convolution};
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
            ("C", self.sliding.geometry.image[2]),
            ("BLOCK", block),
            ("G", rows.div_ceil(block)),
        ];
        let sizes = sizes.map(|(name, size)| (name, size as f64));
        r.dispatch(&sum_rows::SUM_ROWS, &[("values", values), ("sums", sums)], &sizes)
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

    fn activation(&self) -> Activation {
        self.sliding.activation
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

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
        self.sliding.forward(r, &transposed_convolution::FORWARD, x, self.outputs())
    }

    fn backward_input(
        &self,
        r: &mut Recorder,
        x: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError> {
        self.sliding.backward_input(r, &transposed_convolution::BACKWARD_INPUT, x, made_by, d_y)
    }

    fn backward_parameters(
        &self,
        r: &mut Recorder,
        x: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let d_weight =
            r.tensor(&format!("d_{}.weight", self.sliding.name), &r.dims(self.sliding.weight));
        r.dispatch(
            &transposed_convolution::BACKWARD_WEIGHT,
            &[("x", x), ("d_y", d_y), ("d_weight", d_weight)],
            &self.sliding.geometry.constants(),
        )?;
        // In two rounds of about as many sums each, so that many are computed at a time.
        let [height, width, channels] = self.sliding.geometry.image;
        let rows = r.dims(d_y)[0] * height * width;
        let block = rows.isqrt().max(1);
        let blocks = rows.div_ceil(block);
        let sums = r.tensor(&format!("sums to d_{}.bias", self.sliding.name), &[blocks, channels]);
        let d_bias = r.tensor(&format!("d_{}.bias", self.sliding.name), &[channels]);
        self.sum_blocks(r, [d_y, sums], rows, block)?;
        self.sum_blocks(r, [sums, d_bias], blocks, blocks)?;
        Ok(vec![d_weight, d_bias])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        self.sliding.stored(self.sliding.geometry.image[2])
    }

    fn nodes(&self) -> Vec<Node> {
        let Geometry { image, places, kernel, stride, padding } = self.sliding.geometry;
        // Pixels beyond the last patch.
        let beyond =
            |axis: usize| (image[axis] + 2 * padding - kernel - (places[axis] - 1) * stride) as i64;
        let beyond = Attribute::Ints(vec![beyond(0), beyond(1)]);
        self.sliding.nodes("ConvTranspose", vec![("output_padding", beyond)])
    }
}
