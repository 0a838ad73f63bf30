//! The Gaussian likelihood, its sums in lanes.

use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::{Real, parallel};
use crate::plan::Call;

const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;

/// ln s within its bounds, and 1 / s.
pub(super) fn variance_of(c: &Call<f32>) -> (f32, f32) {
    let v = clamp_log_variance(c.read("log_variance")[0]);
    (v, Real::exp(-v))
}

#[inline(always)]
pub(super) fn log_density(squares: f32, d: usize, v: f32) -> f32 {
    -0.5 * (squares + d as f32 * (LN_TWO_PI as f32 + v))
}

#[inline(always)]
pub(super) fn squares_of(x: &[f32], eta: &[f32]) -> f32 {
    parallel::sum(x.len(), |i| {
        let r = x[i] - eta[i];
        r * r
    })
}

pub(super) fn log_likelihood(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, (v, precision)) = (c.read("x"), c.read("eta"), variance_of(c));
    let (x, eta) = (&x[..], &eta[..]);
    parallel::rows(
        &mut c.write("log_px"),
        1,
        #[inline(always)]
        |row, log_px| {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            log_px[0] = log_density(squares_of(x, eta) * precision, d, v);
        },
    );
}

pub(super) fn gradient(c: &Call<f32>) {
    backward(c);
    let (d, (v, _)) = (c.dim("D"), variance_of(c));
    let squares = c.read("squares");
    for (log_px, &squares) in c.write("log_px").iter_mut().zip(&squares[..]) {
        *log_px = log_density(squares, d, v);
    }
}

pub(super) fn backward(c: &Call<f32>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (x, eta, weight) = (c.read("x"), c.read("eta"), c.read("weight"));
    let (mut d_eta, mut squares) = (c.write("d_eta"), c.write("squares"));
    let (x, eta, weight) = (&x[..], &eta[..], &weight[..]);
    let (_, precision) = variance_of(c);
    parallel::rows2(
        (&mut d_eta, d),
        (&mut squares, 1),
        #[inline(always)]
        |row, d_eta, squares| {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            for i in 0..d {
                d_eta[i] = weight[row] * ((x[i] - eta[i]) * precision);
            }
            squares[0] = squares_of(x, eta) * precision;
        },
    );
}

pub(super) fn row_errors(c: &Call<f32>) {
    let (k, d, g) = (c.dim("K"), c.dim("D"), c.dim("G"));
    let (x, eta, weight) = (c.read("x"), c.read("eta"), c.read("weight"));
    let (x, eta, weight) = (&x[..], &eta[..], &weight[..]);
    parallel::rows(
        &mut c.write("squared_errors"),
        g,
        #[inline(always)]
        |row, errors| {
            let (x, eta) = (&x[row / k * d..][..d], &eta[row * d..][..d]);
            for (group, error) in errors.iter_mut().enumerate() {
                let squares = match g {
                    1 => squares_of(x, eta),
                    _ => parallel::sum((d - group).div_ceil(g), |i| {
                        let r = x[group + i * g] - eta[group + i * g];
                        r * r
                    }),
                };
                *error = weight[row] * squares;
            }
        },
    );
}

pub(super) fn variance(c: &Call<f32>) {
    let (weight, squares) = (c.read("weight"), c.read("row_squares"));
    let (d, half) = (c.dim("D") as f32, 0.5);
    let total = parallel::sum(weight.len(), |row| half * weight[row] * (squares[row] - d));
    let v = c.read("log_variance")[0];
    let inside = if clamp_log_variance(v) == v { 1.0 } else { 0.0 };
    c.write("d_log_variance")[0] = inside * total; // a NaN stays one
}
