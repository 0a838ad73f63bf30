//! Adam's step, ascending the objective (Kingma and Ba 2015).

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static ADAM: Kernel = single(Parts {
    file: "adam",
    source: include_str!("../../shaders/adam.wgsl"),
    entry: "adam",
    summary: "moments and parameters of one tensor",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(adam),
    cases: || {
        let case = |n| {
            Case::new(&[("N", n)])
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
                .fill("moments", Fill::Uniform(0.0, 2.0))
        };
        vec![
            case(1),
            case(63),
            case(64),
            case(64).fill("rates", Fill::Cycle(vec![0.02, 0.19, 1.999e-3, 0.0])),
            case(65),
            case(313_600),
            // more workgroups than one dimension of a grid has room for
            case(33_000).constant("WORKGROUP", 1.0),
            // gradients about as small as epsilon
            case(100)
                .fill("gradient", Fill::Cycle(vec![1e-8, -3e-9, 1e-7, 0.0]))
                .fill("parameter", Fill::Cycle(vec![0.0]))
                .fill("moments", Fill::Cycle(vec![0.0])),
            // the first step, from zero moments
            case(100).fill("moments", Fill::Cycle(vec![0.0])),
            // a dead unit: no gradient, moments about to become subnormal
            case(3).fill("gradient", Fill::Cycle(vec![0.0])).fill(
                "moments",
                Fill::Cycle(vec![1.2e-38, -1.2e-38, 1e-37, 1.17549435e-38, 1e-30, 0.0]),
            ),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 14 * n, bytes: 28 * n }
    },
});

fn adam<T: Real>(c: &Call<T>) {
    step(c, &c.read("gradient"), &mut c.write("parameter"), &mut c.write("moments"));
}

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  parameter += rate (m / c1) / (sqrt(v / c2) + epsilon), with
/// c_i = 1 - b_i^t and `moments` all m, then all v. Subnormal moments become zero.
pub(super) fn step<T: Real>(c: &Call<T>, gradient: &[T], parameter: &mut [T], moments: &mut [T]) {
    let [b1, b2, epsilon] = ["BETA1", "BETA2", "EPSILON"].map(|name| c.value(name));
    let words = c.read("rates");
    let [rate, c1, c2] =
        [rates::LEARNING_RATE, rates::CORRECTION1, rates::CORRECTION2].map(|i| words[i]);
    let smallest = T::from_f64(f64::from(f32::MIN_POSITIVE));
    let flush = |v: T| if v.abs() < smallest { T::ZERO } else { v };
    let (m, v) = moments.split_at_mut(parameter.len());
    for (i, &g) in gradient.iter().enumerate() {
        m[i] = flush(b1 * m[i] + (T::ONE - b1) * g);
        v[i] = flush(b2 * v[i] + (T::ONE - b2) * g * g);
        parameter[i] += rate * (m[i] / c1) / ((v[i] / c2).sqrt() + epsilon);
    }
}
