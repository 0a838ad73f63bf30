//! q(z|x) by planar flows (Rezende and Mohamed 2015, arXiv 1505.05770); heads = [mu | l | U | W | b], u and w of the T steps one
//! behind the other.

use super::{Noise, clamp_log_variance};
use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::{Real, dot, parallel, sum};
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

const SOURCE: &str = include_str!("../../../shaders/posterior/planar.wgsl");
const FILE: &str = "posterior/planar";

/// Latent units, at most: a kernel holds a row of them.
pub const MOST_UNITS: usize = 1024;

/// What is added to w w, which a step divides by.
const LEAST: f64 = 1e-6;

/// ln(e - 1), where the softplus is 1.
const AT_ZERO: f64 = 0.541_324_854_612_918_1;

/// Heads of Z latent units and T steps.
pub const fn heads(latent: usize, steps: usize) -> usize {
    2 * latent + steps * (2 * latent + 1)
}

pub static SAMPLE: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "planar_sample",
    summary: "z = μ + e^{ℓ/2} ε and what T planar steps make of it; log |det| of their Jacobians",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(sample),
    cases: || {
        let case = |b, k, z, t| {
            case(b, k, z, t)
                .constant("STREAM", 1.0)
                .constant("N", 10.0) // most cases reach beyond the end of the epoch
                .fill("clock", clock_words(42, 5, 3, 7))
        };
        vec![
            case(1, 1, 1, 1),
            case(3, 1, 5, 2).constant("NOISE", 0.0),
            case(3, 2, 5, 3),
            case(13, 2, 1, 1).fill("heads", Fill::Cycle(EXTREME_OF_FLOW.to_vec())),
            case(128, 1, 20, 2),
            case(10, 7, 30, 4),
            case(3, 2, 64, 2),
            case(3, 2, 65, 2),
            case(2, 1, 133, 3),
        ]
    },
    cost: |c| {
        let Cost { flops, bytes } = step_cost(c, 10);
        let n = (c.dim("B") * c.dim("K") * c.dim("Z")) as u64;
        Cost { flops: flops + 60 * n, bytes: bytes + 8 * n }
    },
});

pub static BACKWARD: Kernel = single(Parts {
    file: FILE,
    source: SOURCE,
    entry: "planar_backward",
    summary: "the gradient at the heads, by each row, through the steps and their log |det|",
    grid: |c| grid_of_groups(c.dim("B") * c.dim("K")),
    formula: formula!(backward),
    cases: || {
        let case = |b, k, z, t| {
            case(b, k, z, t)
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.7]))
                .fill("weight", Fill::Uniform(0.0, 0.1))
        };
        vec![
            case(1, 1, 1, 1),
            case(3, 2, 5, 3),
            case(13, 2, 1, 1).fill("heads", Fill::Cycle(EXTREME_OF_FLOW.to_vec())),
            case(128, 1, 20, 2),
            case(10, 7, 30, 4),
            case(3, 2, 64, 2),
            case(3, 2, 65, 2),
            case(2, 1, 129, 3),
        ]
    },
    cost: |c| step_cost(c, 24),
});

/// Of one unit and one step [mu, l, u, w, b], three images: l below its bound, w u below zero, a step that saturates.
const EXTREME_OF_FLOW: [f64; 15] =
    [0.3, -31.0, 2.0, 1.0, 0.5, -0.2, 2.5, -1.0, 0.5, 0.1, 0.7, 3.5, -1.5, -2.0, 0.7];

fn case(b: usize, k: usize, z: usize, t: usize) -> Case {
    Case::new(&[("B", b), ("K", k), ("Z", z), ("T", t), ("H", heads(z, t))])
        .constant("T", t as f64)
        // Of larger ones the sums w z would saturate every step.
        .fill("heads", Fill::Normal((1.4 / (z as f64).sqrt()).min(0.7)))
}

/// So many operations for each row, step and unit.
fn step_cost(c: &Constants, flops: u64) -> Cost {
    let rows = (c.dim("B") * c.dim("K")) as u64;
    let units = (c.dim("Z") * (1 + c.dim("T"))) as u64;
    Cost { flops: flops * rows * units, bytes: 8 * rows * units }
}

/// One step at an image: u, w and b, and what all units share.
pub(crate) struct Step<'a, T> {
    pub u: &'a [T],
    pub w: &'a [T],
    pub b: T,
    wu: T,
    ww: T,
    /// v = u + c w
    pub c: T,
    /// w v
    pub p: T,
}

impl<'a, T: Real> Step<'a, T> {
    /// The `t`-th of `steps`, of an image's heads for `z` latent units.
    pub fn of(heads: &'a [T], z: usize, steps: usize, t: usize) -> Self {
        let (u, w) = (&heads[(2 + t) * z..][..z], &heads[(2 + steps + t) * z..][..z]);
        let (wu, ww) = (dot(w, u), dot(w, w));
        let m = (wu + T::from_f64(AT_ZERO)).softplus() - T::ONE;
        let c = (m - wu) / (ww + T::from_f64(LEAST));
        Step { u, w, b: heads[2 * (1 + steps) * z + t], wu, ww, c, p: wu + c * ww }
    }

