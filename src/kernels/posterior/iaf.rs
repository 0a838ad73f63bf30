//! q(z|x) by inverse autoregressive flows (Kingma et al. 2016, arXiv 1606.04934); heads = [mu | l | c], c the context that the
//! masked networks of the steps are told, and a state is [z | c].

use super::{EXTREME, Noise, clamp_log_variance};
use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::{Real, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/posterior/iaf.wgsl");
const FILE: &str = "posterior/iaf";

/// Layers of a step's network.
pub const LAYERS: usize = 3;

pub static BEGIN: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "iaf_begin",
    summary: "[z | c] before the first step, z = μ + e^{ℓ/2} ε, ε from Philox",
    grid: |c| of_elements(c, c.dim("B") * c.dim("K") * c.dim("Z")),
    formula: formula!(begin),
    cases: || {
        let case = |b, k, z| {
            Case::new(&[("B", b), ("K", k), ("Z", z)])
                .constant("STREAM", 1.0)
                .constant("N", 10.0) // most cases reach beyond the end of the epoch
                .fill("clock", clock_words(42, 5, 3, 7))
        };
        vec![
            case(1, 1, 1),
            case(3, 1, 5).constant("NOISE", 0.0),
            case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(128, 1, 20),
            case(20, 5, 50),
            case(2, 3, 257),
        ]
    },
    cost: |c| row_cost(c, 60, 20),
});

pub static MASK: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "iaf_mask",
    summary: "weights of an autoregressive layer, 0 where an output may not see an input",
    grid: |c| of_elements(c, c.dim("O") * c.dim("I")),
    formula: formula!(mask),
    cases: || {
        let of = |layer: usize, z: usize, hidden: usize, reversed: bool| {
            let [o, i] = match layer {
                0 => [hidden, 2 * z],
                1 => [hidden, hidden],
                _ => [2 * z, hidden],
            };
            Case::new(&[("O", o), ("I", i)])
                .constant("Z", z as f64)
                .constant("LAYER", layer as f64)
                .constant("REVERSED", f64::from(u8::from(reversed)))
        };
        (0..LAYERS)
            .flat_map(|layer| {
                vec![
                    of(layer, 1, 1, false),
                    of(layer, 5, 3, true),
                    of(layer, 3, 8, false),
                    of(layer, 7, 30, true),
                    of(layer, 20, 40, false),
                ]
            })
            .chain([of(0, 32, 64, false), of(1, 128, 256, false).constant("WORKGROUP", 1.0)])
            .collect()
    },
    cost: |c| {
        let n = (c.dim("O") * c.dim("I")) as u64;
        Cost { flops: 0, bytes: 8 * n }
    },
});

pub static STEP: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "iaf_step",
    summary: "σ z + (1 − σ) m of a step, log σ added to log |det|",
    grid: |c| grid_of_groups(c.dim("R")),
    formula: formula!(step),
    cases: || {
        let case = |r, z: usize, last: bool| {
            Case::new(&[("R", r), ("Z", z), ("V", if last { z } else { 2 * z })])
                .constant("Z", z as f64)
        };
        vec![
            case(1, 1, true),
            case(3, 5, false),
            case(7, 4, true).fill("gates", Fill::Cycle(GATES.to_vec())),
            case(5, 63, true),
            case(5, 64, true),
            case(5, 65, false),
            case(128, 20, false),
            case(33_000, 1, true), // more rows than one dimension of a grid has room for
        ]
    },
    cost: |c| Cost {
        flops: 12 * (c.dim("R") * c.dim("Z")) as u64,
        bytes: 4 * (c.dim("R") * (3 * c.dim("Z") + c.dim("V"))) as u64,
    },
});

