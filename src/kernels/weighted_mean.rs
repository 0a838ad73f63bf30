//! The mean of samples by their importance weights, of as many runs as it takes.

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, pixel_cost};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Kernel, Parts, formula};

/// The largest log weight before there is any.
pub const NONE_YET: f32 = f32::MIN;

pub static WEIGHTED_MEAN: Kernel = single(Parts {
    file: "weighted_mean",
    source: include_str!("../../shaders/weighted_mean.wgsl"),
    entry: "weighted_mean",
    summary: "sums of values by e^{log w}, over the largest weight so far",
    grid: |c| grid_of_groups(c.dim("B")),
    formula: formula!(weighted_mean),
    cases: || {
        let case = |b, k, d| {
            Case::new(&[("B", b), ("K", k), ("D", d)])
                .constant("K", k as f64)
                .fill("log_w", Fill::Uniform(-20.0, -10.0))
                .fill("largest", Fill::Cycle(vec![-12.0, 1.7]))
        };
        // Of what is far below all others nothing is left; NONE_YET itself has no bound in single precision.
        let first = vec![-1e4, 0.0];
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(5, 63, 7),
            case(4, 65, 65),
            case(9, 130, 64),
            case(33_000, 1, 2), // more images than one dimension of a grid has room for
            case(3, 20, 13)
                .fill("largest", Fill::Cycle(first))
                .fill("sums", Fill::Cycle(vec![0.0])),
            // what was before weighs most, and least
            case(3, 20, 13).fill("largest", Fill::Cycle(vec![-2.0, 1.3])),
            case(3, 20, 13).fill("log_w", Fill::Cycle(vec![-1e4, -88.0, 3.0, 4.5, 2.0])),
        ]
    },
    cost: |c| pixel_cost(c, 3, 4),
});

/// m' = max(m, max_k log w), t' = t e^(m - m') + sum_k e^(log w - m'), and the same of the values.
fn weighted_mean<T: Real>(c: &Call<T>) {
    let (k, d) = (c.dim("K"), c.dim("D"));
    let (log_w, values) = (&c.read("log_w")[..], &c.read("values")[..]);
    let sums = (&mut c.write("sums")[..], d);
    parallel::rows2(sums, (&mut c.write("largest"), 2), |image, sums, largest| {
        let log_w = &log_w[image * k..][..k];
        let now = log_w.iter().fold(largest[0], |max, &v| if v > max { v } else { max });
        let scale = (largest[0] - now).exp();
        let weights: Vec<T> = log_w.iter().map(|&v| (v - now).exp()).collect();
        for (i, of_column) in sums.iter_mut().enumerate() {
            let values = values[image * k * d..].iter().skip(i).step_by(d);
            *of_column = *of_column * scale + sum(weights.iter().zip(values).map(|(&w, &v)| w * v));
        }
        let total = sum(weights.iter().copied());
        (largest[0], largest[1]) = (now, largest[1] * scale + total);
    });
}
