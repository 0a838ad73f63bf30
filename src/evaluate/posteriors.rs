//! What the posteriors of many images say together: the KL of each latent unit, which units are active,
//! and the information between image and code.

use rayon::prelude::*;
use serde::Serialize;

use crate::bounds::Estimate;
use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::philox::{Stream, counter, normal4, philox};

/// A unit is active where the variance of its posterior mean over the images is above this
/// (Burda et al. 2015, arXiv 1509.00519).
pub const ACTIVE: f64 = 0.01;

/// Posteriors that the mutual information is computed over at most: its cost is their number squared.
const MOST: usize = 10_000;

/// q(z|x) = N(mu, diag e^l) of each image.
#[derive(Debug, Clone, Default)]
pub struct Posteriors {
    /// Z
    pub latent: usize,
    /// (N, Z)
    pub mean: Vec<f64>,
    /// (N, Z) l, within the bounds that the kernels keep it in
    pub log_variance: Vec<f64>,
}

/// One latent unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Unit {
    /// KL(q(z_u|x) || N(0, 1)), nats
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
    /// Adds the heads (B, 2*Z) of the next images.
    pub fn extend(&mut self, heads: &[f32]) {
        for row in heads.chunks_exact(2 * self.latent) {
            let (mean, log_variance) = row.split_at(self.latent);
            self.mean.extend(mean.iter().map(|&v| f64::from(v)));
            let clamped = log_variance.iter().map(|&l| clamp_log_variance(f64::from(l)));
            self.log_variance.extend(clamped);
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
        (0..self.latent).map(|u| self.unit_kl(image * self.latent + u)).sum()
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
        let (n, width) = (self.images().min(MOST), self.latent);
        let key = [seed as u32, (seed >> 32) as u32];
        // (Z, N), so that the loop over posteriors is the inner one and becomes vector instructions
        let column = |values: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..width).flat_map(|u| (0..n).map(move |i| i * width + u)).map(values).collect()
        };
        let mean = column(&|e| self.mean[e]);
        let precision = column(&|e| (-self.log_variance[e]).exp());
        let log_variances: Vec<f64> =
            (0..n).map(|i| self.log_variance[i * width..][..width].iter().sum()).collect();
        let terms: Vec<(f64, f64)> = (0..n)
            .into_par_iter()
            .map_init(
                || vec![0.0; n],
                |log_q, image| {
                    // The densities lack the same factor of 2 pi.
                    let mut log_own = -0.5 * log_variances[image];
                    log_q.copy_from_slice(&log_variances);
                    for u in 0..width {
                        let bits =
                            philox(counter(0, image, 0, Stream::TestNoise as u32, u / 4), key);
                        let eps = normal4::<f64>(bits)[u % 4];
                        let e = image * width + u;
                        let z = self.mean[e] + (0.5 * self.log_variance[e]).exp() * eps;
                        log_own -= 0.5 * eps * eps;
                        let column = u * n..(u + 1) * n;
                        let each = mean[column.clone()].iter().zip(&precision[column]);
                        for (log_q, (mean, precision)) in log_q.iter_mut().zip(each) {
                            *log_q += (z - mean) * (z - mean) * precision;
                        }
                    }
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
}
