//! The shape of a network and what it models.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::likelihood::Likelihood;
use super::posterior::Family;
use super::prior::Prior;
use crate::config_error::ConfigError;
use crate::image_shape::ImageShape;
use crate::kernels::activation::Activation;
use crate::nn::{Embedding, Kind, LayerSpec, Layers, Shape};
use crate::plan::Program;
use crate::text::listed;

/// What names of layers begin with.
pub(super) const ENCODER: &str = "encoder";
pub(super) const DECODER: &str = "decoder";

/// An encoder D -> hidden... -> (mu, l, ...) and a decoder Z -> decoder_hidden... -> D logits or means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// (height, width) of an image, D = height * width * channels.
    pub image: (usize, usize),
    /// Values of a pixel: 1 of grey, 3 of red, green and blue.
    #[serde(default = "grey", skip_serializing_if = "is_grey")]
    pub channels: usize,
    /// The encoder's hidden layers; none is a linear encoder.
    pub hidden: Layers,
    /// The decoder's hidden layers, from the latent side. A last one without channels is its output.
    pub decoder_hidden: Layers,
    /// Z
    pub latent: usize,
    /// Non-linearity of the hidden layers.
    pub activation: Activation,
    /// The family that q(z|x) is of.
    #[serde(default, skip_serializing_if = "Family::is_default")]
    pub posterior: Family,
    /// What the decoder's output means.
    #[serde(default)]
    pub likelihood: Likelihood,
    /// The names of the classes that encoder and decoder are told, in the order of their numbers: then the model is one of
    /// p(x|y), with q(z|x,y), y the class of an image (Kingma et al. 2014, Sohn et al. 2015). Empty where they are told
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// What p(z) is.
    #[serde(default, skip_serializing_if = "Prior::is_normal")]
    pub prior: Prior,
}

impl Architecture {
    /// Height, width and channels of an image.
    pub fn shape(&self) -> ImageShape {
        ImageShape { channels: self.channels, ..self.image.into() }
    }

    /// Whether KL(q(z|x) || p(z)) has one; else it is the mean of log q(z|x) - log p(z) over samples.
    pub fn has_closed_kl(&self) -> bool {
        self.prior.is_normal() && self.posterior.has_closed_kl()
    }

    /// D
    pub fn pixels(&self) -> usize {
        self.shape().values()
    }

    /// Units of the encoder's output.
    pub fn heads(&self) -> usize {
        self.posterior.heads(self.latent)
    }

    /// The places of the posterior's own parameters in [`super::Network::parameters`].
    pub(crate) fn own_of_posterior(&self) -> std::ops::Range<usize> {
        let network = super::Network::declare(&mut Program::new(), self);
        let first = network.layers().map(|layer| layer.parameters().len()).sum();
        first..first + self.posterior.parameters(self.latent).len()
    }

    /// The number of a class, by its name or its number.
    ///
    /// # Errors
    /// The model is told none, or others.
    pub fn class(&self, named: &str) -> Result<u32, ConfigError> {
        let wrong = |problem: String, right: String| {
            Err(ConfigError::conflict("class", named, problem, right))
        };
        let n = self.classes.len();
        if n == 0 {
            let problem = "cannot be told to a model of images without classes".to_string();
            return wrong(problem, "train one by `architecture.classes`".to_string());
        }
        let by_name = self.classes.iter().position(|name| name == named);
        match by_name.or(named.parse().ok().filter(|&number: &usize| number < n)) {
            Some(number) => Ok(number as u32),
            None => wrong(
                format!("is none of the {n} classes"),
                format!(
                    "give a name or a number from 0 to {}, of {}",
                    n - 1,
                    listed(&self.classes)
                ),
            ),
        }
    }

