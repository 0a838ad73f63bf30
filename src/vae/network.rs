//! The layers of encoder and decoder, with their parameters: names, shapes, first values.

use std::sync::Arc;

use super::architecture::{Architecture, DECODER, ENCODER, PlacedLayer};
use super::likelihood::Observed;
use super::minibatch::Minibatch;
use super::posterior::Posterior;
use super::prior::Density;
use crate::nn::{
    self, Activation, Dense, Embedding, Init, Layer, Shape, SplitChannels, Stack, Tape, Told,
    Uniform,
};
use crate::optim::{Optimizer, TrainedParameter};
use crate::plan::{DType, PlanError, Program, Recorder, TensorId};

/// What is known of the training data before the first step.
#[derive(Debug, Clone, Default)]
pub struct Moments {
    /// The mean of each pixel, (D); needed by [`Init::Glorot`], and by likelihoods of counts.
    pub means: Vec<f64>,
    /// The variance of each pixel about its mean, (D), where a likelihood of counts needs it.
    pub variances: Vec<f64>,
    /// The variance of the pixels about their means, on average, if it is known.
    pub variance: Option<f64>,
    /// Training images as the encoder sees them, rows of D, where the prior begins at some.
    pub examples: Vec<f32>,
}

/// The layers of encoder and decoder, with their parameters declared in a program.
#[derive(Debug, Clone)]
pub struct Network {
    pub architecture: Architecture,
    /// Hidden layers, then the heads of q(z|x): (D) -> (heads).
    encoder: Stack,
    /// Hidden layers, then what the likelihood takes: (Z) -> (outputs).
    decoder: Stack,
    /// Those of q(z|x) that all images share.
    posterior: Vec<TensorId>,
    /// The prior's own parameters.
    prior: Vec<TensorId>,
    /// The likelihood's own parameters.
    likelihood: Vec<TensorId>,
}

impl Network {
    /// Declares the parameters in `program`.
    pub fn declare(program: &mut Program, architecture: &Architecture) -> Self {
        let layout = architecture.layout().expect("a network that was checked");
        let likelihood = architecture.likelihood.module();
        let (heads, hidden) = layout.encoder.split_last().expect("an encoder has heads");
        let mut encoder = hidden_stack(program, ENCODER, hidden, architecture);
        let shapes = [heads.from, heads.to];
        let layer = Dense::declare(program, heads.name.clone(), shapes, Activation::Identity);
        encoder.push(Arc::new(layer.in_parts(architecture.posterior.parts(architecture.latent))));
        if hidden.is_empty() {
            encoder.extend(embedding(program, ENCODER, heads.to, architecture, None));
        }
        let (output, hidden) = layout.decoder.split_last().expect("a decoder has an output");
        let mut decoder = hidden_stack(program, DECODER, hidden, architecture);
        decoder.push(declare(program, output, Activation::Identity));
        if hidden.is_empty() {
            decoder.extend(embedding(program, DECODER, output.to, architecture, None));
        }
        if let Shape::Map([height, width, channels]) = output.to
            && layout.parts > 1
        {
            decoder.push(Arc::new(SplitChannels {
                name: format!("{} in parts", output.name),
                parts: layout.parts,
                pixels: height * width,
                channels: channels / layout.parts,
            }));
        }
        let posterior = architecture.posterior.parameters(architecture.latent);
        let posterior = posterior
            .into_iter()
            .map(|own| program.tensor(format!("posterior.{}", own.name), &own.dims, DType::F32))
            .collect();
        let prior = architecture.prior.module().parameters(architecture.pixels());
        let prior = prior
            .into_iter()
            .map(|own| program.tensor(format!("prior.{}", own.name), &own.dims, DType::F32))
            .collect();
        let likelihood = likelihood
            .parameters(architecture.shape())
            .into_iter()
            .map(|own| program.tensor(format!("decoder.{}", own.name), &own.dims, DType::F32))
            .collect();
        let architecture = architecture.clone();
        Network { architecture, encoder, decoder, posterior, prior, likelihood }
    }

    /// The encoder of images whose classes are `classes`, (B) u32; without them it can be looked at, and recorded if it is
    /// told none.
    pub fn encoder(&self, classes: Option<TensorId>) -> Stack {
        nn::told(&self.encoder, classes.map(|classes| Told { classes, samples: 1 }))
    }

    /// The decoder of `samples` rows an image, as [`Network::encoder`].
    pub fn decoder(&self, classes: Option<TensorId>, samples: usize) -> Stack {
        nn::told(&self.decoder, classes.map(|classes| Told { classes, samples }))
    }

    /// What draws from q(z|x) by the encoder's output.
    pub(super) fn posterior(&self) -> Box<dyn Posterior> {
        self.architecture.posterior.module(self.architecture.latent, &self.posterior)
    }

    pub fn layers(&self) -> impl Iterator<Item = &Arc<dyn Layer>> {
        self.encoder.iter().chain(&self.decoder)
    }

    /// Records the prior, and on the tape of the encoder's other pass how its gradient passes back.
    pub(super) fn prior(
        &self,
        r: &mut Recorder,
        tape: &mut Tape,
    ) -> Result<Box<dyn Density>, PlanError> {
        self.architecture.prior.module().record(r, tape, &self.encoder(None), &self.prior)
    }

