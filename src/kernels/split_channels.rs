//! The channels of a map in parts, one part behind the other, and back.

use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/split_channels.wgsl");

pub static SPLIT: Kernel = single(Parts {
    file: "split_channels",
    source: SOURCE,
    entry: "split",
    summary: "channels side by side, as a layer gives them, to parts",
    grid,
    formula: formula!(split),
    cases,
    cost,
});

pub static MERGE: Kernel = single(Parts {
    file: "split_channels",
    source: SOURCE,
    entry: "merge",
    summary: "the gradient of parts to that of channels side by side",
    grid,
    formula: formula!(merge),
    cases,
    cost,
});

fn elements(c: &Constants) -> usize {
    ["R", "PARTS", "N", "C"].iter().map(|name| c.dim(name)).product()
}

fn grid(c: &Constants) -> [usize; 3] {
    grid_of_groups(elements(c).div_ceil(c.dim("WORKGROUP")))
}

fn cases() -> Vec<Case> {
    let case = |r: usize, parts: usize, n: usize, c: usize| {
        let sizes = [("PARTS", parts), ("N", n), ("C", c)];
        let case = Case::new(&[("R", r)]);
        sizes.iter().fold(case, |case, &(name, size)| case.constant(name, size as f64))
    };
    vec![
        case(1, 1, 1, 1),
        case(2, 2, 5, 3),
        case(3, 3, 4, 1),
        case(5, 2, 49, 3),
        // more workgroups than one dimension of a grid has room for
        case(11, 2, 1500, 1).constant("WORKGROUP", 1.0),
    ]
}

fn cost(c: &Constants) -> Cost {
    Cost { flops: 0, bytes: 8 * elements(c) as u64 }
}

/// Calls f(place in parts, place side by side) for each element.
fn pairs(c: &Constants, mut f: impl FnMut(usize, usize)) {
    let [rows, parts, pixels, channels] = ["R", "PARTS", "N", "C"].map(|name| c.dim(name));
    let mut in_parts = 0;
    for row in 0..rows {
        for part in 0..parts {
            for pixel in 0..pixels {
                for channel in 0..channels {
                    f(in_parts, ((row * pixels + pixel) * parts + part) * channels + channel);
                    in_parts += 1;
                }
            }
        }
    }
}

fn split<T: Real>(c: &Call<T>) {
    let (from, mut to) = (c.read("from_layer"), c.write("in_parts"));
    pairs(&c.dispatch.constants, |in_parts, side_by_side| to[in_parts] = from[side_by_side]);
}

fn merge<T: Real>(c: &Call<T>) {
    let (from, mut to) = (c.read("d_in_parts"), c.write("d_from_layer"));
    pairs(&c.dispatch.constants, |in_parts, side_by_side| to[side_by_side] = from[in_parts]);
}
