//! The notation for the layers of a network, as in "conv 32 4/2 norm, res 32 norm, gated 256".

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Shape;
use super::spec::{Kind, LayerSpec, Window, common_divisor};

/// What the notation is, for messages.
pub const USAGE: &str = "layers are UNITS, \"dense UNITS\", \"dense HxWxC\", \"conv CHANNELS KERNEL/STRIDE\", \"convt CHANNELS \
                         KERNEL/STRIDE\" and \"res CHANNELS\", separated by commas, \
                         with \"gated\" before or \"norm GROUPS\" behind them";

/// Groups of channels of a normalisation, where they divide the channels.
const GROUPS: usize = 8;

impl fmt::Display for LayerSpec {
    /// As the notation has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.gated {
            f.write_str("gated ")?;
        }
        self.kind.fmt(f)?;
        match self.norm {
            Some(groups) => write!(f, " norm {groups}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, window, to) = match self {
            Kind::Dense(Shape::Units(n)) => return write!(f, "{n}"),
            Kind::Dense(map) => return write!(f, "dense {map}"),
            Kind::Residual(channels) => return write!(f, "res {channels}"),
            Kind::Convolution(window) => ("conv", window, None),
            Kind::Transposed(window, to) => ("convt", window, *to),
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
        let words: Vec<&str> = text.split_whitespace().collect();
        let (gated, words) = match &words[..] {
            ["gated", rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let (given, words) = match words {
            [rest @ .., "norm"] => (Some(None), rest),
            [rest @ .., "norm", groups] => (Some(Some(number(groups).ok_or_else(fail)?)), rest),
            rest => (None, rest),
        };
        let kind = kind(words).ok_or_else(fail)?;
        let text = text.trim();
        let channels = match kind {
            Kind::Dense(shape) => Some(shape.channels()),
            Kind::Residual(_) if gated => {
                return Err(format!("{text:?} cannot be: a residual block has no gate"));
            }
            Kind::Residual(channels) => Some(channels),
            Kind::Convolution(window) | Kind::Transposed(window, _) => {
                if window.padding() >= window.kernel {
                    return Err(format!(
                        "{text:?} pads by {}, which must be less than its kernel of {}",
                        window.padding(),
                        window.kernel
                    ));
                }
                window.channels
            }
        };
        let Some(channels) = channels else {
            return match gated || given.is_some() {
                true => Err(format!(
                    "{text:?} cannot be: a layer without channels is the decoder's output, which has no gate and no norm"
                )),
                false => Ok(kind.into()),
            };
        };
        let usual = match kind {
            Kind::Dense(Shape::Units(_)) => 1,
            _ => common_divisor(GROUPS, channels),
        };
        let norm = given.map(|groups| groups.unwrap_or(usual));
        match norm {
            Some(groups) if !channels.is_multiple_of(groups) => Err(format!(
                "{text:?} normalises {channels} channels in {groups} groups: their number must divide that of the channels"
            )),
            _ => Ok(LayerSpec { kind, gated, norm }),
        }
    }
}

fn number(word: &str) -> Option<usize> {
    word.parse().ok().filter(|&n: &usize| n > 0 && n < 1 << 40)
}

/// What these words say of a layer before its normalisation.
fn kind(words: &[&str]) -> Option<Kind> {
    let sizes = |word: &str| word.split('x').map(number).collect::<Option<Vec<usize>>>();
    let (kind, mut rest) = match words {
        [units] => return number(units).map(|n| Kind::Dense(Shape::Units(n))),
        ["dense", to] => {
            return match sizes(to).as_deref() {
                Some(&[units]) => Some(Kind::Dense(Shape::Units(units))),
                Some(&[height, width, channels]) => {
                    Some(Kind::Dense(Shape::Map([height, width, channels])))
                }
                _ => None,
            };
        }
        ["res", channels] => return number(channels).map(Kind::Residual),
        [kind @ ("conv" | "convt"), rest @ ..] => (*kind, rest),
        _ => return None,
    };
    let channels = match rest {
        [channels, window, ..] if window.contains('/') || number(window).is_some() => {
            rest = &rest[1..];
            Some(number(channels)?)
        }
        _ => None,
    };
    // A number alone could be either.
    let [window, rest @ ..] = rest else { return None };
    if channels.is_none() && !window.contains('/') {
        return None;
    }
    let (kernel, stride) = window.split_once('/').unwrap_or((window, "1"));
    let (kernel, stride) = number(kernel).zip(number(stride))?;
    let (padding, rest) = match rest {
        ["pad", padding, rest @ ..] => (Some(padding.parse().ok()?), rest),
        rest => (None, rest),
    };
    let window = Window { channels, kernel, stride, padding };
    match (kind, rest) {
        ("conv", []) => Some(Kind::Convolution(window)),
        ("convt", []) => Some(Kind::Transposed(window, None)),
        ("convt", ["to", size]) => match sizes(size).as_deref() {
            Some(&[height, width]) => Some(Kind::Transposed(window, Some([height, width]))),
            _ => None,
        },
        _ => None,
    }
}

impl Serialize for LayerSpec {
    /// A number of units, or a text in the notation.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kind {
            Kind::Dense(Shape::Units(n)) if self.is_plain() => n.serialize(serializer),
            _ => self.to_string().serialize(serializer),
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
            Written::Units(n) => Ok(LayerSpec::dense(Shape::Units(n))),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}
