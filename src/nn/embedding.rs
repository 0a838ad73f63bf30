//! What a network is told of each row's class: a vector for each class, added between a layer and its activation.

use std::sync::Arc;

use super::graph::{Attribute, Module, Nodes, Operand, StoredTensor};
use super::tape::{Input, Operation, Passed, Tape};
use super::{Activation, Init, Layer, Shape, Silu, Uniform, sum_blocks};
use crate::kernels::{embedding, residual};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// `y = f(x + E[class])`, E a vector of as many units as x has, or as its map has channels. It stands behind a layer that was
/// left without its activation, and has it; behind a residual block or a gate it has none.
#[derive(Debug, Clone)]
pub struct Embedding {
    name: String,
    /// Of a row, both of its input and its output.
    shape: Shape,
    classes: usize,
    activation: Activation,
    /// Behind it, where that is the activation.
    silu: Option<Silu>,
    /// (C, U)
    weight: TensorId,
    /// First values are uniform on ± this.
    spread: f32,
    /// The classes of the images, and rows of an image; None where nothing is recorded.
    told: Option<Told>,
}

/// Embeddings begin uniform on ±√3, with the variance of nn.Embedding's, 1. From numbers close to zero z learns first what
/// the class could have told, and keeps it.
const SPREAD: f32 = 1.732_050_8;

/// The classes of what goes through a network.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    /// (B) u32
    pub classes: TensorId,
    /// K, rows of an image.
    pub samples: usize,
}

impl Embedding {
    /// Declares its parameter, "name.weight".
    pub fn declare(
        program: &mut Program,
        name: String,
        shape: Shape,
        classes: usize,
        activation: Activation,
    ) -> Self {
        let [_, units] = Embedding::sizes(shape);
        let weight = program.tensor(format!("{name}.weight"), &[classes, units], DType::F32);
        let silu = (activation == Activation::Silu)
            .then(|| Silu { name: format!("{name}.silu"), units: shape.units() });
        let activation = activation.in_layer();
        Embedding { name, shape, classes, activation, silu, weight, spread: SPREAD, told: None }
    }

    /// The same with zeros to begin with: where it is added to what a network gives.
    pub fn from_zero(self) -> Self {
        Embedding { spread: 0.0, ..self }
    }

    /// Pixels of a row, and units of a pixel.
    fn sizes(shape: Shape) -> [usize; 2] {
        match shape {
            Shape::Units(units) => [1, units],
            Shape::Map([height, width, channels]) => [height * width, channels],
        }
    }

    /// Numbers of its parameter.
    pub fn parameters_of(shape: Shape, classes: usize) -> usize {
        classes.saturating_mul(Embedding::sizes(shape)[1])
    }

    fn told(&self) -> Told {
        self.told.expect("a network with classes is told them")
    }
}

impl Layer for Embedding {
    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> usize {
        self.shape.units()
    }

    fn outputs(&self) -> usize {
        self.shape.units()
    }

    fn parameters(&self) -> Vec<TensorId> {
        vec![self.weight]
    }

    fn initial_values(&self, _: Init, uniform: &mut Uniform) -> Vec<Vec<f32>> {
        vec![uniform.numbers(Embedding::parameters_of(self.shape, self.classes), self.spread)]
    }

    fn telling(&self, told: Told) -> Option<Arc<dyn Layer>> {
        Some(Arc::new(Embedding { told: Some(told), ..self.clone() }))
    }

    fn takes_class(&self) -> bool {
        true
    }

    fn forward(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
        x: TensorId,
    ) -> Result<TensorId, PlanError> {
        let Told { classes, samples } = self.told();
        let y = r.tensor(&self.name, &r.dims(x));
        r.dispatch(
            &embedding::FORWARD,
            &[("classes", classes), ("x", x), ("embedding", self.weight), ("y", y)],
            &[
                ("K", samples as f64),
                ("P", Embedding::sizes(self.shape)[0] as f64),
                ("ACTIVATION", self.activation.number()),
            ],
        )?;
        tape.push(self.clone(), &[x], y);
        match &self.silu {
            Some(silu) => silu.forward(r, tape, y),
            None => Ok(y),
        }
    }

    /// None: the layer before it has its activation.
    fn modules(&self) -> Vec<Module> {
        Vec::new()
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let [_, units] = Embedding::sizes(self.shape);
        vec![vec![StoredTensor::new("weight", 0, vec![self.classes, units])]]
    }

    fn nodes(&self, nodes: &mut Nodes, x: Operand) -> Operand {
        let inputs = [nodes.parameter("weight"), Operand::Class];
        let mut added = nodes.add("Gather", &inputs, vec![("axis", Attribute::Int(0))]);
        if let Shape::Map([_, _, channels]) = self.shape {
            let shape = Operand::Ints(vec![-1, channels as i64, 1, 1]);
            added = nodes.add("Reshape", &[added, shape], Vec::new());
        }
        let sum = nodes.add("Add", &[x, added], Vec::new());
        let y = nodes.activation(self.activation, sum);
        match &self.silu {
            Some(silu) => silu.nodes(nodes, y),
            None => y,
        }
    }
}

impl Operation for Embedding {
    fn activation(&self) -> Activation {
        self.activation
    }

    fn backward(
        &self,
        r: &mut Recorder,
        inputs: &[Input],
        d_y: TensorId,
        to_parameters: bool,
    ) -> Result<Passed, PlanError> {
        let x = inputs[0];
        // Of a sum before the activation the gradient is that of each of its terms.
        let d_x = match x.made_by {
            _ if !x.wanted => None,
            Activation::Identity => Some(d_y),
            made_by => {
                let d_x = r.tensor(&format!("d_input of {}", self.name), &r.dims(x.tensor));
                r.dispatch(
                    &residual::BACKWARD,
                    &[("a", x.tensor), ("d_y", d_y), ("d_a", d_x)],
                    &[("ACTIVATION", made_by.number())],
                )?;
                Some(d_x)
            }
        };
        if !to_parameters {
            return Ok(Passed { inputs: vec![d_x], parameters: Vec::new() });
        }
        let Told { classes, samples } = self.told();
        let [pixels, units] = Embedding::sizes(self.shape);
        let rows = r.dims(d_y)[0];
        let of_rows = match pixels {
            1 => d_y,
            _ => {
                let sums = r.tensor(&format!("d_{} of rows", self.name), &[rows, units]);
                sum_blocks(r, [d_y, sums], [rows * pixels, units], pixels)?;
                sums
            }
        };
        let d_weight = r.tensor(&format!("d_{}.weight", self.name), &[self.classes, units]);
        r.dispatch(
            &embedding::BACKWARD,
            &[("classes", classes), ("d_y", of_rows), ("d_embedding", d_weight)],
            &[("K", samples as f64)],
        )?;
        Ok(Passed { inputs: vec![d_x], parameters: vec![(self.weight, d_weight)] })
    }
}
