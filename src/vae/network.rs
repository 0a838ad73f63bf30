//! The layers of encoder and decoder, with their parameters: names, shapes, first values.

use std::sync::Arc;

use super::architecture::Architecture;
use super::likelihood::Observed;
use super::posterior::{self, Posterior};
use crate::nn::{Activation, Dense, Init, Layer, Stack, Uniform};
use crate::optim::{Optimizer, TrainedParameter};
use crate::plan::{DType, Program, TensorId};

/// What is known of the training data before the first step.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    /// The mean of each pixel, (D); needed by [`Init::Glorot`].
    pub means: Vec<f64>,
    /// The variance of the pixels about their means, on average, if it is known.
    pub variance: Option<f64>,
}

/// The layers of encoder and decoder, with their parameters declared in a program.
#[derive(Debug, Clone)]
pub struct Network {
    pub architecture: Architecture,
    /// Hidden layers, then the heads of q(z|x): (D) -> (heads).
    pub encoder: Stack,
    /// Hidden layers, then what the likelihood takes: (Z) -> (outputs).
    pub decoder: Stack,
    /// The likelihood's own parameters.
    likelihood: Vec<TensorId>,
}

impl Network {
    /// Declares the parameters in `program`.
    pub fn declare(program: &mut Program, architecture: &Architecture) -> Self {
        let (d, z) = (architecture.pixels(), architecture.latent);
        let posterior = posterior::module();
        let likelihood = architecture.likelihood.module();
        let mut stack = |prefix: &str,
                         first: usize,
                         hidden: &[usize],
                         last: (&str, usize, usize)| {
            let mut inputs = first;
            let mut layers: Stack = Vec::new();
            for (i, &outputs) in hidden.iter().enumerate() {
                let name = format!("{prefix}.{i}");
                let activation = architecture.activation;
                layers.push(Arc::new(Dense::declare(program, name, [inputs, outputs], activation)));
                inputs = outputs;
            }
            let (name, outputs, parts) = last;
            let name = format!("{prefix}.{name}");
            let layer = Dense::declare(program, name, [inputs, outputs], Activation::Identity);
            layers.push(Arc::new(layer.in_parts(parts)));
            layers
        };
        let heads = ("heads", posterior.heads(z), posterior.parts());
        let encoder = stack("encoder", d, &architecture.hidden, heads);
        let output = (likelihood.output(), likelihood.outputs(d), 1);
        let decoder = stack("decoder", z, &architecture.decoder_hidden, output);
        let likelihood = likelihood
            .parameters()
            .into_iter()
            .map(|own| program.tensor(format!("decoder.{}", own.name), &own.dims, DType::F32))
            .collect();
        Network { architecture: architecture.clone(), encoder, decoder, likelihood }
    }

    pub fn layers(&self) -> impl Iterator<Item = &Arc<dyn Layer>> {
        self.encoder.iter().chain(&self.decoder)
    }

    /// Every parameter tensor: those of each layer, encoder first, then the likelihood's own.
    pub fn parameters(&self) -> Vec<TensorId> {
        let layers = self.layers().flat_map(|layer| layer.parameters());
        layers.chain(self.likelihood.iter().copied()).collect()
    }

    /// Declares what `optimizer` keeps of each of [`Network::parameters`].
    pub fn declare_training(
        &self,
        program: &mut Program,
        optimizer: &Optimizer,
    ) -> Vec<TrainedParameter> {
        let own = self.architecture.likelihood.module().parameters();
        let frozen: Vec<TensorId> = self
            .likelihood
            .iter()
            .zip(own)
            .filter(|(_, own)| own.frozen)
            .map(|(&tensor, _)| tensor)
            .collect();
        let parameters = self.parameters().into_iter();
        parameters.map(|p| optimizer.declare(program, p, frozen.contains(&p))).collect()
    }

    /// First values for [`Network::parameters`]; [`Init::Glorot`] begins at the means of the training data.
    pub fn initial_values(&self, init: Init, seed: u64, data: &Moments) -> Vec<Vec<f32>> {
        let mut uniform = Uniform::new(seed);
        let layers = self.layers();
        let mut values: Vec<Vec<f32>> =
            layers.flat_map(|layer| layer.initial_values(init, &mut uniform)).collect();
        let likelihood = self.architecture.likelihood.module();
        if init == Init::Glorot {
            let bias = values.last_mut().expect("a decoder has layers");
            for (bias, first) in bias.iter_mut().zip(likelihood.first_bias(&data.means)) {
                *bias = first;
            }
        }
        values.extend(likelihood.first_values(data.variance));
        values
    }

    /// What the likelihood is computed of: x (B, D) and the decoder's output `eta` (B*K, outputs).
    pub(super) fn observed(&self, x: TensorId, eta: TensorId, samples: usize) -> Observed<'_> {
        Observed { x, eta, parameters: &self.likelihood, samples }
    }
}
