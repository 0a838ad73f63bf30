//! Values of many runs of a plan for the host to read at once, and the clock between the runs.

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/store_samples.wgsl");

pub static STORE: Kernel = single(Parts {
    file: "store_samples",
    source: SOURCE,
    entry: "store",
    summary: "values of a run into their row of many runs'",
    grid: |c| [c.dim("R").div_ceil(c.dim("WORKGROUP")), 1, 1],
    formula: formula!(store),
    cases: || {
        let case = |r, s, step| {
            Case::new(&[("R", r), ("S", s)])
                .fill("stored", Fill::Normal(1.0)) // the other rows stay
                .fill("clock", clock_words(1, step, 0, 0))
        };
        vec![
            case(1, 1, 0),
            case(1, 1, 9),
            case(63, 3, 1),
            case(64, 3, 5),
            case(65, 3, 3),
            case(1000, 20, 19),
        ]
    },
    cost: |c| Cost { flops: 0, bytes: 8 * c.dim("R") as u64 },
});

pub static ADVANCE: Kernel = single(Parts {
    file: "store_samples",
    source: SOURCE,
    entry: "advance",
    summary: "the clock to the next samples",
    grid: |_| [1, 1, 1],
    formula: formula!(advance),
    cases: || {
        [(0, 1.0), (7, 250.0)]
            .map(|(step, k)| {
                Case::new(&[]).constant("K", k).fill("time", clock_words(u64::MAX, step, 2, 5))
            })
            .to_vec()
    },
    cost: |_| Cost { flops: 2, bytes: 16 },
});

fn store<T: Real>(c: &Call<T>) {
    let (r, step) = (c.dim("R"), c.read_u32("clock")[clock::STEP] as usize);
    let slot = step % c.dim("S");
    c.write("stored")[slot * r..][..r].copy_from_slice(&c.read("values"));
}

fn advance<T: Real>(c: &Call<T>) {
    let mut words = c.write_u32("time");
    words[clock::STEP] += 1;
    words[clock::SAMPLE] += c.dim("K") as u32;
}