pub static STEP_BACKWARD: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "iaf_step_backward",
    summary: "the gradient before a step and at m and the gates, through z and log |det|",
    grid: |c| of_elements(c, c.dim("R") * c.dim("Z")),
    formula: formula!(step_backward),
    cases: || {
        let case = |r, z: usize, last: bool| {
            Case::new(&[("R", r), ("Z", z), ("V", if last { z } else { 2 * z })])
                .constant("Z", z as f64)
                .constant("LAST", f64::from(u8::from(last)))
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]))
                .fill("weight", Fill::Uniform(0.0, 0.1))
        };
        vec![
            case(1, 1, true),
            case(3, 5, false),
            case(7, 4, true).fill("gates", Fill::Cycle(GATES.to_vec())),
            case(7, 4, false).fill("gates", Fill::Cycle(GATES.to_vec())),
            case(65, 1, true),
            case(128, 20, false),
            case(33_000, 1, true).constant("WORKGROUP", 1.0),
        ]
    },
    cost: |c| Cost {
        flops: 24 * (c.dim("R") * c.dim("Z")) as u64,
        bytes: 4 * (c.dim("R") * (7 * c.dim("Z") + c.dim("V"))) as u64,
    },
});

pub static BACKWARD: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "iaf_backward",
    summary: "the gradient at [μ | ℓ | c], by each row",
    grid: |c| of_elements(c, c.dim("B") * c.dim("K") * c.dim("Z")),
    formula: formula!(backward),
    cases: || {
        let case = |b, k, z| {
            Case::new(&[("B", b), ("K", k), ("Z", z)])
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]))
                .fill("row_weight", Fill::Uniform(0.0, 0.1))
        };
        vec![
            case(1, 1, 1),
            case(3, 2, 5),
            case(7, 3, 4).fill("heads", Fill::Cycle(EXTREME.to_vec())),
            case(128, 1, 20),
            case(20, 5, 50),
            case(2, 1, 129),
        ]
    },
    cost: |c| row_cost(c, 8, 32),
});

/// m and gates, far out too.
const GATES: [f64; 7] = [0.3, -95.0, 90.0, 2.0, -1.0, -7.0, 20.0];

fn of_elements(c: &Constants, elements: usize) -> [usize; 3] {
    grid_of_groups(elements.div_ceil(c.dim("WORKGROUP")))
}

fn row_cost(c: &Constants, flops: u64, bytes: u64) -> Cost {
    let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
    Cost { flops: flops * n, bytes: bytes * n }
}

fn begin<T: Real>(c: &Call<T>) {
    let (z, k) = (c.dim("Z"), c.dim("K"));
    let (scale, noise, heads) = (c.value("NOISE"), Noise::of(c, k), &c.read("heads")[..]);
    let (mut eps, mut state) = (c.write("eps"), c.write("state"));
    parallel::rows2((&mut eps, z), (&mut state, 2 * z), |row, eps, state| {
        noise.draw(row, scale, eps);
        let of = &heads[row / k * 3 * z..][..3 * z];
        for unit in 0..z {
            let l = clamp_log_variance(of[z + unit]);
            state[unit] = of[unit] + (T::from_f64(0.5) * l).exp() * eps[unit];
        }
        state[z..].copy_from_slice(&of[2 * z..]);
    });
}

/// The first hidden unit of so many that may see what is of this degree: those of degree d are the j with j Z / hidden = d,
/// rounded down.
pub(crate) const fn first_of_degree(degree: usize, latent: usize, hidden: usize) -> usize {
    (degree * hidden).div_ceil(latent)
}

/// The degrees of a layer's units, in the order of its step: an output sees the inputs of a degree that is not above its own.
pub(crate) struct Degrees {
    layer: usize,
    reversed: bool,
    latent: usize,
    inputs: usize,
    outputs: usize,
}

impl Degrees {
    /// Of the layer that a call masks.
    pub fn of(c: &Call<impl Real>) -> Self {
        Degrees {
            layer: c.dim("LAYER"),
            reversed: c.dim("REVERSED") == 1,
            latent: c.dim("Z"),
            inputs: c.dim("I"),
            outputs: c.dim("O"),
        }
    }

    fn place(&self, unit: usize) -> usize {
        if self.reversed { self.latent - 1 - unit } else { unit }
    }

    /// That of an input. All outputs see the context.
    pub fn input(&self, unit: usize) -> usize {
        match self.layer {
            0 if unit < self.latent => 1 + self.place(unit),
            0 => 0,
            _ => unit * self.latent / self.inputs,
        }
    }

