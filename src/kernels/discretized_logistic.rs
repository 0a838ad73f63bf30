//! A logistic distribution of pixels, cut into 256 levels (Salimans et al., *PixelCNN++*, 2017).

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/discretized_logistic.wgsl");

/// What ln s is above: ln s = LOWEST + softplus(OFFSET + l).
pub const LOWEST: f64 = -8.0;
/// See [`LOWEST`].
pub const OFFSET: f64 = 6.0;
/// What l is cut at.
pub const HIGHEST: f64 = 20.0;
/// Levels of a pixel.
pub const LEVELS: usize = 256;
/// Half the width of a level.
pub const HALF: f64 = 1.0 / 510.0;

pub static LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "discretized_logistic",
    source: SOURCE,
    entry: "log_likelihood",
    summary: "log p(x|z) = Σ ln(sigmoid((x + 1/510 − μ) / s) − sigmoid((x − 1/510 − μ) / s)), η = [μ ℓ], s from ℓ",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 30, 8),
});

pub static BACKWARD: Kernel = single(Parts {
    file: "discretized_logistic",
    source: SOURCE,
    entry: "backward",
    summary: "d_μ, d_ℓ",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(backward),
    cases,
    cost: |c| pixel_cost(c, 40, 16),
});

pub static EXPECTATION: Kernel = single(Parts {
    file: "discretized_logistic",
    source: SOURCE,
    entry: "expectation",
    summary: "mean of the levels, Σ sigmoid((μ − (i − ½) / 255) / s) / 255",
    grid: |c| [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1],
    formula: formula!(expectation),
    // No tensor of this kernel has a shape that tells B from K; a pixel takes 255 terms.
    cases: || {
        let small = |case: &Case| case.dims.iter().map(|(_, n)| n).product::<usize>() < 70_000;
        let with_k = |case: Case| {
            let k = case.dims[1].1 as f64;
            case.constant("K", k)
        };
        cases().into_iter().filter(small).map(with_k).collect()
    },
    cost: |c| pixel_cost(c, 255 * 8, 12),
});

fn cases() -> Vec<Case> {
    let levels = [0.0, 255.0, 1.0, 254.0, 127.0, 128.0, 17.0, 200.0, 3.0, 60.0, 0.0, 91.0, 255.0];
    let levels = levels.map(|level| level / 255.0).to_vec();
    let case = |b, k, d: usize| {
        Case::new(&[("B", b), ("K", k), ("D", d)]).fill("x", Fill::Cycle(levels.clone()))
    };
    // mu far below, in and far above the levels; l from where the scale is smallest to beyond its bound
    let extreme = vec![
        0.5, -1e4, 1e4, 0.0, 1.0, 0.4, -1e4, -1e4, 0.3, -7.0, 20.0, 20.5, 300.0, 1e4, -1e3, -17.0,
        0.0, -3.0, -6.0, 0.2, 1.2, -0.1,
    ];
    let extreme = |case: Case| case.fill("eta", Fill::Cycle(extreme.clone()));
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        case(5, 1, 65).fill("eta", Fill::Uniform(-7.0, 1.0)), // scales down to a level's width
        case(128, 1, 784),
        case(4, 5, 784).fill("eta", Fill::Uniform(0.0, 1.0)),
        // each by itself, since a sum hides all but the largest
        extreme(case(299, 1, 1)),
        extreme(case(7, 3, 29)),
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
    ]
}

/// 1/s of l.
fn inverse_scale<T: Real>(l: T) -> T {
    let highest = T::from_f64(HIGHEST);
    let l = if l > highest { highest } else { l };
    (-(T::from_f64(LOWEST) + (T::from_f64(OFFSET) + l).softplus())).exp()
}

/// Whether a level is the first, and the last: of a NaN neither.
fn ends<T: Real>(level: T) -> (bool, bool) {
    (level <= T::from_f64(HALF), level >= T::from_f64(1.0 - HALF))
}

/// The value, unless there is no such edge.
fn unless<T: Real>(end: bool, value: T) -> T {
    if end { T::ZERO } else { value }
}

/// ln of the mass between the level's edges.
fn log_mass<T: Real>(level: T, mu: T, l: T) -> T {
    let (inverse, half, offset) = (inverse_scale(l), T::from_f64(HALF), level - mu);
    let (first, last) = ends(level);
    let above = unless(first, -((offset - half) * inverse).softplus());
    let below = unless(last, -((-half - offset) * inverse).softplus());
    let between = unless(first || last, (-(-(half + half) * inverse).exp_m1()).ln());
    between + above + below
}

/// The derivative of [`log_mass`] with respect to mu and l.
fn gradient<T: Real>(level: T, mu: T, l: T) -> (T, T) {
    let (inverse, half, offset) = (inverse_scale(l), T::from_f64(HALF), level - mu);
    let (p, m) = ((offset + half) * inverse, (offset - half) * inverse);
    let (first, last) = ends(level);
    let above = unless(first, m.sigmoid());
    let below = unless(last, (-p).sigmoid());
    let width = (half + half) * inverse;
    let between = unless(first || last, width * (-width).exp() / -(-width).exp_m1());
    let slope = match l > T::from_f64(HIGHEST) {
        true => T::ZERO,
        false => (T::from_f64(OFFSET) + l).sigmoid(),
    };
    ((above - below) * inverse, (m * above - p * below - between) * slope)
}

/// log p(x|z) = sum_d ln P(level x), K rows an image.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta) = (&c.read("x")[..], &c.read("eta")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let (mu, l) = eta[row * 2 * d..][..2 * d].split_at(d);
        let x = &x[row / k * d..][..d];
        log_px[0] = sum((0..d).map(|i| log_mass(x[i], mu[i], l[i])));
    });
}

/// d_mu and d_l.
fn backward<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_eta"), 2 * d, |row, d_eta| {
        let (mu, l) = eta[row * 2 * d..][..2 * d].split_at(d);
        for i in 0..d {
            let (d_mu, d_l) = gradient(x[row / k * d + i], mu[i], l[i]);
            d_eta[i] = weight[row] * d_mu;
            d_eta[d + i] = weight[row] * d_l;
        }
    });
}

/// E x = sum_i P(x >= i / 255) / 255.
fn expectation<T: Real>(c: &Call<T>) {
    let (d, eta) = (c.dim("D"), &c.read("eta")[..]);
    parallel::rows(&mut c.write("mean"), d, |row, mean| {
        let (mu, l) = eta[row * 2 * d..][..2 * d].split_at(d);
        for (i, mean) in mean.iter_mut().enumerate() {
            let inverse = inverse_scale(l[i]);
            let above = |i: usize, mu: T| {
                let edge = T::from_f64((2 * i - 1) as f64) * T::from_f64(HALF);
                ((mu - edge) * inverse).sigmoid()
            };
            let total = sum((1..LEVELS).map(|level| above(level, mu[i])));
            *mean = total / T::from_f64((LEVELS - 1) as f64);
        }
    });
}
