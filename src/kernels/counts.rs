//! What likelihoods of counts share: size factors, and the functions that are left of factorials once Stirling's formula
//! is taken out of them (Loader, *Fast and accurate computation of binomial probabilities*, 2000).

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/counts.wgsl");

/// What eta is cut at.
pub const HIGHEST_ETA: f64 = 30.0;

pub static RATES: Kernel = single(Parts {
    file: "counts",
    source: SOURCE,
    entry: "rates",
    summary: "E[x|z] = e^η of a row of the mean total",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(rates),
    // No tensor of this kernel has a shape that tells B from K.
    cases: || {
        let with_k = |case: Case| {
            let k = case.dims[1].1 as f64;
            case.constant("K", k)
        };
        cases().into_iter().filter(|case| case.dims[0].1 < 33_000).map(with_k).collect()
    },
    cost: |c| pixel_cost(c, 4, 8),
});

pub static SIZED_RATES: Kernel = single(Parts {
    file: "counts",
    source: SOURCE,
    entry: "sized_rates",
    summary: "E[x|z] = s e^η, s from the total of the row",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(sized_rates),
    // Where all rows are of one size, there is nothing of this to compute.
    cases: || {
        let of_one_size = ("mean_total", all_alike());
        cases().into_iter().filter(|case| !case.fills.contains(&of_one_size)).collect()
    },
    cost: |c| pixel_cost(c, 6, 8),
});

/// Rows of counts, and what a decoder may make of them.
pub(super) fn cases() -> Vec<Case> {
    let counts = vec![
        0.0, 3.0, 1.0, 0.0, 7.0, 2.0, 12.0, 0.0, 4.0, 1.0, 25.0, 5.0, 0.0, 140.0, 6.0, 9.0, 8.0,
    ];
    let case = |b, k, d: usize| {
        Case::new(&[("B", b), ("K", k), ("D", d)])
            .fill("x", Fill::Cycle(counts.clone()))
            .fill("eta", Fill::Uniform(-1.0, 4.0))
            .fill("mean_total", Fill::Cycle(vec![11.7 * d as f64]))
    };
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        case(5, 2, 65).fill("mean_total", all_alike()),
        case(128, 1, 200),
        case(4, 5, 784),
        // rows of nothing, of which something was expected
        case(4, 2, 33).fill("x", Fill::Cycle(vec![0.0])).fill("eta", Fill::Uniform(4.0, 9.0)),
        extreme(case(7, 3, 29)),
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
        // each by itself, since a sum hides all but the largest
        extreme(case(MEETINGS, 1, 1)).fill("mean_total", all_alike()),
    ]
}

/// Rows of all counts and outputs of [`extreme`], each with each.
pub(super) const MEETINGS: usize = 29 * 31;

/// The mean total that says that rows are all of one size.
fn all_alike() -> Fill {
    Fill::Cycle(vec![0.0])
}

/// From few to many counts, and rates that are far from them, near, and all but equal.
fn extreme(case: Case) -> Case {
    let counts = vec![
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 11.0, 15.0, 16.0, 31.0, 60.0, 99.0,
        128.0, 200.0, 511.0, 1e3, 2e3, 5e3, 1e4, 3e4, 1e5, 1e6, 5e6, 0.0, 1.0,
    ];
    let outputs = vec![
        0.0, -1.0, 1.1, 2.2, 2.302, 2.31, 2.4, 2.7, 3.4, 4.1, 4.6, 5.3, 6.9, 6.908, 6.5, 9.21, 9.0,
        10.4, 11.513, 11.35, 13.8, 15.42, -9.0, -70.0, -1e4, -1e30, 28.0, 30.0, 31.0, 300.0, 1e30,
    ];
    case.fill("x", Fill::Cycle(counts)).fill("eta", Fill::Cycle(outputs))
}

/// e^eta, eta cut at its bound; and ln of it.
pub(super) fn rate_and_log<T: Real>(eta: T) -> (T, T) {
    let highest = T::from_f64(HIGHEST_ETA);
    let bounded = if eta > highest { highest } else { eta };
    (bounded.exp(), bounded)
}

/// Whether eta is beyond its bound, where its gradient is 0.
pub(super) fn is_beyond<T: Real>(eta: T) -> bool {
    eta > T::from_f64(HIGHEST_ETA)
}

/// s of a row: its total over the mean total, which is 0 where all rows are of one size.
pub(super) fn size_factor<T: Real>(x: &[T], mean_total: T) -> T {
    let total = sum(x.iter().copied());
    match mean_total == T::ZERO {
        true => T::ONE,
        false => (if total < T::ONE { T::ONE } else { total }) / mean_total,
    }
}

