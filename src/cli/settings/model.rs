//! The options of `elbo train` on the network and on what is ascended.

use crate::cli::options::values;
use crate::kernels::activation::Activation;
use crate::named::named;
use crate::nn::{Layers, NetworkKind};
use crate::vae::likelihood::{LikelihoodKind, SizeFactor, Variance};
use crate::vae::objective::{Bound, Estimator, Kl};
use crate::vae::posterior::FamilyKind;
use crate::vae::prior::PriorKind;
use crate::vae::{Binarization, Init};

named! {
    /// What a network is told.
    pub enum Condition {
        /// Nothing
        None = "none",
        /// The class of the image
        Labels = "labels",
    }
}

/// The network and what it models.
#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Model")]
pub struct ModelOptions {
    /// What a pixel's byte v becomes; fixed where all are 0 or 255, none with likelihoods of grey values, else
    /// [default: dynamic]
    #[arg(long, value_parser = values::<Binarization>())]
    pub binarization: Option<Binarization>,
    /// Kind of the hidden layers, in sizes that suit the images: mlp is --hidden 400, conv halves the images by
    /// convolutions down to about four pixels; conv for images in colour of 16 pixels or more, else
    /// [default: mlp]
    #[arg(long, value_parser = values::<NetworkKind>(), conflicts_with_all = ["hidden", "decoder_hidden"])]
    pub network: Option<NetworkKind>,
    /// The encoder's hidden layers, comma-separated: widths as in 200,200, convolutions as in "conv 32 4/2, conv 64
    /// 4/2, 256" (channels, kernel/stride), or none; see docs/networks.md. --encoder is the same [default: 400]
    #[arg(long, value_name = "LAYERS", alias = "encoder")]
    pub hidden: Option<Layers>,
    /// The decoder's hidden layers, from the latent side, as in "256, dense 7x7x64, convt 32 4/2"
    /// --decoder is the same [default: --hidden reversed]
    #[arg(long, value_name = "LAYERS", alias = "decoder")]
    pub decoder_hidden: Option<Layers>,
    /// Latent units [default: 20]
    #[arg(long, value_name = "Z")]
    pub latent: Option<usize>,
    /// The family that q(z|x) is of; the KL of flows is sampled [default: diagonal]
    #[arg(long, value_parser = values::<FamilyKind>())]
    pub posterior: Option<FamilyKind>,
    /// Steps of flows [default: 8 planar ones, 2 inverse autoregressive ones]
    #[arg(long, value_name = "T")]
    pub flow_steps: Option<usize>,
    /// Units of the two hidden layers of an inverse autoregressive step [default: 256]
    #[arg(long, value_name = "H")]
    pub flow_hidden: Option<usize>,
    /// Non-linearity of the hidden layers; silu with --network conv, else [default: relu]
    #[arg(long, value_parser = values::<Activation>())]
    pub activation: Option<Activation>,
    /// What the decoder's output means; gaussian for images in colour and tables, else [default: bernoulli]
    #[arg(long, value_parser = values::<LikelihoodKind>())]
    pub likelihood: Option<LikelihoodKind>,
    /// Variance of the Gaussian likelihood: optimal (the mean squared error of each minibatch; a running mean of
    /// it is kept), channel or pixel (the same, one for each), column (of a
    /// table, one for each), learned (a parameter that the optimizer moves), decoder
    /// (of each pixel, by the decoder), or a number; column for tables, else [default: optimal]
    #[arg(long, value_name = "S", allow_negative_numbers = true)]
    pub variance: Option<Variance>,
    /// How much of everything a row of counts has, by which its rates are larger than those of other rows
    /// [default: total]
    #[arg(long, value_parser = values::<SizeFactor>())]
    pub size_factor: Option<SizeFactor>,
    /// What encoder and decoder are told beside the image: with labels, the class of each image, so that the model is one of
    /// p(x|y) and draws images of a class; all figures are then of log p(x|y) [default: none]
    #[arg(long, value_parser = values::<Condition>())]
    pub condition: Option<Condition>,
    /// The prior p(z): normal is N(0, I), vamp the mean of q(z|u) over pseudo-inputs u, which are trained from training
    /// images on; its KL is sampled. See docs/priors.md [default: normal]
    #[arg(long, value_parser = values::<PriorKind>())]
    pub prior: Option<PriorKind>,
    /// Pseudo-inputs of --prior vamp [default: 500]
    #[arg(long, value_name = "N")]
    pub pseudo_inputs: Option<usize>,
    /// How parameters begin; glorot for images in colour and tables, else [default: pytorch]
    #[arg(long, value_parser = values::<Init>())]
    pub init: Option<Init>,
}

/// What is ascended.
#[derive(clap::Args, Clone, Default)]
#[command(next_help_heading = "Objective")]
pub struct ObjectiveOptions {
    /// The bound on log p(x) that is ascended [default: elbo]
    #[arg(long, value_parser = values::<Bound>())]
    pub objective: Option<Bound>,
    /// Samples of z an image: elbo is the mean over them, iwae's bound is L_K [default: 1]
    #[arg(long, value_name = "K")]
    pub samples: Option<usize>,
    /// How the encoder's gradient is estimated [default: reparameterized]
    #[arg(long, value_parser = values::<Estimator>())]
    pub gradient: Option<Estimator>,
    /// How the KL enters the objective, sampled with iwae and with --prior vamp; the KL shown is the analytic one, where
    /// there is one
    /// [default: analytic]
    #[arg(long, value_parser = values::<Kl>())]
    pub kl: Option<Kl>,
    /// Weight of the KL in the objective; the ELBOs shown have it at 1 [default: 1]
    #[arg(long, allow_negative_numbers = true)]
    pub beta: Option<f64>,
    /// Let the weight of the KL rise from zero to beta over this many epochs [default: 0]
    #[arg(long, value_name = "EPOCHS")]
    pub warm_up: Option<u32>,
    /// Nats of each latent unit's KL, averaged over the minibatch, that cost nothing [default: 0]
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    pub free_bits: Option<f64>,
}
