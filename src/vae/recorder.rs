//! The parts that steps are made of: each records a few kernels and returns the tensors they write.

use super::config::Binarization;
use super::network::{Layer, Network};
use crate::kernels::philox::{Stream, half_bits};
use crate::kernels::{Kernel, clock, gather, importance, latent, linear, posterior, rates, tally};
use crate::plan::{DType, Plan, PlanError, PlanId, Program, TensorId};

/// What the elements of a data set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Grey levels, and what becomes of them.
    Bytes(Binarization),
    /// Real values, taken as they are.
    Reals,
}

impl Content {
    pub(super) fn dtype(self) -> DType {
        match self {
            Content::Bytes(_) => DType::U8,
            Content::Reals => DType::F32,
        }
    }
}

/// A data set and how minibatches are drawn from it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// N
    pub images: usize,
    /// Rows of a window of bytes that the host keeps filled with the next draws, a power of two below N;
    /// `None` for a data set that is on the device as a whole.
    pub window: Option<usize>,
    /// What an element of it is.
    pub content: Content,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
}

/// The tensors by which the host feeds a pass over a data set and reads its result.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// One step.
    pub plan: PlanId,
    /// (N, D) u8, or f32 of real values; of a window (ROWS, D)
    pub data: TensorId,
    /// How its minibatches are drawn.
    pub source: Source,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (4), see [`rates`]
    pub rates: TensorId,
    /// (S, 4), see [`tally`]
    pub history: TensorId,
    /// S: steps the history holds, those of one pass over the data at least.
    pub history_steps: usize,
    /// (B) nats: L_K of each image, where the plan computes it.
    pub bound: Option<TensorId>,
}

impl Source {
    pub(super) fn rows(count: usize) -> Self {
        let content = Content::Bytes(Binarization::None);
        Source { images: count, window: None, content, batch: count, samples: 1 }
    }
}

pub(super) struct Streams {
    pixels: Stream,
    noise: Stream,
    shuffle: bool,
}

impl Streams {
    pub(super) const TRAIN: Streams =
        Streams { pixels: Stream::TrainPixels, noise: Stream::TrainNoise, shuffle: true };
    pub(super) const TEST: Streams =
        Streams { pixels: Stream::TestPixels, noise: Stream::TestNoise, shuffle: false };
}

/// What the encoder leaves behind.
pub(super) struct Encoded {
    /// (B, D)
    pub x: TensorId,
    /// Outputs of the encoder's layers; the last is `heads`.
    pub outputs: Vec<TensorId>,
    /// (B, 2*Z)
    pub heads: TensorId,
}

/// Samples of the posterior, and what came with them.
#[derive(Clone, Copy)]
pub(super) struct Sampled {
    /// (B, 2*Z)
    pub heads: TensorId,
    /// (B*K, Z)
    pub eps: TensorId,
    /// (B*K, Z)
    pub z: TensorId,
    /// (B) nats
    pub kl: TensorId,
    /// Of the decoder's first layer, where it came with z.
    pub first_output: Option<TensorId>,
}

/// Records one plan; scratch tensors are named after it.
pub(super) struct Recorder<'a> {
    pub program: &'a mut Program,
    pub plan: Plan,
    source: Source,
}

impl<'a> Recorder<'a> {
    pub fn new(program: &'a mut Program, name: &str, source: Source) -> Self {
        Recorder { program, plan: Plan::new(name), source }
    }

    pub fn tensor(&mut self, name: &str, dims: &[usize]) -> TensorId {
        self.program.tensor(format!("{}/{name}", self.plan.name), dims, DType::F32)
    }

    /// B * K
    pub fn rows(&self) -> usize {
        self.source.batch * self.source.samples
    }

    /// K
    pub fn samples(&self) -> usize {
        self.source.samples
    }

    pub fn dispatch(
        &mut self,
        kernel: &'static Kernel,
        tensors: &[(&str, TensorId)],
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        self.plan.dispatch(self.program, kernel, tensors, constants)
    }

