//! What the posteriors of many images say together: the KL of each latent unit, which units are active,
//! and the information between image and code.

use rayon::prelude::*;
use serde::Serialize;

use crate::bounds::Estimate;
use crate::kernels::posterior::full::below;
use crate::numeric::philox::{Stream, counter, normal4, philox};
use crate::vae::posterior::{Density, Family, Reader};

/// A unit is active where the variance of its posterior mean over the images is above this
/// (Burda et al. 2015, arXiv 1509.00519).
pub const ACTIVE: f64 = 0.01;

/// Posteriors that the mutual information is computed over at most: its cost is their number squared.
const MOST: usize = 10_000;
/// Steps of flows that are undone for all pairs, at most.
const MOST_UNDONE: usize = 500_000;
/// Products of all pairs, at most, where units are not independent.
const MOST_PRODUCTS: usize = 10_000_000_000;

/// q(z|x) of each image.
#[derive(Debug, Clone, Default)]
pub struct Posteriors {
    /// Z
    pub latent: usize,
    /// What reads them.
    pub reader: Reader,
    /// (N, Z)
    pub mean: Vec<f64>,
    /// (N, Z) that each unit has by itself, within the bounds that the kernels keep l in
    pub log_variance: Vec<f64>,
    /// (N) the whole of each, where units are not independent; else none.
    pub densities: Vec<Density>,
}

/// One latent unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unit {
    /// KL(q(z_u|x) || N(0, 1)), nats, of the unit by itself
    pub kl: Estimate,
    /// Variance over images of the posterior mean.
    pub variance_of_mean: f64,
    /// Whether that variance is above [`ACTIVE`].
    pub active: bool,
}

/// How much a draw from q tells which image it is of (Hoffman and Johnson 2016, "ELBO surgery").
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Information {
    /// I_q(x; z) = E log q(z|x) - log q(z) = E KL(q(z|x) || p(z)) - KL(q(z) || p(z)), nats; at most the
    /// log of the images, and then it says no more than that.
    pub mutual_information: Estimate,
    /// KL(q(z) || p(z)), q(z) the mixture of the images' posteriors.
    pub marginal_kl: Estimate,
    /// Images that x is uniform over; one draw of z each.
    pub images: usize,
}

impl Posteriors {
    /// None yet, of this reader's.
    pub fn of(reader: &Reader) -> Self {
        Posteriors { latent: reader.latent, reader: reader.clone(), ..Posteriors::default() }
    }

    /// Adds the encoder's outputs for the next images.
    pub fn extend(&mut self, heads: &[f32]) {
        let of_image = |row: &[f32]| {
            let q = self.reader.density(row);
            (q.marginals(), q)
        };
        // Of a flow they are those of draws, which take long.
        let rows = heads.par_chunks_exact(self.reader.heads());
        let found: Vec<_> = rows.with_min_len(16).map(of_image).collect();
        for ((mean, log_variance), q) in found {
            self.mean.extend(mean);
            self.log_variance.extend(log_variance);
            if !q.is_diagonal() {
                self.densities.push(q);
            }
        }
    }

    /// N
    pub fn images(&self) -> usize {
        self.mean.len() / self.latent
    }

    fn unit_kl(&self, element: usize) -> f64 {
        let (mu, l) = (self.mean[element], self.log_variance[element]);
        0.5 * (mu * mu + (l.exp_m1() - l))
    }

    /// KL(q(z|x) || N(0, I)) of an image.
    pub fn kl(&self, image: usize) -> f64 {
        match self.densities.get(image) {
            Some(q) => q.kl(),
            None => (0..self.latent).map(|u| self.unit_kl(image * self.latent + u)).sum(),
        }
    }

    /// What each latent unit does.
    pub fn units(&self) -> Vec<Unit> {
        let n = self.images();
        let of = |u: usize| (0..n).map(move |i| i * self.latent + u);
        (0..self.latent)
            .map(|u| {
                let mean = of(u).map(|e| self.mean[e]).sum::<f64>() / n as f64;
                let squares: f64 = of(u).map(|e| (self.mean[e] - mean).powi(2)).sum();
                let variance_of_mean = squares / (n as f64 - 1.0).max(1.0);
                Unit {
                    kl: Estimate::of(of(u).map(|e| self.unit_kl(e))),
                    variance_of_mean,
                    active: variance_of_mean > ACTIVE,
                }
            })
            .collect()
    }

