//! The continuous Bernoulli likelihood without a branch, in lanes.

use super::lanes::one_minus_exp_ratio;
use crate::numeric::{Real, parallel};
use crate::plan::Call;

/// x eta - A(eta), see the formula.
#[inline(always)]
fn log_density(x: f32, eta: f32) -> f32 {
    let slope = if eta < 0.0 { x } else { x - 1.0 };
    slope * eta - one_minus_exp_ratio(eta.abs()).ln_precise()
}

/// A'(eta), as the shader has it.
#[inline(always)]
fn mean(eta: f32) -> f32 {
    let (a, w) = (eta.abs(), eta * eta);
    let near = 0.5
        + eta
            * (1.0 / 12.0
                - w * (1.0 / 720.0
                    - w * (1.0 / 30_240.0 - w * (1.0 / 1_209_600.0 - w * (1.0 / 47_900_160.0)))));
    let e = Real::exp(-a);
    let tail = 1.0 / a - e / (1.0 - e);
    let far = if eta < 0.0 { tail } else { 1.0 - tail };
    if a < 1.0 { near } else { far }
}

pub(super) fn log_likelihood(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta) = (c.read("x"), c.read("logits"));
    let (x, eta) = (&x[..], &eta[..]);
    parallel::rows(
        &mut c.write("log_px"),
        1,
        #[inline(always)]
        |row, log_px| {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            log_px[0] = parallel::sum(d, |i| log_density(x[i], eta[i]));
        },
    );
}

pub(super) fn backward(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (c.read("x"), c.read("logits"), c.read("weight"));
    let (x, eta, weight) = (&x[..], &eta[..], &weight[..]);
    parallel::rows(
        &mut c.write("d_logits"),
        d,
        #[inline(always)]
        |row, d_eta| {
            let (x, eta, w) = (&x[row / k * d..][..d], &eta[row * d..][..d], weight[row]);
            for i in 0..d {
                d_eta[i] = w * (x[i] - mean(eta[i]));
            }
        },
    );
}
