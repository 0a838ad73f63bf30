//! The Gaussian likelihood of real values: here with one variance for all of them, below with several.

mod decoded;
mod fit_observed;
mod fit_variance;
mod grouped;

use crate::kernels::library::single;
use crate::kernels::posterior::clamp_log_variance;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};
pub use decoded::{DECODED_BACKWARD, DECODED_LOG_LIKELIHOOD, DECODED_MEAN, LOWEST_DECODED};
pub use fit_observed::{FIT_OBSERVED, OBSERVED_ERRORS};
pub use fit_variance::{COLUMN_ERRORS, FIT_VARIANCE, LOWEST_FITTED, ROW_ERRORS, ROWS};
pub use grouped::{GROUPED_BACKWARD, GROUPED_LOG_LIKELIHOOD};

const SOURCE: &str = include_str!("../../../shaders/gaussian.wgsl");
const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "gaussian",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) = −½ Σ (x − η)² / s + ln 2πs",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 3, 4),
});

pub static GRADIENT: Kernel = single(Parts {
    file: "gaussian",
    source: SOURCE,
    entry: "gradient",
    summary: "log p(x|z) and d_η = w (x − η) / s",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(gradient),
    cases,
    cost: |c| pixel_cost(c, 5, 8),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "gaussian",
    source: SOURCE,
    entry: "backward",
    summary: "d_η = w (x − η) / s",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 5, 8),
});

pub static VARIANCE: Kernel = single(Parts {
    file: "gaussian",
    source: SOURCE,
    entry: "variance",
    summary: "d_{ln s} = ½ Σ w (Σ (x − η)² / s − D)",
    grid: |_| [1, 1, 1],
    formula: formula!(variance),
    cases: || {
        let case = |b, k, d: usize| {
            Case::new(&[("B", b), ("K", k)])
                .constant("K", k as f64)
                .constant("D", d as f64)
                .fill("row_squares", Fill::Uniform(0.0, 2.0 * d as f64))
        };
        let at = |case: Case, v| case.fill("log_variance", Fill::Cycle(vec![v]));
        vec![
            case(1, 1, 1),
            case(9, 7, 5),
            case(64, 1, 3),
            case(13, 5, 784),
            case(20, 50, 784),
            at(case(3, 1, 2), 50.0),
            at(case(3, 1, 2), -30.0),
            at(case(3, 1, 2), -30.5),
        ]
    },
    cost: |c| {
        let rows = (c.dim("B") * c.dim("K")) as u64;
        Cost { flops: 4 * rows, bytes: 8 * rows }
    },
});

fn cases() -> Vec<Case> {
    let case = |b, k, d| {
        Case::new(&[("B", b), ("K", k), ("D", d)])
            .fill("log_variance", Fill::Cycle(vec![-0.7]))
            .fill("weight", Fill::Uniform(0.0, 1.0))
    };
    let at = |case: Case, v| case.fill("log_variance", Fill::Cycle(vec![v]));
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        at(case(5, 1, 65), 3.0),
        case(128, 1, 784),
        case(4, 5, 784),
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
        case(7, 1, 97).fill("eta", Fill::Normal(1e4)),
        // the bounds of the log variance, and beyond them
        at(case(3, 2, 33), 20.0),
        at(case(3, 2, 33), 50.0),
        at(case(3, 2, 33), -50.0),
    ]
}

/// ln s within its bounds, and 1 / s.
fn variance_of<T: Real>(c: &Call<T>) -> (T, T) {
    let v = clamp_log_variance(c.read("log_variance")[0]);
    (v, (-v).exp())
}

/// sum_d (x - eta)^2 / s of each row, K rows an image.
fn squares<T: Real>(c: &Call<T>) -> Vec<T> {
    let (k, d, (_, precision)) = (c.dim("K"), c.dim("D"), variance_of(c));
    let (x, eta) = (&c.read("x")[..], &c.read("eta")[..]);
    let mut all = vec![T::ZERO; eta.len() / d];
    parallel::rows(&mut all, 1, |row, squares| {
        let pairs = x[row / k * d..].iter().zip(&eta[row * d..][..d]);
        squares[0] = sum(pairs.map(|(&x, &eta)| squared_error(x, eta))) * precision;
    });
    all
}

/// (x - eta)^2
fn squared_error<T: Real>(x: T, eta: T) -> T {
    (x - eta) * (x - eta)
}

/// log p(x|z) = -1/2 (sum_d (x - eta)^2 / s + D ln 2 pi s).
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (d, (v, _)) = (T::from_f64(c.dim("D") as f64), variance_of(c));
    for (log_px, squares) in c.write("log_px").iter_mut().zip(squares(c)) {
        *log_px = T::from_f64(-0.5) * (squares + d * (T::from_f64(LN_TWO_PI) + v));
    }
}

/// log p(x|z), and what backward has.
fn gradient<T: Real>(c: &Call<T>) {
    log_likelihood(c);
    backward(c);
}

/// d_eta = w (x - eta) / s, and the squares that the gradient of ln s is made of.
fn backward<T: Real>(c: &Call<T>) {
    let (k, d, (_, precision)) = (c.dim("K"), c.dim("D"), variance_of(c));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_eta"), d, |row, d_eta| {
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            *d_eta = weight[row] * ((x[row / k * d + i] - eta[row * d + i]) * precision);
        }
    });
    c.write("squares").copy_from_slice(&squares(c));
}

/// d_{ln s} = 1/2 sum_rows w (squares - D); zero where ln s is beyond its bounds.
fn variance<T: Real>(c: &Call<T>) {
    let (weight, squares) = (c.read("weight"), c.read("row_squares"));
    let (d, half) = (T::from_f64(c.dim("D") as f64), T::from_f64(0.5));
    let rows = weight.iter().zip(&squares[..]);
    let total = sum(rows.map(|(&weight, &squares)| half * weight * (squares - d)));
    let v = c.read("log_variance")[0];
    let inside = if clamp_log_variance(v) == v { T::ONE } else { T::ZERO };
    c.write("d_log_variance")[0] = inside * total; // a NaN stays one
}
