//! What convolutions and transposed convolutions share: a kernel that slides over a map, with its weight and bias.

use super::Activation;
use super::graph::{Attribute, Nodes, Operand, StoredTensor};
use super::tape::Input;
use crate::kernels::convolution::Geometry;
use crate::plan::{DType, Kernel, PlanError, Program, Recorder, TensorId};

/// A kernel that slides over a map.
#[derive(Debug, Clone)]
pub(super) struct Sliding {
    pub name: String,
    pub geometry: Geometry,
    pub activation: Activation,
    /// (O, KERNEL*KERNEL*I), O the channels of the geometry's places, I of its image
    pub weight: TensorId,
    /// (channels of the output)
    pub bias: TensorId,
}

impl Sliding {
    /// Declares its parameters, "name.weight" and "name.bias", of so many output channels.
    pub fn declare(
        program: &mut Program,
        name: String,
        geometry: Geometry,
        channels: usize,
        activation: Activation,
    ) -> Self {
        let dims = [geometry.places[2], geometry.patch_len()];
        let weight = program.tensor(format!("{name}.weight"), &dims, DType::F32);
        let bias = program.tensor(format!("{name}.bias"), &[channels], DType::F32);
        Sliding { name, geometry, activation, weight, bias }
    }

    fn constants(&self, activation: Activation) -> Vec<(&'static str, f64)> {
        let mut constants = self.geometry.constants();
        constants.push(("ACTIVATION", activation.number()));
        constants
    }

    /// Records y (rows, outputs) of x by a forward kernel.
    ///
    /// # Errors
    /// Sizes beyond what the kernel's grid can cover.
    pub fn forward(
        &self,
        r: &mut Recorder,
        kernel: &'static Kernel,
        x: TensorId,
        outputs: usize,
    ) -> Result<TensorId, PlanError> {
        let y = r.tensor(&self.name, &[r.dims(x)[0], outputs]);
        let tensors = [("x", x), ("weight", self.weight), ("bias", self.bias), ("y", y)];
        r.dispatch(kernel, &tensors, &self.constants(self.activation))?;
        Ok(y)
    }

    /// Records the gradient at x by a backward kernel, where it is wanted.
    ///
    /// # Errors
    /// As [`Sliding::forward`].
    pub fn backward_input(
        &self,
        r: &mut Recorder,
        kernel: &'static Kernel,
        x: Input,
        d_y: TensorId,
    ) -> Result<Option<TensorId>, PlanError> {
        if !x.wanted {
            return Ok(None);
        }
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x.tensor));
        let tensors = [("x", x.tensor), ("weight", self.weight), ("d_y", d_y), ("d_x", d_x)];
        r.dispatch(kernel, &tensors, &self.constants(x.made_by))?;
        Ok(Some(d_x))
    }

    /// Weight and bias as PyTorch has them, channels before the kernel's rows and columns.
    pub fn stored(&self, channels: usize) -> Vec<Vec<StoredTensor>> {
        let Geometry { image: [.., i], places: [.., o], kernel, .. } = self.geometry;
        let weight = StoredTensor::new("weight", 0, vec![o, kernel, kernel, i]);
        let bias = StoredTensor::new("bias", 1, vec![channels]);
        vec![vec![weight.ordered(&[0, 3, 1, 2]), bias]]
    }

    /// Adds the ONNX operator with what it is told besides, then the activation.
    pub fn nodes(
        &self,
        nodes: &mut Nodes,
        x: Operand,
        op: &'static str,
        more: Vec<(&'static str, Attribute)>,
    ) -> Operand {
        let Geometry { kernel, stride, padding, .. } = self.geometry;
        let ints = |value: usize, times| Attribute::Ints(vec![value as i64; times]);
        let mut attributes = vec![
            ("kernel_shape", ints(kernel, 2)),
            ("strides", ints(stride, 2)),
            ("pads", ints(padding, 4)),
        ];
        attributes.extend(more);
        let inputs = [x, nodes.parameter("weight"), nodes.parameter("bias")];
        let y = nodes.add(op, &inputs, attributes);
        nodes.activation(self.activation, y)
    }
}
