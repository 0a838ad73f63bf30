//! What missing cells are expected to be: the mean of E[x|z] over draws z of the posterior, each with its importance
//! weight (Mattei and Frellsen 2019, arXiv 1812.02633).

use super::architecture::Architecture;
use super::decode::expectation;
use super::estimate::Chunks;
use super::minibatch::{self, Content, Source, Streams};
use super::network::Network;
use crate::kernels::{clock, store_samples, weighted_mean};
use crate::nn::{self, Tape};
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

/// The expectations, for one batch of images after the other. The host writes the clock, `largest` and `sums`, runs
/// `encode` once, then `draw` as often as it takes; each run moves the clock on by its samples. Memory does not grow with
/// their number.
pub struct ImputeProgram {
    pub program: Program,
    pub network: Network,
    pub chunks: Chunks,
    /// (N, D) f32, or a window of it
    pub data: TensorId,
    /// (N, 2) u8: the class of each row, where the network is told it, or a window of them
    pub labels: Option<TensorId>,
    /// (8) u32
    pub clock: TensorId,
    pub encode: PlanId,
    pub draw: PlanId,
    /// (B, 2), by the host [-3.4e38 | 0] at first: the largest log weight, and the sum of the weights over that
    pub largest: TensorId,
    /// (B, D), by the host 0 at first: the sums of E[x|z] by those weights
    pub sums: TensorId,
}

impl ImputeProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        content: Content,
        images: usize,
        window: Option<usize>,
        chunks: Chunks,
    ) -> Result<Self, PlanError> {
        let Chunks { batch, samples, .. } = chunks;
        let source = Source { images, window, content, flips: None, batch, samples };
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let dims = [window.unwrap_or(images), architecture.pixels()];
        let data = program.tensor("data", &dims, content.dtype());
        let labels = source.labels(architecture);
        let labels = labels.map(|dims| program.tensor("labels", &dims, DType::U8));
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);
        let largest = program.tensor("largest", &[batch, 2], DType::F32);
        let sums = program.tensor("sums", &[batch, architecture.pixels()], DType::F32);

        let mut r = Recorder::new(&mut program, "encode");
        let of = minibatch::draw(&mut r, source, [data, clock], labels, &Streams::TEST)?;
        let heads = nn::forward(&mut r, &network.encoder(of.classes), of.seen)?;
        let prior = network.prior(&mut r, &mut Tape::default())?;
        let encode = r.finish();

        let q = network.posterior();
        let likelihood = architecture.likelihood.module();
        let mut r = Recorder::new(&mut program, "draw");
        let drawn = q.sample(&mut r, heads, clock, source, &Streams::TEST, 1.0)?;
        let eta = nn::forward(&mut r, &network.decoder(of.classes, samples), drawn.z)?;
        let log_px = likelihood.log_px(&mut r, network.observed(of, eta, samples))?;
        let joined = prior.ratio(&mut r, drawn.z)?.joined(&mut r, log_px)?;
        let log_w = q.log_weights(&mut r, &drawn, joined, samples)?;
        let mean = expectation(&mut r, &network, eta)?;
        r.dispatch(
            &weighted_mean::WEIGHTED_MEAN,
            &[("log_w", log_w), ("values", mean), ("largest", largest), ("sums", sums)],
            &[("K", samples as f64)],
        )?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", samples as f64)])?;
        let draw = r.finish();
        Ok(ImputeProgram {
            program,
            network,
            chunks,
            data,
            labels,
            clock,
            encode,
            draw,
            largest,
            sums,
        })
    }
}
