//! What a layer of a network is by itself: what it gives of what it takes, what leads back, what it is made of.

use std::sync::Arc;

use super::chain::Chain;
use super::{
    Activation, Convolution, Dense, Gate, GroupNorm, Layer, Residual, Shape, Silu,
    TransposedConvolution,
};
use crate::plan::Program;

/// A layer before it is in a network. It is followed by the network's activation, or by a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerSpec {
    pub kind: Kind,
    /// Whether it computes twice as many channels, half of which say what passes of the other half.
    pub gated: bool,
    /// Groups of channels that are normalised before the activation. They divide the channels.
    pub norm: Option<usize>,
}

/// What a layer computes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fully connected.
    Dense(Shape),
    /// A convolution.
    Convolution(Window),
    /// A transposed convolution, to this height and width, or else to the smallest that it can have.
    Transposed(Window, Option<[usize; 2]>),
    /// A residual block to so many channels.
    Residual(usize),
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

impl From<Kind> for LayerSpec {
    /// Without a gate and a normalisation.
    fn from(kind: Kind) -> Self {
        LayerSpec { kind, gated: false, norm: None }
    }
}

impl Window {
    /// Through 3x3 pixels, one place a pixel.
    const fn same(channels: Option<usize>) -> Self {
        Window { channels, kernel: 3, stride: 1, padding: None }
    }

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
    /// A fully connected layer to this shape.
    pub fn dense(to: Shape) -> Self {
        Kind::Dense(to).into()
    }

    /// Whether it is a fully connected layer of units, with nothing besides its activation.
    pub fn is_plain(&self) -> bool {
        *self == LayerSpec { gated: false, norm: None, ..*self }
            && matches!(self.kind, Kind::Dense(Shape::Units(_)))
    }

    /// Whether the network's activation is the last that it computes, so that it can be left out.
    pub fn ends_with_activation(&self) -> bool {
        !self.gated && !matches!(self.kind, Kind::Residual(_))
    }

