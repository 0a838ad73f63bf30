//! Importance weights of samples from the approximate posterior.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::kernels::posterior::clamp_log_variance;
use crate::numeric::{Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};

const SOURCE: &str = include_str!("../../shaders/importance.wgsl");

pub static LOG_WEIGHT: Kernel = single(Parts {
    file: "importance",
    source: SOURCE,
    entry: "log_weight",
    summary: "log w = log p(x|z) + log p(z) − log q(z|x)",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    twin: twin!(log_weight),
    cases: || {
        let case = |b, k, z| {
            Case::new(&[("B", b), ("K", k), ("Z", z)]).fill("log_px", Fill::Uniform(-300.0, -50.0))
        };
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 3, 4).fill("heads", Fill::Normal(40.0)), // beyond the clamp of l, on both sides
            case(5, 1, 63),
            case(5, 1, 64),
            case(5, 2, 65),
            case(20, 50, 50),
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
    twin: twin!(normalize),
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

fn log_weight<T: Real>(c: &Call<T>) {
    let (k, n) = (c.dim("K"), c.dim("Z"));
    let (log_px, heads, eps, z) = (c.read("log_px"), c.read("heads"), c.read("eps"), c.read("z"));
    let (log_px, heads, eps, z) = (&log_px[..], &heads[..], &eps[..], &z[..]);
    parallel::rows(
        &mut c.write("log_w"),
        1,
        #[inline(always)]
        |row, log_w| {
            let l = &heads[row / k * 2 * n + n..][..n];
            let (eps, z) = (&eps[row * n..][..n], &z[row * n..][..n]);
            let total =
                parallel::sum(n, |u| eps[u] * eps[u] + clamp_log_variance(l[u]) - z[u] * z[u]);
            log_w[0] = log_px[row] + T::from_f64(0.5) * total;
        },
    );
}

fn normalize<T: Real>(c: &Call<T>) {
    let (b, k) = (c.dim("B"), c.dim("K"));
    let log_weights = c.read("log_weights");
    let (mut weight, mut bound) = (c.write("weight"), c.write("bound"));
    let (log_weights, b, n) = (&log_weights[..], T::from_f64(b as f64), T::from_f64(k as f64));
    parallel::rows2(
        (&mut weight, k),
        (&mut bound, 1),
        #[inline(always)]
        |image, weight, bound| {
            let log_w = &log_weights[image * k..][..k];
            let largest = log_w.iter().fold(log_w[0], |max, &v| if v > max { v } else { max });
            let total = parallel::sum(k, |i| (log_w[i] - largest).exp());
            for (weight, &v) in weight.iter_mut().zip(log_w) {
                *weight = (v - largest).exp() / (total * b);
            }
            bound[0] = largest + (total.ln() - n.ln());
        },
    );
}
