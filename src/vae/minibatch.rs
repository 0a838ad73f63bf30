//! A data set on the device: how minibatches are drawn from it, and where the figures of a step go.

use super::architecture::Architecture;
use super::binarization::Binarization;
use crate::kernels::{clock, end_step, gather, rates, seen};
use crate::numeric::philox::{Stream, half_bits};
use crate::plan::{DType, PlanError, PlanId, Recorder, TensorId};

/// What the elements of a data set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Grey levels, and what becomes of them.
    Bytes(Binarization),
    /// Real values, taken as they are by encoder and likelihood.
    Reals,
    /// Real values of which some are missing, see [`seen`]: they have no part in the likelihood, and the encoder gets 0
    /// in their place, the mean of a standardised column.
    Masked,
    /// Counts, 0, 1, 2 and so on, as real values. The likelihood is of them as they are: `Minibatch::x`. The encoder gets
    /// ln(1 + x), `Minibatch::seen`, in whose range a network begins well whatever the counts are.
    Counts,
}

impl Content {
    pub(super) fn dtype(self) -> DType {
        match self {
            Content::Bytes(_) => DType::U8,
            Content::Reals | Content::Masked | Content::Counts => DType::F32,
        }
    }
}

/// A data set and how minibatches are drawn from it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// N
    pub images: usize,
    /// Rows of a window that the host keeps filled with the next draws, a power of two below N;
    /// `None` for a data set that is on the device as a whole.
    pub window: Option<usize>,
    /// What an element of it is.
    pub content: Content,
    /// Of images that are mirrored left to right with probability 1/2, anew each epoch; `None` of none.
    pub flips: Option<Flips>,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
}

/// What mirroring has to know of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flips {
    /// Pixels of a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

impl Source {
    /// The dimensions of the tensor with the classes of the images, where a network is told them: two bytes each.
    pub(super) fn labels(&self, architecture: &Architecture) -> Option<[usize; 2]> {
        let told = !architecture.classes.is_empty();
        told.then_some([self.window.unwrap_or(self.images), 2])
    }
}

/// The random numbers and the order of a pass over a data set.
#[derive(Clone, Copy)]
pub(super) struct Streams {
    /// Of binarization.
    pub pixels: Stream,
    /// Of the posterior's samples.
    pub noise: Stream,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
}

impl Streams {
    pub const TRAIN: Streams =
        Streams { pixels: Stream::TrainPixels, noise: Stream::TrainNoise, shuffle: true };
    pub const TEST: Streams =
        Streams { pixels: Stream::TestPixels, noise: Stream::TestNoise, shuffle: false };
}

/// The tensors by which the host feeds a pass over a data set and reads its result.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// One step.
    pub plan: PlanId,
    /// (N, D) u8, or f32 of real values; of a window (ROWS, D)
    pub data: TensorId,
    /// (N, 2) u8: the class of each image, where the network is told it; of a window (ROWS, 2)
    pub labels: Option<TensorId>,
    /// How its minibatches are drawn.
    pub source: Source,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (4), see [`rates`]
    pub rates: TensorId,
    /// (S, 4), see [`end_step`]
    pub history: TensorId,
    /// S: steps the history holds, those of one pass over the data at least.
    pub history_steps: usize,
    /// (B) nats: L_K of each image, where the plan computes it.
    pub bound: Option<TensorId>,
    /// (S): the norms of the gradients, and beyond which they are clipped, where they are.
    pub norms: Option<(TensorId, f32)>,
}

impl Pass {
    /// Declares the tensors of a pass over images for an architecture.
    pub(super) fn declare(r: &mut Recorder, source: Source, architecture: &Architecture) -> Self {
        let Source { images, window, content, batch, .. } = source;
        let history_steps = images.div_ceil(batch) + 1;
        Pass {
            plan: PlanId(usize::MAX), // known once the plan is finished
            source,
            data: r.tensor_of(
                "data",
                &[window.unwrap_or(images), architecture.pixels()],
                content.dtype(),
            ),
            labels: source.labels(architecture).map(|dims| r.tensor_of("labels", &dims, DType::U8)),
            clock: r.tensor_of("clock", &[clock::WORDS], DType::U32),
            rates: r.tensor("rates", &[rates::WORDS]),
            history: r.tensor("history", &[history_steps, end_step::COLUMNS]),
            history_steps,
            bound: None,
            norms: None,
        }
    }

