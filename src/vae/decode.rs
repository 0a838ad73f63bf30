//! What the decoder makes of latent codes: draws from the prior, reconstructions, codes that the host gives.

use super::architecture::Architecture;
use super::estimate::Chunks;
use super::minibatch::{self, Content, Minibatch, Source, Streams};
use super::network::Network;
use crate::kernels::clock;
use crate::named::named;
use crate::nn::{self, Tape};
use crate::numeric::philox::Stream;
use crate::plan::{DType, PlanError, PlanId, Program, Recorder, TensorId};

named! {
    /// What is made of a code z.
    pub enum Shown {
        /// E[x|z], what the decoder expects
        Expected = "expected",
        /// A draw x ~ p(x|z), which varies as data do
        Drawn = "drawn",
    }
}

/// E[x|z] of z (R, Z), with the classes (R) of a network that is told them: (R, D).
fn decoded(
    r: &mut Recorder,
    network: &Network,
    z: TensorId,
    classes: Option<TensorId>,
) -> Result<TensorId, PlanError> {
    let eta = nn::forward(r, &network.decoder(classes, 1), z)?;
    expectation(r, network, eta)
}

/// E[x|z] of the decoder's output: (R, D).
pub(super) fn expectation(
    r: &mut Recorder,
    network: &Network,
    eta: TensorId,
) -> Result<TensorId, PlanError> {
    let Architecture { likelihood, .. } = network.architecture;
    likelihood.module().mean(r, eta, network.architecture.pixels())
}

/// The classes of `count` rows, where a network is told them: by the host.
fn classes(r: &mut Recorder, architecture: &Architecture, count: usize) -> Option<TensorId> {
    let told = !architecture.classes.is_empty();
    told.then(|| r.tensor_of("classes", &[count], DType::U32))
}

/// Expected pixels at given z.
pub struct DecodeProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (R, Z), by the host
    pub z: TensorId,
    /// (R) u32, by the host, where the network is told classes
    pub classes: Option<TensorId>,
    /// (R, D) probabilities
    pub mean: TensorId,
}

impl DecodeProgram {
    /// For `count` codes.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(architecture: &Architecture, count: usize) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        DecodeProgram::record_in(program, network, "decode", count)
    }

    /// The same by a plan of this name in a program that has the network already.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record_in(
        mut program: Program,
        network: Network,
        name: &str,
        count: usize,
    ) -> Result<Self, PlanError> {
        let mut r = Recorder::new(&mut program, name);
        let z = r.tensor("z", &[count, network.architecture.latent]);
        let classes = classes(&mut r, &network.architecture, count);
        let mean = decoded(&mut r, &network, z, classes)?;
        let plan = r.finish();
        Ok(DecodeProgram { program, network, plan, z, classes, mean })
    }
}

/// Draws from the prior and what the decoder makes of them.
pub struct SampleProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (8) u32
    pub clock: TensorId,
    /// (R, Z) the draws
    pub z: TensorId,
    /// (R) u32, by the host, where the network is told classes
    pub classes: Option<TensorId>,
    /// (R, D) E[x|z]; or where x is to be drawn, which the host does, (R, outputs) the decoder's output
    pub values: TensorId,
}

impl SampleProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(
        architecture: &Architecture,
        count: usize,
        shown: Shown,
    ) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        SampleProgram::record_in(program, network, "sample", count, shown)
    }

    /// The same by a plan of this name in a program that has the network already.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record_in(
        mut program: Program,
        network: Network,
        name: &str,
        count: usize,
        shown: Shown,
    ) -> Result<Self, PlanError> {
        let mut r = Recorder::new(&mut program, name);
        let clock = r.tensor_of("clock", &[clock::WORDS], DType::U32);
        let prior = network.prior(&mut r, &mut Tape::default())?;
        let dims = [count, network.architecture.latent];
        let z = prior.sample(&mut r, clock, dims, count, Stream::Prior)?;
        let classes = classes(&mut r, &network.architecture, count);
        let values = match shown {
            Shown::Expected => decoded(&mut r, &network, z, classes)?,
            Shown::Drawn => nn::forward(&mut r, &network.decoder(classes, 1), z)?,
        };
        let plan = r.finish();
        Ok(SampleProgram { program, network, plan, clock, z, classes, values })
    }
}

/// Images of a data set, as the encoder sees them, and what the decoder makes of their posterior mean, for one batch after
/// the other.
pub struct ReconstructProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (N, D) u8, or f32 of a table, or a window of it
    pub data: TensorId,
    /// (N, 2) u8: the class of each image, where the network is told it, or a window of them
    pub labels: Option<TensorId>,
    /// (8) u32
    pub clock: TensorId,
    /// (B, D) the binarized images
    pub x: TensorId,
    /// (B, heads) [mu | l] and what else q has
    pub heads: TensorId,
    /// (B, D) E[x|z]
    pub mean: TensorId,
}

impl ReconstructProgram {
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
        let source =
            Source { images, window, content, flips: None, batch: chunks.batch, samples: 1 };
        ReconstructProgram::record_in(program, network, "reconstruct", source, None)
    }

    /// The same by a plan of this name in a program that has the network already, and maybe `held`, the images and their
    /// classes.
    ///
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record_in(
        mut program: Program,
        network: Network,
        name: &str,
        source: Source,
        held: Option<(TensorId, Option<TensorId>)>,
    ) -> Result<Self, PlanError> {
        let architecture = &network.architecture;
        let mut r = Recorder::new(&mut program, name);
        let (data, labels) = held.unwrap_or_else(|| {
            let dims = [source.window.unwrap_or(source.images), architecture.pixels()];
            let data = r.tensor_of("data", &dims, source.content.dtype());
            let labels = source.labels(architecture);
            (data, labels.map(|dims| r.tensor_of("labels", &dims, DType::U8)))
        });
        let clock = r.tensor_of("clock", &[clock::WORDS], DType::U32);
        let minibatch = minibatch::draw(&mut r, source, [data, clock], labels, &Streams::TEST)?;
        let Minibatch { x, seen, classes, .. } = minibatch;
        let heads = nn::forward(&mut r, &network.encoder(classes), seen)?;
        let q = network.posterior();
        let drawn = q.sample(&mut r, heads, clock, source, &Streams::TEST, 0.0)?;
        let eta = nn::forward(&mut r, &network.decoder(classes, 1), drawn.z)?;
        let likelihood = architecture.likelihood.module();
        let mean = likelihood.reconstruction(&mut r, network.observed(minibatch, eta, 1))?;
        let plan = r.finish();
        Ok(ReconstructProgram { program, network, plan, data, labels, clock, x, heads, mean })
    }
}