/// c1 w - c2 w^2 + c3 w^3 - .. of coefficients that fall off as those of Stirling's series.
fn alternating<T: Real>(w: T, coefficients: [f64; 8]) -> T {
    let inner = |sum, &c: &f64| T::from_f64(c) - w * sum;
    coefficients.iter().rev().fold(T::ZERO, inner)
}

/// y + 8 and y (y + 1) .. (y + 7) over (y + 8)^8: below 8 the series are too coarse for double precision.
fn shifted<T: Real>(y: T) -> (T, T) {
    let above = y + T::from_f64(8.0);
    let ratio = (0..8).map(|i| (y + T::from_f64(f64::from(i))) / above);
    (above, ratio.fold(T::ONE, |product, factor| product * factor))
}

/// S(y) = ln Gamma(y) - (y - 1/2) ln y + y - ln(2 pi) / 2, y > 0: sum over k of B_2k / (2k (2k - 1) y^(2k - 1)).
pub(super) fn stirling_rest<T: Real>(y: T) -> T {
    const COEFFICIENTS: [f64; 8] = [
        1.0 / 12.0,
        1.0 / 360.0,
        1.0 / 1260.0,
        1.0 / 1680.0,
        1.0 / 1188.0,
        691.0 / 360_360.0,
        1.0 / 156.0,
        3617.0 / 122_400.0,
    ];
    let series = |y: T| {
        let w = T::ONE / y;
        w * alternating(w * w, COEFFICIENTS)
    };
    let eight = T::from_f64(8.0);
    if y < eight {
        let (above, ratio) = shifted(y);
        let powers = (y - T::from_f64(0.5)) * (above / y).ln();
        series(above) + powers - ratio.ln() - eight
    } else {
        series(y)
    }
}

/// T(y) = ln y - 1/(2y) - digamma(y), y > 0: sum over k of B_2k / (2k y^2k).
pub(super) fn digamma_rest<T: Real>(y: T) -> T {
    const COEFFICIENTS: [f64; 8] = [
        1.0 / 12.0,
        1.0 / 120.0,
        1.0 / 252.0,
        1.0 / 240.0,
        1.0 / 132.0,
        691.0 / 32_760.0,
        1.0 / 12.0,
        3617.0 / 8160.0,
    ];
    let series = |y: T| {
        let w = T::ONE / y;
        w * w * alternating(w * w, COEFFICIENTS)
    };
    if y < T::from_f64(8.0) {
        let (above, half) = (y + T::from_f64(8.0), T::from_f64(0.5));
        let skipped = (1..8).map(|i| T::ONE / (y + T::from_f64(f64::from(i))));
        series(above) + half / above + half / y + sum(skipped) - (above / y).ln()
    } else {
        series(y)
    }
}

/// a ln(a/b) - (a - b) >= 0 of gap = a - b and log_ratio = ln(a/b): where they are near, with v = (a - b) / (a + b),
/// gap v + 2a sum over j of v^(2j + 1) / (2j + 1).
pub(super) fn deviance<T: Real>(a: T, gap: T, log_ratio: T) -> T {
    let both = a + a - gap;
    if gap.abs() < T::from_f64(0.1) * both {
        let v = gap / both;
        let term = |sum: T, odd: usize| T::from_f64(1.0 / odd as f64) + v * v * sum;
        let series = (3..19).step_by(2).rev().fold(T::ZERO, term);
        gap * v + (a + a) * v * v * v * series
    } else if a == T::ZERO {
        -gap
    } else {
        a * log_ratio - gap
    }
}

/// ln of 1/x! without Stirling's powers: -ln(2 pi x) / 2 - S(x).
pub(super) fn log_peak<T: Real>(x: T) -> T {
    match x == T::ZERO {
        true => T::ZERO,
        false => {
            T::from_f64(-0.5) * (T::from_f64(std::f64::consts::TAU) * x).ln() - stirling_rest(x)
        }
    }
}

/// e^eta.
fn rates<T: Real>(c: &Call<T>) {
    let (d, eta) = (c.dim("D"), &c.read("eta")[..]);
    parallel::rows(&mut c.write("mean"), d, |row, mean| {
        for (mean, &eta) in mean.iter_mut().zip(&eta[row * d..]) {
            *mean = rate_and_log(eta).0;
        }
    });
}

/// s e^eta.
fn sized_rates<T: Real>(c: &Call<T>) {
    let (k, d, mean_total) = (c.dim("K"), c.dim("D"), c.read("mean_total")[0]);
    let (x, eta) = (&c.read("x")[..], &c.read("eta")[..]);
    parallel::rows(&mut c.write("mean"), d, |row, mean| {
        let size = size_factor(&x[row / k * d..][..d], mean_total);
        for (mean, &eta) in mean.iter_mut().zip(&eta[row * d..]) {
            *mean = size * rate_and_log(eta).0;
        }
    });
}
