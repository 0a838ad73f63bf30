//! The variance at which a Gaussian likelihood is largest, of cells of which some may be missing.

use super::squared_error;
use crate::kernels::library::single;
use crate::kernels::posterior::{LOG_VARIANCE, clamp_log_variance};
use crate::kernels::seen::{MISSING, is_missing};
use crate::kernels::{clock, grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

use super::fit_variance::ROWS;

const SOURCE: &str = include_str!("../../../shaders/gaussian/fit_observed.wgsl");

pub static OBSERVED_ERRORS: Kernel = single(Parts {
    file: "gaussian/fit_observed",
    source: SOURCE,
    entry: "observed_errors",
    summary: "Σ w (x − η)² and Σ w of each value where it is observed, by parts of 32 rows",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("P"), 1],
    formula: formula!(observed_errors),
    cases: || {
        let case = |b: usize, k: usize, d: usize| {
            let parts = (b * k).div_ceil(ROWS);
            Case::new(&[("B", b), ("K", k), ("D", d), ("P", parts)])
                .fill("weight", Fill::Uniform(0.0, 1.0))
                .fill("x", Fill::Cycle(vec![0.4, f64::from(MISSING), -1.3, 2.0, 0.1, -0.6, 0.9]))
        };
        vec![
            case(1, 1, 1),
            case(31, 1, 5),
            case(32, 1, 63),
            case(33, 1, 65),
            case(11, 6, 64),
            case(128, 1, 100),
            case(7, 1, 97).fill("x", Fill::Normal(1.0)),
        ]
    },
    cost: |c| pixel_cost(c, 5, 4),
});

pub static FIT_OBSERVED: Kernel = single(Parts {
    file: "gaussian/fit_observed",
    source: SOURCE,
    entry: "fit_observed",
    summary: "ln s* of the optimal variances of what is observed, and their running mean",
    grid: |c| grid_of_groups(c.dim("G")),
    formula: formula!(fit_observed),
    cases: || {
        let of_decay = |decay, [p, g, d]: [usize; 3], step| {
            Case::new(&[("P", p), ("G", g), ("D", d)])
                .constant("DECAY", decay)
                .constant("LOWEST", 1e-3)
                .fill("errors", Fill::Uniform(0.01, 1.0 / p as f64))
                .fill("clock", clock_words(1, step, 0, 0))
                .fill("log_variance", Fill::Cycle(vec![-0.7, 0.4, -2.0]))
        };
        let case = |p, g, d, step| of_decay(0.8, [p, g, d], step);
        let errors = |case: Case, v: Vec<f64>| case.fill("errors", Fill::Cycle(v));
        vec![
            case(1, 1, 1, 0),
            case(9, 1, 5, 1),
            case(5, 7, 7, 5),
            case(4, 3, 12, 8),
            case(4, 65, 130, 9),
            // many parts: errors a third of the weights, whose logarithm is not near zero
            errors(
                case(20, 1, 64, 100_000),
                (0..128)
                    .map(|i| if i < 64 { 0.01 } else { 0.03 } + 1e-4 * f64::from(i % 64))
                    .collect(),
            ),
            of_decay(0.99, [4, 100, 100], 30),
            // more groups than one dimension of a grid has room for
            case(1, 33_000, 33_000, 3),
            // what is kept is beyond its bounds
            case(3, 1, 2, 2).fill("log_variance", Fill::Cycle(vec![50.0])),
            case(3, 1, 2, 2).fill("log_variance", Fill::Cycle(vec![-50.0])),
            // what is fitted is, and nothing is observed
            errors(case(1, 2, 2, 2), vec![1e-6, 1e-5, 0.5, 0.25]),
            errors(case(1, 2, 2, 2), vec![1e9, 3e9, 0.5, 0.25]),
            errors(case(1, 2, 2, 2), vec![0.0, 0.3, 0.0, 0.25]),
        ]
    },
    cost: |c| {
        let n = (2 * c.dim("P") * c.dim("D")) as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

/// sum over 32 rows of w (x - eta)^2 of each value that is observed, and of w.
fn observed_errors<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("part_errors"), 2 * d, |part, sums| {
        sums.fill(T::ZERO);
        let (errors, weights) = sums.split_at_mut(d);
        for row in (part * ROWS..weight.len()).take(ROWS) {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            for i in (0..d).filter(|&i| !is_missing(x[i])) {
                errors[i] += weight[row] * squared_error(x[i], eta[i]);
                weights[i] += weight[row];
            }
        }
    });
}

/// s* = sum of errors / sum of weights of a group; the variance that is kept moves towards it by what was observed.
fn fit_observed<T: Real>(c: &Call<T>) {
    let (d, groups) = (c.dim("D"), c.dim("G"));
    let (errors, step) = (c.read("errors"), c.read_u32("clock")[clock::STEP]);
    let (lowest, highest) = (c.value("LOWEST"), T::from_f64(LOG_VARIANCE.1.exp()));
    let (least, early) = (T::ONE - c.value("DECAY"), T::from_f64(2.0 / (f64::from(step) + 2.0)));
    let share = if least < early { early } else { least };
    let size = T::from_f64((d / groups) as f64);
    let (mut log_variance, mut fitted) = (c.write("log_variance"), c.write("fitted"));
    for group in 0..groups {
        let of_group = |from: usize| {
            let parts = errors.chunks_exact(2 * d);
            sum(parts
                .flat_map(|part| part[from..][..d].iter().skip(group).step_by(groups))
                .copied())
        };
        let (total, observed) = (of_group(0), of_group(d));
        let kept = clamp_log_variance(log_variance[group]).exp();
        let best = match if observed > T::ZERO { total / observed } else { kept } {
            best if best < lowest => lowest,
            best if best > highest => highest,
            best => best, // a NaN stays one
        };
        let follow = share * (observed / size);
        fitted[group] = best.ln();
        log_variance[group] = ((T::ONE - follow) * kept + follow * best).ln();
    }
}
