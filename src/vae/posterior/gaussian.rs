//! A Gaussian q(z|x) of one image on the host, in double precision.

use super::Family;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::posterior::full::below;

/// N(mean, L L^T), L lower triangular.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussian {
    /// (Z)
    pub mean: Vec<f64>,
    /// (Z) the log of the squared diagonal of L, within the bounds that the kernels keep it in: of the variance of each unit
    /// given those before it.
    pub log_variance: Vec<f64>,
    /// (Z (Z - 1) / 2) what is below the diagonal of L, row by row; none where it is zero.
    pub below: Vec<f64>,
}

impl Gaussian {
    /// From an encoder's output for Z latent units.
    pub fn of(family: Family, heads: &[f32], latent: usize) -> Self {
        let heads: Vec<f64> = heads.iter().map(|&v| f64::from(v)).collect();
        let (mean, rest) = heads.split_at(latent);
        let (raw, below) = rest.split_at(latent);
        let below = match family {
            Family::Diagonal => Vec::new(),
            Family::Full => below.to_vec(),
        };
        let log_variance = raw.iter().map(|&l| clamp_log_variance(l)).collect();
        Gaussian { mean: mean.to_vec(), log_variance, below }
    }

    /// A unit's row of L before its diagonal; nothing where it is zero.
    pub fn row(&self, unit: usize) -> &[f64] {
        match self.below.is_empty() {
            true => &[],
            false => &self.below[below(unit)..][..unit],
        }
    }

    /// The log variance that a unit has by itself.
    pub fn marginal_log_variance(&self, unit: usize) -> f64 {
        match self.row(unit) {
            [] => self.log_variance[unit],
            row => (self.log_variance[unit].exp() + squares(row)).ln(),
        }
    }

    /// KL(q || N(0, I)), nats.
    pub fn kl(&self) -> f64 {
        let each = self.mean.iter().zip(&self.log_variance).enumerate();
        let terms =
            each.map(|(i, (mu, l))| 0.5 * (mu * mu + squares(self.row(i)) + (l.exp_m1() - l)));
        terms.sum()
    }

    /// log p(z) - log q(z), p = N(0, I), nats.
    pub fn log_ratio(&self, z: &[f64]) -> f64 {
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
        (0..eps.len()).map(unit).collect()
    }
}

fn squares(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum()
}
