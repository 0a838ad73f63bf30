//! Images drawn from the model itself: of these the code that made them is known, a draw from the true posterior.

use super::architecture::Architecture;
use super::likelihood::Decoded;
use super::minibatch::Minibatch;
use super::network::Network;
use crate::kernels::clock;
use crate::nn::{self, Tape};
use crate::numeric::parallel;
use crate::numeric::philox::{Stream, counter, philox};
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

/// Draws x ~ p(x|z) of what the decoder makes of the codes of images: `eta` (R, outputs), of the image `first` and those behind
/// it. Returns (R, D). A draw is a function of the seed and the image's number alone.
pub fn draw_values(
    architecture: &Architecture,
    parameters: &[Vec<f32>],
    eta: &[f32],
    first: usize,
    seed: u64,
) -> Vec<f32> {
    /// Operations that a value takes, about.
    const EACH: usize = 200;
    let (likelihood, pixels) = (architecture.likelihood.module(), architecture.pixels());
    let (sampler, outputs) = (likelihood.sampler(), likelihood.outputs(pixels));
    let first_own = parameters.len() - likelihood.parameters(architecture.shape()).len();
    let own = &parameters[first_own..];
    let key = [seed as u32, (seed >> 32) as u32];
    let mut drawn = vec![0.0f32; eta.len() / outputs * pixels];
    parallel::rows_of_work(&mut drawn, pixels, EACH * pixels, |row, values| {
        let of = Decoded { eta: &eta[row * outputs..][..outputs], own, pixels };
        for (i, value) in values.iter_mut().enumerate() {
            let at = counter(0, first + row, 0, Stream::SimulatedValues as u32, i);
            *value = sampler(of, i, philox(at, key)) as f32;
        }
    });
    drawn
}

/// Codes from the prior and what the decoder makes of them. The host writes the clock, runs `decode`, draws x by the
/// decoder's output and writes it, and runs `score`.
pub struct SimulateProgram {
    pub program: Program,
    pub network: Network,
    /// B, images of a run.
    pub batch: usize,
    /// (8) u32, see [`clock`]
    pub clock: TensorId,
    /// z ~ p(z), then the decoder's output of it.
    pub decode: PlanId,
    /// (B, Z)
    pub z: TensorId,
    /// (B, outputs)
    pub eta: TensorId,
    /// (B, D), by the host
    pub x: TensorId,
    /// log p(x|z) + h(z) of what is in `x`, `z`'s output being there, h(z) = log p(z) - log N(z; 0, I).
    pub score: PlanId,
    /// (B) nats
    pub log_px: TensorId,
}

impl SimulateProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(architecture: &Architecture, batch: usize) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let clock = program.tensor("clock", &[clock::WORDS], DType::U32);
        let x = program.tensor("x", &[batch, architecture.pixels()], DType::F32);
        let mut r = Recorder::new(&mut program, "decode");
        let dims = [batch, architecture.latent];
        let prior = network.prior(&mut r, &mut Tape::default())?;
        let z = prior.sample(&mut r, clock, dims, 1, Stream::SimulatedCode)?;
        let eta = nn::forward(&mut r, &network.decoder(None, 1), z)?;
        let decode = r.finish();
        let mut r = Recorder::new(&mut program, "score");
        let likelihood = architecture.likelihood.module();
        let of = Minibatch { x, seen: x, masked: false, classes: None };
        let log_px = likelihood.log_px(&mut r, network.observed(of, eta, 1))?;
        let log_px = prior.ratio(&mut r, z)?.joined(&mut r, log_px)?;
        let score = r.finish();
        Ok(SimulateProgram { program, network, batch, clock, decode, z, eta, x, score, log_px })
    }
}
