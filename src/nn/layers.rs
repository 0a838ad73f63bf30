//! Lists of layers: those of a kind of network, those that lead back, and how they are written.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::spec::{Kind, LayerSpec, Window};
use super::{Activation, Shape};
use crate::named::named;

named! {
    /// Kinds of networks, in sizes that suit the images.
    pub enum NetworkKind {
        /// Fully connected layers: one of 400 units each side
        Mlp = "mlp",
        /// Convolutions that halve the image each, then 256 units; the way back by transposed convolutions
        Conv = "conv",
    }
}

impl NetworkKind {
    /// An encoder's hidden layers for images of this height, width and channels.
    pub fn layers(self, image: [usize; 3]) -> Layers {
        match self {
            NetworkKind::Mlp => vec![400].into(),
            NetworkKind::Conv => Layers::convolutional(image),
        }
    }

    /// What follows its hidden layers unless something else is asked for. Convolutions learn colours sooner with the SiLU,
    /// see docs/networks.md.
    pub fn activation(self) -> Activation {
        match self {
            NetworkKind::Mlp => Activation::Relu,
            NetworkKind::Conv => Activation::Silu,
        }
    }
}

/// Layers one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layers(pub Vec<LayerSpec>);

impl Layers {
    /// Convolutions for images of this size, each of which halves it, down to about four pixels, then 256 units.
    fn convolutional(image: [usize; 3]) -> Self {
        let mut least = image[0].min(image[1]);
        let mut layers = Vec::new();
        let mut channels = 32;
        while least >= 8 && layers.len() < 4 {
            let window = Window { channels: Some(channels), kernel: 4, stride: 2, padding: None };
            layers.push(Kind::Convolution(window).into());
            (least, channels) = (least / 2, (2 * channels).min(256));
        }
        layers.push(LayerSpec::dense(Shape::Units(256)));
        Layers(layers)
    }

    /// Those that lead back: a decoder for this encoder of `image`.
    ///
    /// # Errors
    /// As [`LayerSpec::output`].
    pub fn mirrored(&self, image: Shape) -> Result<Self, String> {
        let mut from = image;
        let mut back = Vec::new();
        for (i, layer) in self.iter().enumerate() {
            // Of a first fully connected layer the way back is the likelihood's own, which any decoder has.
            if i > 0 || !matches!(layer.kind, Kind::Dense(_)) {
                back.push(layer.mirrored(from, i == 0));
            }
            from = layer.output(from, None)?;
        }
        if let Some(last) = self.last() {
            back.push(LayerSpec { kind: Kind::Dense(from), ..*last });
        }
        back.reverse();
        Ok(Layers(back))
    }

    /// Whether all are fully connected layers of units with nothing besides.
    pub fn are_dense(&self) -> bool {
        self.iter().all(LayerSpec::is_plain)
    }
}

impl Deref for Layers {
    type Target = [LayerSpec];

    fn deref(&self) -> &[LayerSpec] {
        &self.0
    }
}

impl From<&[usize]> for Layers {
    /// Fully connected layers of these widths.
    fn from(widths: &[usize]) -> Self {
        Layers(widths.iter().map(|&n| LayerSpec::dense(Shape::Units(n))).collect())
    }
}

impl From<Vec<usize>> for Layers {
    fn from(widths: Vec<usize>) -> Self {
        Layers::from(&widths[..])
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, layer) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            layer.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Layers {
    type Err = String;

    /// "none" has no layer.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "none" => Ok(Layers::default()),
            text => Ok(Layers(text.split(',').map(str::parse).collect::<Result<_, _>>()?)),
        }
    }
}

