//! A run's numbers between two steps.

use sha2::{Digest, Sha256};

/// The state of a run between steps: what a resumed run needs to go on as if nothing had happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Steps finished.
    pub step: u64,
    /// Each parameter tensor, in the network's order.
    pub parameters: Vec<Saved>,
    /// The counters of the noise.
    pub(crate) clock: Vec<u32>,
    pub(crate) rates: Vec<f32>,
}

/// A parameter tensor, and what the optimizer keeps of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Its values.
    pub values: Vec<f32>,
    /// The optimizer's planes, each of as many numbers: see [`crate::optim::Rule::planes`].
    pub planes: Vec<Vec<f32>>,
    /// Its average over the steps, where one is kept.
    pub average: Option<Vec<f32>>,
}

impl Snapshot {
    /// The model: each parameter's average where averages are kept, else its values.
    pub fn values(&self) -> Vec<Vec<f32>> {
        let of = |saved: &Saved| saved.average.as_ref().unwrap_or(&saved.values).clone();
        self.parameters.iter().map(of).collect()
    }

    /// Whether no parameter, and nothing that the optimizer keeps, is NaN or infinite. (Then no average is.)
    pub fn is_finite(&self) -> bool {
        let finite = |values: &Vec<f32>| values.iter().all(|v| v.is_finite());
        self.parameters.iter().all(|s| finite(&s.values) && s.planes.iter().all(finite))
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
