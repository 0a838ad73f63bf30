//! What a run's steps are worth: sums on the device, averages over images.

use std::ops::{AddAssign, Range};

use serde::{Deserialize, Serialize};

use crate::device::{DeviceError, Executor};
use crate::kernels::end_step;
use crate::vae::step::Pass;

/// Averages over images, in nats per image.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Metrics {
    /// E_q log p(x|z), one or K samples an image.
    pub reconstruction: f64,
    /// KL(q(z|x) || p(z))
    pub kl: f64,
    /// L_K, the importance-weighted bound, where that is the objective.
    pub bound: Option<f64>,
    /// Share of the steps whose gradient was clipped, where it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// Images averaged over.
    pub images: u64,
}

impl Metrics {
    /// reconstruction - KL
    pub fn elbo(&self) -> f64 {
        self.reconstruction - self.kl
    }
}

/// What [`Metrics`] are the averages of, summed over the images of some steps in their order: an epoch
/// that was left in its middle goes on adding to them, and comes to the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Nats, as are the next two.
    pub reconstruction: f64,
    /// KL(q(z|x) || p(z))
    pub kl: f64,
    /// Zero where the bound is not the objective.
    pub bound: f64,
    /// How many were summed over.
    pub images: f64,
    /// Steps, where gradients may be clipped, and how many of them were.
    #[serde(default, skip_serializing_if = "is_none")]
    pub clipped: [u64; 2],
}

fn is_none(counts: &[u64; 2]) -> bool {
    *counts == [0; 2]
}

impl AddAssign<&Sums> for Sums {
    fn add_assign(&mut self, other: &Sums) {
        self.reconstruction += other.reconstruction;
        self.kl += other.kl;
        self.bound += other.bound;
        self.images += other.images;
        self.clipped[0] += other.clipped[0];
        self.clipped[1] += other.clipped[1];
    }
}

impl Sums {
    /// With those of further steps, added in their order.
    pub fn and(mut self, steps: &[Sums]) -> Self {
        steps.iter().for_each(|step| self += step);
        self
    }
}

/// What each of `steps` of a pass adds to the sums, or the first of them that is not finite.
pub(super) fn read_history(
    executor: &mut dyn Executor,
    pass: Pass,
    steps: Range<u64>,
) -> Result<Result<Vec<Sums>, u64>, DeviceError> {
    let history = executor.read_f32(pass.history)?;
    let norms = match pass.norms {
        Some((norms, most)) => Some((executor.read_f32(norms)?, most)),
        None => None,
    };
    let mut all = Vec::new();
    for step in steps {
        let at = (step % pass.history_steps as u64) as usize;
        let row = &history[at * end_step::COLUMNS..][..end_step::COLUMNS];
        if !row.iter().all(|v| v.is_finite()) {
            return Ok(Err(step));
        }
        let mut clipped = [0; 2];
        if let Some((norms, most)) = &norms {
            if !norms[at].is_finite() {
                return Ok(Err(step));
            }
            clipped = [1, u64::from(norms[at] > *most)];
        }
        let [reconstruction, kl, images, bound] = [0, 1, 2, 3].map(|i| f64::from(row[i]));
        all.push(Sums { reconstruction, kl, bound, images, clipped });
    }
    Ok(Ok(all))
}

/// The averages that the sums over steps of a pass come to.
pub(super) fn average(pass: Pass, sums: Sums) -> Metrics {
    let Sums { reconstruction, kl, bound, images, clipped: [steps, clipped] } = sums;
    Metrics {
        reconstruction: reconstruction / images,
        kl: kl / images,
        bound: pass.bound.map(|_| bound / images),
        clipped: pass.norms.map(|_| clipped as f64 / steps as f64),
        images: images as u64,
    }
}