impl Serialize for Layers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Layers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str) -> Layers {
        text.parse().expect("layers")
    }

    /// The shapes behind each layer.
    fn shapes(text: &str, image: [usize; 3]) -> Result<String, String> {
        let mut at = Shape::Map(image);
        let mut shapes = Vec::new();
        for layer in layers(text).iter() {
            at = layer.output(at, None)?;
            shapes.push(at.to_string());
        }
        Ok(shapes.join(" "))
    }

    #[test]
    fn layers_are_read_as_they_are_written() {
        for text in [
            "400",
            "200, 100",
            "dense 7x7x64",
            "conv 32 4/2, conv 64 3/1 pad 0, 256",
            "convt 16 4/2, convt 8 3/2 to 7x8, convt 4/2",
            "conv 5/1 pad 2",
            "conv 32 4/2 norm 8, res 32, res 12 norm 3, gated 300, gated dense 7x7x64 norm 4",
            "gated convt 16 4/2 to 7x8, 400 norm 1",
        ] {
            assert_eq!(layers(text).to_string(), text);
            let json = serde_json::to_string(&layers(text)).expect("JSON");
            assert_eq!(serde_json::from_str::<Layers>(&json).expect("layers"), layers(text));
        }
        assert_eq!(layers("200,100"), vec![200, 100].into());
        assert_eq!(layers("none"), Layers::default());
        assert_eq!(layers("conv 32 3"), layers("conv 32 3/1"));
        assert_eq!(layers("dense 9"), vec![9].into());
        assert_eq!(
            layers("conv 12 3 norm, res 64 norm, dense 2x2x3 norm, 400 norm"),
            layers("conv 12 3/1 norm 4, res 64 norm 8, dense 2x2x3 norm 1, 400 norm 1")
        );
        assert_eq!(
            serde_json::to_string(&layers("200, conv 3 4/2")).unwrap(),
            r#"[200,"conv 3 4/2"]"#
        );
    }

    #[test]
    fn what_is_no_layer_is_refused() {
        for text in [
            "",
            "0",
            "-3",
            "4.5",
            "400,",
            "conv",
            "conv 32",
            "conv 32 0/2",
            "conv 32 4/0",
            "conv 32 4/2 pad",
            "conv 32 4/2 pad x",
            "conv 32 4/2 to 3x3",
            "convt 32 4/2 to 3",
            "dense 7x7",
            "dense",
            "pool 2",
            "conv x 4/2",
            "res",
            "res 64/2",
            "res 0",
            "gated",
            "norm",
            "400 norm 0",
            "400 norm x",
            "400 norm 2 2",
            "norm 400",
            "400 gated",
            "conv 32 norm",
            "99999999999999",
        ] {
            let error = text.parse::<Layers>().expect_err(text);
            assert!(error.contains("is no layer"), "{text}: {error}");
        }
        let error = "conv 32 4/2 pad 4".parse::<Layers>().expect_err("too much padding");
        assert!(error.contains("pads by 4, which must be less than its kernel of 4"), "{error}");
        for (text, words) in [
            ("conv 30 3 norm 8", "normalises 30 channels in 8 groups"),
            ("10 norm 3", "normalises 10 channels in 3 groups"),
            ("gated res 8", "a residual block has no gate"),
            ("convt 4/2 norm", "has no gate and no norm"),
            ("gated conv 3/1", "has no gate and no norm"),
        ] {
            let error = text.parse::<Layers>().expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    /// By PyTorch's formulas for Conv2d and ConvTranspose2d.
    #[test]
    fn shapes_are_pytorchs() {
        let shape = |text: &str, image| shapes(text, image).expect("shapes that meet");
        assert_eq!(shape("conv 32 4/2, conv 64 4/2, 256", [28, 28, 1]), "14x14x32 7x7x64 256");
        assert_eq!(shape("conv 8 3, conv 8 3/2, conv 8 5/3", [28, 19, 3]), "28x19x8 14x10x8 4x3x8");
        assert_eq!(
            shape("convt 8 4/2, convt 4 3/2, convt 2 2/2", [7, 5, 3]),
            "14x10x8 27x19x4 54x38x2"
        );
        assert_eq!(shape("convt 8 3/2 to 14x10", [7, 5, 3]), "14x10x8");
    }

    #[test]
    fn shapes_that_do_not_meet_say_why() {
        for (text, words) in [
            ("conv 8 9/1 pad 0", "needs 9 pixels"),
            ("20, conv 8 3", "give \"dense HxWxC\" before it"),
            ("convt 8 4/2 to 20x10", "leads from 7x5x3 to 14x10, or to up to 1 pixels more"),
            ("conv 3/1, 4", "needs its number of channels"),
            ("20, res 8", "res 8 needs a map of pixels, it gets 20 units"),
        ] {
            let error = shapes(text, [7, 5, 3]).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn mirrored_layers_lead_back() {
        for (text, image, back) in [
            ("400, 200", [28, 28, 1], "200, 400"),
            ("none", [28, 28, 1], "none"),
            (
                "conv 32 4/2, conv 64 4/2, 256",
                [28, 28, 1],
                "256, dense 7x7x64, convt 32 4/2, convt 4/2",
            ),
            ("conv 8 3/2, conv 9 3/1", [15, 10, 3], "dense 8x5x9, convt 8 3/1, convt 3/2 to 15x10"),
            (
                "conv 12 4/2 norm, res 16 norm, gated conv 8 4/2, gated 30 norm",
                [16, 16, 3],
                "gated 30 norm, gated dense 4x4x8 norm 1, gated convt 16 4/2, res 12 norm 4, convt 4/2",
            ),
            ("res 8 norm, 9", [5, 5, 3], "9, dense 5x5x8, conv 3/1"),
            ("gated 300, gated 200", [28, 28, 1], "gated 200, gated 300"),
        ] {
            let mirrored = layers(text).mirrored(Shape::Map(image)).expect("shapes that meet");
            assert_eq!(mirrored, layers(back), "{text}: {mirrored}");
        }
        for image in
            [[1, 1, 1], [5, 9, 3], [8, 8, 1], [28, 28, 1], [33, 47, 3], [64, 64, 3], [218, 178, 3]]
        {
            let encoder = NetworkKind::Conv.layers(image);
            let mut at = Shape::Units(7);
            for layer in encoder.mirrored(Shape::Map(image)).expect("shapes that meet").iter() {
                at = layer.output(at, Some(image[2])).expect("shapes that meet");
            }
            assert!(encoder.len() == 1 || at == Shape::Map(image), "{image:?}: {at}");
        }
    }
}