    /// Records the end of a step: `log_px` (B*K) and `kl` (B) into the history, the clock and the rates to the
    /// next step. `wrap`: an epoch follows upon the other. `constants` are what the next step's rates depend
    /// on.
    pub(super) fn end_step(
        &self,
        r: &mut Recorder,
        log_px: TensorId,
        kl: TensorId,
        wrap: bool,
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        let mut tensors = vec![
            ("log_px", log_px),
            ("kl", kl),
            ("history", self.history),
            ("clock", self.clock),
            ("rates", self.rates),
        ];
        tensors.extend(self.bound.map(|bound| ("bound", bound)));
        let kernel =
            if self.bound.is_some() { &end_step::END_STEP_WITH_BOUND } else { &end_step::END_STEP };
        let mut all = vec![
            ("K", self.source.samples as f64),
            ("N", self.source.images as f64),
            ("WRAP", f64::from(u8::from(wrap))),
        ];
        all.extend(constants);
        r.dispatch(kernel, &tensors, &all)
    }
}

/// The tensors of a minibatch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minibatch {
    /// (B, D) what the likelihood is of
    pub x: TensorId,
    /// (B, D) what the encoder gets
    pub seen: TensorId,
    /// Whether elements of x may be missing.
    pub masked: bool,
    /// (B) u32: the classes that encoder and decoder are told, if they are
    pub classes: Option<TensorId>,
}

/// Records the next minibatch of a data set, with the classes of `labels`, if there are any.
pub(super) fn draw(
    r: &mut Recorder,
    source: Source,
    [data, clock]: [TensorId; 2],
    labels: Option<TensorId>,
    streams: &Streams,
) -> Result<Minibatch, PlanError> {
    let Source { images, content, flips, batch, .. } = source;
    let pixels = r.dims(data)[1];
    let x = r.tensor("x", &[batch, pixels]);
    let shuffle = ("SHUFFLE", f64::from(u8::from(streams.shuffle)));
    let half_bits = ("HALF_BITS", f64::from(half_bits(images)));
    match content {
        Content::Bytes(binarization) => {
            let mut constants = vec![
                ("N", images as f64),
                ("BINARIZATION", binarization.number()),
                shuffle,
                half_bits,
                ("STREAM", streams.pixels.number()),
            ];
            if let Some(Flips { width, channels }) = flips {
                constants.extend([
                    ("FLIP", 1.0),
                    ("FLIP_STREAM", Stream::TrainFlips.number()),
                    ("WIDTH", width as f64),
                    ("CHANNELS", channels as f64),
                ]);
            }
            r.dispatch(&gather::GATHER, &[("data", data), ("clock", clock), ("x", x)], &constants)?;
        }
        Content::Reals | Content::Masked | Content::Counts => r.dispatch(
            &gather::GATHER_REAL,
            &[("values", data), ("clock", clock), ("x", x)],
            &[("N", images as f64), shuffle, half_bits],
        )?,
    }
    let classes = match labels {
        Some(labels) => {
            let classes = r.tensor_of("classes", &[batch], DType::U32);
            r.dispatch(
                &gather::GATHER_CLASSES,
                &[("labels", labels), ("clock", clock), ("classes", classes)],
                &[("N", images as f64), shuffle, half_bits],
            )?;
            Some(classes)
        }
        None => None,
    };
    Ok(Minibatch { classes, ..as_encoded(r, content, x)? })
}

/// Records what the encoder gets of observations `x` (B, D), whose classes it is not told.
pub(super) fn as_encoded(
    r: &mut Recorder,
    content: Content,
    x: TensorId,
) -> Result<Minibatch, PlanError> {
    let masked = content == Content::Masked;
    let counts = match content {
        Content::Bytes(_) | Content::Reals => {
            return Ok(Minibatch { x, seen: x, masked, classes: None });
        }
        Content::Masked => 0.0,
        Content::Counts => 1.0,
    };
    let seen = r.tensor("seen", &r.dims(x));
    r.dispatch(&seen::SEEN, &[("x", x), ("seen", seen)], &[("COUNTS", counts)])?;
    Ok(Minibatch { x, seen, masked, classes: None })
}
