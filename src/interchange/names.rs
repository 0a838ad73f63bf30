//! What the parameters of a network are called in a file: the names of the PyTorch module that loads it.

use crate::kernels::activation::Activation;
use crate::named::named;
use crate::vae::likelihood::OwnParameter;
use crate::vae::{Architecture, Family, Likelihood};

named! {
    /// The module whose parameter names the tensors of a file bear.
    pub enum Names {
        /// fc1, fc21, fc22, fc3, fc4, as the VAE of pytorch/examples; one hidden layer each side, ReLU
        Example = "example",
        /// encoder.fc1, encoder.fc21, encoder.fc22, decoder.fc1, decoder.fc21, as the VAE of Pyro's tutorial;
        /// one hidden layer each side, softplus; fc22 gives ln σ rather than ln σ²
        Pyro = "pyro",
        /// encoder.0, encoder.2, ..., mu, log_variance, decoder.0, decoder.2, ..., for encoder and decoder as
        /// nn.Sequential with the activations between the layers; any depth
        Sequential = "sequential",
        /// What this program wrote in its first versions.
        First = "first",
    }
}

/// A layer of the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Place {
    /// The i-th hidden layer of the encoder, from the pixels.
    Encoder(usize),
    /// The mean μ of q(z|x).
    Mu,
    /// Its ln σ²; of a full covariance the ln of the squared diagonal of its Cholesky factor.
    LogVariance,
    /// What is below that diagonal, row by row.
    Lower,
    /// The vectors u of the steps of a flow.
    FlowShift,
    /// Their vectors w.
    FlowDirection,
    /// Their numbers b.
    FlowOffset,
    /// What the networks of the steps of a flow are told of the image.
    FlowContext,
    /// The i-th hidden layer of the decoder, from z.
    Decoder(usize),
    /// The decoder's last layer, behind its hidden ones.
    Output { hidden: usize, likelihood: Likelihood },
    /// What the first layer of the encoder is told of the class.
    EncoderEmbedding,
    /// The same of the decoder.
    DecoderEmbedding,
}

impl Names {
    /// The layer that only a full covariance has.
    pub const LOWER: &str = "lower";
    /// One that only a flow has: a number a step.
    pub const FLOW_OFFSET: &str = "flow_offset";

    /// A layer of the network of a step of inverse autoregressive flows.
    pub fn layer_of_flow(step: usize, layer: usize) -> String {
        format!("flow_{step}_{layer}")
    }

    /// Those that a run's model is written with: the example's if it is the example's network.
    pub fn of(architecture: &Architecture) -> Names {
        match Names::Example.fit(architecture) && architecture.activation == Activation::Relu {
            true => Names::Example,
            false => Names::Sequential,
        }
    }

    /// Those that tensors of these names bear, if they are known.
    pub fn of_tensors(tensors: &[&str]) -> Option<Names> {
        let all = [Names::Example, Names::Pyro, Names::Sequential, Names::First];
        all.into_iter().find(|names| {
            let mu = format!("{}.weight", names.layer(Place::Mu));
            tensors.contains(&&*mu)
        })
    }

    /// Whether there is a name for each layer of the network.
    pub fn fit(self, architecture: &Architecture) -> bool {
        match self {
            Names::Sequential | Names::First => true,
            Names::Example | Names::Pyro => {
                [&architecture.hidden, &architecture.decoder_hidden]
                    .iter()
                    .all(|layers| layers.len() == 1 && layers.are_dense())
                    && architecture.likelihood == Likelihood::Bernoulli
                    && architecture.posterior == Family::Diagonal
                    && architecture.classes.is_empty()
                    && architecture.prior.is_normal()
            }
        }
    }

    /// As it stands in a sentence.
    pub fn whose(self) -> &'static str {
        match self {
            Names::Example => "the names of pytorch/examples' VAE",
            Names::Pyro => "the names of Pyro's VAE",
            Names::Sequential => "the names of nn.Sequential stacks",
            Names::First => "the names of this program's first versions",
        }
    }

    /// The name of a layer, to which `.weight` and `.bias` are added.
    pub fn layer(self, place: Place) -> String {
        let name = match (self, place) {
            (Names::First, Place::Lower) => "encoder.lower",
            (_, Place::Lower) => Names::LOWER,
            (_, Place::FlowShift) => "flow_shift",
            (_, Place::FlowDirection) => "flow_direction",
            (_, Place::FlowOffset) => Names::FLOW_OFFSET,
            (_, Place::FlowContext) => "flow_context",
            (_, Place::EncoderEmbedding) => "encoder_embedding",
            (_, Place::DecoderEmbedding) => "decoder_embedding",

            (Names::Example, Place::Encoder(_)) => "fc1",
            (Names::Example, Place::Mu) => "fc21",
            (Names::Example, Place::LogVariance) => "fc22",
            (Names::Example, Place::Decoder(_)) => "fc3",
            (Names::Example, Place::Output { .. }) => "fc4",

            (Names::Pyro, Place::Encoder(_)) => "encoder.fc1",
            (Names::Pyro, Place::Mu) => "encoder.fc21",
            (Names::Pyro, Place::LogVariance) => "encoder.fc22",
            (Names::Pyro, Place::Decoder(_)) => "decoder.fc1",
            (Names::Pyro, Place::Output { .. }) => "decoder.fc21",

            // Between two layers stands their activation, which takes a number too.
            (Names::Sequential, Place::Encoder(i)) => return format!("encoder.{}", 2 * i),
            (Names::Sequential, Place::Mu) => "mu",
            (Names::Sequential, Place::LogVariance) => "log_variance",
            (Names::Sequential, Place::Decoder(i)) => return format!("decoder.{}", 2 * i),
            (Names::Sequential, Place::Output { hidden, .. }) => {
                return format!("decoder.{}", 2 * hidden);
            }

            (Names::First, Place::Encoder(i)) => return format!("encoder.{i}"),
            (Names::First, Place::Mu) => "encoder.mu",
            (Names::First, Place::LogVariance) => "encoder.log_variance",
            (Names::First, Place::Decoder(i)) => return format!("decoder.{i}"),
            (Names::First, Place::Output { likelihood, .. }) => {
                return format!("decoder.{}", likelihood.module().output());
            }
        };
        name.to_string()
    }

    /// The name of a parameter of the likelihood.
    pub fn of_likelihood(self, own: &OwnParameter) -> String {
        match self {
            Names::First => format!("decoder.{}", own.name),
            _ => own.stored.to_string(),
        }
    }

    /// The name of the log variance of a Gaussian likelihood, (1).
    pub fn observation_log_variance(self) -> &'static str {
        match self {
            Names::First => "decoder.log_variance",
            _ => "observation_log_variance",
        }
    }

    /// What the log variance's layer gives as a multiple of ln σ²: Pyro's gives ln σ.
    pub fn log_variance_scale(self) -> f32 {
        match self {
            Names::Pyro => 0.5,
            _ => 1.0,
        }
    }
}
