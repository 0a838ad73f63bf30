//! The steps of a VAE as plans: training, evaluation, and decoding.

use super::config::{Architecture, Binarization};
use super::network::{Layer, Network};
use crate::kernels::linear::Activation;
use crate::kernels::philox::{Stream, half_bits};
use crate::kernels::{
    Kernel, adam, bernoulli, clock, gather, linear, posterior, prior, rates, tally,
};
use crate::plan::{DType, Plan, PlanError, PlanId, Program, TensorId};

/// A resident data set and how minibatches are drawn from it.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// N
    pub images: usize,
    pub binarization: Binarization,
    /// B
    pub batch: usize,
    /// K
    pub samples: usize,
}

/// The tensors by which the host feeds a pass over a data set and reads its result.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub plan: PlanId,
    /// (N, D) u8
    pub data: TensorId,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (4), see [`rates`]
    pub rates: TensorId,
    /// (S, 4), see [`tally`]
    pub history: TensorId,
    /// S: steps the history holds, those of one pass over the data at least.
    pub history_steps: usize,
}

/// A parameter and what Adam keeps of it; all of one shape.
#[derive(Debug, Clone, Copy)]
pub struct Trained {
    pub parameter: TensorId,
    pub gradient: TensorId,
    pub moment1: TensorId,
    pub moment2: TensorId,
}

/// Everything a training run does on the device.
pub struct TrainProgram {
    pub program: Program,
    pub network: Network,
    pub trained: Vec<Trained>,
    pub train: Pass,
    pub test: Pass,
    /// Forward and backward of a training step, without the update: for tests of the gradient.
    pub gradient: PlanId,
}

impl TrainProgram {
    /// Records the plans for training on `train` with weight `beta` on the KL, and for the ELBO of `test`.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        train: Source,
        test: Source,
        beta: f64,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let trained: Vec<Trained> = network
            .parameters()
            .into_iter()
            .map(|parameter| {
                let declared = program.get(parameter).clone();
                let mut beside = |kind: &str| {
                    program.tensor(format!("{}.{kind}", declared.name), &declared.dims, DType::F32)
                };
                Trained {
                    parameter,
                    gradient: beside("gradient"),
                    moment1: beside("moment1"),
                    moment2: beside("moment2"),
                }
            })
            .collect();

        let mut r = Recorder::new(&mut program, "train", train);
        let pass = r.declare_pass(&network);
        let rows = train.batch * train.samples;
        let weight = r.tensor("weight", &[rows]);
        let forward = r.posterior_sample(&network, pass, Streams::TRAIN, 1.0)?;
        let kl = r.gaussian_kl(forward.heads)?;
        let decoded = r.stack(&network.decoder, forward.z, rows)?;
        let logits = *decoded.last().expect("a decoder has layers");
        let log_px = r.tensor("log_px", &[rows]);
        let d_logits = r.tensor("d_logits", &[rows, architecture.pixels()]);
        r.dispatch(
            &bernoulli::GRADIENT,
            &[
                ("x", forward.x),
                ("logits", logits),
                ("weight", weight),
                ("log_px", log_px),
                ("d_logits", d_logits),
            ],
            &[("K", train.samples as f64)],
        )?;
        let (encoder, decoder) = trained.split_at(2 * network.encoder.len());
        let d_z =
            r.backward(&network.decoder, decoder, forward.z, &decoded, d_logits, rows, true)?;
        let d_heads = r.tensor("d_heads", &[train.batch, 2 * architecture.latent]);
        r.dispatch(
            &posterior::BACKWARD,
            &[
                ("heads", forward.heads),
                ("noise", forward.eps),
                ("d_z", d_z.expect("asked for")),
                ("d_heads", d_heads),
            ],
            &[("KL_WEIGHT", beta / train.batch as f64)],
        )?;
        r.backward(
            &network.encoder,
            encoder,
            forward.x,
            &forward.encoded,
            d_heads,
            train.batch,
            false,
        )?;
        let gradient = r.plan.clone();
        for t in &trained {
            r.dispatch(
                &adam::ADAM,
                &[
                    ("gradient", t.gradient),
                    ("rates", pass.rates),
                    ("parameter", t.parameter),
                    ("moment1", t.moment1),
                    ("moment2", t.moment2),
                ],
                &[],
            )?;
        }
        r.tally(pass, log_px, kl, true)?;
        let train_pass = r.finish(pass);
        let gradient = program.add(Plan { name: "gradient".to_string(), ..gradient });

        let test_pass = record_evaluation(&mut program, &network, test)?;
        Ok(TrainProgram { program, network, trained, train: train_pass, test: test_pass, gradient })
    }

    /// The weight of each row of a minibatch in the objective: 1 / (B K). To be written once.
    pub fn row_weight(&self) -> (TensorId, Vec<f32>) {
        let bound = self
            .program
            .plan(self.train.plan)
            .dispatches
            .iter()
            .find(|d| std::ptr::eq(d.kernel, &bernoulli::GRADIENT))
            .and_then(|d| d.bindings.iter().find(|b| b.name == "weight"))
            .expect("the training plan has a likelihood");
        let rows = self.program.get(bound.tensor).len();
        (bound.tensor, vec![1.0 / rows as f32; rows])
    }
}

