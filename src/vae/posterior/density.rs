//! q(z|x) of one image on the host, in double precision.

use super::Family;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::posterior::full::below;
use crate::kernels::posterior::planar::Step;
use crate::numeric::philox::{Stream, counter, normal4, philox};

/// N(mean, L L^T), L lower triangular, or what steps of a flow make of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Density {
    /// (Z)
    pub mean: Vec<f64>,
    /// (Z) the log of the squared diagonal of L, within the bounds that the kernels keep it in: of the variance of each unit
    /// given those before it.
    pub log_variance: Vec<f64>,
    /// (Z (Z - 1) / 2) what is below the diagonal of L, row by row; none where it is zero.
    pub below: Vec<f64>,
    /// The steps of a flow, and the heads that they are computed from.
    flow: Option<(usize, Vec<f64>)>,
}

/// Draws by which what has no closed form is estimated, the same for every image.
const DRAWS: usize = 64;

impl Density {
    /// From an encoder's output for Z latent units.
    pub fn of(family: Family, heads: &[f32], latent: usize) -> Self {
        let heads: Vec<f64> = heads.iter().map(|&v| f64::from(v)).collect();
        let (mean, rest) = heads.split_at(latent);
        let (raw, below) = rest.split_at(latent);
        let (below, flow) = match family {
            Family::Diagonal => (Vec::new(), None),
            Family::Full => (below.to_vec(), None),
            Family::Planar { steps } => (Vec::new(), Some((steps, heads.clone()))),
        };
        let log_variance = raw.iter().map(|&l| clamp_log_variance(l)).collect();
        Density { mean: mean.to_vec(), log_variance, below, flow }
    }

    /// Whether its units are independent, so that mean and log variance are those of each.
    pub fn is_diagonal(&self) -> bool {
        self.below.is_empty() && self.flow.is_none()
    }

    /// The steps of the flow, in their order.
    fn steps(&self) -> impl DoubleEndedIterator<Item = Step<'_, f64>> {
        let z = self.mean.len();
        let steps = self.flow.as_ref().map_or(0, |(steps, _)| *steps);
        (0..steps).map(move |t| {
            let (steps, heads) = self.flow.as_ref().expect("it has steps");
            Step::of(heads, z, *steps, t)
        })
    }

    /// A unit's row of L before its diagonal; nothing where it is zero.
    pub fn row(&self, unit: usize) -> &[f64] {
        match self.below.is_empty() {
            true => &[],
            false => &self.below[below(unit)..][..unit],
        }
    }

    /// The mean and the log variance that each unit has by itself; of a flow those of some draws.
    pub fn marginals(&self) -> (Vec<f64>, Vec<f64>) {
        let of_gaussian = |unit: usize| match self.row(unit) {
            [] => self.log_variance[unit],
            row => (self.log_variance[unit].exp() + squares(row)).ln(),
        };
        if self.flow.is_none() {
            let units = 0..self.mean.len();
            return (self.mean.clone(), units.map(of_gaussian).collect());
        }
        let draws: Vec<Vec<f64>> =
            (0..DRAWS).map(|k| self.at(&noise(k, self.mean.len()))).collect();
        let n = DRAWS as f64;
        let mean = |unit: usize| draws.iter().map(|z| z[unit]).sum::<f64>() / n;
        let means: Vec<f64> = (0..self.mean.len()).map(mean).collect();
        let variance = |(unit, mean): (usize, &f64)| {
            (draws.iter().map(|z| (z[unit] - mean).powi(2)).sum::<f64>() / n).ln()
        };
        let log_variances = means.iter().enumerate().map(variance).collect();
        (means, log_variances)
    }

    /// KL(q || N(0, I)), nats: in closed form, or of some draws of a flow.
    pub fn kl(&self) -> f64 {
        if self.flow.is_some() {
            let draw = |k: usize| -self.log_ratio(&self.at(&noise(k, self.mean.len())));
            return (0..DRAWS).map(draw).sum::<f64>() / DRAWS as f64;
        }
        let each = self.mean.iter().zip(&self.log_variance).enumerate();
        let terms =
            each.map(|(i, (mu, l))| 0.5 * (mu * mu + squares(self.row(i)) + (l.exp_m1() - l)));
        terms.sum()
    }

    /// log p(z) - log q(z), p = N(0, I), nats. A flow is undone, step by step.
    pub fn log_ratio(&self, z: &[f64]) -> f64 {
        let mut first = z.to_vec();
        let mut log_det = 0.0;
        for step in self.steps().rev() {
            undo(&step, &mut first);
            log_det += step.forward(&mut first.clone());
        }
        self.log_ratio_of_gaussian(&first) + log_det + 0.5 * (squares(&first) - squares(z))
    }

    /// log q(z), without its factor of 2 pi.
    pub fn log_density(&self, z: &[f64]) -> f64 {
        -0.5 * squares(z) - self.log_ratio(z)
    }

    fn log_ratio_of_gaussian(&self, z: &[f64]) -> f64 {
        // L eps = z - mean, from the first row on.
        let mut eps = Vec::with_capacity(z.len());
        let mut sum = 0.0;
        for (unit, (&z, &l)) in z.iter().zip(&self.log_variance).enumerate() {
            let before = self.row(unit).iter().zip(&eps).map(|(c, e)| c * e).sum::<f64>();
            let rest = z - self.mean[unit] - before;
            sum += rest * rest * (-l).exp() + l - z * z;
            eps.push(rest * (-0.5 * l).exp());
        }
        0.5 * sum
    }

    /// The z that belongs to standard normal numbers.
    pub fn at(&self, eps: &[f64]) -> Vec<f64> {
        let unit = |u: usize| {
            let before = self.row(u).iter().zip(eps).map(|(c, e)| c * e).sum::<f64>();
            self.mean[u] + (before + (0.5 * self.log_variance[u]).exp() * eps[u])
        };
        let mut z: Vec<f64> = (0..eps.len()).map(unit).collect();
        for step in self.steps() {
            step.forward(&mut z);
        }
        z
    }
}

/// Takes z back to before a step: w z + (w v) tanh(w z + b) rises with w z, which is found by halving.
fn undo(step: &Step<'_, f64>, z: &mut [f64]) {
    let behind: f64 = step.w.iter().zip(&*z).map(|(w, z)| w * z).sum();
    let (mut low, mut high) = (behind - step.p.abs(), behind + step.p.abs());
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        match middle + step.p * (middle + step.b).tanh() < behind {
            true => low = middle,
            false => high = middle,
        }
    }
    let h = (0.5 * (low + high) + step.b).tanh();
    for ((z, u), w) in z.iter_mut().zip(step.u).zip(step.w) {
        *z -= (u + step.c * w) * h;
    }
}

/// Standard normal numbers of a draw.
fn noise(draw: usize, units: usize) -> Vec<f64> {
    let quads = (0..units.div_ceil(4)).flat_map(|quad| {
        normal4::<f64>(philox(counter(0, 0, draw, Stream::TestNoise as u32, quad), [0, 0]))
    });
    quads.take(units).collect()
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}
