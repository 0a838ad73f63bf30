//! q(z|x) of one image on the host, in double precision.

use std::sync::Arc;

use super::Family;
use super::iaf::Networks;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::posterior::full::below;
use crate::kernels::posterior::planar::Step;
use crate::numeric::philox::{Stream, counter, normal4, philox};
use crate::vae::architecture::Architecture;

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
    flow: Option<Flow>,
}

/// The steps that a flow takes of an image's first z.
#[derive(Debug, Clone, PartialEq)]
enum Flow {
    /// So many, of the image's heads.
    Planar(usize, Vec<f64>),
    /// Those of the networks, by the image's context.
    Autoregressive(Arc<Networks>, Vec<f64>),
}

impl Flow {
    /// Takes z through all steps; returns the logarithm of the Jacobian's determinant.
    fn forward(&self, z: &mut [f64]) -> f64 {
        match self {
            Flow::Planar(steps, heads) => {
                (0..*steps).map(|t| Step::of(heads, z.len(), *steps, t).forward(z)).sum()
            }
            Flow::Autoregressive(networks, context) => {
                (0..networks.steps()).map(|t| networks.forward(t, context, z)).sum()
            }
        }
    }

    /// Takes z back to before all steps; returns the logarithm of the determinant of the way forward.
    fn undo(&self, z: &mut [f64]) -> f64 {
        match self {
            Flow::Planar(steps, heads) => {
                let back = (0..*steps).rev().map(|t| {
                    let step = Step::of(heads, z.len(), *steps, t);
                    undo(&step, z);
                    step.forward(&mut z.to_vec())
                });
                back.sum()
            }
            Flow::Autoregressive(networks, context) => {
                (0..networks.steps()).rev().map(|t| networks.undo(t, context, z)).sum()
            }
        }
    }
}

/// Reads q(z|x) from the encoder's outputs.
#[derive(Debug, Clone, Default)]
pub struct Reader {
    /// What q is of.
    pub family: Family,
    /// Z
    pub latent: usize,
    networks: Option<Arc<Networks>>,
}

impl Reader {
    /// Of a trained network, with its parameters in the order of [`crate::vae::Network::parameters`].
    pub fn of(architecture: &Architecture, parameters: &[Vec<f32>]) -> Self {
        let Architecture { posterior: family, latent, .. } = *architecture;
        let networks = match family {
            Family::Iaf { hidden, .. } => {
                let own = architecture.own_of_posterior();
                Some(Arc::new(Networks::of(latent, hidden, &parameters[own])))
            }
            Family::Diagonal | Family::Full | Family::Planar { .. } => None,
        };
        Reader { family, latent, networks }
    }

    /// Of a family that has no parameters of its own, of Z latent units.
    pub fn of_family(family: Family, latent: usize) -> Self {
        Reader { family, latent, networks: None }
    }

    /// Numbers of a row of the encoder's outputs.
    pub fn heads(&self) -> usize {
        self.family.heads(self.latent)
    }

    /// Products that taking a z back through autoregressive flows takes, about; none without them.
    pub fn products(&self) -> Option<usize> {
        self.networks.as_ref().map(|networks| networks.steps() * networks.products())
    }

    /// # Panics
    /// It was made without the parameters that its family has.
    pub fn density(&self, heads: &[f32]) -> Density {
        let heads: Vec<f64> = heads.iter().map(|&v| f64::from(v)).collect();
        let (mean, rest) = heads.split_at(self.latent);
        let (raw, more) = rest.split_at(self.latent);
        let (below, flow) = match self.family {
            Family::Diagonal => (Vec::new(), None),
            Family::Full => (more.to_vec(), None),
            Family::Planar { steps } => (Vec::new(), Some(Flow::Planar(steps, heads.clone()))),
            Family::Iaf { .. } => {
                let networks = self.networks.clone().expect("a family with its parameters");
                (Vec::new(), Some(Flow::Autoregressive(networks, more.to_vec())))
            }
        };
        let log_variance = raw.iter().map(|&l| clamp_log_variance(l)).collect();
        Density { mean: mean.to_vec(), log_variance, below, flow }
    }
}

/// Draws by which what has no closed form is estimated, the same for every image.
const DRAWS: usize = 64;

impl Density {
    /// From an encoder's output for Z latent units, of a family that has no parameters of its own.
    pub fn of(family: Family, heads: &[f32], latent: usize) -> Self {
        Reader::of_family(family, latent).density(heads)
    }

    /// Whether its units are independent, so that mean and log variance are those of each.
    pub fn is_diagonal(&self) -> bool {
        self.below.is_empty() && self.flow.is_none()
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
        let log_det = self.flow.as_ref().map_or(0.0, |flow| flow.undo(&mut first));
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
        if let Some(flow) = &self.flow {
            flow.forward(&mut z);
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