    /// log p(x), or log p(x|y) of a model that is told the class y, as figures name it.
    pub fn log_likelihood(&self) -> &'static str {
        if self.classes.is_empty() { "log p(x)" } else { "log p(x|y)" }
    }

    /// # Errors
    /// A family of q that the latent units cannot have, a single class or one that is named twice, pixels of other than 1 or 3 values, a width of zero, or so large that a weight has 2^31 elements.
    pub fn check(&self) -> Result<(), ConfigError> {
        if ![1, 3].contains(&self.channels) {
            let right = "must be 1 (grey) or 3 (red, green, blue)";
            return Err(ConfigError::range("architecture.channels", right, self.channels));
        }
        self.likelihood.module().check()?;
        self.posterior.check(self.latent)?;
        self.check_prior()?;
        let wrong = |problem: String, right: &str| {
            Err(ConfigError::conflict("architecture.classes", "labels", problem, right))
        };
        if let [name] = &self.classes[..] {
            let problem = format!("tells nothing where there is one class, {name:?}");
            return wrong(problem, "give two at least, or none");
        }
        let mut names: Vec<&String> = self.classes.iter().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let problem = format!("has two classes with the name {:?}", twice[0]);
            return wrong(problem, "give each a name of its own");
        }
        let layout = self.layout()?;
        if let Prior::Vamp { pseudo_inputs, .. } = self.prior {
            let units = layout.encoder.iter().map(|layer| layer.to.units());
            let widest = units.fold(self.pixels(), usize::max);
            if pseudo_inputs.saturating_mul(widest) >= 1 << 31 {
                return Err(ConfigError::conflict(
                    "architecture.prior.pseudo_inputs",
                    pseudo_inputs,
                    format!("of {widest} units in the widest layer are 2^31 values or more"),
                    "give fewer of them, or fewer units",
                ));
            }
        }
        for layer in layout.encoder.iter().chain(&layout.decoder) {
            if layer.to.units() == 0 {
                let right = "must have at least one unit in every layer";
                return Err(ConfigError::range("architecture", right, self));
            }
            let [from, to] = [layer.from, layer.to];
            let embedding = Embedding::parameters_of(to, self.classes.len());
            let parameters = layer.spec.parameters([from, to]).into_iter();
            let largest = parameters.fold(to.units().max(embedding), usize::max);
            if largest >= 1 << 31 {
                return Err(ConfigError::conflict(
                    "architecture",
                    format!("with a layer from {from} to {to} units"),
                    "has 2^31 weights or more there, which the kernels cannot index",
                    "give fewer units, or pictures another `size`",
                ));
            }
        }
        Ok(())
    }

    /// Whether the prior can be had with the rest.
    fn check_prior(&self) -> Result<(), ConfigError> {
        self.prior.check()?;
        let wrong = |problem: &str, right: &str| {
            Err(ConfigError::conflict("architecture.prior", self.prior.kind(), problem, right))
        };
        match self.prior {
            Prior::Normal => Ok(()),
            _ if !self.classes.is_empty() => wrong(
                "encodes pseudo-inputs, which have no classes that the encoder could be told",
                "leave `architecture.classes` out, or give `architecture.prior` normal",
            ),
            _ if self.posterior != Family::Diagonal => wrong(
                "has components of independent units",
                "it needs `architecture.posterior` diagonal",
            ),
            _ => Ok(()),
        }
    }

    /// Every layer with what it takes and gives.
    ///
    /// # Errors
    /// Layers whose shapes do not meet.
    pub fn layout(&self) -> Result<Layout, ConfigError> {
        let (height, width) = self.image;
        let image = [height, width, self.channels];
        let encoder = chain("hidden", ENCODER, Shape::Map(image), &self.hidden)?;
        let last = encoder.last().map_or(Shape::Map(image), |layer| layer.to);
        let heads = PlacedLayer {
            name: format!("{ENCODER}.heads"),
            spec: LayerSpec::dense(Shape::Units(self.heads())),
            // A linear encoder takes the values of an image as they are.
            from: if encoder.is_empty() { Shape::Units(last.units()) } else { last },
            to: Shape::Units(self.heads()),
        };

        let likelihood = self.likelihood.module();
        let outputs = likelihood.outputs(self.pixels());
        let parts = outputs.checked_div(self.pixels()).unwrap_or(1);
        let (hidden, output) = match self.decoder_hidden.split_last() {
            Some((output, hidden)) if output.is_open() => (hidden, Some(*output)),
            _ => (&self.decoder_hidden[..], None),
        };
        let decoder = chain("decoder_hidden", DECODER, Shape::Units(self.latent), hidden)?;
        let from = decoder.last().map_or(Shape::Units(self.latent), |layer| layer.to);
        let wrong = |problem: String, right: String| {
            ConfigError::conflict("decoder_hidden", &self.decoder_hidden, problem, right)
        };
        let spec = match (output, from) {
            (Some(output), _) => output,
            (None, Shape::Units(_)) => LayerSpec::dense(Shape::Units(outputs)),
            (None, Shape::Map(map)) => {
                LayerSpec::to_image(map, [height, width]).ok_or_else(|| {
                    wrong(
                        format!("ends with {from}, which no layer leads to {height}x{width}"),
                        "end with the image's height and width, or with a fraction of both"
                            .to_string(),
                    )
                })?
            }
        };
        let open = self.channels * parts;
        let to = spec
            .output(from, Some(open))
            .map_err(|problem| wrong("does not meet".to_string(), problem))?;
        if let Shape::Map(map) = to
            && map != [height, width, open]
        {
            return Err(wrong(
                format!("ends with {}x{}", map[0], map[1]),
                format!("it has to end with the image's {height}x{width}"),
            ));
        }
        let output =
            PlacedLayer { name: format!("{DECODER}.{}", likelihood.output()), spec, from, to };
        Ok(Layout {
            encoder: [encoder, vec![heads]].concat(),
            decoder: [decoder, vec![output]].concat(),
            parts,
        })
    }
}

