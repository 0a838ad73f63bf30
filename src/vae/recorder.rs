//! The parts that steps are made of: each records a few kernels and returns the tensors they write.

use super::config::{Adam, Binarization};
use super::network::{Layer, Network, Trained};
use crate::kernels::linear::Activation;
use crate::kernels::philox::{Stream, half_bits};
use crate::kernels::{Kernel, clock, gather, importance, linear, posterior, rates, tally};
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
    pub content: Content,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
}

/// The tensors by which the host feeds a pass over a data set and reads its result.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
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

/// What the encoder's side of a step leaves behind.
pub(super) struct Encoded {
    /// (B, D)
    pub x: TensorId,
    /// Outputs of the encoder's layers; the last is `heads`.
    pub encoded: Vec<TensorId>,
    /// (B, 2*Z)
    pub heads: TensorId,
    /// (B*K, Z)
    pub eps: TensorId,
    /// (B*K, Z)
    pub z: TensorId,
}

/// What moves the parameters in a training step.
#[derive(Clone, Copy)]
pub(super) struct Training<'a> {
    /// In the order of [`Network::parameters`].
    pub trained: &'a [Trained],
    /// (4), see [`rates`]
    pub rates: TensorId,
    pub adam: &'a Adam,
}

impl Training<'_> {
    /// Adam's overrides.
    pub fn constants(&self) -> [(&'static str, f64); 3] {
        let Adam { beta1, beta2, epsilon, .. } = *self.adam;
        [("BETA1", beta1), ("BETA2", beta2), ("EPSILON", epsilon)]
    }
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

    /// Minibatch, encoder, and `noise` times a draw from q around its mean.
    pub fn posterior_sample(
        &mut self,
        network: &Network,
        pass: Pass,
        streams: Streams,
        noise: f64,
    ) -> Result<Encoded, PlanError> {
        let Source { images, batch, samples, .. } = self.source;
        let x = self.minibatch(network, pass.data, pass.clock, &streams)?;
        let encoded = self.stack(&network.encoder, x, batch)?;
        let heads = *encoded.last().expect("an encoder has layers");
        let latent = [batch * samples, network.architecture.latent];
        let (eps, z) = (self.tensor("eps", &latent), self.tensor("z", &latent));
        self.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", pass.clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise), ("N", images as f64)],
        )?;
        Ok(Encoded { x, encoded, heads, eps, z })
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

    pub fn gaussian_kl(&mut self, heads: TensorId) -> Result<TensorId, PlanError> {
        let kl = self.tensor("kl", &[self.source.batch]);
        self.dispatch(&posterior::GAUSSIAN_KL, &[("heads", heads), ("kl", kl)], &[])?;
        Ok(kl)
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

    /// From the gradient of the last layer's output back through `layers`, whose first input is `x` and
    /// whose outputs before the last are `outputs`: moves every parameter, those of `training`, and on
    /// demand returns the gradient for `x`.
    #[allow(clippy::too_many_arguments)] // each is one part of the formula
    pub fn backward(
        &mut self,
        layers: &[Layer],
        training: Training,
        x: TensorId,
        outputs: &[TensorId],
        d_output: TensorId,
        rows: usize,
        to_input: bool,
    ) -> Result<Option<TensorId>, PlanError> {
        let mut d_y = d_output;
        for (i, layer) in layers.iter().enumerate().rev() {
            let input = if i == 0 { x } else { outputs[i - 1] };
            // Before the update: it is the gradient at the weights that the step began with.
            let mut d_input = None;
            if i > 0 || to_input {
                let made_by = if i == 0 { Activation::Identity } else { layers[i - 1].activation };
                let d_x = self.tensor(&format!("d_input of {}", layer.name), &[rows, layer.inputs]);
                self.dispatch(
                    &linear::BACKWARD_INPUT,
                    &[("x", input), ("weight", layer.weight), ("d_y", d_y), ("d_x", d_x)],
                    &[("ACTIVATION", made_by.number())],
                )?;
                d_input = Some(d_x);
            }
            let (weight, bias) = (training.trained[2 * i], training.trained[2 * i + 1]);
            self.dispatch(
                &linear::UPDATE,
                &[
                    ("x", input),
                    ("d_y", d_y),
                    ("rates", training.rates),
                    ("weight", weight.parameter),
                    ("bias", bias.parameter),
                    ("weight_moments", weight.moments),
                    ("bias_moments", bias.moments),
                ],
                &training.constants(),
            )?;
            match d_input {
                Some(d_x) => d_y = d_x,
                None => return Ok(None),
            }
        }
        Ok(Some(d_y))
    }

    /// log w of each row, (B*K).
    pub fn log_weights(
        &mut self,
        forward: &Encoded,
        log_px: TensorId,
    ) -> Result<TensorId, PlanError> {
        let log_w = self.tensor("log_w", &[self.rows()]);
        self.dispatch(
            &importance::LOG_WEIGHT,
            &[
                ("log_px", log_px),
                ("heads", forward.heads),
                ("eps", forward.eps),
                ("z", forward.z),
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
