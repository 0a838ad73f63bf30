//! Layers one after the other that are one of a network: a layer, its normalisation, its activation.

use std::sync::Arc;

use super::graph::{Module, Nodes, Operand, StoredTensor};
use super::tape::Tape;
use super::{Init, Layer, Uniform};
use crate::plan::{PlanError, Recorder, TensorId};

/// Layers one after the other under one name.
#[derive(Debug, Clone)]
pub struct Chain {
    pub name: String,
    pub layers: Vec<Arc<dyn Layer>>,
}

impl Chain {
    /// A list of layers as one; itself, if it is one.
    pub fn of(name: &str, mut layers: Vec<Arc<dyn Layer>>) -> Arc<dyn Layer> {
        match layers.len() {
            1 => layers.remove(0),
            _ => Arc::new(Chain { name: name.to_string(), layers }),
        }
    }
}

impl Layer for Chain {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.inputs())
    }

    fn outputs(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.outputs())
    }

    fn parameters(&self) -> Vec<TensorId> {
        self.layers.iter().flat_map(|layer| layer.parameters()).collect()
    }

    fn initial_values(&self, init: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        self.layers.iter().flat_map(|layer| layer.initial_values(init, uniform)).collect()
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        tape.forward(r, &self.layers, x)
    }

    /// All have one activation together, behind the last.
    fn modules(&self) -> Vec<Module> {
        let all = self.layers.iter().flat_map(|layer| layer.modules());
        let others = all.filter(|module| *module != Module::Activation);
        others.chain([Module::Activation]).collect()
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let mut first = 0;
        let mut modules = Vec::new();
        for layer in &self.layers {
            for tensors in layer.stored() {
                modules.push(tensors.into_iter().map(|tensor| tensor.behind(first)).collect());
            }
            first += layer.parameters().len();
        }
        modules
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        self.layers.iter().fold(x, |x, layer| {
            let y = layer.nodes(nodes, x);
            nodes.pass_modules(layer.stored().len());
            y
        })
    }
}
