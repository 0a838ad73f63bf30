//! The Gaussian likelihood with a variance for each of several groups of values.

use super::{LN_TWO_PI, squared_error};
use crate::kernels::library::single;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::seen::{MISSING, is_missing};
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/gaussian/grouped.wgsl");

pub static GROUPED_LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "gaussian/grouped",
    source: SOURCE,
    entry: "grouped_log_likelihood",
    summary: "log p(x|z), each group of values with its own s",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 6, 4),
});

pub static GROUPED_BACKWARD: Kernel = single(Parts {
    file: "gaussian/grouped",
    source: SOURCE,
    entry: "grouped_backward",
    summary: "d_η = w (x − η) / s, each group of values with its own s",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(backward),
    cases: || cases().into_iter().filter(|case| case.dims[0].1 < 33_000).collect(),
    cost: |c| pixel_cost(c, 4, 8),
});

fn cases() -> Vec<Case> {
    let case = |b, k, d, g| {
        Case::new(&[("B", b), ("K", k), ("D", d), ("G", g)])
            .fill("log_variance", Fill::Cycle(vec![-0.7, 1.2, -3.0, 0.3, -1.6]))
            .fill("weight", Fill::Uniform(0.0, 1.0))
    };
    let at = |case: Case, v| case.fill("log_variance", Fill::Cycle(vec![v, 0.2]));
    let masked = |case: Case| {
        let cells = vec![0.4, f64::from(MISSING), -1.3, 2.0, 0.1, f64::from(MISSING), 0.9];
        case.constant("MASKED", 1.0).fill("x", Fill::Cycle(cells))
    };
    vec![
        case(1, 1, 1, 1),
        case(3, 1, 5, 5),
        case(5, 3, 63, 3),
        case(5, 1, 64, 64),
        at(case(5, 2, 66, 2), 3.0),
        case(128, 1, 784, 784),
        case(9, 1, 3072, 3),
        case(33_000, 1, 2, 2), // more rows than one dimension of a grid has room for
        case(7, 1, 97, 97).fill("eta", Fill::Normal(1e4)),
        // the bounds of the log variance, and beyond them
        at(case(3, 2, 34, 34), 20.0),
        at(case(3, 2, 34, 34), 50.0),
        at(case(3, 2, 34, 2), -50.0),
        masked(case(5, 3, 63, 63)),
        masked(case(40, 1, 13, 1)),
        case(3, 1, 5, 5).constant("MASKED", 1.0),
    ]
}

/// ln s of each group within its bounds, and 1 / s.
fn variances_of<T: Real>(c: &Call<T>) -> Vec<(T, T)> {
    let all = c.read("log_variance");
    all.iter().map(|&v| clamp_log_variance(v)).map(|v| (v, (-v).exp())).collect()
}

/// log p(x|z) = -1/2 sum_d (x - eta)^2 / s + ln 2 pi s.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d, variances) = (c.dim("K"), c.dim("D"), variances_of(c));
    let (x, eta, masked) = (&c.read("x")[..], &c.read("eta")[..], c.dim("MASKED") == 1);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        let of_value = |d: usize| {
            if masked && is_missing(x[d]) {
                return T::ZERO;
            }
            let (v, precision) = variances[d % variances.len()];
            squared_error(x[d], eta[d]) * precision + (T::from_f64(LN_TWO_PI) + v)
        };
        log_px[0] = T::from_f64(-0.5) * sum((0..d).map(of_value));
    });
}

/// d_eta = w (x - eta) / s.
fn backward<T: Real>(c: &Call<T>) {
    let (k, d, variances) = (c.dim("K"), c.dim("D"), variances_of(c));
    let masked = c.dim("MASKED") == 1;
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_eta"), d, |row, d_eta| {
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            let (_, precision) = variances[i % variances.len()];
            let x = x[row / k * d + i];
            *d_eta = match masked && is_missing(x) {
                true => T::ZERO,
                false => weight[row] * ((x - eta[row * d + i]) * precision),
            };
        }
    });
}