/// The layers of a network, the last of the encoder and of the decoder included.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// From the image to the heads of q(z|x).
    pub encoder: Vec<PlacedLayer>,
    /// From z to what the likelihood takes.
    pub decoder: Vec<PlacedLayer>,
    /// How many numbers the likelihood takes of each value of an image.
    pub parts: usize,
}

/// A layer between its neighbours.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedLayer {
    pub name: String,
    pub spec: LayerSpec,
    pub from: Shape,
    pub to: Shape,
}

impl PlacedLayer {
    /// Numbers of its parameters.
    pub fn parameters(&self) -> usize {
        self.spec.parameters([self.from, self.to]).iter().sum()
    }
}

fn chain(
    field: &'static str,
    prefix: &str,
    first: Shape,
    layers: &[LayerSpec],
) -> Result<Vec<PlacedLayer>, ConfigError> {
    let mut from = first;
    let mut placed = Vec::new();
    for (i, spec) in layers.iter().enumerate() {
        let to = spec.output(from, None).map_err(|problem| {
            let layers = Layers(layers.to_vec());
            ConfigError::conflict(field, layers, "does not meet", problem)
        })?;
        // A fully connected layer takes the values of an image as they are: in files too.
        if i == 0 && matches!(spec.kind, Kind::Dense(_)) {
            from = Shape::Units(from.units());
        }
        placed.push(PlacedLayer { name: format!("{prefix}.{i}"), spec: *spec, from, to });
        from = to;
    }
    Ok(placed)
}

/// The channels of images in files that name none.
fn grey() -> usize {
    1
}

fn is_grey(channels: &usize) -> bool {
    *channels == grey()
}

impl Display for Architecture {
    /// As people write it: 784-400-20-400-784 relu, or with layers of other kinds 28x28-(conv 32 4/2)-256-20 and back
    /// relu, where the decoder leads back as the encoder came.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dense = self.hidden.are_dense() && self.decoder_hidden.are_dense();
        let ends = if dense { self.pixels().to_string() } else { self.shape().to_string() };
        let layer = |layer: &LayerSpec| match layer {
            plain if plain.is_plain() => plain.to_string(),
            other => format!("({other})"),
        };
        write!(f, "{ends}-")?;
        for hidden in self.hidden.iter() {
            write!(f, "{}-", layer(hidden))?;
        }
        let image = [self.image.0, self.image.1, self.channels];
        if !dense && self.hidden.mirrored(Shape::Map(image)).as_ref() == Ok(&self.decoder_hidden) {
            write!(f, "{} and back {}", self.latent, self.activation)?;
        } else {
            write!(f, "{}-", self.latent)?;
            for hidden in self.decoder_hidden.iter() {
                write!(f, "{}-", layer(hidden))?;
            }
            write!(f, "{ends} {}", self.activation)?;
        }
        if let Some(label) = self.likelihood.module().label() {
            write!(f, ", {label}")?;
        }
        if let Some(label) = self.posterior.label() {
            write!(f, ", {label}")?;
        }
        if let Some(label) = self.prior.label() {
            write!(f, ", {label}")?;
        }
        match self.classes.len() {
            0 => Ok(()),
            n => write!(f, ", told which of {n} classes"),
        }
    }
}
