//! The discretized logistic likelihood without a branch, in lanes.

use super::lanes::one_minus_exp_ratio;
use crate::kernels::discretized_logistic::{HALF, HIGHEST, LOWEST, OFFSET};
use crate::numeric::{Real, parallel};
use crate::plan::Call;

const HALF_LEVEL: f32 = HALF as f32;
const LAST: f32 = 1.0 - HALF_LEVEL;

/// 1/s of l.
#[inline(always)]
fn inverse_scale(l: f32) -> f32 {
    let l = if l > HIGHEST as f32 { HIGHEST as f32 } else { l };
    Real::exp(-(LOWEST as f32 + (OFFSET as f32 + l).softplus()))
}

/// ln of the mass between the level's edges.
#[inline(always)]
fn log_mass(level: f32, mu: f32, l: f32) -> f32 {
    let (inverse, offset) = (inverse_scale(l), level - mu);
    let (first, last) = (level <= HALF_LEVEL, level >= LAST);
    let below = ((-HALF_LEVEL - offset) * inverse).softplus();
    let above = ((offset - HALF_LEVEL) * inverse).softplus();
    let width = 2.0 * HALF_LEVEL * inverse;
    let between = (width * one_minus_exp_ratio(width)).ln_precise();
    (if first || last { 0.0 } else { between })
        - (if last { 0.0 } else { below })
        - (if first { 0.0 } else { above })
}

/// The derivative of [`log_mass`] with respect to mu and l.
#[inline(always)]
fn gradient(level: f32, mu: f32, l: f32) -> (f32, f32) {
    let (inverse, offset) = (inverse_scale(l), level - mu);
    let (first, last) = (level <= HALF_LEVEL, level >= LAST);
    let (p, m) = ((offset + HALF_LEVEL) * inverse, (offset - HALF_LEVEL) * inverse);
    let below = if last { 0.0 } else { (-p).sigmoid() };
    let above = if first { 0.0 } else { m.sigmoid() };
    let width = 2.0 * HALF_LEVEL * inverse;
    let between = Real::exp(-width) / one_minus_exp_ratio(width);
    let between = if first || last { 0.0 } else { between };
    let slope = if l > HIGHEST as f32 { 0.0 } else { (OFFSET as f32 + l).sigmoid() };
    ((above - below) * inverse, (m * above - p * below - between) * slope)
}

pub(super) fn log_likelihood(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta) = (c.read("x"), c.read("eta"));
    let (x, eta) = (&x[..], &eta[..]);
    parallel::rows(
        &mut c.write("log_px"),
        1,
        #[inline(always)]
        |row, log_px| {
            let (mu, l) = eta[row * 2 * d..][..2 * d].split_at(d);
            let x = &x[row / k * d..][..d];
            log_px[0] = parallel::sum(d, |i| log_mass(x[i], mu[i], l[i]));
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (c.read("x"), c.read("eta"), c.read("weight"));
    let (x, eta, weight) = (&x[..], &eta[..], &weight[..]);
    parallel::rows(
        &mut c.write("d_eta"),
        2 * d,
        #[inline(always)]
        |row, d_eta| {
            let (mu, l) = eta[row * 2 * d..][..2 * d].split_at(d);
            let (x, w) = (&x[row / k * d..][..d], weight[row]);
            let (d_mu, d_l) = d_eta.split_at_mut(d);
            for i in 0..d {
                let (of_mu, of_l) = gradient(x[i], mu[i], l[i]);
                d_mu[i] = w * of_mu;
                d_l[i] = w * of_l;
            }
        },
    );
}