    /// One draw z_n from each posterior, the first that the estimates use too, and of each
    /// log q(z_n|x_n) - log q(z_n), whose mean is the mutual information. Both terms at the same draw:
    /// their noise cancels, and the estimate keeps below its limit as an entropy in closed form would not. `kl` is that of an
    /// image to the prior.
    pub fn information(&self, seed: u64, kl: impl Fn(usize) -> f64 + Sync) -> Information {
        let width = self.latent;
        let most = match self.reader.family {
            Family::Diagonal => MOST,
            Family::Full => {
                let of_pair = self.densities.first().map_or(1, |q| width + q.below.len());
                MOST.min((MOST_PRODUCTS / of_pair).isqrt())
            }
            Family::Planar { steps } => (MOST_UNDONE / steps).isqrt(),
            Family::Iaf { .. } => {
                let of_pair = self.reader.products().unwrap_or(1);
                MOST.min((MOST_PRODUCTS / of_pair).isqrt())
            }
        };
        let n = self.images().min(most);
        let densities = Densities::of(self, n);
        let key = [seed as u32, (seed >> 32) as u32];
        let terms: Vec<(f64, f64)> = (0..n)
            .into_par_iter()
            .map_init(
                || vec![0.0; n * (1 + width)],
                |scratch, image| {
                    let eps: Vec<f64> = (0..width)
                        .map(|u| {
                            let bits =
                                philox(counter(0, image, 0, Stream::TestNoise as u32, u / 4), key);
                            normal4::<f64>(bits)[u % 4]
                        })
                        .collect();
                    // The densities lack the same factor of 2 pi.
                    let z = self.at(image, &eps);
                    let (log_q, solved) = scratch.split_at_mut(n);
                    let log_own = if !self.reader.family.has_closed_kl() {
                        let each = log_q.iter_mut().zip(&self.densities);
                        each.for_each(|(log_q, q)| *log_q = -2.0 * q.log_density(&z));
                        -0.5 * log_q[image]
                    } else {
                        densities.at(&z, log_q, solved);
                        let begin = -0.5 * densities.log_variances[image];
                        eps.iter().fold(begin, |sum, e| sum - 0.5 * e * e)
                    };
                    // what was summed is -2 log q
                    let least = log_q.iter().copied().fold(f64::INFINITY, f64::min);
                    let sum: f64 = log_q.iter().map(|v| (-0.5 * (v - least)).exp()).sum();
                    let mutual = log_own - ((sum / n as f64).ln() - 0.5 * least);
                    (mutual, kl(image) - mutual)
                },
            )
            .collect();
        Information {
            mutual_information: Estimate::of(terms.iter().map(|t| t.0)),
            marginal_kl: Estimate::of(terms.iter().map(|t| t.1)),
            images: n,
        }
    }

    /// The z of an image that belongs to standard normal numbers.
    fn at(&self, image: usize, eps: &[f64]) -> Vec<f64> {
        let unit = |u: usize| {
            let e = image * self.latent + u;
            self.mean[e] + (0.5 * self.log_variance[e]).exp() * eps[u]
        };
        match self.densities.get(image) {
            Some(q) => q.at(eps),
            None => (0..self.latent).map(unit).collect(),
        }
    }
}

/// The densities of the first n posteriors, with the loop over them the inner one, so that it becomes vector instructions.
struct Densities {
    /// (Z, n)
    mean: Vec<f64>,
    /// (Z, n) of each unit given those before it: e^-l
    precision: Vec<f64>,
    /// (Z, n) its root, where factors have something below their diagonals
    root: Vec<f64>,
    /// (Z (Z - 1) / 2, n) what is below the diagonals of the factors; none where they have nothing there
    below: Vec<f64>,
    /// (n) sums over the units
    log_variances: Vec<f64>,
}

impl Densities {
    fn of(posteriors: &Posteriors, n: usize) -> Self {
        let Posteriors { latent, mean, log_variance, densities, .. } = posteriors;
        let width = *latent;
        let own = |image: usize| match densities.get(image) {
            Some(q) => &q.log_variance[..],
            None => &log_variance[image * width..][..width],
        };
        let columns = |rows: usize, value: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            (0..rows).flat_map(|row| (0..n).map(move |image| value(image, row))).collect()
        };
        Densities {
            mean: columns(width, &|image, u| mean[image * width + u]),
            precision: columns(width, &|image, u| (-own(image)[u]).exp()),
            root: match densities.is_empty() {
                true => Vec::new(),
                false => columns(width, &|image, u| (-0.5 * own(image)[u]).exp()),
            },
            below: match densities.first() {
                Some(q) => columns(q.below.len(), &|image, e| densities[image].below[e]),
                None => Vec::new(),
            },
            log_variances: (0..n).map(|image| own(image).iter().sum()).collect(),
        }
    }

    /// -2 log q(z) of each, without a factor of 2 pi. `solved` has room for (Z, n).
    fn at(&self, z: &[f64], log_q: &mut [f64], solved: &mut [f64]) {
        let n = log_q.len();
        log_q.copy_from_slice(&self.log_variances);
        for (u, &z) in z.iter().enumerate() {
            let column = u * n..(u + 1) * n;
            let mean = &self.mean[column.clone()];
            if self.below.is_empty() {
                let each = mean.iter().zip(&self.precision[column]);
                for (log_q, (mean, precision)) in log_q.iter_mut().zip(each) {
                    *log_q += (z - mean) * (z - mean) * precision;
                }
                continue;
            }
            // The eps of this unit: L eps = z - mean, from the first row on.
            let (before, own) = solved.split_at_mut(u * n);
            let own = &mut own[..n];
            own.iter_mut().zip(mean).for_each(|(own, mean)| *own = z - mean);
            let row = &self.below[below(u) * n..][..u * n];
            for (eps, c) in before.chunks_exact(n).zip(row.chunks_exact(n)) {
                own.iter_mut().zip(eps.iter().zip(c)).for_each(|(own, (eps, c))| *own -= c * eps);
            }
            let each = own.iter_mut().zip(&self.root[column]);
            for (log_q, (own, root)) in log_q.iter_mut().zip(each) {
                *own *= root;
                *log_q += *own * *own;
            }
        }
    }
}
