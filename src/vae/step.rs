//! The steps of a VAE as plans: training, evaluation, and decoding.

use super::backward::{Side, Training};
use super::config::{Adam, Architecture, Binarization};
use super::likelihood::{Decoded, Observed};
pub use super::network::Trained;
use super::network::{Layer, Network};
use super::objective::{Bound, Estimator, Kl, Objective};
pub use super::recorder::{Content, Pass, Source};
use super::recorder::{Recorder, Sampled, Streams};
use crate::kernels::philox::Stream;
use crate::kernels::{clock, latent, posterior, prior};
use crate::plan::{DType, PlanError, PlanId, Program, TensorId};

/// Everything a training run does on the device.
pub struct TrainProgram {
    pub program: Program,
    pub network: Network,
    pub trained: Vec<Trained>,
    pub train: Pass,
    pub test: Pass,
}

impl TrainProgram {
    /// Records the plans for ascending `objective` on `train` by Adam, and for the ELBO of `test`, with
    /// iwae's bound beside it where that is the objective.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        train: Source,
        test: Source,
        objective: &Objective,
        adam: &Adam,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let trained = network.declare_training(&mut program);

        let mut r = Recorder::new(&mut program, "train", train);
        let mut pass = r.declare_pass(&network);
        let training = Training { trained: &trained, rates: pass.rates, adam };
        let recorded = record_ascent(&mut r, &network, training, &mut pass, objective)?;
        let warm_up = f64::from(objective.warm_up) * train.images as f64 / train.batch as f64;
        r.tally(
            pass,
            recorded.log_px,
            recorded.kl,
            true,
            &[
                ("LN_BETA1", adam.beta1.ln()),
                ("LN_BETA2", adam.beta2.ln()),
                ("BETA", objective.beta),
                ("WARM_UP", warm_up),
            ],
        )?;
        let train = r.finish(pass);
        let test = record_evaluation(&mut program, &network, test, objective.bound)?;
        Ok(TrainProgram { program, network, trained, train, test })
    }
}

/// What the forward part of a training step leaves for its end.
struct Recorded {
    log_px: TensorId,
    kl: TensorId,
}

/// Forward and backward: every parameter moves.
fn record_ascent(
    r: &mut Recorder,
    network: &Network,
    training: Training,
    pass: &mut Pass,
    objective: &Objective,
) -> Result<Recorded, PlanError> {
    let rows = r.rows();
    let encoded = r.encode(network, *pass, &Streams::TRAIN)?;
    let sampled = r.sample(network, encoded.heads, *pass, &Streams::TRAIN)?;
    let (decoded, weight) = match objective.bound {
        Bound::Elbo => {
            let weight = r.constant("weight", 1.0 / rows as f32);
            let decoded =
                r.decoded_likelihood_and_gradient(network, training, encoded.x, &sampled, weight)?;
            (decoded, weight)
        }
        Bound::Iwae => {
            let outputs = r.decode(&network.decoder, &sampled)?;
            let eta = *outputs.last().expect("a decoder has layers");
            let observed = Observed { x: encoded.x, eta };
            let log_px = r.log_likelihood(network, observed)?;
            let log_w = r.log_weights(&sampled, log_px)?;
            let (bound, weight) = r.normalize(log_w)?;
            pass.bound = Some(bound);
            let d_eta = r.likelihood_backward(network, training, observed, weight)?;
            (Decoded { outputs, log_px, d_eta }, weight)
        }
    };
    let Decoded { outputs, log_px, d_eta } = decoded;
    let inputs = inputs_of(&network.decoder, sampled.z, &outputs);
    let (d_outputs, d_z) = r.backward(&network.decoder, &inputs, d_eta, true)?;
    let decoder = Side { inputs, d_outputs };
    let latent = Latent { sampled, d_z: d_z.expect("asked for"), weight };
    let inputs = inputs_of(&network.encoder, encoded.x, &encoded.outputs);
    let d_outputs = r.encoder_backward(network, &inputs, latent, *pass, objective)?;
    let encoder = Side { inputs, d_outputs };
    r.update(training, [&encoder, &decoder])?;
    Ok(Recorded { log_px, kl: sampled.kl })
}

/// The input of each layer: `first`, then the outputs before it.
fn inputs_of(layers: &[Layer], first: TensorId, outputs: &[TensorId]) -> Vec<TensorId> {
    std::iter::once(first).chain(outputs.iter().copied()).take(layers.len()).collect()
}

/// Where the way back leaves the decoder.
#[derive(Clone, Copy)]
struct Latent {
    sampled: Sampled,
    /// (B*K, Z)
    d_z: TensorId,
    /// (B*K) of each row in the objective
    weight: TensorId,
}

