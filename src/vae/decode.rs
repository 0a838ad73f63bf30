//! The decoder alone: expected pixels of given z.

use super::config::Architecture;
use super::network::Network;
use super::recorder::{Recorder, Source};
use crate::plan::{PlanError, PlanId, Program, TensorId};

/// The host writes z and runs `plan`.
pub struct DecodeProgram {
    pub program: Program,
    pub network: Network,
    pub plan: PlanId,
    /// (R, Z)
    pub z: TensorId,
    /// (R, D) E[x|z]
    pub mean: TensorId,
}

impl DecodeProgram {
    /// # Errors
    /// Sizes beyond what a kernel's grid can cover.
    pub fn record(architecture: &Architecture, rows: usize) -> Result<Self, PlanError> {
        let mut program = Program::new();
        let network = Network::declare(&mut program, architecture);
        let mut r = Recorder::new(&mut program, "decode", Source::rows(rows));
        let z = r.tensor("z", &[rows, architecture.latent]);
        let mean = r.expectation(&network, z)?;
        let Recorder { plan, .. } = r;
        let plan = program.add(plan);
        Ok(DecodeProgram { program, network, plan, z, mean })
    }
}