/// One pass over a data set in its order, for the ELBO with z sampled from q.
fn record_evaluation(
    program: &mut Program,
    network: &Network,
    source: Source,
) -> Result<Pass, PlanError> {
    let mut r = Recorder::new(program, "evaluate", source);
    let pass = r.declare_pass(network);
    let rows = source.batch * source.samples;
    let forward = r.posterior_sample(network, pass, Streams::TEST, 1.0)?;
    let kl = r.gaussian_kl(forward.heads)?;
    let decoded = r.stack(&network.decoder, forward.z, rows)?;
    let log_px = r.tensor("log_px", &[rows]);
    r.dispatch(
        &bernoulli::LOG_LIKELIHOOD,
        &[("x", forward.x), ("logits", *decoded.last().expect("layers")), ("log_px", log_px)],
        &[("K", source.samples as f64)],
    )?;
    r.tally(pass, log_px, kl, false)?;
    Ok(r.finish(pass))
}

/// Draws from the prior and their expected pixels.
pub struct SampleProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (8) u32
    pub clock: TensorId,
    /// (R, D) probabilities
    pub mean: TensorId,
}

impl SampleProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(architecture: &Architecture, count: usize) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let mut r = Recorder::new(&mut program, "sample", Source::rows(count));
        let clock = r.program.tensor("sample/clock", &[clock::WORDS], DType::U32);
        let z = r.tensor("z", &[count, architecture.latent]);
        r.dispatch(
            &prior::SAMPLE,
            &[("clock", clock), ("z", z)],
            &[("STREAM", Stream::Prior.number())],
        )?;
        let mean = r.expectation(&network, z)?;
        let Recorder { plan, .. } = r;
        let plan = program.add(plan);
        Ok(SampleProgram { program, network, plan, clock, mean })
    }
}

/// Images of a data set, as the encoder sees them, and what the decoder makes of their posterior mean.
pub struct ReconstructProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (N, D) u8
    pub data: TensorId,
    /// (8) u32
    pub clock: TensorId,
    /// (N, D) the binarized images
    pub x: TensorId,
    /// (N, D) probabilities
    pub mean: TensorId,
}

impl ReconstructProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        binarization: Binarization,
        count: usize,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let source = Source { binarization, ..Source::rows(count) };
        let mut r = Recorder::new(&mut program, "reconstruct", source);
        let pass = r.declare_pass(&network);
        let forward = r.posterior_sample(&network, pass, Streams::TEST, 0.0)?;
        let mean = r.expectation(&network, forward.z)?;
        let Recorder { plan, .. } = r;
        let plan = program.add(plan);
        Ok(ReconstructProgram {
            program,
            network,
            plan,
            data: pass.data,
            clock: pass.clock,
            x: forward.x,
            mean,
        })
    }
}

impl Source {
    fn rows(count: usize) -> Self {
        Source { images: count, binarization: Binarization::None, batch: count, samples: 1 }
    }
}

struct Streams {
    pixels: Stream,
    noise: Stream,
    shuffle: bool,
}

impl Streams {
    const TRAIN: Streams =
        Streams { pixels: Stream::TrainPixels, noise: Stream::TrainNoise, shuffle: true };
    const TEST: Streams =
        Streams { pixels: Stream::TestPixels, noise: Stream::TestNoise, shuffle: false };
}

/// What the encoder's side of a step leaves behind.
struct Encoded {
    /// (B, D)
    x: TensorId,
    /// Outputs of the encoder's layers; the last is `heads`.
    encoded: Vec<TensorId>,
    /// (B, 2*Z)
    heads: TensorId,
    /// (B*K, Z)
    eps: TensorId,
    /// (B*K, Z)
    z: TensorId,
}

/// Records one plan; scratch tensors are named after it.
struct Recorder<'a> {
    program: &'a mut Program,
    plan: Plan,
    source: Source,
}

impl<'a> Recorder<'a> {
    fn new(program: &'a mut Program, name: &str, source: Source) -> Self {
        Recorder { program, plan: Plan::new(name), source }
    }

    fn tensor(&mut self, name: &str, dims: &[usize]) -> TensorId {
        self.program.tensor(format!("{}/{name}", self.plan.name), dims, DType::F32)
    }

    fn dispatch(
        &mut self,
        kernel: &'static Kernel,
        tensors: &[(&str, TensorId)],
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        self.plan.dispatch(self.program, kernel, tensors, constants)
    }

