//! The best q of the trained family for each image alone: the ELBO ascended in what the encoder gives of it.

use super::architecture::Architecture;
use super::minibatch::{self, Content, Minibatch, Source, Streams};
use super::network::Network;
use super::objective::Objective;
use super::posterior::{Arriving, Draw};
use super::prior::Density;
use crate::kernels::{clock, fusions, rates, store_samples};
use crate::nn::{self, Tape};
use crate::numeric::philox::Stream;
use crate::optim::{Adam, Optimizer, TrainedParameter, Update};
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

/// How many images and draws a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draws {
    /// B
    pub batch: usize,
    /// Draws of z an image in a step.
    pub samples: usize,
    /// Draws of z an image by which the ELBO is estimated.
    pub scored: usize,
}

/// The posteriors of a batch of images, as parameters. The host writes x, the clock and, before each step, the rates; runs
/// `encode`, which begins at the encoder's; and `step` as often as it takes. `gradient` and `score` look at where they are.
/// Each moves the clock on by its draws.
pub struct RefineProgram {
    pub program: Program,
    pub network: Network,
    pub draws: Draws,
    /// Of the optimizer.
    pub adam: Adam,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// (B, D), by the host
    pub x: TensorId,
    /// (B, heads) [mu | l] and what else q has, by `encode` and `step`
    pub heads: TensorId,
    /// (2, B, heads) the optimizer's planes, zero before the first step
    pub state: TensorId,
    /// (4), see [`rates`]; the weight of the KL is B, of a sampled one 1, so that an image's gradient is that of its own ELBO
    pub rates: TensorId,
    pub encode: PlanId,
    pub step: PlanId,
    /// The gradient of the ELBO of each image.
    pub gradient: PlanId,
    /// (B, heads)
    pub d_heads: TensorId,
    /// log p(x|z) + h(z) of other draws, h(z) = log p(z) - log N(z; 0, I); or their log weights where the KL has no closed form.
    pub score: PlanId,
    /// (B*K) nats
    pub log_px: TensorId,
    /// log weights of other draws, log p(x|z) + log p(z) - log q(z|x).
    pub weigh: PlanId,
    /// (B*K) nats
    pub log_w: TensorId,
}

impl RefineProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        content: Content,
        draws: Draws,
    ) -> Result<Self, PlanError> {
        let Draws { batch, samples, scored } = draws;
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);
        let x = program.tensor("x", &[batch, architecture.pixels()], DType::F32);
        let rates = program.tensor("rates", &[rates::WORDS], DType::F32);
        let mut r = Recorder::new(&mut program, "encode");
        let images = minibatch::as_encoded(&mut r, content, x)?;
        let heads = nn::forward(&mut r, &network.encoder(images.classes), images.seen)?;
        let prior = network.prior(&mut r, &mut Tape::default())?;
        let encode = r.finish();
        let adam = Adam::default();
        let update = Update {
            optimizer: Optimizer::Adam(adam),
            learning_rate: 0.0, // it is the host's
            warm_up: 0.0,
            weight_decay: 0.0,
            clip_norm: None,
            average: None,
        };
        let moved = update.optimizer.declare(&mut program, heads, false);

        let of =
            Posteriors { network: &network, prior: &*prior, draws, clock, images, heads, rates };
        let mut r = Recorder::new(&mut program, "step");
        let d_heads = of.gradient(&mut r)?;
        update.record(&mut r, [rates, clock], 1, &[moved], &[(heads, d_heads)])?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", samples as f64)])?;
        let (step, _) = r.finish_fused(&fusions())?;

        let mut r = Recorder::new(&mut program, "gradient");
        let d_heads = of.gradient(&mut r)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", samples as f64)])?;
        let (gradient, _) = r.finish_fused(&fusions())?;

        let mut r = Recorder::new(&mut program, "score");
        let log_px = of.log_px(&mut r)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", scored as f64)])?;
        let score = r.finish();

        let mut r = Recorder::new(&mut program, "weigh");
        let log_w = of.log_weights(&mut r)?;
        r.dispatch(&store_samples::ADVANCE, &[("time", clock)], &[("K", scored as f64)])?;
        let weigh = r.finish();

        let TrainedParameter { state, .. } = moved;
        Ok(RefineProgram {
            program,
            network,
            draws,
            adam,
            clock,
            x,
            heads,
            state,
            rates,
            encode,
            step,
            gradient,
            d_heads,
            score,
            log_px,
            weigh,
            log_w,
        })
    }
}

/// The tensors that the plans share.
struct Posteriors<'a> {
    network: &'a Network,
    prior: &'a dyn Density,
    draws: Draws,
    clock: TensorId,
    images: Minibatch,
    heads: TensorId,
    rates: TensorId,
}

impl Posteriors<'_> {
    fn sample(&self, r: &mut Recorder, samples: usize) -> Result<Draw, PlanError> {
        // No image is beyond the end of an epoch: the noise is that of its place.
        let images = u32::MAX as usize;
        let (content, batch) = (Content::Reals, self.draws.batch);
        let source = Source { images, window: None, content, flips: None, batch, samples };
        let streams = Streams { noise: Stream::Refinement, ..Streams::TEST };
        self.network.posterior().sample(r, self.heads, self.clock, source, &streams, 1.0)
    }

    /// Records the gradient of the sum of the images' ELBOs at the heads, with the KL to N(0, I) in closed form where it has one.
    fn gradient(&self, r: &mut Recorder) -> Result<TensorId, PlanError> {
        let Draws { batch, samples, .. } = self.draws;
        let likelihood = self.network.architecture.likelihood.module();
        let drawn = self.sample(r, samples)?;
        let mut decoder = Tape::default();
        let eta =
            decoder.forward(r, &self.network.decoder(self.images.classes, samples), drawn.z)?;
        let observed = self.network.observed(self.images, eta, samples);
        likelihood.log_px(r, observed)?;
        let weight = r.filled("weight", batch * samples, 1.0 / samples as f32);
        let d_eta = likelihood.backward(r, observed, weight)?.d_eta;
        let d_z = decoder.backward_to(r, &[(eta, d_eta)], drawn.z)?;
        let ratio = self.prior.ratio(r, drawn.z)?;
        let d_z = self.prior.backward_to(r, ratio, d_z, weight)?;
        let arriving = Arriving { d_z, weight, rates: self.rates };
        let of_q = self.network.posterior().backward(r, &drawn, arriving, &Objective::default())?;
        Ok(of_q.d_heads)
    }

    fn log_px(&self, r: &mut Recorder) -> Result<TensorId, PlanError> {
        if !self.network.architecture.posterior.has_closed_kl() {
            return self.log_weights(r);
        }
        let (_, joined) = self.scored(r)?;
        Ok(joined)
    }

    fn log_weights(&self, r: &mut Recorder) -> Result<TensorId, PlanError> {
        let (drawn, joined) = self.scored(r)?;
        self.network.posterior().log_weights(r, &drawn, joined, self.draws.scored)
    }

    /// Records draws, and log p(x|z) + h(z) of them.
    fn scored(&self, r: &mut Recorder) -> Result<(Draw, TensorId), PlanError> {
        let samples = self.draws.scored;
        let drawn = self.sample(r, samples)?;
        let eta = nn::forward(r, &self.network.decoder(self.images.classes, samples), drawn.z)?;
        let observed = self.network.observed(self.images, eta, samples);
        let log_px = self.network.architecture.likelihood.module().log_px(r, observed)?;
        let joined = self.prior.ratio(r, drawn.z)?.joined(r, log_px)?;
        Ok((drawn, joined))
    }
}
