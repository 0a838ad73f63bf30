//! The variance at which a Gaussian likelihood is largest, and its running mean.

use super::squared_error;
use crate::kernels::library::single;
use crate::kernels::posterior::{LOG_VARIANCE, clamp_log_variance};
use crate::kernels::{clock, grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/gaussian/fit_variance.wgsl");

/// The least variance that is fitted: a grey level's width squared over 12. Of values that were rounded to levels,
/// nothing is known below it.
pub const LOWEST_FITTED: f64 = 1.28e-6;

pub static ROW_ERRORS: Kernel = single(Parts {
    file: "gaussian/fit_variance",
    source: SOURCE,
    entry: "row_errors",
    summary: "w Σ (x − η)² of each row, by groups of values",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(row_errors),
    cases: || {
        let case = |b, k, d, g| {
            Case::new(&[("B", b), ("K", k), ("D", d), ("G", g)])
                .fill("weight", Fill::Uniform(0.0, 1.0))
        };
        vec![
            case(1, 1, 1, 1),
            case(3, 1, 5, 1),
            case(5, 3, 63, 1),
            case(5, 3, 65, 1),
            case(4, 2, 198, 3),
            case(3, 1, 8, 4),
            case(128, 1, 784, 1),
            case(33_000, 1, 2, 1), // more rows than one dimension of a grid has room for
            case(7, 1, 97, 1).fill("eta", Fill::Normal(1e4)),
        ]
    },
    cost: |c| pixel_cost(c, 3, 4),
});

/// Rows that [`COLUMN_ERRORS`] adds up.
pub const ROWS: usize = 32;

pub static COLUMN_ERRORS: Kernel = single(Parts {
    file: "gaussian/fit_variance",
    source: SOURCE,
    entry: "column_errors",
    summary: "Σ w (x − η)² of each value, by parts of 32 rows",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("P"), 1],
    formula: formula!(column_errors),
    cases: || {
        let case = |b: usize, k: usize, d: usize| {
            let parts = (b * k).div_ceil(ROWS);
            Case::new(&[("B", b), ("K", k), ("D", d), ("P", parts)])
                .fill("weight", Fill::Uniform(0.0, 1.0))
        };
        vec![
            case(1, 1, 1),
            case(31, 1, 5),
            case(32, 1, 63),
            case(33, 1, 65),
            case(11, 6, 64),
            case(128, 1, 784),
            case(7, 1, 97).fill("eta", Fill::Normal(1e4)),
        ]
    },
    cost: |c| pixel_cost(c, 4, 4),
});

pub static FIT_VARIANCE: Kernel = single(Parts {
    file: "gaussian/fit_variance",
    source: SOURCE,
    entry: "fit_variance",
    summary: "ln s* of the optimal variances, and their running mean",
    grid: |c| grid_of_groups(c.dim("G")),
    formula: formula!(fit_variance),
    cases: || {
        let of_decay = |decay, [r, g, d]: [usize; 3], step, errors| {
            Case::new(&[("R", r), ("G", g)])
                .constant("D", d as f64)
                .constant("DECAY", decay)
                .fill("errors", Fill::Uniform(0.0, errors))
                .fill("clock", clock_words(1, step, 0, 0))
                .fill("log_variance", Fill::Cycle(vec![-0.7, 0.4, -2.0]))
        };
        let case = |r, g, d, step, errors| of_decay(0.8, [r, g, d], step, errors);
        vec![
            case(1, 1, 1, 0, 2.0),
            case(9, 1, 5, 1, 3.0),
            case(63, 1, 7, 5, 0.2),
            case(65, 3, 12, 8, 0.1),
            case(128, 1, 784, 9, 0.5),
            case(6400, 1, 784, 100_000, 1e-2),
            of_decay(0.99, [4, 100, 100], 30, 1.0),
            // more groups than one dimension of a grid has room for
            case(1, 33_000, 33_000, 3, 1.0),
            // what is kept is beyond its bounds
            case(3, 1, 2, 2, 1.0).fill("log_variance", Fill::Cycle(vec![50.0])),
            case(3, 1, 2, 2, 1.0).fill("log_variance", Fill::Cycle(vec![-50.0])),
            // what is fitted is
            case(3, 1, 2, 2, 1e-8),
            case(3, 1, 2, 2, 1.0).fill("errors", Fill::Cycle(vec![1e9])),
        ]
    },
    cost: |c| {
        let n = (c.dim("R") * c.dim("G")) as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

/// w sum over the values d of a group, d mod G = g, of (x - eta)^2, of each row; K rows an image.
fn row_errors<T: Real>(c: &Call<T>) {
    let (k, d, g) = (c.dim("K"), c.dim("D"), c.dim("G"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("squared_errors"), g, |row, errors| {
        let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
        for (group, error) in errors.iter_mut().enumerate() {
            let of_group = (group..d).step_by(g);
            *error = weight[row] * sum(of_group.map(|d| squared_error(x[d], eta[d])));
        }
    });
}

/// sum over 32 rows of w (x - eta)^2 of each value.
fn column_errors<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("part_errors"), d, |part, errors| {
        errors.fill(T::ZERO);
        for row in (part * ROWS..weight.len()).take(ROWS) {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            for ((error, &x), &eta) in errors.iter_mut().zip(x).zip(eta) {
                *error += weight[row] * squared_error(x, eta);
            }
        }
    });
}

/// s* = G/D sum over rows of the errors, whose weights add up to 1; the variance that is kept moves towards it.
fn fit_variance<T: Real>(c: &Call<T>) {
    let (d, groups) = (c.dim("D"), c.dim("G"));
    let (errors, step) = (c.read("errors"), c.read_u32("clock")[clock::STEP]);
    let (lowest, highest) = (T::from_f64(LOWEST_FITTED), T::from_f64(LOG_VARIANCE.1.exp()));
    let (least, early) = (T::ONE - c.value("DECAY"), T::from_f64(2.0 / (f64::from(step) + 2.0)));
    let share = if least < early { early } else { least };
    let (mut log_variance, mut fitted) = (c.write("log_variance"), c.write("fitted"));
    for group in 0..groups {
        let of_group = errors.iter().skip(group).step_by(groups);
        let mean = sum(of_group.copied()) * T::from_f64(groups as f64 / d as f64);
        let best = match mean {
            mean if mean < lowest => lowest,
            mean if mean > highest => highest,
            mean => mean, // a NaN stays one
        };
        let kept = clamp_log_variance(log_variance[group]).exp();
        fitted[group] = best.ln();
        log_variance[group] = ((T::ONE - share) * kept + share * best).ln();
    }
}
