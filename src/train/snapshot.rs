//! A run's numbers between two steps.

use sha2::{Digest, Sha256};

/// The state of a run between steps: what a resumed run needs to go on as if nothing had happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Steps finished.
    pub step: u64,
    /// Values, first and second moment of each parameter tensor, in the network's order.
    pub parameters: Vec<[Vec<f32>; 3]>,
    /// The counters of the noise.
    pub(crate) clock: Vec<u32>,
    pub(crate) rates: Vec<f32>,
}

impl Snapshot {
    /// The parameters' values alone.
    pub fn values(&self) -> Vec<Vec<f32>> {
        self.parameters.iter().map(|[values, ..]| values.clone()).collect()
    }

    /// Whether no parameter or moment is NaN or infinite.
    pub fn is_finite(&self) -> bool {
        self.parameters.iter().flatten().flatten().all(|v| v.is_finite())
    }
}

/// SHA-256 of parameter values, little-endian.
pub fn digest(parameters: &[Vec<f32>]) -> String {
    let mut hash = Sha256::new();
    for value in parameters.iter().flatten() {
        hash.update(value.to_le_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
