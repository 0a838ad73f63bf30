//! The temperatures of annealed importance sampling, and the step sizes of its transitions.

use std::ops::ControlFlow;

use serde::Serialize;

use super::annealed::{Annealing, Loaded, PILOT, Spoilt};
use super::{EvaluateError, Observed};
use crate::device::Device;
use crate::kernels::annealed::ACCEPTANCE;
use crate::loaded::Model;
use crate::vae::anneal::Chains;

/// How far the sigmoid goes from which the temperatures are cut.
const SIGMOID: f64 = 4.0;
/// The acceptance that the step sizes are to bring.
const TARGET: f64 = 0.7;
/// The shortest step, in units of a posterior's standard deviations.
const SHORTEST: f64 = 1e-3;
/// The longest step, and the longest way of a transition: between a quarter and a half of the period of a posterior that
/// has these standard deviations. After a whole period a chain would be where it was.
const LONGEST: f64 = 1.5;
const WAY: f64 = 2.5;
/// Chains that step sizes are found on: so many images, and so many of each.
pub(super) const IMAGES: usize = 64;
const CHAINS: usize = 4;
/// Transitions of each of them that suffice.
const TRANSITIONS: usize = 100;

/// The longest step of so many.
fn longest(leapfrogs: usize) -> f64 {
    LONGEST.min(WAY / leapfrogs as f64)
}

/// Which way a chain goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From where its path begins to the posterior: a bound from below.
    Forward,
    /// From a draw from the posterior to where the path begins: a bound from above.
    Backward,
}

/// Temperatures, and a step size for the transition at each of them but the first and the last. Both are the same for
/// all chains, in both directions: no chain that counts has changed them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tempering {
    #[serde(flatten)]
    pub settings: Annealing,
    /// (T + 1) from 0 to 1
    pub betas: Vec<f64>,
    /// (T - 1), of betas 1 to T - 1
    pub sizes: Vec<f32>,
}

impl Tempering {
    /// T steps along a sigmoid, slow at both ends, where p(x|z) tells most.
    pub fn new(settings: Annealing) -> Self {
        let temperatures = settings.temperatures;
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let (low, high) = (sigmoid(-SIGMOID), sigmoid(SIGMOID));
        let beta = |t: usize| match t {
            0 => 0.0,
            t if t == temperatures => 1.0,
            t => {
                let along = 2.0 * t as f64 / temperatures as f64 - 1.0;
                (sigmoid(SIGMOID * along) - low) / (high - low)
            }
        };
        let sizes = vec![(0.3 * longest(settings.leapfrogs)) as f32; temperatures - 1];
        Tempering { settings, betas: (0..=temperatures).map(beta).collect(), sizes }
    }

    /// Rows of the schedule, (T, 3): the share of log w, the temperature of the transition that follows upon it, and its
    /// step size. No transition follows upon the last share.
    pub fn schedule(&self, direction: Direction) -> Vec<f32> {
        let (betas, t) = (&self.betas, self.betas.len() - 1);
        let row = |i: usize| {
            let (from, to, next) = match direction {
                Direction::Forward => (i, i + 1, i + 1),
                Direction::Backward => (t - i - 1, t - i, t - i - 1),
            };
            let size = match next {
                next if (1..t).contains(&next) => self.sizes[next - 1],
                _ => 0.0,
            };
            [(betas[to] - betas[from]) as f32, betas[next] as f32, size]
        };
        (0..t).flat_map(row).collect()
    }
}

/// Finds a step size for each temperature, on forward chains of some of the images with noise that no other
/// chain has. Deterministic in the seed.
///
/// # Errors
/// The device failed, or `progress`, which is told the share that is done, said `Break`.
pub fn tune(
    device: &Device,
    model: Model,
    Observed { x, content, starts, .. }: Observed,
    settings: Annealing,
    progress: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Tempering, EvaluateError> {
    let Annealing { path, temperatures, leapfrogs, .. } = settings;
    let mut tempering = Tempering::new(settings);
    let transitions = temperatures - 1;
    if transitions == 0 {
        return Ok(tempering);
    }
    let pixels = model.architecture.pixels();
    let batch = (x.len() / pixels).min(IMAGES);
    let chains = Chains { batch, samples: CHAINS, path, temperatures, leapfrogs };
    let mut loaded = Loaded::new(device, model, content, chains, Spoilt::NOT)?;
    let latent = model.architecture.latent;
    loaded.observe(&x[..batch * pixels], starts.map(|starts| &starts[..2 * batch * latent]))?;
    let sweeps = TRANSITIONS.div_ceil(transitions).clamp(2, 20);
    for sweep in 0..sweeps {
        let first_sample = PILOT + (sweep * CHAINS) as u32;
        loaded.begin(&tempering.schedule(Direction::Forward), 0, first_sample, None)?;
        loaded.steps(1, &mut |_| ControlFlow::Continue(()))?;
        let mut before = 0.0;
        for t in 0..transitions {
            let done = (sweep * transitions + t) as f64 / (sweeps * transitions) as f64;
            if progress(done).is_break() {
                return Err(EvaluateError::Interrupted);
            }
            loaded.steps(leapfrogs as u64, &mut |_| ControlFlow::Continue(()))?;
            let after = loaded.mean(ACCEPTANCE)?;
            let change = (after - before - TARGET).exp();
            before = after;
            let moved =
                |size: f32| (f64::from(size) * change).clamp(SHORTEST, longest(leapfrogs)) as f32;
            match sweep {
                // The first leapfrog at the next temperature has been made already.
                0 => {
                    let size = moved(tempering.sizes[t]);
                    let rest = tempering.sizes.iter_mut().skip(t + 2);
                    rest.for_each(|other| *other = size);
                    loaded.write_schedule(&tempering.schedule(Direction::Forward))?;
                }
                _ => tempering.sizes[t] = moved(tempering.sizes[t]),
            }
        }
    }
    Ok(tempering)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vae::anneal::Path;

    /// Every transition has the same temperature and step size in both directions, and the shares add up to one.
    #[test]
    fn the_directions_are_each_others_reverse() {
        let of = |temperatures| {
            let (path, chains, leapfrogs) = (Path::Posterior, 1, 1);
            Tempering::new(Annealing { path, temperatures, chains, leapfrogs })
        };
        let mut tempering = of(7);
        for (i, size) in tempering.sizes.iter_mut().enumerate() {
            *size = 0.1 + i as f32;
        }
        assert_eq!((tempering.betas[0], tempering.betas[7]), (0.0, 1.0));
        assert!(tempering.betas.is_sorted());
        let [forward, backward] =
            [Direction::Forward, Direction::Backward].map(|d| tempering.schedule(d));
        let (forward, backward): (Vec<&[f32]>, Vec<&[f32]>) =
            (forward.chunks(3).collect(), backward.chunks(3).collect());
        for i in 0..7 {
            assert_eq!(forward[i][0], backward[6 - i][0]);
        }
        for i in 0..6 {
            assert_eq!(forward[i][1..], backward[5 - i][1..]);
        }
        let total: f32 = forward.iter().map(|row| row[0]).sum();
        assert!((total - 1.0).abs() < 1e-6);
        assert_eq!(of(1).schedule(Direction::Forward), [1.0, 1.0, 0.0]);
    }
}