    /// Whether its channels are the likelihood's: it can only be a decoder's last.
    pub fn is_open(&self) -> bool {
        match &self.kind {
            Kind::Dense(_) | Kind::Residual(_) => false,
            Kind::Convolution(window) | Kind::Transposed(window, _) => window.channels.is_none(),
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
        match &self.kind {
            Kind::Dense(to) => Ok(*to),
            Kind::Residual(channels) => {
                let [height, width] = pixels(self, from)?;
                Ok(Shape::Map([height, width, *channels]))
            }
            Kind::Convolution(window) => {
                let [height, width] = pixels(self, from)?;
                let places = window.places(height).zip(window.places(width)).ok_or_else(|| {
                    format!(
                        "{self} needs {} pixels in height and width, it gets {from}",
                        window.kernel
                    )
                })?;
                Ok(Shape::Map([places.0, places.1, channels(window)?]))
            }
            Kind::Transposed(window, to) => {
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

    /// The layer that leads from what this one gives back to `from`; where that is the image, its channels are open and it
    /// is the decoder's output, which has no gate and no normalisation.
    pub fn mirrored(&self, from: Shape, is_first: bool) -> LayerSpec {
        let kind = match (self.kind, from) {
            (Kind::Convolution(window), Shape::Map([height, width, channels])) => {
                let channels = if is_first { None } else { Some(channels) };
                let window = Window { channels, ..window };
                let least = window.places(height).and_then(|places| window.pixels(places));
                let across = window.places(width).and_then(|places| window.pixels(places));
                let exact = (least, across) == (Some(height), Some(width));
                Kind::Transposed(window, if exact { None } else { Some([height, width]) })
            }
            (Kind::Transposed(window, _), Shape::Map([_, _, channels])) => {
                let channels = if is_first { None } else { Some(channels) };
                Kind::Convolution(Window { channels, ..window })
            }
            (Kind::Residual(_), Shape::Map(_)) if is_first => Kind::Convolution(Window::same(None)),
            (Kind::Residual(_), Shape::Map([.., channels])) => Kind::Residual(channels),
            _ => Kind::Dense(from),
        };
        if is_first {
            return kind.into();
        }
        let norm = self.norm.map(|groups| common_divisor(groups, from.channels()));
        LayerSpec { kind, norm, ..*self }
    }

    /// The layer that leads from a decoder's last map to the image, its channels open, if they are of the same size or
    /// the image is a multiple.
    pub fn to_image(map: [usize; 3], [height, width]: [usize; 2]) -> Option<LayerSpec> {
        let stride = height.div_ceil(map[0]);
        if stride == 1 {
            let same = [map[0], map[1]] == [height, width];
            return same.then_some(Kind::Convolution(Window::same(None)).into());
        }
        let window = |kernel| Window { channels: None, kernel, stride, padding: None };
        [window(2 * stride), window(2 * stride - 1)].into_iter().find_map(|window| {
            let to = LayerSpec::from(Kind::Transposed(window, Some([height, width])));
            to.output(Shape::Map(map), Some(1)).ok()?;
            let least = window.pixels(map[0]).zip(window.pixels(map[1]));
            let exact = least == Some((height, width));
            Some(if exact { Kind::Transposed(window, None).into() } else { to })
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
        let before_gate = if self.gated { to.with_channels(2 * to.channels()) } else { to };
        let shapes = [from, before_gate];
        // Each layer but the last is left as it is; what a layer can compute itself needs no other.
        let last = if self.gated { Activation::Identity } else { activation.in_layer() };
        let first = if self.norm.is_some() { Activation::Identity } else { last };
        let mut layers: Vec<Arc<dyn Layer>> = match (self.kind, from, before_gate) {
            (Kind::Convolution(window), Shape::Map(from), Shape::Map(to)) => {
                let name = name.clone();
                vec![Arc::new(Convolution::declare(program, name, [from, to], &window, first))]
            }
            (Kind::Transposed(window, _), Shape::Map(from), Shape::Map(to)) => {
                let (name, shapes) = (name.clone(), [from, to]);
                let layer = TransposedConvolution::declare(program, name, shapes, &window, first);
                vec![Arc::new(layer)]
            }
            (Kind::Residual(_), Shape::Map(from), Shape::Map(to)) => {
                vec![self.residual(program, &name, [from, to], activation)]
            }
            _ => vec![Arc::new(Dense::declare(program, name.clone(), shapes, first))],
        };
        if let (Some(groups), false) = (self.norm, matches!(self.kind, Kind::Residual(_))) {
            let name = format!("{name}.norm");
            let norm = GroupNorm::declare(program, name, before_gate, groups, last);
            layers.push(Arc::new(norm));
        }
        if self.gated {
            layers.push(Arc::new(Gate { name: format!("{name}.gate"), to }));
        } else if activation == Activation::Silu {
            layers.push(Arc::new(Silu { name: format!("{name}.silu"), units: to.units() }));
        }
        Chain::of(&name, layers)
    }

    /// A residual block, whose own normalisations and activation are as those of the network.
    fn residual(
        &self,
        program: &mut Program,
        name: &str,
        [from, to]: [[usize; 3]; 2],
        activation: Activation,
    ) -> Arc<dyn Layer> {
        let channels = Some(to[2]);
        let mut path = Vec::new();
        for (i, (from, activation)) in
            [(from, activation), (to, Activation::Identity)].into_iter().enumerate()
        {
            let last = activation.in_layer();
            let first = if self.norm.is_some() { Activation::Identity } else { last };
            let window = Window::same(channels);
            let own = format!("{name}.conv{}", i + 1);
            let layer = Convolution::declare(program, own, [from, to], &window, first);
            path.push(Arc::new(layer) as Arc<dyn Layer>);
            if let Some(groups) = self.norm {
                let own = format!("{name}.norm{}", i + 1);
                path.push(Arc::new(GroupNorm::declare(program, own, Shape::Map(to), groups, last)));
            }
            if activation == Activation::Silu {
                let units = Shape::Map(to).units();
                path.push(Arc::new(Silu { name: format!("{name}.silu{}", i + 1), units }));
            }
        }
        let skip = (from[2] != to[2]).then(|| {
            let window = Window { kernel: 1, ..Window::same(channels) };
            let (own, none) = (format!("{name}.skip"), Activation::Identity);
            Arc::new(Convolution::declare(program, own, [from, to], &window, none))
                as Arc<dyn Layer>
        });
        let name = name.to_string();
        Arc::new(Residual { name, path, skip, activation: activation.in_layer() })
    }

    /// How many numbers each of its parameters has, between these shapes.
    pub fn parameters(&self, [from, to]: [Shape; 2]) -> Vec<usize> {
        let outputs = to.channels().saturating_mul(if self.gated { 2 } else { 1 });
        let of_window = |kernel: usize, inputs: usize| {
            let weight = kernel.saturating_mul(kernel).saturating_mul(inputs);
            [weight.saturating_mul(outputs), outputs]
        };
        let (inputs, mut norms) = (from.channels(), 1);
        let mut parameters = match self.kind {
            Kind::Convolution(window) | Kind::Transposed(window, _) => {
                of_window(window.kernel, inputs).to_vec()
            }
            Kind::Residual(channels) => {
                norms = 2;
                let skip = if channels == inputs { &[][..] } else { &of_window(1, inputs) };
                [&of_window(3, inputs), &of_window(3, channels), skip].concat()
            }
            Kind::Dense(_) => {
                let units = to.units().saturating_mul(if self.gated { 2 } else { 1 });
                vec![from.units().saturating_mul(units), units]
            }
        };
        if self.norm.is_some() {
            parameters.extend(std::iter::repeat_n(outputs.saturating_mul(2), norms));
        }
        parameters
    }
}

/// The largest number that divides both.
pub(super) fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
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
