//! The steps of a VAE as plans: training, evaluation, and decoding.

use super::config::{Architecture, Binarization};
use super::network::Network;
pub use super::recorder::{Pass, Source, Trained};
use super::recorder::{Recorder, Streams};
use crate::kernels::philox::Stream;
use crate::kernels::{adam, bernoulli, clock, posterior, prior};
use crate::plan::{DType, Plan, PlanError, PlanId, Program, TensorId};

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
