//! The notation for the layers of a network, as in "conv 32 4/2, conv 64 4/2, 256", and what each of them is by itself.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Activation, Convolution, Dense, Layer, Shape, TransposedConvolution};
use crate::plan::Program;

/// What the notation is, for messages.
pub const USAGE: &str = "layers are UNITS, \"dense UNITS\", \"dense HxWxC\", \"conv CHANNELS KERNEL/STRIDE\" and \"convt CHANNELS \
                         KERNEL/STRIDE\", separated by commas";

/// A layer before it is in a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerSpec {
    /// Fully connected.
    Dense(Shape),
    /// A convolution.
    Convolution(Window),
    /// A transposed convolution, to this height and width, or else to the smallest that it can have.
    Transposed(Window, Option<[usize; 2]>),
}

/// What a convolution looks through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Channels that it computes; `None` are those that the likelihood takes, of a decoder's last layer.
    pub channels: Option<usize>,
    /// Pixels of its height and width.
    pub kernel: usize,
    /// Pixels from place to place.
    pub stride: usize,
    /// Zeros beyond each edge; `None` are so many that the places are as many as the pixels by the stride.
    pub padding: Option<usize>,
}

impl Window {
    /// Zeros beyond each edge.
    pub fn padding(&self) -> usize {
        self.padding.unwrap_or((self.kernel + 1).saturating_sub(self.stride) / 2)
    }

    /// How many places look at so many pixels, if there is one.
    fn places(&self, pixels: usize) -> Option<usize> {
        let beyond = (pixels + 2 * self.padding()).checked_sub(self.kernel)?;
        Some(beyond / self.stride + 1)
    }

    /// The fewest pixels that so many places look at.
    fn pixels(&self, places: usize) -> Option<usize> {
        let seen = (places - 1).saturating_mul(self.stride).saturating_add(self.kernel);
        seen.checked_sub(2 * self.padding()).filter(|&pixels| pixels > 0)
    }
}

impl LayerSpec {
    /// Whether its channels are the likelihood's: it can only be a decoder's last.
    pub fn is_open(&self) -> bool {
        match self {
            LayerSpec::Dense(_) => false,
            LayerSpec::Convolution(window) | LayerSpec::Transposed(window, _) => {
                window.channels.is_none()
            }
        }
    }

    /// What it gives of a row of `from`. `open` are the channels of a layer that has none of its own.
    ///
    /// # Errors
    /// It cannot take `from`; why, in words.
    pub fn output(&self, from: Shape, open: Option<usize>) -> Result<Shape, String> {
        let channels = |window: &Window| {
            let none = format!(
                "{self} needs its number of channels: only a decoder's last layer goes without"
            );
            window.channels.or(open).ok_or(none)
        };
        match self {
            LayerSpec::Dense(to) => Ok(*to),
            LayerSpec::Convolution(window) => {
                let [height, width] = pixels(self, from)?;
                let places = window.places(height).zip(window.places(width)).ok_or_else(|| {
                    format!(
                        "{self} needs {} pixels in height and width, it gets {from}",
                        window.kernel
                    )
                })?;
                Ok(Shape::Map([places.0, places.1, channels(window)?]))
            }
            LayerSpec::Transposed(window, to) => {
                let [height, width] = pixels(self, from)?;
                let least = window.pixels(height).zip(window.pixels(width));
                let (h, w) = least.ok_or_else(|| format!("{self} leaves nothing of {from}"))?;
                let to = to.unwrap_or([h, w]);
                if window.places(to[0]) != Some(height) || window.places(to[1]) != Some(width) {
                    return Err(format!(
                        "{self} leads from {from} to {h}x{w}, or to up to {} pixels more each way",
                        window.stride - 1
                    ));
                }
                Ok(Shape::Map([to[0], to[1], channels(window)?]))
            }
        }
    }

    /// The layer that leads from what this one gives back to `from`; its channels are open where `from` is the image.
    pub fn mirrored(&self, from: Shape, is_first: bool) -> LayerSpec {
        match (self, from) {
            (LayerSpec::Convolution(window), Shape::Map([height, width, channels])) => {
                let channels = if is_first { None } else { Some(channels) };
                let window = Window { channels, ..*window };
                let least = window.places(height).and_then(|places| window.pixels(places));
                let across = window.places(width).and_then(|places| window.pixels(places));
                let exact = (least, across) == (Some(height), Some(width));
                LayerSpec::Transposed(window, if exact { None } else { Some([height, width]) })
            }
            (LayerSpec::Transposed(window, _), Shape::Map([_, _, channels])) => {
                let channels = if is_first { None } else { Some(channels) };
                LayerSpec::Convolution(Window { channels, ..*window })
            }
            _ => LayerSpec::Dense(from),
        }
    }

    /// The layer that leads from a decoder's last map to the image, its channels open, if they are of the same size or
    /// the image is a multiple.
    pub fn to_image(map: [usize; 3], [height, width]: [usize; 2]) -> Option<LayerSpec> {
        let stride = height.div_ceil(map[0]);
        let window = |kernel| Window { channels: None, kernel, stride, padding: None };
        if stride == 1 {
            let same = [map[0], map[1]] == [height, width];
            return same.then_some(LayerSpec::Convolution(window(3)));
        }
        [2 * stride, 2 * stride - 1]
            .into_iter()
            .map(|kernel| LayerSpec::Transposed(window(kernel), Some([height, width])))
            .find(|layer| layer.output(Shape::Map(map), Some(1)).is_ok())
            .map(|layer| match layer {
                LayerSpec::Transposed(window, _)
                    if window.pixels(map[0]).zip(window.pixels(map[1]))
                        == Some((height, width)) =>
                {
                    LayerSpec::Transposed(window, None)
                }
                other => other,
            })
    }

