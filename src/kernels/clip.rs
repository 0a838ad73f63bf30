//! Clipping by the norm of the whole gradient.

use crate::kernels::clock;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

/// Sums that the squares of all gradients come in.
pub const PARTS: usize = 64;

pub static ADD_SQUARES: Kernel = single(Parts {
    file: "clip",
    source: include_str!("../../shaders/clip.wgsl"),
    entry: "add_squares",
    summary: "the squares of a gradient's elements, added to those of others",
    grid: |c| [c.dim("PARTS"), 1, 1],
    formula: formula!(add_squares),
    cases: || {
        let case =
            |n| Case::new(&[("N", n), ("PARTS", PARTS)]).fill("squares", Fill::Uniform(0.0, 10.0));
        vec![
            case(1),
            case(255),
            case(256),
            case(257),
            // one block more than there are sums
            case(256 * PARTS + 1),
            case(256 * PARTS + 300),
            case(313_600),
            case(100).constant("WORKGROUP", 1.0),
            case(1000).fill("gradient", Fill::Cycle(vec![1e-8, -3e-9, 1e12, 0.0])),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 2 * n, bytes: 4 * n }
    },
});

pub static SCALE: Kernel = single(Parts {
    file: "clip",
    source: include_str!("../../shaders/clip.wgsl"),
    entry: "scale",
    summary: "the norm of all gradients, and the share of them that a step takes",
    grid: |_| [1, 1, 1],
    formula: formula!(scale),
    cases: || {
        let case = |parts, step, most| {
            Case::new(&[("PARTS", parts), ("S", 3)])
                .constant("MOST", most)
                .fill("sums", Fill::Uniform(0.0, 10.0))
                .fill("norms", Fill::Normal(1.0)) // the other rows stay
                .fill("kept", Fill::Normal(1.0))
                .fill("clock", clock_words(1, step, 2, 9))
        };
        vec![
            case(PARTS, 0, 1.0),
            case(PARTS, 4, 0.5),
            // not clipped
            case(PARTS, 5, 1000.0),
            case(1, 2, 0.01),
            case(257, 2, 3.0),
            // no gradient at all
            case(PARTS, 1, 0.5).fill("sums", Fill::Cycle(vec![0.0])),
        ]
    },
    cost: |c| {
        let n = c.dim("PARTS") as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

fn add_squares<T: Real>(c: &Call<T>) {
    let (parts, block) = (c.dim("PARTS"), c.dim("WORKGROUP"));
    let mut squares = c.write("squares");
    for (i, values) in c.read("gradient").chunks(block).enumerate() {
        squares[i % parts] += values.iter().fold(T::ZERO, |sum, &g| sum + g * g);
    }
}

fn scale<T: Real>(c: &Call<T>) {
    let mut sums = c.write("sums");
    let norm = sums.iter().fold(T::ZERO, |sum, &part| sum + part).sqrt();
    sums.fill(T::ZERO);
    let (slot, most) = (c.read_u32("clock")[clock::STEP] as usize % c.dim("S"), c.value("MOST"));
    c.write("norms")[slot] = norm;
    c.write("kept")[0] = if norm > most { most / norm } else { T::ONE };
}
