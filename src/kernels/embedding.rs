//! What a network is told of an image's class: a vector for each, added before a layer's activation.

use super::activation::Activation;
use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::{Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static FORWARD: Kernel = single(Parts {
    file: "embedding",
    source: include_str!("../../shaders/embedding.wgsl"),
    entry: "forward",
    summary: "the embedding of each image's class added, then the activation",
    grid: |c| {
        let elements = c.dim("B") * c.dim("K") * c.dim("P") * c.dim("U");
        grid_of_groups(elements.div_ceil(c.dim("WORKGROUP")))
    },
    formula: formula!(forward),
    cases: || {
        let case =
            |size, activation: Activation| case(size).constant("ACTIVATION", activation.number());
        let mut cases: Vec<Case> = Activation::IN_LAYERS
            .iter()
            .map(|&activation| case([7, 2, 3, 5, 4], activation))
            .collect();
        cases.extend([
            case([1, 1, 1, 1, 1], Activation::Identity),
            case([65, 1, 1, 63, 3], Activation::Tanh),
            case([128, 1, 1, 400, 10], Activation::Relu),
            case([16, 1, 49, 32, 300], Activation::Relu),
            // more workgroups than one dimension of a grid has room for
            case([33, 10, 10, 10, 2], Activation::Relu).constant("WORKGROUP", 1.0),
        ]);
        cases
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("P") * c.dim("U")) as u64;
        Cost { flops: 2 * n, bytes: 8 * n + 4 * (c.dim("C") * c.dim("U")) as u64 }
    },
});

pub static BACKWARD: Kernel = single(Parts {
    file: "embedding",
    source: include_str!("../../shaders/embedding.wgsl"),
    entry: "backward",
    summary: "its gradient: the sum of each class's rows",
    grid: |c| grid_of_groups((c.dim("C") * c.dim("U")).div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(backward),
    cases: || {
        let case = |[images, k, units, classes]: [usize; 4]| {
            let dims = [("B", images), ("U", units), ("C", classes)];
            Case::new(&dims).constant("K", k as f64).fill("classes", words(classes))
        };
        vec![
            case([1, 1, 1, 1]),
            case([7, 2, 5, 4]),
            case([65, 1, 63, 3]),
            case([128, 1, 400, 10]),
            // classes without an image
            case([3, 5, 20, 300]),
            case([130, 1, 256, 130]).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| {
        let (n, sums) = (c.dim("B") * c.dim("K") * c.dim("U"), c.dim("C") * c.dim("U"));
        Cost { flops: n as u64, bytes: 4 * (n + sums) as u64 }
    },
});

/// Of B images with K rows, P pixels of U channels, and C classes.
fn case([images, k, pixels, units, classes]: [usize; 5]) -> Case {
    Case::new(&[("B", images), ("U", units), ("C", classes)])
        .constant("K", k as f64)
        .constant("P", pixels as f64)
        .fill("classes", words(classes))
}

/// Classes in no order, the last among them.
fn words(classes: usize) -> Fill {
    let last = classes as u32 - 1;
    Fill::Words((0..11).map(|i| (last + 7 * i * i) % classes as u32).collect())
}

fn forward<T: Real>(c: &Call<T>) {
    let (classes, x, embedding) = (c.read_u32("classes"), c.read("x"), c.read("embedding"));
    let (classes, x, embedding) = (&classes[..], &x[..], &embedding[..]);
    let (samples, units, last) = (c.dim("K"), c.dim("U"), c.dim("C") - 1);
    let width = c.dim("P") * units;
    let activation = Activation::of(c);
    parallel::rows(&mut c.write("y"), width, |row, y| {
        let class = (classes[row / samples] as usize).min(last);
        let of_class = &embedding[class * units..][..units];
        let x = &x[row * width..][..width];
        for (y, x) in y.chunks_exact_mut(units).zip(x.chunks_exact(units)) {
            for ((y, &x), &added) in y.iter_mut().zip(x).zip(of_class) {
                *y = activation.apply(x + added);
            }
        }
    });
}

fn backward<T: Real>(c: &Call<T>) {
    let (classes, d_y) = (c.read_u32("classes"), c.read("d_y"));
    let (samples, units) = (c.dim("K"), c.dim("U"));
    let mut d_embedding = c.write("d_embedding");
    d_embedding.fill(T::ZERO);
    for (row, d_y) in d_y.chunks_exact(units).enumerate() {
        let class = classes[row / samples] as usize;
        for (sum, &d) in d_embedding[class * units..][..units].iter_mut().zip(d_y) {
            *sum += d;
        }
    }
}
