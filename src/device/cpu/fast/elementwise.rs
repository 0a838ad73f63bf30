//! Kernels that work on each element by itself, or on each with its partner in another tensor.

use crate::kernels::activation::{Activation, PerActivation};
use crate::kernels::silu;
use crate::numeric::Real;
use crate::numeric::parallel::{rows_of_work, vectorized};
use crate::plan::Call;

/// Elements that a thread takes at a time.
const BLOCK: usize = 4096;
/// Operations that an element counts as: it is the memory that takes the time.
const OPERATIONS: usize = 16;

/// Calls `f(first element, part of out)` for parts of `out` of whole rows of `width`.
fn parts(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    let block = (BLOCK / width).max(1) * width;
    rows_of_work(out, block, block * OPERATIONS, |i, out| {
        vectorized(
            #[inline(always)]
            || f(i * block, out),
        );
    });
}

/// out = f(a, b), element by element.
fn pairs(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) {
    parts(
        out,
        1,
        #[inline(always)]
        |first, out| {
            let (a, b) = (&a[first..][..out.len()], &b[first..][..out.len()]);
            for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                *out = f(a, b);
            }
        },
    );
}

pub(super) fn add(c: &Call<f32>) {
    pairs(&mut c.write("sum"), &c.read("a"), &c.read("b"), |a, b| a + b);
}

pub(super) fn silu(c: &Call<f32>) {
    let x = &c.read("x")[..];
    parts(
        &mut c.write("y"),
        1,
        #[inline(always)]
        |first, y| {
            for (y, &x) in y.iter_mut().zip(&x[first..]) {
                *y = x * Real::sigmoid(x);
            }
        },
    );
}

pub(super) fn silu_backward(c: &Call<f32>) {
    pairs(&mut c.write("d_x"), &c.read("x"), &c.read("d_y"), silu::gradient);
}

pub(super) fn gate(c: &Call<f32>) {
    let (channels, x) = (c.dim("C"), &c.read("x")[..]);
    parts(
        &mut c.write("y"),
        channels,
        #[inline(always)]
        |first, y| {
            let x = x[2 * first..].chunks_exact(2 * channels);
            for (y, x) in y.chunks_exact_mut(channels).zip(x) {
                let (a, b) = x.split_at(channels);
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = a * Real::sigmoid(b);
                }
            }
        },
    );
}

pub(super) fn gate_backward(c: &Call<f32>) {
    let (channels, x, d_y) = (c.dim("C"), &c.read("x")[..], &c.read("d_y")[..]);
    parts(
        &mut c.write("d_x"),
        2 * channels,
        #[inline(always)]
        |first, d_x| {
            let x = x[first..].chunks_exact(2 * channels);
            let pixels = x.zip(d_y[first / 2..].chunks_exact(channels));
            for (d_x, (x, d_y)) in d_x.chunks_exact_mut(2 * channels).zip(pixels) {
                let (a, b) = x.split_at(channels);
                let (d_a, d_b) = d_x.split_at_mut(channels);
                for i in 0..channels {
                    let s = Real::sigmoid(b[i]);
                    d_a[i] = d_y[i] * s;
                    d_b[i] = d_y[i] * a[i] * (s * Real::sigmoid(-b[i]));
                }
            }
        },
    );
}

/// f(a + b).
struct Meet<'a> {
    y: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
}

impl PerActivation for Meet<'_> {
    fn run(self, apply: impl Fn(f32) -> f32 + Sync) {
        pairs(
            self.y,
            self.a,
            self.b,
            #[inline(always)]
            |a, b| apply(a + b),
        );
    }
}

pub(super) fn residual(c: &Call<f32>) {
    let (a, b) = (&c.read("a")[..], &c.read("b")[..]);
    Activation::of(c).specialize(Meet { y: &mut c.write("y"), a, b });
}

pub(super) fn residual_backward(c: &Call<f32>) {
    let f = Activation::of(c);
    pairs(
        &mut c.write("d_a"),
        &c.read("a"),
        &c.read("d_y"),
        #[inline(always)]
        |a, d_y| f.gradient(a) * d_y,
    );
}