    /// Every parameter tensor: those of each layer, encoder first, then the posterior's own, the prior's own and the
    /// likelihood's own.
    pub fn parameters(&self) -> Vec<TensorId> {
        let layers = self.layers().flat_map(|layer| layer.parameters());
        let own = self.posterior.iter().chain(&self.prior).chain(&self.likelihood);
        layers.chain(own.copied()).collect()
    }

    /// Declares what `optimizer` keeps of each of [`Network::parameters`].
    pub fn declare_training(
        &self,
        program: &mut Program,
        optimizer: &Optimizer,
    ) -> Vec<TrainedParameter> {
        let own = self.architecture.likelihood.module().parameters(self.architecture.shape());
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
        self.initial_values_of(init, &mut Uniform::new(seed), data)
    }

    /// The same with these random numbers.
    pub fn initial_values_of(
        &self,
        init: Init,
        uniform: &mut Uniform,
        data: &Moments,
    ) -> Vec<Vec<f32>> {
        let layers = self.layers();
        let mut values: Vec<Vec<f32>> =
            layers.flat_map(|layer| layer.initial_values(init, uniform)).collect();
        // The last but where an embedding is added to the output.
        let hidden = self.architecture.layout().map_or(0, |layout| layout.decoder.len() - 1);
        let is_told = hidden == 0 && !self.architecture.classes.is_empty();
        let output_bias = values.len() - 1 - usize::from(is_told);
        let likelihood = self.architecture.likelihood.module();
        if init == Init::Glorot {
            let bias = &mut values[output_bias];
            let first = likelihood.first_bias(&data.means);
            if bias.len() == first.len() {
                bias.copy_from_slice(&first);
            } else if let Some(Shape::Map([.., channels])) = self.output_shape() {
                // A convolution has one bias for all pixels: the mean of theirs.
                let of_part = channels / (first.len() / data.means.len());
                for (i, bias) in bias.iter_mut().enumerate() {
                    let pixels = first[i / of_part * data.means.len()..][..data.means.len()].iter();
                    let own = pixels.skip(i % of_part).step_by(of_part);
                    *bias = own.sum::<f32>() / (data.means.len() / of_part) as f32;
                }
            }
        }
        let Architecture { posterior, latent, .. } = self.architecture;
        let of_posterior = posterior.initial_values(latent, init, uniform);
        let prior = self.architecture.prior.module();
        let of_prior = prior.initial_values(data, self.architecture.pixels(), uniform);
        let own = likelihood.parameters(self.architecture.shape());
        let mut own: Vec<Vec<f32>> = own.into_iter().map(|own| own.initial).collect();
        let bias = &mut values[output_bias];
        likelihood.begin_at(data, bias, &mut own);
        values.extend(of_posterior.into_iter().chain(of_prior).chain(own));
        values
    }

    /// What the decoder's last layer gives.
    fn output_shape(&self) -> Option<Shape> {
        Some(self.architecture.layout().ok()?.decoder.last()?.to)
    }

    /// What the likelihood is computed of: a minibatch and the decoder's output `eta` (B*K, outputs).
    pub(super) fn observed(&self, of: Minibatch, eta: TensorId, samples: usize) -> Observed<'_> {
        let Minibatch { x, masked, .. } = of;
        Observed { x, eta, parameters: &self.likelihood, samples, masked }
    }
}

/// Hidden layers, the first of which is told the class, before its activation if it ends with it, where the network is.
fn hidden_stack(
    program: &mut Program,
    prefix: &str,
    hidden: &[PlacedLayer],
    a: &Architecture,
) -> Stack {
    let mut layers = Stack::new();
    for (i, layer) in hidden.iter().enumerate() {
        if i > 0 || a.classes.is_empty() {
            layers.push(declare(program, layer, a.activation));
            continue;
        }
        let none = Activation::Identity;
        let (before, behind) = if layer.spec.ends_with_activation() {
            (none, a.activation)
        } else {
            (a.activation, none)
        };
        layers.push(declare(program, layer, before));
        layers.extend(embedding(program, prefix, layer.to, a, Some(behind)));
    }
    layers
}

/// What is added behind a layer that gives `shape`, before the activation, if it has one; nothing of a network that is told
/// no classes.
fn embedding(
    program: &mut Program,
    prefix: &str,
    shape: Shape,
    a: &Architecture,
    activation: Option<Activation>,
) -> Option<Arc<dyn Layer>> {
    if a.classes.is_empty() {
        return None;
    }
    let name = format!("{prefix}.embedding");
    let f = activation.unwrap_or(Activation::Identity);
    let embedding = Embedding::declare(program, name, shape, a.classes.len(), f);
    Some(Arc::new(if activation.is_some() { embedding } else { embedding.from_zero() }))
}

fn declare(program: &mut Program, layer: &PlacedLayer, activation: Activation) -> Arc<dyn Layer> {
    let PlacedLayer { name, spec, from, to } = layer;
    spec.declare(program, name.clone(), [*from, *to], activation)
}