    /// Declares it in a program, between shapes that meet: see [`LayerSpec::output`].
    pub fn declare(
        &self,
        program: &mut Program,
        name: String,
        [from, to]: [Shape; 2],
        activation: Activation,
    ) -> Arc<dyn Layer> {
        match (self, from, to) {
            (LayerSpec::Convolution(window), Shape::Map(from), Shape::Map(to)) => {
                Arc::new(Convolution::declare(program, name, [from, to], window, activation))
            }
            (LayerSpec::Transposed(window, _), Shape::Map(from), Shape::Map(to)) => Arc::new(
                TransposedConvolution::declare(program, name, [from, to], window, activation),
            ),
            _ => Arc::new(Dense::declare(program, name, [from, to], activation)),
        }
    }

    /// How many numbers are its parameters, weight and bias, between these shapes.
    pub fn parameters(&self, [from, to]: [Shape; 2]) -> [usize; 2] {
        match (self, from, to) {
            (
                LayerSpec::Convolution(window) | LayerSpec::Transposed(window, _),
                Shape::Map([.., inputs]),
                Shape::Map([.., outputs]),
            ) => {
                let kernel = window.kernel.saturating_mul(window.kernel);
                [kernel.saturating_mul(inputs).saturating_mul(outputs), outputs]
            }
            _ => [from.units().saturating_mul(to.units()), to.units()],
        }
    }
}

/// Height and width of what a convolution gets.
fn pixels(layer: &LayerSpec, from: Shape) -> Result<[usize; 2], String> {
    match from {
        Shape::Map([height, width, _]) => Ok([height, width]),
        Shape::Units(units) => Err(format!(
            "{layer} needs a map of pixels, it gets {units} units: give \"dense HxWxC\" before it"
        )),
    }
}

impl fmt::Display for LayerSpec {
    /// As the notation has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, window, to) = match self {
            LayerSpec::Dense(Shape::Units(n)) => return write!(f, "{n}"),
            LayerSpec::Dense(map) => return write!(f, "dense {map}"),
            LayerSpec::Convolution(window) => ("conv", window, None),
            LayerSpec::Transposed(window, to) => ("convt", window, *to),
        };
        f.write_str(word)?;
        if let Some(channels) = window.channels {
            write!(f, " {channels}")?;
        }
        write!(f, " {}/{}", window.kernel, window.stride)?;
        if let Some(padding) = window.padding {
            write!(f, " pad {padding}")?;
        }
        match to {
            Some([height, width]) => write!(f, " to {height}x{width}"),
            None => Ok(()),
        }
    }
}

impl FromStr for LayerSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("{:?} is no layer: {USAGE}", text.trim());
        let number = |word: &str| word.parse().ok().filter(|&n: &usize| n > 0 && n < 1 << 40);
        let sizes = |word: &str| word.split('x').map(number).collect::<Option<Vec<usize>>>();
        let words: Vec<&str> = text.split_whitespace().collect();
        let (kind, mut rest) = match &words[..] {
            [units] => {
                return number(units).map(|n| LayerSpec::Dense(Shape::Units(n))).ok_or_else(fail);
            }
            ["dense", to] => {
                return match sizes(to).as_deref() {
                    Some(&[units]) => Ok(LayerSpec::Dense(Shape::Units(units))),
                    Some(&[height, width, channels]) => {
                        Ok(LayerSpec::Dense(Shape::Map([height, width, channels])))
                    }
                    _ => Err(fail()),
                };
            }
            [kind @ ("conv" | "convt"), rest @ ..] => (*kind, rest),
            _ => return Err(fail()),
        };
        let channels = match rest {
            [channels, window, ..] if window.contains('/') || number(window).is_some() => {
                rest = &rest[1..];
                Some(number(channels).ok_or_else(fail)?)
            }
            _ => None,
        };
        // A number alone could be either.
        let [window, rest @ ..] = rest else { return Err(fail()) };
        if channels.is_none() && !window.contains('/') {
            return Err(fail());
        }
        let (kernel, stride) = window.split_once('/').unwrap_or((window, "1"));
        let (kernel, stride) = number(kernel).zip(number(stride)).ok_or_else(fail)?;
        let (padding, rest) = match rest {
            ["pad", padding, rest @ ..] => (Some(padding.parse().map_err(|_| fail())?), rest),
            rest => (None, rest),
        };
        let window = Window { channels, kernel, stride, padding };
        if window.padding() >= kernel {
            return Err(format!(
                "{:?} pads by {}, which must be less than its kernel of {kernel}",
                text.trim(),
                window.padding()
            ));
        }
        match (kind, rest) {
            ("conv", []) => Ok(LayerSpec::Convolution(window)),
            ("convt", []) => Ok(LayerSpec::Transposed(window, None)),
            ("convt", ["to", size]) => match sizes(size).as_deref() {
                Some(&[height, width]) => Ok(LayerSpec::Transposed(window, Some([height, width]))),
                _ => Err(fail()),
            },
            _ => Err(fail()),
        }
    }
}

impl Serialize for LayerSpec {
    /// A number of units, or a text in the notation.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            LayerSpec::Dense(Shape::Units(n)) => n.serialize(serializer),
            other => other.to_string().serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Units(usize),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Units(n) => Ok(LayerSpec::Dense(Shape::Units(n))),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
