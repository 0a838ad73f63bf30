//! Group normalisation of maps with their channels last, and of units, which are a map of one pixel.

use super::activation::Activation;
use crate::kernels::grid_of_groups;
use crate::kernels::library::single;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../shaders/group_norm.wgsl");

/// What is added to a variance: PyTorch's default.
pub const EPSILON: f64 = 1e-5;

pub static FORWARD: Kernel = single(Parts {
    file: "group_norm",
    source: SOURCE,
    entry: "forward",
    summary: "groups of channels of an image to mean 0 and variance 1, scaled, shifted, through f",
    grid: |c| grid_of_groups(c.dim("R") * c.dim("G")),
    formula: formula!(forward),
    cases: forward_cases,
    cost: |c| cost(c, 8, 8),
});

pub static CHANNEL_SUMS: Kernel = single(Parts {
    file: "group_norm",
    source: SOURCE,
    entry: "channel_sums",
    summary: "the gradients of scale and shift, an image at a time",
    grid: |c| grid_of_groups((c.dim("R") * c.dim("C")).div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(channel_sums),
    cases: backward_cases,
    cost: |c| cost(c, 5, 8),
});

pub static BACKWARD_INPUT: Kernel = single(Parts {
    file: "group_norm",
    source: SOURCE,
    entry: "backward_input",
    summary: "the gradient before a normalisation",
    grid: |c| grid_of_groups(c.dim("R") * c.dim("G")),
    formula: formula!(backward_input),
    cases: backward_cases,
    cost: |c| cost(c, 7, 12),
});

/// R images of P pixels and C channels in G groups.
fn case([r, p, c, g]: [usize; 4]) -> Case {
    Case::new(&[("R", r), ("P", p), ("C", c), ("G", g)])
}

/// Units, one group and as many as channels, groups of one element, odd sizes, production shapes.
fn sizes() -> Vec<Case> {
    let sizes = [
        [1, 1, 1, 1],
        [2, 1, 5, 1],
        [3, 7, 6, 3],
        [2, 5, 4, 4],
        [5, 9, 33, 3],
        [3, 65, 2, 1],
        [20, 1, 400, 1],
        [4, 256, 64, 8],
        [2, 400, 32, 8],
    ];
    sizes.into_iter().map(case).collect()
}

fn forward_cases() -> Vec<Case> {
    let mut cases = sizes();
    // so near one another that the epsilon counts
    cases.push(case([3, 4, 6, 2]).fill("x", Fill::Normal(1e-3)));
    // more workgroups than one dimension of a grid has room for
    let apart = Fill::Cycle(vec![0.5, -1.0, 2.0]);
    cases.push(case([33_000, 2, 1, 1]).constant("WORKGROUP", 1.0).fill("x", apart));
    for activation in Activation::IN_LAYERS {
        cases.push(case([2, 9, 6, 2]).constant("ACTIVATION", activation.number()));
    }
    cases
}

fn backward_cases() -> Vec<Case> {
    let mut cases = sizes();
    cases.push(case([33_000, 1, 2, 2]).constant("WORKGROUP", 1.0));
    cases
}

fn cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = (c.dim("R") * c.dim("P") * c.dim("C")) as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}

/// [R, P, C, G]
fn dims<T>(c: &Call<T>) -> [usize; 4] {
    ["R", "P", "C", "G"].map(|name| c.dim(name))
}

/// Where the elements of a group are in an image of P pixels.
fn places([_, p, c, g]: [usize; 4], group: usize) -> impl Iterator<Item = usize> {
    let own = c / g;
    (0..p).flat_map(move |pixel| (0..own).map(move |e| pixel * c + group * own + e))
}

/// The sum of the terms, one after the other: some device has as long a chain of additions.
fn chain<T: Real>(terms: impl Iterator<Item = T>) -> T {
    terms.fold(T::ZERO, |sum, term| sum + term)
}

/// The sum over a group's elements, channel by channel.
fn of_group<T: Real>([_, p, c, g]: [usize; 4], group: usize, term: impl Fn(usize) -> T) -> T {
    let own = c / g;
    let of_channel = |channel: usize| chain((0..p).map(|pixel| term(pixel * c + channel)));
    chain((group * own..(group + 1) * own).map(of_channel))
}

fn forward<T: Real>(c: &Call<T>) {
    let (dims @ [rows, p, channels, groups], f) = (dims(c), Activation::of(c));
    let (x, parameters) = (c.read("x"), c.read("parameters"));
    let (mut y, mut statistics) = (c.write("y"), c.write("statistics"));
    let n = T::from_f64((p * channels / groups) as f64);
    for row in 0..rows {
        let x = &x[row * p * channels..][..p * channels];
        let y = &mut y[row * p * channels..][..p * channels];
        for group in 0..groups {
            let m = of_group(dims, group, |i| x[i]) / n;
            let squares = of_group(dims, group, |i| (x[i] - m) * (x[i] - m));
            let r = T::ONE / (squares / n + T::from_f64(EPSILON)).sqrt();
            for i in places(dims, group) {
                let scaled = parameters[i % channels] * ((x[i] - m) * r);
                y[i] = f.apply(scaled + parameters[channels + i % channels]);
            }
            statistics[row * 2 * groups + group] = m;
            statistics[row * 2 * groups + groups + group] = r;
        }
    }
}

fn channel_sums<T: Real>(c: &Call<T>) {
    let [rows, p, channels, groups] = dims(c);
    let (x, kept, d_y) = (c.read("x"), c.read("kept"), c.read("d_y"));
    let mut sums = c.write("sums");
    for row in 0..rows {
        for channel in 0..channels {
            let group = channel / (channels / groups);
            let m = kept[row * 2 * groups + group];
            let r = kept[row * 2 * groups + groups + group];
            let at = |pixel: usize| (row * p + pixel) * channels + channel;
            let d_w = (0..p).map(|pixel| d_y[at(pixel)] * ((x[at(pixel)] - m) * r));
            sums[row * 2 * channels + channel] = chain(d_w);
            sums[row * 2 * channels + channels + channel] = chain((0..p).map(|i| d_y[at(i)]));
        }
    }
}

fn backward_input<T: Real>(c: &Call<T>) {
    let dims @ [rows, p, channels, groups] = dims(c);
    let (x, kept, d_y) = (c.read("x"), c.read("kept"), c.read("d_y"));
    let (w, sums) = (c.read("scale_and_shift"), c.read("channel_gradients"));
    let mut d_x = c.write("d_x");
    let n = T::from_f64((p * channels / groups) as f64);
    for row in 0..rows {
        let first = row * p * channels;
        let sums = &sums[row * 2 * channels..][..2 * channels];
        for group in 0..groups {
            let own = channels / groups;
            let own = group * own..(group + 1) * own;
            let s1 = chain(own.clone().map(|c| w[c] * sums[channels + c])) / n;
            let s2 = chain(own.map(|c| w[c] * sums[c])) / n;
            let m = kept[row * 2 * groups + group];
            let r = kept[row * 2 * groups + groups + group];
            for i in places(dims, group) {
                let normal = (x[first + i] - m) * r;
                let d_scaled = w[i % channels] * d_y[first + i];
                d_x[first + i] = r * (d_scaled - s1 - normal * s2);
            }
        }
    }
}
