//! The Gaussian likelihood whose means and variances both come from the decoder.

use super::{LN_TWO_PI, squared_error};
use crate::kernels::library::single;
use crate::kernels::seen::{MISSING, is_missing};
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/gaussian/decoded.wgsl");

/// The bound below ln s: ln of a grey level's width squared over 12, as of a variance that is fitted.
pub const LOWEST_DECODED: f64 = -13.5687;

pub static DECODED_LOG_LIKELIHOOD: Kernel = single(Parts {
    file: "gaussian/decoded",
    source: SOURCE,
    entry: "decoded_log_likelihood",
    summary: "log p(x|z), each value with the s that the decoder gives it",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_likelihood),
    cases,
    cost: |c| pixel_cost(c, 10, 8),
});

pub static DECODED_BACKWARD: Kernel = single(Parts {
    file: "gaussian/decoded",
    source: SOURCE,
    entry: "decoded_backward",
    summary: "d_η of [means, log variances]",
    grid,
    formula: formula!(backward),
    cases: cases_of_elements,
    cost: |c| pixel_cost(c, 14, 16),
});

pub static DECODED_MEAN: Kernel = single(Parts {
    file: "gaussian/decoded",
    source: SOURCE,
    entry: "decoded_mean",
    summary: "E[x|z] of [means, log variances]",
    grid,
    formula: formula!(mean),
    cases: || {
        let mut cases = cases_of_elements();
        for case in &mut cases {
            case.fills.retain(|(name, _)| *name == "eta");
            case.constants.retain(|(name, _)| *name != "MASKED");
            // Its tensors tell B K alone.
            let k = case.dims[1].1;
            case.constants.push(("K", k as f64));
        }
        cases
    },
    cost: |c| pixel_cost(c, 0, 8),
});

fn grid(c: &Constants) -> [usize; 3] {
    [c.dim("D").div_ceil(c.dim("WORKGROUP")), c.dim("B") * c.dim("K"), 1]
}

fn cases() -> Vec<Case> {
    let case = |b, k, d| {
        Case::new(&[("B", b), ("K", k), ("D", d)]).fill("weight", Fill::Uniform(0.0, 1.0))
    };
    let masked = |case: Case| {
        let cells = vec![0.4, f64::from(MISSING), -1.3, 2.0, 0.1, f64::from(MISSING), 0.9];
        case.constant("MASKED", 1.0).fill("x", Fill::Cycle(cells))
    };
    vec![
        case(1, 1, 1),
        case(3, 1, 5),
        case(5, 3, 63),
        case(5, 1, 64),
        case(5, 2, 65),
        case(128, 1, 784),
        case(33_000, 1, 2), // more rows than one dimension of a grid has room for
        // about the bound below, and far beyond it
        case(4, 1, 33).fill("eta", Fill::Cycle(vec![0.1, -13.0, -14.2, -12.1, 0.7])),
        case(3, 2, 33).fill("eta", Fill::Cycle(vec![0.3, -40.0])),
        case(7, 1, 97).fill("eta", Fill::Cycle(vec![30.0, -2.0, 12.5])),
        masked(case(5, 3, 63)),
        masked(case(40, 1, 13)),
        case(3, 1, 5).constant("MASKED", 1.0),
    ]
}

fn cases_of_elements() -> Vec<Case> {
    cases().into_iter().filter(|case| case.dims[0].1 < 33_000).collect()
}

/// What a is above the bound, and v = LOWEST + softplus(a - LOWEST).
fn log_variance<T: Real>(a: T) -> (T, T) {
    let lowest = T::from_f64(LOWEST_DECODED);
    let above = a - lowest;
    (above, lowest + above.softplus())
}

/// log p(x|z) = -1/2 sum_d (x - m)^2 e^-v + ln 2 pi + v.
fn log_likelihood<T: Real>(c: &Call<T>) {
    let (k, d, masked) = (c.dim("K"), c.dim("D"), c.dim("MASKED") == 1);
    let (x, eta) = (&c.read("x")[..], &c.read("eta")[..]);
    parallel::rows(&mut c.write("log_px"), 1, |row, log_px| {
        let x = &x[row / k * d..][..d];
        let (m, a) = eta[row * 2 * d..][..2 * d].split_at(d);
        let of_value = |d: usize| {
            if masked && is_missing(x[d]) {
                return T::ZERO;
            }
            let (_, v) = log_variance(a[d]);
            squared_error(x[d], m[d]) * (-v).exp() + (T::from_f64(LN_TWO_PI) + v)
        };
        log_px[0] = T::from_f64(-0.5) * sum((0..d).map(of_value));
    });
}

/// d_m = w (x - m) e^-v, d_a = w/2 ((x - m)^2 e^-v - 1) dv/da.
fn backward<T: Real>(c: &Call<T>) {
    let (k, d, half) = (c.dim("K"), c.dim("D"), T::from_f64(0.5));
    let masked = c.dim("MASKED") == 1;
    let (x, eta, weight) = (&c.read("x")[..], &c.read("eta")[..], &c.read("weight")[..]);
    parallel::rows(&mut c.write("d_eta"), 2 * d, |row, d_eta| {
        let (x, w) = (&x[row / k * d..][..d], weight[row]);
        let (m, a) = eta[row * 2 * d..][..2 * d].split_at(d);
        let (d_m, d_a) = d_eta.split_at_mut(d);
        for i in 0..d {
            if masked && is_missing(x[i]) {
                (d_m[i], d_a[i]) = (T::ZERO, T::ZERO);
                continue;
            }
            let (above, v) = log_variance(a[i]);
            let (r, precision) = (x[i] - m[i], (-v).exp());
            d_m[i] = w * (r * precision);
            d_a[i] = w * (half * (r * r * precision - T::ONE) * above.sigmoid());
        }
    });
}

/// m.
fn mean<T: Real>(c: &Call<T>) {
    let (d, eta) = (c.dim("D"), c.read("eta"));
    for (mean, eta) in c.write("mean").chunks_exact_mut(d).zip(eta.chunks_exact(2 * d)) {
        mean.copy_from_slice(&eta[..d]);
    }
}
