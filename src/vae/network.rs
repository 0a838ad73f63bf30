//! The layers of a network and their parameters: names, shapes, first values.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::Architecture;
use crate::kernels::linear::Activation;
use crate::plan::{DType, Program, TensorId};

/// A fully connected layer y = f(x W^T + b).
#[derive(Debug, Clone)]
pub struct Layer {
    /// "encoder.0", "encoder.heads", "decoder.0", "decoder.logits".
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Activation,
    /// (outputs, inputs)
    pub weight: TensorId,
    /// (outputs)
    pub bias: TensorId,
}

/// The layers of encoder and decoder, with their parameters declared in a program.
#[derive(Debug, Clone)]
pub struct Network {
    pub architecture: Architecture,
    /// Hidden layers, then the heads: (D) -> (2*Z), [mu | l].
    pub encoder: Vec<Layer>,
    /// Hidden layers, then the logits: (Z) -> (D).
    pub decoder: Vec<Layer>,
}

impl Network {
    /// Declares the parameters in `program`.
    pub fn declare(program: &mut Program, architecture: &Architecture) -> Self {
        let (d, z) = (architecture.pixels(), architecture.latent);
        let activation = architecture.activation;
        let mut stack = |prefix: &str, first: usize, hidden: &[usize], last: (&str, usize)| {
            let mut inputs = first;
            let mut layers = Vec::new();
            for (i, &outputs) in hidden.iter().enumerate() {
                layers.push(layer(program, format!("{prefix}.{i}"), inputs, outputs, activation));
                inputs = outputs;
            }
            let name = format!("{prefix}.{}", last.0);
            layers.push(layer(program, name, inputs, last.1, Activation::Identity));
            layers
        };
        let encoder = stack("encoder", d, &architecture.hidden, ("heads", 2 * z));
        let decoder = stack("decoder", z, &architecture.decoder_hidden, ("logits", d));
        Network { architecture: architecture.clone(), encoder, decoder }
    }

    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.encoder.iter().chain(&self.decoder)
    }

    /// Every parameter tensor: weight and bias of each layer, encoder first.
    pub fn parameters(&self) -> Vec<TensorId> {
        self.layers().flat_map(|layer| [layer.weight, layer.bias]).collect()
    }

    /// First values for [`Network::parameters`]: weights and biases uniform on ±1/sqrt(inputs), which is
    /// what PyTorch's `nn.Linear` does, so that published runs of it can be met.
    pub fn initial_values(&self, seed: u64) -> Vec<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut values = Vec::new();
        for layer in self.layers() {
            let bound = 1.0 / (layer.inputs as f32).sqrt();
            for n in [layer.outputs * layer.inputs, layer.outputs] {
                values.push((0..n).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound).collect());
            }
        }
        values
    }
}

fn layer(
    program: &mut Program,
    name: String,
    inputs: usize,
    outputs: usize,
    activation: Activation,
) -> Layer {
    let weight = program.tensor(format!("{name}.weight"), &[outputs, inputs], DType::F32);
    let bias = program.tensor(format!("{name}.bias"), &[outputs], DType::F32);
    Layer { name, inputs, outputs, activation, weight, bias }
}