    /// tanh(w z + b)
    pub fn h(&self, z: &[T]) -> T {
        (dot(self.w, z) + self.b).tanh()
    }

    /// Takes z one step further; returns the logarithm of the Jacobian's determinant.
    pub fn forward(&self, z: &mut [T]) -> T {
        let h = self.h(z);
        for ((z, &u), &w) in z.iter_mut().zip(self.u).zip(self.w) {
            *z += (u + self.c * w) * h;
        }
        (T::ONE + (T::ONE - h * h) * self.p).ln()
    }
}

fn sample<T: Real>(c: &Call<T>) {
    let (z, k, t) = (c.dim("Z"), c.dim("K"), c.dim("T"));
    let (scale, noise, all) = (c.value("NOISE"), Noise::of(c, k), &c.read("heads")[..]);
    let of = |row: usize| &all[row / k * heads(z, t)..][..heads(z, t)];
    parallel::rows2(
        (&mut c.write("eps"), z),
        (&mut c.write("states"), t * z),
        |row, eps, states| {
            noise.draw(row, scale, eps);
            let heads = of(row);
            let mut current: Vec<T> = (0..z)
                .map(|u| {
                    let l = clamp_log_variance(heads[z + u]);
                    heads[u] + (T::from_f64(0.5) * l).exp() * eps[u]
                })
                .collect();
            for (i, state) in states.chunks_exact_mut(z).enumerate() {
                state.copy_from_slice(&current);
                Step::of(heads, z, t, i).forward(&mut current);
            }
        },
    );
    let states = &c.read("states")[..];
    parallel::rows2((&mut c.write("z"), z), (&mut c.write("log_det"), 1), |row, z_t, log_det| {
        let (heads, before) = (of(row), &states[row * t * z..][..t * z]);
        z_t.copy_from_slice(&before[(t - 1) * z..]);
        let last = Step::of(heads, z, t, t - 1).forward(z_t);
        let earlier = before[..(t - 1) * z].chunks_exact(z).enumerate().map(|(i, state)| {
            let step = Step::of(heads, z, t, i);
            let h = step.h(state);
            (T::ONE + (T::ONE - h * h) * step.p).ln()
        });
        log_det[0] = sum(earlier) + last;
    });
}

/// By the chain rule from the last step to the first: g is the gradient at z behind a step, f the weight of its log |det|.
fn backward<T: Real>(c: &Call<T>) {
    let (z, k, t) = (c.dim("Z"), c.dim("K"), c.dim("T"));
    let (all, eps, before) = (&c.read("heads")[..], &c.read("noise")[..], &c.read("before")[..]);
    let (d_z, samples) = (&c.read("d_z")[..], &c.read("samples")[..]);
    let (weight, beta) = (&c.read("weight")[..], c.read("rates")[rates::KL_WEIGHT]);
    let (half, two) = (T::from_f64(0.5), T::from_f64(2.0));
    parallel::rows(&mut c.write("d_rows"), heads(z, t), |row, d| {
        let (heads, f) = (&all[row / k * heads(z, t)..][..heads(z, t)], beta * weight[row]);
        let rows = row * z..(row + 1) * z;
        let mut g: Vec<T> =
            d_z[rows.clone()].iter().zip(&samples[rows]).map(|(&d, &z)| d - f * z).collect();
        for i in (0..t).rev() {
            let step = Step::of(heads, z, t, i);
            let state = &before[(row * t + i) * z..][..z];
            let (h, gu, gw) = (step.h(state), dot(&g, step.u), dot(&g, step.w));
            let slope = T::ONE - h * h;
            let d_log = f / (T::ONE + slope * step.p);
            let d_a = slope * (gu + step.c * gw - two * h * step.p * d_log);
            let d_p = slope * d_log;
            let d_c = d_p * step.ww + h * gw;
            let n = step.ww + T::from_f64(LEAST);
            let of_m = (step.wu + T::from_f64(AT_ZERO)).sigmoid() - T::ONE;
            let d_wu = d_p + d_c * of_m / n;
            let d_ww = step.c * (d_p - d_c / n);
            for unit in 0..z {
                let (u, w) = (step.u[unit], step.w[unit]);
                d[(2 + i) * z + unit] = g[unit] * h + w * d_wu;
                d[(2 + t + i) * z + unit] =
                    step.c * h * g[unit] + two * w * d_ww + u * d_wu + state[unit] * d_a;
                g[unit] += w * d_a;
            }
            d[2 * (1 + t) * z + i] = d_a;
        }
        for unit in 0..z {
            let raw = heads[z + unit];
            let l = clamp_log_variance(raw);
            let at = half * g[unit] * (half * l).exp() * eps[row * z + unit] + half * f;
            d[unit] = g[unit];
            d[z + unit] = if l == raw { at } else { T::ZERO };
        }
    });
}
