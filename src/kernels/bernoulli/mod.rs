//! The Bernoulli likelihood of pixels, from logits.

pub mod decode;
pub mod decode_log_likelihood;

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};
pub use decode::DECODE;
pub use decode_log_likelihood::DECODE_LOG_LIKELIHOOD;

/// Pixels of a row whose log p(x|z) is summed together where the logits are not stored.
pub const PART: usize = 32;

const SOURCE: &str = include_str!("../../../shaders/bernoulli.wgsl");

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "bernoulli",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) = Σ x η − softplus(η)",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 7, 4),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "bernoulli",
    source: SOURCE,
    entry: "backward",
    summary: "d_η = w (x − sigmoid(η))",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 5, 8),
});

pub static EXPECTATION: Kernel = single(Parts {
    file: "bernoulli",
    source: SOURCE,
    entry: "expectation",
    summary: "sigmoid(η)",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(expectation),
    // No tensor of this kernel has a shape that tells B from K.
    cases: || {
        let with_k = |case: Case| {
            let k = case.dims[1].1 as f64;
            case.constant("K", k)
        };
        cases().into_iter().map(with_k).collect()
    },
    cost: |c| pixel_cost(c, 3, 8),
});

fn cases() -> Vec<Case> {
    let case = |b, k, d| Case::new(&[("B", b), ("K", k), ("D", d)]).fill("x", Fill::Bits);
    let extreme = vec![0.0, 200.0, -200.0, 88.0, -88.0, 1e4, -1e4, 1e-8, -17.0, 17.0, 0.5];
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        case(5, 1, 65),
        case(128, 1, 784),
        case(4, 5, 784).fill("logits", Fill::Normal(10.0)),
        case(7, 1, 97).fill("logits", Fill::Cycle(extreme)),
        case(7, 1, 97).fill("x", Fill::Uniform(0.0, 1.0)), // grey pixels
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
        // enough terms of ln 2 in a lane for their product to overflow if it were not taken in parts
        case(1, 1, 64 * 160).fill("logits", Fill::Cycle(vec![0.0])),
    ]
}

/// log p(x|z) = sum_d x eta - softplus(eta), K rows of logits an image.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta) = (&c.read("x")[..], &c.read("logits")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        log_px[0] = log_px_of(&x[row / k * d..][..d], &eta[row * d..][..d]);
    });
}

/// sum x eta - softplus(eta).
fn log_px_of<T: Real>(x: &[T], eta: &[T]) -> T {
    sum(x.iter().zip(eta).map(|(&x, &eta)| x * eta - eta.softplus()))
}

/// d_eta = w (x - sigmoid(eta)).
fn backward<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("logits")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_logits"), d, |row, d_eta| {
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            *d_eta = weight[row] * (x[row / k * d + i] - eta[row * d + i].sigmoid());
        }
    });
}

/// sigmoid(eta).
fn expectation<T: Real>(c: &Call<T>) {
    let (d, eta) = (c.dim("D"), &c.read("logits")[..]);
    parallel::rows(&mut c.write("mean"), d, |row, mean| {
        for (mean, &eta) in mean.iter_mut().zip(&eta[row * d..]) {
            *mean = eta.sigmoid();
        }
    });
}
