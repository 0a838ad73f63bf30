//! What samples of a flow say of q(z|x): the KL, and the moments of each unit.

use super::{EXTREME, clamp_log_variance};
use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/posterior/flow.wgsl");
const FILE: &str = "posterior/flow";

pub static KL: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "flow_kl",
    summary: "mean over the samples of log q(z|x) − log p(z)",
    grid: |c| grid_of_groups(c.dim("B")),
    formula: formula!(kl),
    cases: || {
        let case = |b, k, z| Case::new(&[("B", b), ("K", k), ("Z", z), ("H", 3 * z + 2)]);
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(5, 1, 63),
            case(5, 2, 64),
            case(5, 1, 65),
            case(128, 1, 20),
            case(33_000, 1, 2), // more images than one dimension of a grid has room for
        ]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 6 * n, bytes: 8 * n }
    },
});

pub static MOMENTS: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "flow_moments",
    summary: "mean and log variance of each unit over the samples of an image",
    grid: |c| [c.dim("Z").div_ceil(c.dim("WORKGROUP")), c.dim("B"), 1],
    formula: formula!(moments),
    cases: || {
        let case = |b, k, z| Case::new(&[("B", b), ("K", k), ("Z", z)]).constant("K", k as f64);
        vec![case(1, 2, 1), case(3, 7, 5), case(20, 64, 20), case(2, 9, 65)]
    },
    cost: |c| {
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: 4 * n, bytes: 4 * n }
    },
});

/// The mean over k of -1/2 sum_u (eps^2 + l - z^2) - log_det.
fn kl<T: Real>(c: &Call<T>) {
    let (units, k, width) = (c.dim("Z"), c.dim("K"), c.dim("H"));
    let (heads, eps) = (&c.read("heads")[..], &c.read("noise")[..]);
    let (samples, log_dets) = (&c.read("samples")[..], &c.read("log_dets")[..]);
    parallel::rows(&mut c.write("kl"), 1, |image, kl| {
        let of_row = |row: usize| {
            let of_unit = |unit: usize| {
                let (e, z) = (eps[row * units + unit], samples[row * units + unit]);
                e * e + clamp_log_variance(heads[image * width + units + unit]) - z * z
            };
            T::from_f64(-0.5) * sum((0..units).map(of_unit)) - log_dets[row]
        };
        kl[0] = sum((image * k..(image + 1) * k).map(of_row)) / T::from_f64(k as f64);
    });
}

fn moments<T: Real>(c: &Call<T>) {
    let (z, k, samples) = (c.dim("Z"), c.dim("K"), &c.read("samples")[..]);
    let n = T::from_f64(k as f64);
    parallel::rows(&mut c.write("moments"), 2 * z, |image, out| {
        for unit in 0..z {
            let of = || (image * k..(image + 1) * k).map(|row| samples[row * z + unit]);
            let mean = sum(of()) / n;
            out[unit] = mean;
            out[z + unit] = (sum(of().map(|v| (v - mean) * (v - mean))) / n).ln();
        }
    });
}
