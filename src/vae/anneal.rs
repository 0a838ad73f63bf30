//! Annealed importance sampling with Hamiltonian Monte Carlo (Neal 2001, arXiv physics/9803008): chains from q(z|x) or
//! from the prior to the posterior, or back from a code that is known to be a draw from it. Of a q whose units are not
//! independent, chains begin at the product of their marginals: any beginning whose density is known gives a bound.

use super::architecture::Architecture;
use super::minibatch::{self, Content, Source, Streams};
use super::network::Network;
use super::posterior::Family;
use crate::kernels::annealed::{COLUMNS, LEAPFROG, TAIL, TRANSITION};
use crate::kernels::{clock, fusions, store_samples};
use crate::nn::{self, Tape};
use crate::numeric::philox::Stream;
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

/// Where the chains' path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Path {
    /// At q(z|x), or at the product of its marginals.
    Posterior,
    /// At p(z).
    Prior,
}

/// How many chains run at a time, and how they move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chains {
    /// B, images of a run.
    pub batch: usize,
    /// K, chains an image in a run.
    pub samples: usize,
    /// Where they begin.
    pub path: Path,
    /// S, rows of the schedule.
    pub temperatures: usize,
    /// L, leapfrogs of a transition.
    pub leapfrogs: usize,
}

/// The chains of a batch of images; row b*K + k is chain k of image b. The host writes x, the schedule and the clock, runs
/// `encode`, then `begin` or writes z itself, and then `step`: once for the first share of the weights, and L times for
/// each transition and the share that follows upon it. Memory depends neither on S nor on how many chains there are in all.
pub struct AnnealProgram {
    pub program: Program,
    pub network: Network,
    pub chains: Chains,
    /// (8) u32, see [`clock`]; its step counts runs of `step`
    pub clock: TensorId,
    /// (B, D), by the host
    pub x: TensorId,
    /// (B, 2*Z) [mean | log variance] of each unit of q(z|x), by `encode`
    pub marginals: TensorId,
    pub encode: PlanId,
    /// (S, 3) rows of the schedule, see shaders/annealed.wgsl
    pub schedule: TensorId,
    /// z where the path begins.
    pub begin: PlanId,
    /// (B*K, Z) where log p(x|z) and its gradient are computed next
    pub z: TensorId,
    /// log p(x|z) + h(z), h(z) = log p(z) - log N(z; 0, I), its gradient, and where the chains go from there.
    pub step: PlanId,
    /// (B*K, 2*Z + 4) where the chains are, see shaders/annealed.wgsl
    pub state: TensorId,
}

impl AnnealProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        content: Content,
        chains: Chains,
    ) -> Result<Self, PlanError> {
        let Chains { batch, samples, path, temperatures, leapfrogs } = chains;
        let (rows, latent, k) = (batch * samples, architecture.latent, samples as f64);
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);
        let x = program.tensor("x", &[batch, architecture.pixels()], DType::F32);
        let schedule = program.tensor("schedule", &[temperatures, COLUMNS], DType::F32);

        let mut r = Recorder::new(&mut program, "encode");
        let of = minibatch::as_encoded(&mut r, content, x)?;
        let heads = nn::forward(&mut r, &network.encoder(of.classes), of.seen)?;
        let prior = network.prior(&mut r, &mut Tape::default())?;
        let marginals = network.posterior().marginals(&mut r, heads, clock)?;
        let encode = r.finish();

        let mut r = Recorder::new(&mut program, "begin");
        let z = match path {
            Path::Posterior => {
                // No image is beyond the end of an epoch: the noise is that of its place.
                let images = u32::MAX as usize;
                let source = Source {
                    images,
                    window: None,
                    content: Content::Reals,
                    flips: None,
                    batch,
                    samples,
                };
                let streams = Streams { noise: Stream::ChainStart, ..Streams::TEST };
                let q = Family::Diagonal.module(latent, &[]);
                q.sample(&mut r, marginals, clock, source, &streams, 1.0)?.z
            }
            Path::Prior => {
                prior.sample(&mut r, clock, [rows, latent], samples, Stream::ChainStart)?
            }
        };
        let begin = r.finish();

        let mut r = Recorder::new(&mut program, "step");
        let likelihood = architecture.likelihood.module();
        let mut decoder = Tape::default();
        let eta = decoder.forward(&mut r, &network.decoder(of.classes, samples), z)?;
        let observed = network.observed(of, eta, samples);
        let log_px = likelihood.log_px(&mut r, observed)?;
        let weight = r.filled("weight", rows, 1.0);
        let d_eta = likelihood.backward(&mut r, observed, weight)?.d_eta;
        let d_z = decoder.backward_to(&mut r, &[(eta, d_eta)], z)?;
        let ratio = prior.ratio(&mut r, z)?;
        let (log_px, d_z) =
            (ratio.joined(&mut r, log_px)?, prior.backward_to(&mut r, ratio, d_z, weight)?);
        let (v, state) =
            (r.tensor("v", &[rows, latent]), r.tensor("state", &[rows, 2 * latent + TAIL]));
        let of =
            [("heads", marginals), ("clock", clock), ("schedule", schedule), ("z", z), ("v", v)];
        let constants = [
            ("K", k),
            ("L", leapfrogs as f64),
            ("FROM_PRIOR", f64::from(u8::from(path == Path::Prior))),
        ];
        let noise =
            [("STREAM", Stream::Momentum.number()), ("ACCEPT_STREAM", Stream::Acceptance.number())];
        let here = [("d_z", d_z), ("log_px", log_px), ("state", state)];
        r.dispatch(&TRANSITION, &[&of[..], &here].concat(), &[&constants[..], &noise].concat())?;
        let there = [("gradient", d_z), ("begun", state)];
        r.dispatch(&LEAPFROG, &[&of[..], &there].concat(), &constants)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", 0.0)])?;
        let (step, _) = r.finish_fused(&fusions())?;

        Ok(AnnealProgram {
            program,
            network,
            chains,
            clock,
            x,
            marginals,
            encode,
            schedule,
            begin,
            z,
            step,
            state,
        })
    }
}
