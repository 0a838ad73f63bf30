//! Draws for the estimates of log p(x): from the approximate posterior, and from the prior.

use super::config::Architecture;
use super::likelihood::Observed;
use super::network::Network;
use super::recorder::{Content, Recorder, Source, Streams};
use crate::kernels::philox::Stream;
use crate::kernels::{clock, importance, keep, posterior, prior};
use crate::plan::{DType, PlanError, PlanId, Program, TensorId};

/// How the work is cut into runs of a plan. No draw depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunks {
    /// B, images of a run.
    pub batch: usize,
    /// K, samples an image in a run.
    pub samples: usize,
    /// S, runs whose values are kept for the host to read together.
    pub runs: usize,
}

impl Chunks {
    /// Chunks of about `rows` rows for `samples` samples of each of `images` images.
    pub fn new(rows: usize, images: usize, samples: usize) -> Self {
        /// Samples of a run, where there are images enough to fill it.
        const SAMPLES: usize = 256;
        /// Values that are kept on the device, so that memory does not grow with the samples.
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
/// samples and leaves its values in the row `step mod S` of the kept tensors. Row b*K + k of a run is
/// sample k of image b.
pub struct EstimateProgram {
    pub program: Program,
    pub network: Network,
    pub chunks: Chunks,
    /// (N, D) u8, or f32 of real values
    pub data: TensorId,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (B, 2*Z) [mu | l], by `encode`
    pub heads: TensorId,
    pub encode: PlanId,
    /// z ~ q(z|x)
    pub importance: PlanId,
    /// (S, B*K) log p(x|z) of the draws from q
    pub log_px: TensorId,
    /// (S, B*K) log weights of the draws from q
    pub log_w: TensorId,
    /// z ~ N(0, I), each image its own
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
        let Chunks { batch, samples, runs } = chunks;
        let (rows, k) = (chunks.rows(), samples as f64);
        let latent = architecture.latent;
        let source = Source { images, window, content, batch, samples };
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let data = program.tensor(
            "data",
            &[window.unwrap_or(images), architecture.pixels()],
            content.dtype(),
        );
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);

        let mut r = Recorder::new(&mut program, "encode", source);
        let x = r.minibatch(&network, data, clock, &Streams::TEST)?;
        let encoded = r.stack(&network.encoder, x, batch)?;
        let heads = *encoded.last().expect("an encoder has layers");
        let Recorder { plan, .. } = r;
        let encode = program.add(plan);

        let mut r = Recorder::new(&mut program, "importance", source);
        let (eps, z) = (r.tensor("eps", &[rows, latent]), r.tensor("z", &[rows, latent]));
        r.dispatch(
            &posterior::SAMPLE,
            &[("heads", heads), ("clock", clock), ("eps", eps), ("z", z)],
            &[("STREAM", Stream::TestNoise.number()), ("N", images as f64)],
        )?;
        let drawn = log_likelihood(&mut r, &network, x, z, chunks)?;
        let weight = r.tensor("log_w", &[rows]);
        r.dispatch(
            &importance::LOG_WEIGHT,
            &[("log_px", drawn), ("heads", heads), ("eps", eps), ("z", z), ("log_w", weight)],
            &[("K", k)],
        )?;
        let mut kept = Vec::new();
        for (name, values) in [("kept log_px", drawn), ("kept log_w", weight)] {
            kept.push(r.tensor(name, &[runs, rows]));
            let tensors = [("values", values), ("clock", clock), ("kept", kept[kept.len() - 1])];
            r.dispatch(&keep::KEEP, &tensors, &[])?;
        }
        r.dispatch(&keep::ADVANCE, &[("time", clock)], &[("K", k)])?;
        let Recorder { plan, .. } = r;
        let importance = program.add(plan);

        let mut r = Recorder::new(&mut program, "prior", source);
        let z = r.tensor("z", &[rows, latent]);
        r.dispatch(
            &prior::SAMPLE,
            &[("clock", clock), ("z", z)],
            &[("STREAM", Stream::Prior.number()), ("K", k)],
        )?;
        let drawn = log_likelihood(&mut r, &network, x, z, chunks)?;
        let prior_log_px = r.tensor("kept log_px", &[runs, rows]);
        let tensors = [("values", drawn), ("clock", clock), ("kept", prior_log_px)];
        r.dispatch(&keep::KEEP, &tensors, &[])?;
        r.dispatch(&keep::ADVANCE, &[("time", clock)], &[("K", k)])?;
        let Recorder { plan, .. } = r;
        let prior = program.add(plan);

        let (log_px, log_w) = (kept[0], kept[1]);
        Ok(EstimateProgram {
            program,
            network,
            chunks,
            data,
            clock,
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

/// log p(x|z) of each row of `z`: (B*K).
fn log_likelihood(
    r: &mut Recorder,
    network: &Network,
    x: TensorId,
    z: TensorId,
    chunks: Chunks,
) -> Result<TensorId, PlanError> {
    let decoded = r.stack(&network.decoder, z, chunks.rows())?;
    r.log_likelihood(network, Observed { x, eta: *decoded.last().expect("layers") })
}
