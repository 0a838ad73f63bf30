//! The layers of encoder and decoder, with their parameters: names, shapes, first values.

use std::sync::Arc;

use super::architecture::{Architecture, PlacedLayer};
use super::likelihood::Observed;
use super::minibatch::Minibatch;
use super::posterior::{self, Posterior};
use crate::nn::{Activation, Dense, Init, Layer, Shape, SplitChannels, Stack, Uniform};
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
        let layout = architecture.layout().expect("a network that was checked");
        let likelihood = architecture.likelihood.module();
        let (heads, hidden) = layout.encoder.split_last().expect("an encoder has heads");
        let mut encoder = stack(program, hidden, architecture.activation);
        let (output, hidden) = layout.decoder.split_last().expect("a decoder has an output");
        let shapes = [heads.from, heads.to];
        let heads = Dense::declare(program, heads.name.clone(), shapes, Activation::Identity);
        encoder.push(Arc::new(heads.in_parts(posterior::module().parts())));
        let mut decoder = stack(program, hidden, architecture.activation);
        decoder.extend(stack(program, std::slice::from_ref(output), Activation::Identity));
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
        let likelihood = likelihood
            .parameters(architecture.shape())
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
        let mut uniform = Uniform::new(seed);
        let layers = self.layers();
        let mut values: Vec<Vec<f32>> =
            layers.flat_map(|layer| layer.initial_values(init, &mut uniform)).collect();
        let likelihood = self.architecture.likelihood.module();
        if init == Init::Glorot {
            let bias = values.last_mut().expect("a decoder has layers");
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
        let own = likelihood.parameters(self.architecture.shape());
        let mut own: Vec<Vec<f32>> = own.into_iter().map(|own| own.initial).collect();
        if let Some(variance) = data.variance {
            let bias = values.last_mut().expect("a decoder has layers");
            likelihood.begin_at(variance, bias, &mut own);
        }
        values.extend(own);
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

fn stack(program: &mut Program, layers: &[PlacedLayer], activation: Activation) -> Stack {
    let declare = |PlacedLayer { name, spec, from, to }: &PlacedLayer| {
        spec.declare(program, name.clone(), [*from, *to], activation)
    };
    layers.iter().map(declare).collect()
}
