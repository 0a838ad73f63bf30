//! The negative binomial likelihood of counts, with an inverse dispersion for each column.

use super::counts::{
    self, MEETINGS, deviance, digamma_rest, is_beyond, log_peak, rate_and_log, size_factor,
    stirling_rest,
};
use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/negative_binomial.wgsl");

/// The bounds of v, the logarithm of the inverse dispersion: beyond the upper one it is as a Poisson distribution.
pub const BOUNDS: (f64, f64) = (-10.0, 20.0);

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "negative_binomial",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) of counts of mean r = s e^η and variance r + r² / θ, θ = e^v of each column",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 150, 8),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "negative_binomial",
    source: SOURCE,
    entry: "backward",
    summary: "d_η = w θ (x − r) / (θ + r), and d_v of each row",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 100, 16),
});

fn cases() -> Vec<Case> {
    let with =
        |case: &Case, v: Vec<f64>| case.clone().fill("log_inverse_dispersion", Fill::Cycle(v));
    let all_kinds = vec![0.3, -9.9, -5.0, -1.7, 1.39, 1.9, 4.0, 7.0, 10.0, 14.0, 19.5, -12.0, 25.0];
    let cases = counts::cases().into_iter().flat_map(|case| match case.dims[0].1 {
        MEETINGS => [0.3, 1.41, -7.0, 16.0].map(|v| with(&case, vec![v])).to_vec(),
        7 => vec![with(&case, all_kinds.clone())],
        _ => vec![case.fill("log_inverse_dispersion", Fill::Uniform(-2.0, 4.0))],
    });
    cases.collect()
}

/// What a count's log probability and its gradient share.
struct Terms<T> {
    /// theta = e^v
    theta: T,
    /// theta (x - r) / (theta + r)
    gap: T,
    /// ln((theta + r) / (x + theta))
    both: T,
}

impl<T: Real> Terms<T> {
    fn of(x: T, rate: T, v: T) -> Self {
        let (lowest, highest) = (T::from_f64(BOUNDS.0), T::from_f64(BOUNDS.1));
        let bounded = match v {
            v if v < lowest => lowest,
            v if v > highest => highest,
            v => v,
        };
        let theta = bounded.exp();
        let gap = (x - rate) * (theta / (theta + rate));
        Terms { theta, gap, both: ((theta + rate) / (x + theta)).ln_precise() }
    }

    /// What theta is off by: theta ln((theta + r) / (x + theta)) + gap >= 0.
    fn of_theta(&self) -> T {
        deviance(self.theta, -self.gap, self.both)
    }
}

/// log p(x|z) = sum_d ln Gamma(x + theta) - ln Gamma(theta) - ln x! + theta ln(theta / (theta + r)) + x ln(r / (theta + r)).
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d, mean_total) = (c.dim("K"), c.dim("D"), c.read("mean_total")[0]);
    let (x, eta, v) = (&c.read("x")[..], &c.read("eta")[..], &c.read("log_inverse_dispersion")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        let size = size_factor(x, mean_total);
        let of_count = |d: usize| {
            let x = x[d];
            let (rate, log_rate) = rate_and_log(eta[d]);
            let terms = Terms::of(x, size * rate, v[d]);
            let log_ratio = x.ln_precise() - (log_rate + size.ln_precise()) + terms.both;
            let lost = terms.of_theta() + deviance(x, terms.gap, log_ratio);
            if x == T::ZERO {
                return -lost; // the gamma functions are one and the same
            }
            let of_gamma = stirling_rest(x + terms.theta) - stirling_rest(terms.theta);
            let spread = T::from_f64(0.5) * (T::ONE + x / terms.theta).ln_precise();
            log_peak(x) - spread + of_gamma - lost
        };
        log_px[0] = sum((0..d).map(of_count));
    });
}

/// d_eta, and what each row has of d_v.
fn backward<T: Real>(c: &Call<T>) {
    let (k, d, mean_total) = (c.dim("K"), c.dim("D"), c.read("mean_total")[0]);
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    let v = &c.read("log_inverse_dispersion")[..];
    let terms = |row: usize, i: usize, size: T| {
        Terms::of(x[row / k * d + i], size * rate_and_log(eta[row * d + i]).0, v[i])
    };
    let size = |row: usize| size_factor(&x[row / k * d..][..d], mean_total);
    parallel::rows(&mut c.write("d_eta"), d, |row, d_eta| {
        let size = size(row);
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            let beyond = is_beyond(eta[row * d + i]);
            *d_eta = weight[row] * if beyond { T::ZERO } else { terms(row, i, size).gap };
        }
    });
    parallel::rows(&mut c.write("d_each"), d, |row, d_each| {
        let size = size(row);
        for (i, d_each) in d_each.iter_mut().enumerate() {
            let (x, of) = (x[row / k * d + i], terms(row, i, size));
            let of_gamma = match x == T::ZERO {
                true => T::ZERO,
                false => {
                    let rests = digamma_rest(of.theta) - digamma_rest(x + of.theta);
                    T::from_f64(0.5) * (x / (x + of.theta)) + of.theta * rests
                }
            };
            let beyond = v[i] < T::from_f64(BOUNDS.0) || v[i] > T::from_f64(BOUNDS.1);
            *d_each = weight[row] * if beyond { T::ZERO } else { of_gamma - of.of_theta() };
        }
    });
}
