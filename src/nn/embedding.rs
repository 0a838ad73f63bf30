//! What a network is told of each row's class: a vector for each class, added between a layer and its activation.

use std::sync::Arc;

use super::graph::{Attribute, Node, Operand, StoredTensor, activation_node};
use super::{Activation, Init, Layer, Shape, Uniform};
use crate::kernels::{embedding, sum_rows};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// y = f(x + E[class]), E a vector of as many units as x has, or as its map has channels. It stands behind a layer without
/// an activation and has that layer's.
#[derive(Debug, Clone)]
pub struct Embedding {
    name: String,
    /// Of a row, both of its input and its output.
    shape: Shape,
    classes: usize,
    activation: Activation,
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
        Embedding { name, shape, classes, activation, weight, spread: SPREAD, told: None }
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

    fn activation(&self) -> Activation {
        self.activation
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

    fn forward(&self, r: &mut Recorder, x: TensorId) -> Result<TensorId, PlanError> {
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
        Ok(y)
    }

    fn backward_input(
        &self,
        _: &mut Recorder,
        _: TensorId,
        made_by: Activation,
        d_y: TensorId,
    ) -> Result<TensorId, PlanError> {
        assert_eq!(made_by, Activation::Identity, "{}: no activation is undone here", self.name);
        // Of a sum before the activation the gradient is that of each of its terms.
        Ok(d_y)
    }

    fn backward_parameters(
        &self,
        r: &mut Recorder,
        _: TensorId,
        d_y: TensorId,
    ) -> Result<Vec<TensorId>, PlanError> {
        let Told { classes, samples } = self.told();
        let [pixels, units] = Embedding::sizes(self.shape);
        let rows = r.dims(d_y)[0];
        let of_rows = match pixels {
            1 => d_y,
            _ => {
                let sums = r.tensor(&format!("d_{} of rows", self.name), &[rows, units]);
                let sizes = [("N", rows * pixels), ("C", units), ("BLOCK", pixels), ("G", rows)];
                r.dispatch(
                    &sum_rows::SUM_ROWS,
                    &[("values", d_y), ("sums", sums)],
                    &sizes.map(|(name, size)| (name, size as f64)),
                )?;
                sums
            }
        };
        let d_weight = r.tensor(&format!("d_{}.weight", self.name), &[self.classes, units]);
        r.dispatch(
            &embedding::BACKWARD,
            &[("classes", classes), ("d_y", of_rows), ("d_embedding", d_weight)],
            &[("K", samples as f64)],
        )?;
        Ok(vec![d_weight])
    }

    fn stored(&self) -> Vec<Vec<StoredTensor>> {
        let [_, units] = Embedding::sizes(self.shape);
        vec![vec![StoredTensor::new("weight", 0, vec![self.classes, units])]]
    }

    fn nodes(&self) -> Vec<Node> {
        let mut nodes = vec![Node {
            op: "Gather",
            inputs: vec![Operand::Parameter("weight"), Operand::Class],
            attributes: vec![("axis", Attribute::Int(0))],
        }];
        if let Shape::Map([_, _, channels]) = self.shape {
            let shape = vec![-1, channels as i64, 1, 1];
            nodes.push(Node {
                op: "Reshape",
                inputs: vec![Operand::Previous, Operand::Ints(shape)],
                attributes: Vec::new(),
            });
        }
        nodes.push(Node {
            op: "Add",
            inputs: vec![Operand::Input, Operand::Previous],
            attributes: Vec::new(),
        });
        nodes.extend(activation_node(self.activation));
        nodes
    }
}
