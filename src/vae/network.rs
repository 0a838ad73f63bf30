//! The layers of a network and their parameters: names, shapes, first values.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::config::Architecture;
use super::likelihood::Likelihood;
use crate::kernels::linear::Activation;
use crate::plan::{DType, Program, TensorId};

/// How parameters begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Weights and biases uniform on ±1/sqrt(inputs), as PyTorch's nn.Linear has them
    #[default]
    Pytorch,
    /// Weights uniform on ±sqrt(6/(inputs + outputs)), biases zero, but for those of the decoder's output,
    /// which begin where the mean of the training images is met
    Glorot,
}

/// A fully connected layer y = f(x W^T + b).
#[derive(Debug, Clone)]
pub struct Layer {
    /// "encoder.0", "encoder.heads", "decoder.0", "decoder.logits" (or "decoder.mean").
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
    /// Hidden layers, then the logits or means: (Z) -> (D).
    pub decoder: Vec<Layer>,
    /// (1) of a Gaussian likelihood, whether learned or given.
    pub log_variance: Option<TensorId>,
}

/// A parameter and what Adam keeps of it.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    pub parameter: TensorId,
    /// (2, ..) of the parameter's shape: first moments, then second.
    pub moments: TensorId,
    /// Given rather than learned: it has no gradient and stays as it is.
    pub frozen: bool,
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
        let output = architecture.likelihood.output_name();
        let decoder = stack("decoder", z, &architecture.decoder_hidden, (output, d));
        let log_variance = match architecture.likelihood {
            Likelihood::Bernoulli => None,
            Likelihood::Gaussian { .. } => {
                Some(program.tensor("decoder.log_variance", &[1], DType::F32))
            }
        };
        Network { architecture: architecture.clone(), encoder, decoder, log_variance }
    }

    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.encoder.iter().chain(&self.decoder)
    }

    /// Every parameter tensor: weight and bias of each layer, encoder first; the log variance is last.
    pub fn parameters(&self) -> Vec<TensorId> {
        self.layers()
            .flat_map(|layer| [layer.weight, layer.bias])
            .chain(self.log_variance)
            .collect()
    }

    /// Declares moments beside each parameter.
    pub fn declare_training(&self, program: &mut Program) -> Vec<Trained> {
        let given =
            matches!(self.architecture.likelihood, Likelihood::Gaussian { variance: Some(_) });
        let mut all = Vec::new();
        for parameter in self.parameters() {
            let declared = program.get(parameter).clone();
            let dims = [&[2], &declared.dims[..]].concat();
            all.push(Trained {
                parameter,
                moments: program.tensor(format!("{}.moments", declared.name), &dims, DType::F32),
                frozen: given && Some(parameter) == self.log_variance,
            });
        }
        all
    }

    /// First values for [`Network::parameters`]. `means` are the training data's, (D), which
    /// [`Init::Glorot`] begins at.
    pub fn initial_values(&self, init: Init, seed: u64, means: &[f64]) -> Vec<Vec<f32>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = |n: usize, bound: f32| -> Vec<f32> {
            (0..n).map(|_| (2.0 * rng.random::<f32>() - 1.0) * bound).collect()
        };
        let mut values = Vec::new();
        for layer in self.layers() {
            let n = layer.outputs * layer.inputs;
            match init {
                Init::Pytorch => {
                    let bound = 1.0 / (layer.inputs as f32).sqrt();
                    values.push(uniform(n, bound));
                    values.push(uniform(layer.outputs, bound));
                }
                Init::Glorot => {
                    // The heads are two layers side by side.
                    let parts = if layer.name == "encoder.heads" { 2 } else { 1 };
                    let units = layer.inputs + layer.outputs / parts;
                    values.push(uniform(n, (6.0 / units as f32).sqrt()));
                    values.push(vec![0.0; layer.outputs]);
                }
            }
        }
        if init == Init::Glorot {
            let bias = values.last_mut().expect("a decoder has layers");
            for (bias, &mean) in bias.iter_mut().zip(means) {
                *bias = match self.architecture.likelihood {
                    Likelihood::Bernoulli => {
                        let p = mean.clamp(0.001, 0.999);
                        (p / (1.0 - p)).ln() as f32
                    }
                    Likelihood::Gaussian { .. } => mean as f32,
                };
            }
        }
        if let Likelihood::Gaussian { variance } = self.architecture.likelihood {
            values.push(vec![variance.unwrap_or(1.0).ln() as f32]);
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