    pub fn declare_pass(&mut self, network: &Network) -> Pass {
        let name = self.plan.name.clone();
        let Source { images, window, content, batch, .. } = self.source;
        let history_steps = images.div_ceil(batch) + 1;
        let dims = [window.unwrap_or(images), network.architecture.pixels()];
        Pass {
            plan: PlanId(usize::MAX), // set by `finish`
            source: self.source,
            data: self.program.tensor(format!("{name}/data"), &dims, content.dtype()),
            clock: self.program.tensor(format!("{name}/clock"), &[clock::WORDS], DType::U32),
            rates: self.program.tensor(format!("{name}/rates"), &[rates::WORDS], DType::F32),
            history: self.tensor("history", &[history_steps, tally::COLUMNS]),
            history_steps,
            bound: None,
        }
    }

    pub fn finish(self, pass: Pass) -> Pass {
        let plan = self.program.add(self.plan);
        Pass { plan, ..pass }
    }

    /// Minibatch and encoder.
    pub fn encode(
        &mut self,
        network: &Network,
        pass: Pass,
        streams: &Streams,
    ) -> Result<Encoded, PlanError> {
        let x = self.minibatch(network, pass.data, pass.clock, streams)?;
        let outputs = self.stack(&network.encoder, x, self.source.batch)?;
        let heads = *outputs.last().expect("an encoder has layers");
        Ok(Encoded { x, outputs, heads })
    }

    /// K samples of q an image, and its KL.
    pub fn sample(
        &mut self,
        network: &Network,
        heads: TensorId,
        pass: Pass,
        streams: &Streams,
    ) -> Result<Sampled, PlanError> {
        let Source { images, batch, samples, .. } = self.source;
        if samples > 1 || network.decoder.len() < 2 {
            let (eps, z) = self.draw(network, heads, pass, streams, 1.0)?;
            let kl = self.tensor("kl", &[batch]);
            self.dispatch(&posterior::GAUSSIAN_KL, &[("heads", heads), ("kl", kl)], &[])?;
            return Ok(Sampled { heads, eps, z, kl, first_output: None });
        }
        let layer = &network.decoder[0];
        let dims = [batch, network.architecture.latent];
        let (eps, z) = (self.tensor("eps", &dims), self.tensor("z", &dims));
        let kl = self.tensor("kl", &[batch]);
        let y = self.tensor(&layer.name, &[batch, layer.outputs]);
        self.dispatch(
            &latent::SAMPLE_FORWARD,
            &[
                ("heads", heads),
                ("clock", pass.clock),
                ("weight", layer.weight),
                ("bias", layer.bias),
                ("eps", eps),
                ("z", z),
                ("kl", kl),
                ("y", y),
            ],
            &[
                ("STREAM", streams.noise.number()),
                ("N", images as f64),
                ("ACTIVATION", layer.activation.number()),
            ],
        )?;
        Ok(Sampled { heads, eps, z, kl, first_output: Some(y) })
    }

