//! The shape of a network and what it models.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::likelihood::Likelihood;
use super::posterior::{self, Posterior};
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;
use crate::kernels::activation::Activation;

/// An encoder D -> hidden... -> (mu, l) and a decoder Z -> decoder_hidden... -> D logits or means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// (height, width) of an image, D = height * width * channels.
    pub image: (usize, usize),
    /// Values of a pixel: 1 of grey, 3 of red, green and blue.
    #[serde(default = "grey", skip_serializing_if = "is_grey")]
    pub channels: usize,
    /// Widths of the encoder's hidden layers; none is a linear encoder.
    pub hidden: Vec<usize>,
    /// Widths of the decoder's hidden layers, from the latent side.
    pub decoder_hidden: Vec<usize>,
    /// Z
    pub latent: usize,
    /// Non-linearity of the hidden layers.
    pub activation: Activation,
    /// What the decoder's output means.
    #[serde(default)]
    pub likelihood: Likelihood,
}

impl Architecture {
    /// Height, width and channels of an image.
    pub fn shape(&self) -> ImageShape {
        ImageShape { channels: self.channels, ..self.image.into() }
    }

    /// D
    pub fn pixels(&self) -> usize {
        self.shape().values()
    }

    /// # Errors
    /// Pixels of other than 1 or 3 values, a width of zero, or so large that a weight has 2^31 elements.
    pub fn check(&self) -> Result<(), ConfigError> {
        if ![1, 3].contains(&self.channels) {
            let right = "must be 1 (grey) or 3 (red, green, blue)";
            return Err(ConfigError::range("architecture.channels", right, self.channels));
        }
        let stacks = self.stacks();
        if stacks.concat().contains(&0) {
            let right = "must have at least one unit in every layer";
            return Err(ConfigError::range("architecture", right, self));
        }
        self.likelihood.module().check()?;
        let mut layers = stacks.iter().flat_map(|widths| widths.windows(2));
        let too_large = layers.find(|w| w[0].saturating_mul(w[1]) >= 1 << 31);
        match too_large {
            Some(w) => Err(ConfigError::conflict(
                "architecture",
                format!("with a layer from {} to {} units", w[0], w[1]),
                "has 2^31 weights or more there, which the kernels cannot index",
                "give fewer units, or pictures another `size`",
            )),
            None => Ok(()),
        }
    }

    /// The widths of the encoder, from the pixels to the heads, and of the decoder, back to the pixels.
    fn stacks(&self) -> [Vec<usize>; 2] {
        let (d, z) = (self.pixels(), self.latent);
        let (heads, outputs) = (posterior::module().heads(z), self.likelihood.module().outputs(d));
        [
            [&[d], &self.hidden[..], &[heads]].concat(),
            [&[z], &self.decoder_hidden[..], &[outputs]].concat(),
        ]
    }
}

/// The channels of images in files that name none.
fn grey() -> usize {
    1
}

fn is_grey(channels: &usize) -> bool {
    *channels == grey()
}

impl Display for Architecture {
    /// As people write it: 784-400-20-400-784 relu.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut widths = vec![self.pixels()];
        widths.extend(&self.hidden);
        widths.push(self.latent);
        widths.extend(&self.decoder_hidden);
        widths.push(self.pixels());
        let widths: Vec<String> = widths.iter().map(usize::to_string).collect();
        write!(f, "{} {}", widths.join("-"), self.activation)?;
        match self.likelihood.module().label() {
            None => Ok(()),
            Some(label) => write!(f, ", {label}"),
        }
    }
}
