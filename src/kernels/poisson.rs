//! The Poisson likelihood of counts.

use super::counts::{cases, deviance, is_beyond, log_peak, rate_and_log, size_factor};
use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::{Call, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/poisson.wgsl");

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "poisson",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) = Σ x ln r − r − ln x!, r = s e^η",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 70, 8),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "poisson",
    source: SOURCE,
    entry: "backward",
    summary: "d_η = w (x − r)",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 8, 12),
});

/// log p(x|z) = sum_d x ln r - r - ln x!, K rows of eta a row of counts.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d, mean_total) = (c.dim("K"), c.dim("D"), c.read("mean_total")[0]);
    let (x, eta) = (&c.read("x")[..], &c.read("eta")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        let size = size_factor(x, mean_total);
        let of_count = |(&x, &eta): (&T, &T)| {
            let (rate, log_rate) = rate_and_log(eta);
            let log_ratio = x.ln_precise() - (log_rate + size.ln_precise());
            log_peak(x) - deviance(x, x - size * rate, log_ratio)
        };
        log_px[0] = sum(x.iter().zip(eta).map(of_count));
    });
}

/// d_eta = w (x - r).
fn backward<T: Real>(c: &Call<T>) {
    let (k, d, mean_total) = (c.dim("K"), c.dim("D"), c.read("mean_total")[0]);
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_eta"), d, |row, d_eta| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        let size = size_factor(x, mean_total);
        for ((d_eta, &x), &eta) in d_eta.iter_mut().zip(x).zip(eta) {
            let gap = x - size * rate_and_log(eta).0;
            *d_eta = weight[row] * if is_beyond(eta) { T::ZERO } else { gap };
        }
    });
}
