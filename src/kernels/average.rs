//! The average of a parameter over the steps.

use crate::kernels::library::single;
use crate::kernels::{clock, grid_of_groups};
use crate::numeric::Real;
use crate::plan::case::clock_words;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static FOLLOW: Kernel = single(Parts {
    file: "average",
    source: include_str!("../../shaders/average.wgsl"),
    entry: "follow",
    summary: "the average of a parameter over the steps, after one more",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(follow),
    cases: || {
        let case = |n, step, decay: f64| {
            Case::new(&[("N", n)])
                .constant("FRESH", 1.0 - decay)
                .constant("LN_DECAY", decay.ln())
                .fill("clock", clock_words(1, step, 2, 9))
        };
        vec![
            // the first step, after which the average is the parameter
            case(1, 0, 0.9),
            case(65, 0, 0.9999),
            case(64, 1, 0.5),
            case(63, 30, 0.999),
            case(1000, 2_000, 0.999),
            case(100, 100_000, 0.9),
            // more workgroups than one dimension of a grid has room for
            case(33_000, 3, 0.9).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 3 * n, bytes: 12 * n }
    },
});

pub static SWAP: Kernel = single(Parts {
    file: "average",
    source: include_str!("../../shaders/average.wgsl"),
    entry: "swap",
    summary: "two tensors change places",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(swap),
    cases: || {
        let case = |n| Case::new(&[("N", n)]);
        vec![case(1), case(63), case(65), case(33_000).constant("WORKGROUP", 1.0)]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 0, bytes: 16 * n }
    },
});

fn follow<T: Real>(c: &Call<T>) {
    let t = T::from_f64(f64::from(c.read_u32("clock")[clock::STEP]) + 1.0);
    let w = c.value("FRESH") / -(t * c.value("LN_DECAY")).exp_m1();
    let (parameter, mut average) = (c.read("parameter"), c.write("average"));
    for (average, &p) in average.iter_mut().zip(parameter.iter()) {
        *average += w * (p - *average);
    }
}

fn swap<T: Real>(c: &Call<T>) {
    c.write("here").swap_with_slice(&mut c.write("there"));
}