    /// That of an output.
    pub fn output(&self, unit: usize) -> usize {
        match self.layer {
            2 => self.place(unit % self.latent),
            _ => unit * self.latent / self.outputs,
        }
    }
}

fn mask<T: Real>(c: &Call<T>) {
    let (i, degrees) = (c.dim("I"), Degrees::of(c));
    let inputs: Vec<usize> = (0..i).map(|unit| degrees.input(unit)).collect();
    let whole = c.read("whole");
    for (row, masked) in c.write("masked").chunks_exact_mut(i).enumerate() {
        let (own, whole) = (degrees.output(row), &whole[row * i..][..i]);
        for ((masked, &whole), &degree) in masked.iter_mut().zip(whole).zip(&inputs) {
            *masked = if own >= degree { whole } else { T::ZERO };
        }
    }
}

fn step<T: Real>(c: &Call<T>) {
    let (z, v) = (c.dim("Z"), c.dim("V"));
    let (before, gates, earlier) =
        (&c.read("before")[..], &c.read("gates")[..], &c.read("earlier")[..]);
    let (mut after, mut log_det) = (c.write("after"), c.write("log_det"));
    parallel::rows2((&mut after, v), (&mut log_det, 1), |row, after, log_det| {
        let own = row * 2 * z..(row + 1) * 2 * z;
        let (before, (m, g)) = (&before[own.clone()], gates[own].split_at(z));
        for unit in 0..z {
            after[unit] = g[unit].sigmoid() * before[unit] + (-g[unit]).sigmoid() * m[unit];
        }
        after[z..].copy_from_slice(&before[z..v]);
        log_det[0] = earlier[row] - sum(g.iter().map(|&g| (-g).softplus()));
    });
}

fn step_backward<T: Real>(c: &Call<T>) {
    let (z, v, last) = (c.dim("Z"), c.dim("V"), c.dim("LAST") == 1);
    let (before, gates, d_after) =
        (&c.read("before")[..], &c.read("gates")[..], &c.read("d_after")[..]);
    let (weight, beta) = (&c.read("weight")[..], c.read("rates")[rates::KL_WEIGHT]);
    let (mut d_gates, mut d_before) = (c.write("d_gates"), c.write("d_before"));
    parallel::rows2((&mut d_gates, 2 * z), (&mut d_before, 2 * z), |row, d_gates, d_before| {
        let own = row * 2 * z..(row + 1) * 2 * z;
        let (before, (m, g)) = (&before[own.clone()], gates[own].split_at(z));
        let (d_after, f) = (&d_after[row * v..][..v], beta * weight[row]);
        for unit in 0..z {
            let (s, rest) = (g[unit].sigmoid(), (-g[unit]).sigmoid());
            let mut arriving = d_after[unit];
            if last {
                arriving -= f * (s * before[unit] + rest * m[unit]);
            }
            d_gates[unit] = arriving * rest;
            d_gates[z + unit] = arriving * (before[unit] - m[unit]) * s * rest + f * rest;
            d_before[unit] = arriving * s;
            d_before[z + unit] = if last { T::ZERO } else { d_after[z + unit] };
        }
    });
}

fn backward<T: Real>(c: &Call<T>) {
    let (z, k, half) = (c.dim("Z"), c.dim("K"), T::from_f64(0.5));
    let (heads, eps, d_state) =
        (&c.read("heads")[..], &c.read("noise")[..], &c.read("d_state")[..]);
    let (weight, beta) = (&c.read("row_weight")[..], c.read("rates")[rates::KL_WEIGHT]);
    parallel::rows(&mut c.write("d_rows"), 3 * z, |row, d| {
        let (d_z, d_context) = d_state[row * 2 * z..][..2 * z].split_at(z);
        for unit in 0..z {
            let raw = heads[row / k * 3 * z + z + unit];
            let l = clamp_log_variance(raw);
            let at = d_z[unit] * (half * l).exp() * eps[row * z + unit] + beta * weight[row];
            d[unit] = d_z[unit];
            // A product, so that a NaN stays one.
            d[z + unit] = half * at * if l == raw { T::ONE } else { T::ZERO };
        }
        d[2 * z..].copy_from_slice(d_context);
    });
}
