//! Importance weights of samples from the approximate posterior.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/importance.wgsl");

pub static LOG_WEIGHT: Kernel = single(Parts {
    file: "importance",
    source: SOURCE,
    entry: "log_weight",
    summary: "log w = log p(x|z) + log p(z) − log q(z|x)",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(log_weight),
    cases: || {
        let of = |b, k, z, h| {
            Case::new(&[("B", b), ("K", k), ("Z", z), ("H", h)])
                .fill("log_px", Fill::Uniform(-300.0, -50.0))
        };
        let case = |b, k, z| of(b, k, z, 2 * z);
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 3, 4).fill("heads", Fill::Normal(40.0)), // beyond the clamp of l, on both sides
            case(5, 1, 63),
            case(5, 1, 64),
            case(5, 2, 65),
            case(20, 50, 50),
            of(7, 3, 5, 20),    // of a full covariance
            case(33_000, 1, 2), // more rows than one dimension of a grid has room for
        ]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 5 * n, bytes: 8 * n }
    },
});

pub static NORMALIZE: Kernel = single(Parts {
    file: "importance",
    source: SOURCE,
    entry: "normalize",
    summary: "L_K = logsumexp log w − log K, weights softmax(log w) / B",
    grid: |c| grid_of_groups(c.dim("B")),
    formula: formula!(normalize),
    cases: || {
        let case = |b, k| {
            Case::new(&[("B", b), ("K", k)]).fill("log_weights", Fill::Uniform(-300.0, -50.0))
        };
        vec![
            case(1, 1),
            case(3, 2),
            case(7, 5).fill("log_weights", Fill::Cycle(vec![-1e4, -88.0, 0.0, 95.0, 94.0])),
            case(5, 63).fill("log_weights", Fill::Normal(1.0)),
            case(5, 64).fill("log_weights", Fill::Cycle(vec![-90.0])), // all alike
            case(5, 65),
            case(20, 50),
            case(2, 5000),
            case(33_000, 2), // more images than one dimension of a grid has room for
        ]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K")) as u64;
        Cost { flops: 5 * n, bytes: 8 * n }
    },
});

/// log w = log p(x|z) + log p(z) - log q(z|x) = log p(x|z) + 1/2 sum_u eps^2 + l - z^2.
fn log_weight<T: Real>(c: &Call<T>) {
    let (k, units, width) = (c.dim("K"), c.dim("Z"), c.dim("H"));
    let (log_px, heads) = (&c.read("log_px")[..], &c.read("heads")[..]);
    let (eps, z) = (&c.read("eps")[..], &c.read("z")[..]);
    parallel::rows(&mut c.write("log_w"), 1, |row, log_w| {
        let ratio = |unit: usize| {
            let (e, z) = (eps[row * units + unit], z[row * units + unit]);
            e * e + clamp_log_variance(heads[row / k * width + units + unit]) - z * z
        };
        log_w[0] = log_px[row] + T::from_f64(0.5) * sum((0..units).map(ratio));
    });
}

/// L_K = logsumexp_k log w - log K, and the weights softmax_k(log w) / B.
fn normalize<T: Real>(c: &Call<T>) {
    let (b, k) = (T::from_f64(c.dim("B") as f64), T::from_f64(c.dim("K") as f64));
    let log_weights = &c.read("log_weights")[..];
    let of = (&mut c.write("weight")[..], c.dim("K"));
    parallel::rows2(of, (&mut c.write("bound"), 1), |image, weight, bound| {
        let log_w = &log_weights[image * weight.len()..][..weight.len()];
        let largest = log_w.iter().fold(log_w[0], |max, &v| if v > max { v } else { max });
        let total = sum(log_w.iter().map(|&v| (v - largest).exp()));
        for (weight, &v) in weight.iter_mut().zip(log_w) {
            *weight = (v - largest).exp() / (total * b);
        }
        bound[0] = largest + (total.ln() - k.ln());
    });
}