    /// `noise` times K draws from q an image, around its mean: the draws and z.
    pub fn draw(
        &mut self,
        network: &Network,
        heads: TensorId,
        pass: Pass,
        streams: &Streams,
        noise: f64,
    ) -> Result<(TensorId, TensorId), PlanError> {
        let images = self.source.images as f64;
        let dims = [self.rows(), network.architecture.latent];
        let (eps, z) = (self.tensor("eps", &dims), self.tensor("z", &dims));
        self.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", pass.clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", images)],
        )?;
        Ok((eps, z))
    }

    /// The next minibatch as the encoder sees it, (B, D).
    pub fn minibatch(
        &mut self,
        network: &Network,
        data: TensorId,
        clock: TensorId,
        streams: &Streams,
    ) -> Result<TensorId, PlanError> {
        let Source { images, content, batch, .. } = self.source;
        let x = self.tensor("x", &[batch, network.architecture.pixels()]);
        let shuffle = ("SHUFFLE", f64::from(u8::from(streams.shuffle)));
        let half_bits = ("HALF_BITS", f64::from(half_bits(images)));
        match content {
            Content::Bytes(binarization) => self.dispatch(
                &gather::GATHER,
                &[("data", data), ("clock", clock), ("x", x)],
                &[
                    ("N", images as f64),
                    ("BINARIZATION", binarization.number()),
                    shuffle,
                    half_bits,
                    ("STREAM", streams.pixels.number()),
                ],
            )?,
            Content::Reals => self.dispatch(
                &gather::GATHER_REAL,
                &[("values", data), ("clock", clock), ("x", x)],
                &[shuffle, half_bits],
            )?,
        }
        Ok(x)
    }

    /// The first of the decoder's layers, of samples of the posterior; returns the output of each.
    pub fn decode(
        &mut self,
        layers: &[Layer],
        sampled: &Sampled,
    ) -> Result<Vec<TensorId>, PlanError> {
        let rows = self.rows();
        let Some(first) = sampled.first_output else { return self.stack(layers, sampled.z, rows) };
        let mut outputs = vec![first];
        outputs.extend(self.stack(&layers[1..], first, rows)?);
        Ok(outputs)
    }

    /// Layers one after the other; returns the output (rows, outputs) of each.
    pub fn stack(
        &mut self,
        layers: &[Layer],
        x: TensorId,
        rows: usize,
    ) -> Result<Vec<TensorId>, PlanError> {
        let mut outputs = Vec::new();
        let mut input = x;
        for layer in layers {
            let y = self.tensor(&layer.name, &[rows, layer.outputs]);
            self.dispatch(
                &linear::FORWARD,
                &[("x", input), ("weight", layer.weight), ("bias", layer.bias), ("y", y)],
                &[("ACTIVATION", layer.activation.number())],
            )?;
            outputs.push(y);
            input = y;
        }
        Ok(outputs)
    }

    /// A tensor (B*K) that always holds this.
    pub fn constant(&mut self, name: &str, value: f32) -> TensorId {
        let rows = self.rows();
        let tensor = self.tensor(name, &[rows]);
        self.program.constant(tensor, value.to_le_bytes().repeat(rows));
        tensor
    }

    /// log w of each row, (B*K).
    pub fn log_weights(
        &mut self,
        sampled: &Sampled,
        log_px: TensorId,
    ) -> Result<TensorId, PlanError> {
        let log_w = self.tensor("log_w", &[self.rows()]);
        self.dispatch(
            &importance::LOG_WEIGHT,
            &[
                ("log_px", log_px),
                ("heads", sampled.heads),
                ("eps", sampled.eps),
                ("z", sampled.z),
                ("log_w", log_w),
            ],
            &[("K", self.source.samples as f64)],
        )?;
        Ok(log_w)
    }

    /// L_K of each image into (B), and each row's weight in their mean into (B*K).
    pub fn normalize(&mut self, log_w: TensorId) -> Result<(TensorId, TensorId), PlanError> {
        let bound = self.tensor("bound", &[self.source.batch]);
        let weight = self.tensor("weight", &[self.rows()]);
        self.dispatch(
            &importance::NORMALIZE,
            &[("log_weights", log_w), ("weight", weight), ("bound", bound)],
            &[("K", self.source.samples as f64)],
        )?;
        Ok((bound, weight))
    }

    /// The end of a step; `constants` are what the next step's rates depend on.
    pub fn tally(
        &mut self,
        pass: Pass,
        log_px: TensorId,
        kl: TensorId,
        wrap: bool,
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        let mut tensors = vec![
            ("log_px", log_px),
            ("kl", kl),
            ("history", pass.history),
            ("clock", pass.clock),
            ("rates", pass.rates),
        ];
        tensors.extend(pass.bound.map(|bound| ("bound", bound)));
        let kernel = if pass.bound.is_some() { &tally::TALLY_BOUND } else { &tally::TALLY };
        let parts = self.program.get(log_px).len() / self.rows();
        let mut all = vec![
            ("T", parts as f64),
            ("N", self.source.images as f64),
            ("WRAP", f64::from(u8::from(wrap))),
        ];
        all.extend(constants);
        self.dispatch(kernel, &tensors, &all)
    }
}
