//! The channels of a map in parts, one part behind the other, as likelihoods take them.

use super::graph::{Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Init, Layer, Uniform};
use crate::kernels::split_channels;
use crate::plan::{PlanError, Recorder, TensorId};

/// Splits the channels of each pixel into parts: (pixels, parts, channels) to (parts, pixels, channels). In files, which have
/// channels first, it is nothing.
#[derive(Debug, Clone)]
pub struct SplitChannels {
    /// Its name.
    pub name: String,
    /// How many parts.
    pub parts: usize,
    /// Pixels of the map.
    pub pixels: usize,
    /// Channels of a part.
    pub channels: usize,
}

impl SplitChannels {
    fn constants(&self) -> [(&'static str, f64); 3] {
        [("PARTS", self.parts as f64), ("N", self.pixels as f64), ("C", self.channels as f64)]
    }
}

impl Layer for SplitChannels {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.parts * self.pixels * self.channels
    }

    fn outputs(&self) -> usize {
        self.inputs()
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
        let tensors = [("from_layer", x), ("in_parts", y)];
        r.dispatch(&split_channels::SPLIT, &tensors, &self.constants())?;
        tape.push(self.clone(), &[x], y);
        Ok(y)
    }

    fn modules(&self) -> Vec<Module> {
        Vec::new()
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        Vec::new()
    }

    fn nodes(&self, _: &mut Nodes, x: Operand) -> Operand {
        x
    }
}

impl Operation for SplitChannels {
    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        _: bool,
    ) -> Result<Passed, PlanError> {
        let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(inputs[0].linear()));
        let tensors = [("d_in_parts", d_y), ("d_from_layer", d_x)];
        r.dispatch(&split_channels::MERGE, &tensors, &self.constants())?;
        Ok(Passed { inputs: vec![Some(d_x)], parameters: Vec::new() })
    }
}
