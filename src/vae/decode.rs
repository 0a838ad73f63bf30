//! The decoder alone, at latent codes that the host gives.

use super::config::Architecture;
use super::network::Network;
use super::recorder::{Recorder, Source};
use crate::plan::{PlanError, PlanId, Program, TensorId};

/// Expected pixels at given z.
pub struct DecodeProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (R, Z), by the host
    pub z: TensorId,
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
        let mut r = Recorder::new(&mut program, "decode", Source::rows(count));
        let z = r.tensor("z", &[count, architecture.latent]);
        let mean = r.expectation(&network, z)?;
        let Recorder { plan, .. } = r;
        let plan = program.add(plan);
        Ok(DecodeProgram { program, network, plan, z, mean })
    }
}