impl Recorder<'_> {
    /// Through sampling and the KL to the heads, and through the encoder: the gradients of its layers'
    /// outputs.
    fn encoder_backward(
        &mut self,
        network: &Network,
        inputs: &[TensorId],
        latent: Latent,
        pass: Pass,
        objective: &Objective,
    ) -> Result<Vec<TensorId>, PlanError> {
        let plain = matches!(objective.kl, Kl::Analytic) && objective.free_bits == 0.0;
        let (last, hidden) = network.encoder.split_last().expect("an encoder has layers");
        let Some(layer_before) = hidden.last().filter(|_| plain && self.samples() == 1) else {
            let d_heads = self.posterior_backward(latent, pass, objective)?;
            return Ok(self.backward(&network.encoder, inputs, d_heads, false)?.0);
        };
        let Latent { sampled, d_z, .. } = latent;
        let x = inputs[hidden.len()];
        let d_heads = self.tensor("d_heads", &self.program.get(sampled.heads).dims.clone());
        let d_x =
            self.tensor(&format!("d_input of {}", last.name), &self.program.get(x).dims.clone());
        self.dispatch(
            &latent::BACKWARD_INPUT,
            &[
                ("x", x),
                ("weight", last.weight),
                ("heads", sampled.heads),
                ("noise", sampled.eps),
                ("d_z", d_z),
                ("rates", pass.rates),
                ("d_heads", d_heads),
                ("d_x", d_x),
            ],
            &[("ACTIVATION", layer_before.activation.number())],
        )?;
        let (mut d_outputs, _) = self.backward(hidden, inputs, d_x, false)?;
        d_outputs.push(d_heads);
        Ok(d_outputs)
    }

    /// Through sampling and the KL to the encoder's heads.
    fn posterior_backward(
        &mut self,
        Latent { sampled, d_z, weight }: Latent,
        pass: Pass,
        objective: &Objective,
    ) -> Result<TensorId, PlanError> {
        let heads = sampled.heads;
        let dims = self.program.get(heads).dims.clone();
        let d_heads = self.tensor("d_heads", &dims);
        let mut tensors = vec![
            ("heads", heads),
            ("noise", sampled.eps),
            ("d_z", d_z),
            ("d_heads", d_heads),
            ("rates", pass.rates),
        ];
        match objective.kl {
            Kl::Analytic if objective.free_bits > 0.0 => {
                let unit_kl = self.tensor("kl_units", &[dims[1] / 2]);
                self.dispatch(
                    &posterior::KL_OF_UNITS,
                    &[("heads", heads), ("kl_units", unit_kl)],
                    &[],
                )?;
                tensors.push(("unit_kl", unit_kl));
                let free = [("FREE_BITS", objective.free_bits)];
                self.dispatch(&posterior::BACKWARD_FREE_BITS, &tensors, &free)?;
            }
            Kl::Analytic => self.dispatch(&posterior::BACKWARD, &tensors, &[])?,
            Kl::Sampled => {
                tensors.push(("weight", weight));
                let estimator = match objective.estimator {
                    Estimator::Reparameterized => posterior::REPARAMETERIZED,
                    Estimator::StickingTheLanding => posterior::STICKING_THE_LANDING,
                    Estimator::DoublyReparameterized => posterior::DOUBLY_REPARAMETERIZED,
                };
                let estimator = [("ESTIMATOR", estimator)];
                self.dispatch(&posterior::BACKWARD_SAMPLED, &tensors, &estimator)?;
            }
        }
        Ok(d_heads)
    }
}

/// One pass over a data set in its order, for the ELBO with z sampled from q, and L_K on demand.
fn record_evaluation(
    program: &mut Program,
    network: &Network,
    source: Source,
    bound: Bound,
) -> Result<Pass, PlanError> {
    let mut r = Recorder::new(program, "evaluate", source);
    let mut pass = r.declare_pass(network);
    let encoded = r.encode(network, pass, &Streams::TEST)?;
    let sampled = r.sample(network, encoded.heads, pass, &Streams::TEST)?;
    let log_px = match bound {
        Bound::Elbo => r.decoded_log_likelihood(network, encoded.x, &sampled)?,
        Bound::Iwae => {
            let decoded = r.decode(&network.decoder, &sampled)?;
            let observed = Observed { x: encoded.x, eta: *decoded.last().expect("layers") };
            let log_px = r.log_likelihood(network, observed)?;
            let log_w = r.log_weights(&sampled, log_px)?;
            pass.bound = Some(r.normalize(log_w)?.0);
            log_px
        }
    };
    r.tally(pass, log_px, sampled.kl, false, &[])?;
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
            &[("STREAM", Stream::Prior.number()), ("K", count as f64)],
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
        let source = Source { content: Content::Bytes(binarization), ..Source::rows(count) };
        let mut r = Recorder::new(&mut program, "reconstruct", source);
        let pass = r.declare_pass(&network);
        let encoded = r.encode(&network, pass, &Streams::TEST)?;
        let (_, z) = r.draw(&network, encoded.heads, pass, &Streams::TEST, 0.0)?;
        let mean = r.expectation(&network, z)?;
        let Recorder { plan, .. } = r;
        let plan = program.add(plan);
        Ok(ReconstructProgram {
            program,
            network,
            plan,
            data: pass.data,
            clock: pass.clock,
            x: encoded.x,
            mean,
        })
    }
}
