//! The parts that steps are made of: each records a few kernels and returns the tensors they write.

use super::config::{Adam, Binarization};
use super::network::{Layer, Network, Trained};
use crate::kernels::linear::Activation;
use crate::kernels::philox::{Stream, half_bits};
use crate::kernels::update::{self, Placed};
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

/// Encoder or decoder on the way back.
pub(super) struct Side {
    /// Of each layer, (rows, inputs).
    pub inputs: Vec<TensorId>,
    /// The gradient of each layer's output, (rows, outputs).
    pub d_outputs: Vec<TensorId>,
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

    /// From the gradient `d_output` of the last layer's output back through `layers`, of which `inputs` are
    /// the inputs: the gradient of each layer's output, and on demand that of the first one's input.
    pub fn backward(
        &mut self,
        layers: &[Layer],
        inputs: &[TensorId],
        d_output: TensorId,
        to_input: bool,
    ) -> Result<(Vec<TensorId>, Option<TensorId>), PlanError> {
        let rows = self.program.get(d_output).dims[0];
        let mut d_outputs = vec![d_output];
        let mut d_y = d_output;
        for (i, layer) in layers.iter().enumerate().rev() {
            if i == 0 && !to_input {
                break;
            }
            let made_by = if i == 0 { Activation::Identity } else { layers[i - 1].activation };
            let d_x = self.tensor(&format!("d_input of {}", layer.name), &[rows, layer.inputs]);
            self.dispatch(
                &linear::BACKWARD_INPUT,
                &[("x", inputs[i]), ("weight", layer.weight), ("d_y", d_y), ("d_x", d_x)],
                &[("ACTIVATION", made_by.number())],
            )?;
            d_outputs.push(d_x);
            d_y = d_x;
        }
        let d_input = if to_input { d_outputs.pop() } else { None };
        d_outputs.reverse();
        Ok((d_outputs, d_input))
    }

    /// A tensor (B*K) that always holds this.
    pub fn constant(&mut self, name: &str, value: f32) -> TensorId {
        let rows = self.rows();
        let tensor = self.tensor(name, &[rows]);
        self.program.constant(tensor, value.to_le_bytes().repeat(rows));
        tensor
    }

    /// Moves the parameters of every layer of `sides`, from its input and its output's gradient. Only now:
    /// until here the gradients were those at the weights that the step began with.
    pub fn update(&mut self, training: Training, sides: [&Side; 2]) -> Result<(), PlanError> {
        // Without a hidden layer there is nothing to take turns; places are words.
        let of_sides = sides.iter().flat_map(|side| side.inputs.iter().chain(&side.d_outputs));
        let all = of_sides.copied().chain(training.trained.iter().map(|t| t.moments));
        let elements = all.map(|id| self.program.get(id).len()).fold(0, usize::saturating_add);
        let hidden = sides.iter().any(|side| side.inputs.len() > 1);
        if self.samples() == 1 && hidden && elements < u32::MAX as usize {
            return self.update_at_once(training, sides);
        }
        let layers = sides.into_iter().flat_map(|s| s.inputs.iter().zip(&s.d_outputs));
        for ((&x, &d_y), trained) in layers.zip(training.trained.chunks_exact(2)) {
            let [weight, bias] = [trained[0], trained[1]];
            self.dispatch(
                &update::UPDATE,
                &[
                    ("x", x),
                    ("d_y", d_y),
                    ("rates", training.rates),
                    ("weight", weight.parameter),
                    ("bias", bias.parameter),
                    ("weight_moments", weight.moments),
                    ("bias_moments", bias.moments),
                ],
                &training.constants(),
            )?;
        }
        Ok(())
    }

    /// The same in one dispatch: what the layers of a side read and write are packed into two tensors each,
    /// in turn.
    fn update_at_once(&mut self, training: Training, sides: [&Side; 2]) -> Result<(), PlanError> {
        let (mut inputs, mut d_outputs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut layers = Vec::new();
        for Side { inputs: of_side, d_outputs: d_of_side } in sides {
            let last = of_side.len() - 1;
            for (i, (&x, &d_y)) in of_side.iter().zip(d_of_side).enumerate() {
                let turns = [i % 2, (last - i) % 2];
                inputs[turns[0]].push(x);
                d_outputs[turns[1]].push(d_y);
                layers.push((x, d_y, turns.map(|turn| turn == 1)));
            }
        }
        let trained = &training.trained[..2 * layers.len()];
        let parameters: Vec<TensorId> = trained.iter().map(|t| t.parameter).collect();
        let moments: Vec<TensorId> = trained.iter().map(|t| t.moments).collect();
        let mut tensors = vec![("rates", training.rates)];
        let named = [
            ("even", &inputs[0]),
            ("odd", &inputs[1]),
            ("d_even", &d_outputs[0]),
            ("d_odd", &d_outputs[1]),
            ("parameters", &parameters),
            ("moments", &moments),
        ];
        for (name, parts) in named {
            let label = format!("{}/{name}", self.plan.name);
            tensors.push((name, self.program.pack(label, parts, &self.plan)?));
        }
        let place = |id: TensorId| self.program.place(id).1;
        let width = |id: TensorId| self.program.get(id).dims[1];
        let placed: Vec<Placed> = layers
            .iter()
            .zip(trained.chunks_exact(2))
            .map(|(&(x, d_y, [odd, d_odd]), trained)| Placed {
                inputs: width(x),
                outputs: width(d_y),
                input: (odd, place(x)),
                d_output: (d_odd, place(d_y)),
                weight: place(trained[0].parameter),
                bias: place(trained[1].parameter),
                weight_moments: place(trained[0].moments),
                bias_moments: place(trained[1].moments),
            })
            .collect();
        let most = |of: fn(&Placed) -> usize| placed.iter().map(of).max().unwrap_or(0) as f64;
        let mut constants = training.constants().to_vec();
        constants.extend([
            ("BATCH", self.rows() as f64),
            ("MOST_INPUTS", most(|layer| layer.inputs)),
            ("MOST_OUTPUTS", most(|layer| layer.outputs)),
        ]);
        let name = format!("{}/layers", self.plan.name);
        let table = self.program.tensor(name, &[placed.len(), update::WORDS], DType::U32);
        tensors.push(("layers", table));
        let words: Vec<u32> = placed.iter().flat_map(Placed::words).collect();
        self.program.constant(table, bytemuck::pod_collect_to_vec(&words));
        self.dispatch(&update::UPDATE_ALL, &tensors, &constants)
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
