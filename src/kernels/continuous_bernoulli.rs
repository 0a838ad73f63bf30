//! The continuous Bernoulli likelihood of pixels in [0, 1], from logits (Loaiza-Ganem and Cunningham, *The continuous
//! Bernoulli: fixing a pervasive error in variational autoencoders*, 2019).

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/continuous_bernoulli.wgsl");

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "continuous_bernoulli",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) = Σ x η − A(η), A(η) = ln((e^η − 1) / η)",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 8, 4),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "continuous_bernoulli",
    source: SOURCE,
    entry: "backward",
    summary: "d_η = w (x − A′(η))",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 10, 8),
});

pub static EXPECTATION: Kernel = single(Parts {
    file: "continuous_bernoulli",
    source: SOURCE,
    entry: "expectation",
    summary: "A′(η) = 1 / (1 − e^−η) − 1 / η",
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
    cost: |c| pixel_cost(c, 8, 8),
});

fn cases() -> Vec<Case> {
    let case =
        |b, k, d| Case::new(&[("B", b), ("K", k), ("D", d)]).fill("x", Fill::Uniform(0.0, 1.0));
    // zero and beside it, either side of where the series ends, the tails
    let extreme = vec![
        0.0, 1e-38, -1e-30, 1e-20, -1e-8, 1e-4, -0.3, 0.49, -0.51, 0.999, -1.001, 1.5, -3.0, 17.0,
        -17.0, 88.0, -88.0, 200.0, -200.0, 1e4, -1e4, 1e30, -1e30,
    ];
    let extreme = |case: Case| case.fill("logits", Fill::Cycle(extreme.clone()));
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        case(5, 1, 65),
        case(128, 1, 784),
        case(4, 5, 784).fill("logits", Fill::Normal(10.0)),
        case(5, 2, 97).fill("logits", Fill::Uniform(-1.2, 1.2)),
        // each by itself, since a sum hides all but the largest
        extreme(case(23, 1, 1)),
        extreme(case(7, 3, 29)).fill("x", Fill::Bits),
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
    ]
}

/// x eta - A(eta), where A(eta) = ln((e^eta - 1) / eta) = max(eta, 0) + ln((1 - e^-|eta|) / |eta|), 0 at eta = 0.
fn log_density<T: Real>(x: T, eta: T) -> T {
    let a = eta.abs();
    let ratio = if a == T::ZERO { T::ONE } else { -(-a).exp_m1() / a };
    (if eta < T::ZERO { x } else { x - T::ONE }) * eta - ratio.ln()
}

/// A'(eta), the mean: from 0 to 1, 1/2 at eta = 0.
fn mean<T: Real>(eta: T) -> T {
    let a = eta.abs();
    let n = T::from_f64;
    if a < T::ONE {
        // sum_n B_2n eta^(2n - 1) / (2n)!, whose next term is below 1e-15
        let w = eta * eta;
        let series = [
            43_867.0 / 5_109_094_217_170_944_000.0,
            3_617.0 / 10_670_622_842_880_000.0,
            1.0 / 74_724_249_600.0,
            691.0 / 1_307_674_368_000.0,
            1.0 / 47_900_160.0,
            1.0 / 1_209_600.0,
            1.0 / 30_240.0,
            1.0 / 720.0,
            1.0 / 12.0,
        ];
        return n(0.5) + eta * series.into_iter().fold(T::ZERO, |sum, c| n(c) - w * sum);
    }
    let e = (-a).exp();
    let tail = T::ONE / a - e / (T::ONE - e);
    if eta < T::ZERO { tail } else { T::ONE - tail }
}

/// log p(x|z) = sum_d x eta - A(eta), K rows of logits an image.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta) = (&c.read("x")[..], &c.read("logits")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let pairs = x[row / k * d..][..d].iter().zip(&eta[row * d..][..d]);
        log_px[0] = sum(pairs.map(|(&x, &eta)| log_density(x, eta)));
    });
}

/// d_eta = w (x - A'(eta)).
fn backward<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("logits")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_logits"), d, |row, d_eta| {
        for (i, d_eta) in d_eta.iter_mut().enumerate() {
            *d_eta = weight[row] * (x[row / k * d + i] - mean(eta[row * d + i]));
        }
    });
}

/// A'(eta).
fn expectation<T: Real>(c: &Call<T>) {
    let (d, eta) = (c.dim("D"), &c.read("logits")[..]);
    parallel::rows(&mut c.write("mean"), d, |row, out| {
        for (out, &eta) in out.iter_mut().zip(&eta[row * d..]) {
            *out = mean(eta);
        }
    });
}
