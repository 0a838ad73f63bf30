//! Draws for the estimates of log p(x): from the approximate posterior, and from the prior.

use super::architecture::Architecture;
use super::minibatch::{self, Content, Minibatch, Source, Streams};
use super::network::Network;
use crate::kernels::{clock, store_samples};
use crate::nn::{self, Tape};
use crate::numeric::philox::Stream;
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

/// How the work is cut into runs of a plan. No draw depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// B, images of a run.
    pub batch: usize,
    /// K, samples an image in a run.
    pub samples: usize,
    /// S, runs whose values are stored for the host to read together.
    pub runs: usize,
}

impl Chunks {
    /// Chunks of about `rows` rows for `samples` samples of each of `images` images.
    pub fn new(rows: usize, images: usize, samples: usize) -> Self {
        /// Samples of a run, where there are images enough to fill it.
        const SAMPLES: usize = 256;
        /// Values that are stored on the device, so that memory does not grow with the samples.
        const KEPT: usize = 1 << 22;
        let batch = (rows / samples.min(SAMPLES)).clamp(1, images);
        let parts = samples.div_ceil((rows / batch).max(1));
        let samples_a_run = samples.div_ceil(parts);
        let runs = (KEPT / (batch * samples_a_run)).clamp(1, parts);
        Chunks { batch, samples: samples_a_run, runs }
    }

    /// Rows of a run.
    pub fn rows(self) -> usize {
        self.batch * self.samples
    }
}

/// The draws of the estimates, for one batch of images after the other. The host writes the clock, runs
/// `encode` once, then `importance` and `prior` as often as it takes; each run moves the clock on by its
/// samples and leaves its values in the row `step mod S` of the stored tensors. Row b*K + k of a run is
/// sample k of image b.
pub struct EstimateProgram {
    pub program: Program,
    pub network: Network,
    pub chunks: Chunks,
    /// (N, D) u8, or f32 of real values
    pub data: TensorId,
    /// (N, 2) u8: the class of each image, where the network is told it
    pub labels: Option<TensorId>,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (B, D) the images as the encoder sees them, by `encode`
    pub x: TensorId,
    /// (B, heads) [mu | l] and what else q has, by `encode`
    pub heads: TensorId,
    pub encode: PlanId,
    /// z ~ q(z|x)
    pub importance: PlanId,
    /// (S, B*K) log p(x|z) of the draws from q
    pub log_px: TensorId,
    /// (S, B*K) log weights of the draws from q
    pub log_w: TensorId,
    /// z ~ p(z), each image its own
    pub prior: PlanId,
    /// (S, B*K) log p(x|z) of the draws from the prior
    pub prior_log_px: TensorId,
}

impl EstimateProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        EstimateProgram::record_in(program, network, content, images, window, chunks)
    }

    /// The same in a program that has the network already.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record_in(
        mut program: Program,
        network: Network,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        let Chunks { batch, samples, runs } = chunks;
        let (rows, k) = (chunks.rows(), samples as f64);
        let architecture = &network.architecture;
        let latent = architecture.latent;
        let source = Source { images, window, content, flips: None, batch, samples };
        let data = program.tensor(
            "data",
            &[window.unwrap_or(images), architecture.pixels()],
            content.dtype(),
        );
        let labels = source.labels(architecture);
        let labels = labels.map(|dims| program.tensor("labels", &dims, DType::U8));
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);

        let mut r = Recorder::new(&mut program, "encode");
        let of = minibatch::draw(&mut r, source, [data, clock], labels, &Streams::TEST)?;
        let heads = nn::forward(&mut r, &network.encoder(of.classes), of.seen)?;
        let p = network.prior(&mut r, &mut Tape::default())?;
        let encode = r.finish();

        let q = network.posterior();
        let mut r = Recorder::new(&mut program, "importance");
        let drawn = q.sample(&mut r, heads, clock, source, &Streams::TEST, 1.0)?;
        let likelihood = log_likelihood(&mut r, &network, of, drawn.z, samples)?;
        let joined = p.ratio(&mut r, drawn.z)?.joined(&mut r, likelihood)?;
        let weight = q.log_weights(&mut r, &drawn, joined, samples)?;
        let log_px = store(&mut r, "stored log_px", likelihood, clock, runs)?;
        let log_w = store(&mut r, "stored log_w", weight, clock, runs)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", k)])?;
        let importance = r.finish();

        let mut r = Recorder::new(&mut program, "prior");
        let z = p.sample(&mut r, clock, [rows, latent], samples, Stream::Prior)?;
        let likelihood = log_likelihood(&mut r, &network, of, z, samples)?;
        let prior_log_px = store(&mut r, "stored log_px", likelihood, clock, runs)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", k)])?;
        let prior = r.finish();

        Ok(EstimateProgram {
            program,
            network,
            chunks,
            data,
            labels,
            clock,
            x: of.x,
            heads,
            encode,
            importance,
            log_px,
            log_w,
            prior,
            prior_log_px,
        })
    }
}

/// Records log p(x|z) of each row of `z`: (B*K) nats.
fn log_likelihood(
    r: &mut Recorder,
    network: &Network,
    of: Minibatch,
    z: TensorId,
    samples: usize,
) -> Result<TensorId, PlanError> {
    let eta = nn::forward(r, &network.decoder(of.classes, samples), z)?;
    let likelihood = network.architecture.likelihood.module();
    likelihood.log_px(r, network.observed(of, eta, samples))
}

/// Records that a run's `values` (R) go into its row of a tensor (runs, R).
fn store(
    r: &mut Recorder,
    name: &str,
    values: TensorId,
    clock: TensorId,
    runs: usize,
) -> Result<TensorId, PlanError> {
    let stored = r.tensor(name, &[runs, r.dims(values)[0]]);
    r.dispatch(
        &store_samples::STORE,
        &[("values", values), ("clock", clock), ("stored", stored)],
        &[],
    )?;
    Ok(stored)
}