    fn declare_pass(&mut self, network: &Network) -> Pass {
        let name = self.plan.name.clone();
        let Source { images, batch, .. } = self.source;
        let history_steps = images.div_ceil(batch) + 1;
        let dims = [images, network.architecture.pixels()];
        Pass {
            plan: PlanId(usize::MAX), // set by `finish`
            data: self.program.tensor(format!("{name}/data"), &dims, DType::U8),
            clock: self.program.tensor(format!("{name}/clock"), &[clock::WORDS], DType::U32),
            rates: self.program.tensor(format!("{name}/rates"), &[rates::WORDS], DType::F32),
            history: self.tensor("history", &[history_steps, tally::COLUMNS]),
            history_steps,
        }
    }

    fn finish(self, pass: Pass) -> Pass {
        let plan = self.program.add(self.plan);
        Pass { plan, ..pass }
    }

    /// Minibatch, encoder, and `noise` times a draw from q around its mean.
    fn posterior_sample(
        &mut self,
        network: &Network,
        pass: Pass,
        streams: Streams,
        noise: f64,
    ) -> Result<Encoded, PlanError> {
        let Source { images, binarization, batch, samples } = self.source;
        let x = self.tensor("x", &[batch, network.architecture.pixels()]);
        self.dispatch(
            &gather::GATHER,
            &[("data", pass.data), ("clock", pass.clock), ("x", x)],
            &[
                ("BINARIZATION", binarization.number()),
                ("SHUFFLE", f64::from(u8::from(streams.shuffle))),
                ("HALF_BITS", f64::from(half_bits(images))),
                ("STREAM", streams.pixels.number()),
            ],
        )?;
        let encoded = self.stack(&network.encoder, x, batch)?;
        let heads = *encoded.last().expect("an encoder has layers");
        let latent = [batch * samples, network.architecture.latent];
        let (eps, z) = (self.tensor("eps", &latent), self.tensor("z", &latent));
        self.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", pass.clock), ("eps", eps), ("z", z)],
            &[("STREAM", streams.noise.number()), ("NOISE", noise)],
        )?;
        Ok(Encoded { x, encoded, heads, eps, z })
    }

    fn gaussian_kl(&mut self, heads: TensorId) -> Result<TensorId, PlanError> {
        let kl = self.tensor("kl", &[self.source.batch]);
        self.dispatch(&posterior::GAUSSIAN_KL, &[("heads", heads), ("kl", kl)], &[])?;
        Ok(kl)
    }

    /// Layers one after the other; returns the output (rows, outputs) of each.
    fn stack(
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
    /// whose outputs are `outputs`: writes every parameter's gradient, and on demand returns that of `x`.
    #[allow(clippy::too_many_arguments)] // each is one part of the formula
    fn backward(
        &mut self,
        layers: &[Layer],
        trained: &[Trained],
        x: TensorId,
        outputs: &[TensorId],
        d_output: TensorId,
        rows: usize,
        to_input: bool,
    ) -> Result<Option<TensorId>, PlanError> {
        let mut d_y = d_output;
        for (i, layer) in layers.iter().enumerate().rev() {
            let input = if i == 0 { x } else { outputs[i - 1] };
            let (weight, bias) = (trained[2 * i], trained[2 * i + 1]);
            self.dispatch(
                &linear::BACKWARD_WEIGHT,
                &[
                    ("x", input),
                    ("d_y", d_y),
                    ("d_weight", weight.gradient),
                    ("d_bias", bias.gradient),
                ],
                &[],
            )?;
            if i == 0 && !to_input {
                return Ok(None);
            }
            let made_by = if i == 0 { Activation::Identity } else { layers[i - 1].activation };
            let d_x = self.tensor(&format!("d_input of {}", layer.name), &[rows, layer.inputs]);
            self.dispatch(
                &linear::BACKWARD_INPUT,
                &[("x", input), ("weight", layer.weight), ("d_y", d_y), ("d_x", d_x)],
                &[("ACTIVATION", made_by.number())],
            )?;
            d_y = d_x;
        }
        Ok(Some(d_y))
    }

    fn expectation(&mut self, network: &Network, z: TensorId) -> Result<TensorId, PlanError> {
        let rows = self.source.batch;
        let decoded = self.stack(&network.decoder, z, rows)?;
        let mean = self.tensor("mean", &[rows, network.architecture.pixels()]);
        self.dispatch(
            &bernoulli::EXPECTATION,
            &[("logits", *decoded.last().expect("layers")), ("mean", mean)],
            &[("K", 1.0)],
        )?;
        Ok(mean)
    }

    fn tally(
        &mut self,
        pass: Pass,
        log_px: TensorId,
        kl: TensorId,
        wrap: bool,
    ) -> Result<(), PlanError> {
        self.dispatch(
            &tally::TALLY,
            &[
                ("log_px", log_px),
                ("kl", kl),
                ("history", pass.history),
                ("clock", pass.clock),
                ("rates", pass.rates),
            ],
            &[("N", self.source.images as f64), ("WRAP", f64::from(u8::from(wrap)))],
        )
    }
}
