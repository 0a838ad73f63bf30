//! Optimizers' steps in whole registers.

use super::lanes::LANES;
use super::with_scratch;
use crate::kernels::{optimizer, rates};
use crate::numeric::parallel::{self, vectorized};
use crate::plan::Call;

pub(super) fn one_tensor(c: &Call<f32>) {
    step(c, &c.read("gradient"), &mut c.write("parameter"), &mut c.write("state"));
}

pub(super) fn one_tensor_decayed(c: &Call<f32>) {
    optimizer::decay(c, &mut c.write("parameter"));
    one_tensor(c);
}

pub(super) fn one_tensor_clipped(c: &Call<f32>) {
    optimizer::decay(c, &mut c.write("parameter"));
    let (gradient, share) = (c.read("gradient"), c.read("share")[0]);
    with_scratch(gradient.len(), |kept| {
        kept.iter_mut().zip(gradient.iter()).for_each(|(kept, g)| *kept = share * g);
        step(c, kept, &mut c.write("parameter"), &mut c.write("state"));
    });
}

/// The squares of a gradient's elements, added up in their parts.
pub(super) fn add_squares(c: &Call<f32>) {
    let (parts, block) = (c.dim("PARTS"), c.dim("WORKGROUP"));
    let (gradient, mut squares) = (c.read("gradient"), c.write("squares"));
    vectorized(
        #[inline(always)]
        || {
            for (i, values) in gradient.chunks(block).enumerate() {
                let mut sums = [0.0; LANES];
                let (rows, rest) = values.as_chunks::<LANES>();
                for row in rows {
                    for (sum, g) in sums.iter_mut().zip(row) {
                        *sum += g * g;
                    }
                }
                let rest: f32 = rest.iter().map(|g| g * g).sum();
                squares[i % parts] += sums.iter().sum::<f32>() + rest;
            }
        },
    );
}

/// The step that the call's OPTIMIZER stands for.
pub(super) fn step(c: &Call<f32>, gradient: &[f32], parameter: &mut [f32], state: &mut [f32]) {
    match Adam::of(c) {
        Some(adam) => adam.step(gradient, parameter, state),
        None => optimizer::step(c, gradient, parameter, state),
    }
}

/// A step of Adam, with its constants.
pub(super) struct Adam {
    betas: [f32; 2],
    epsilon: f32,
    rate: f32,
    /// 1 / (1 - beta^t)
    corrections: [f32; 2],
}

impl Adam {
    /// From the overrides and the binding `rates` of a kernel, if Adam is its optimizer.
    pub fn of(c: &Call<f32>) -> Option<Self> {
        let words = c.read("rates");
        (c.value("OPTIMIZER") == optimizer::ADAM as f32).then(|| Adam {
            betas: [c.value("BETA1"), c.value("BETA2")],
            epsilon: c.value("EPSILON"),
            rate: words[rates::LEARNING_RATE],
            corrections: [1.0 / words[rates::CORRECTION1], 1.0 / words[rates::CORRECTION2]],
        })
    }

    /// `moments`: as many first moments as there are parameters, then as many second ones.
    fn step(&self, gradient: &[f32], parameter: &mut [f32], moments: &mut [f32]) {
        let (moments1, moments2) = moments.split_at_mut(parameter.len());
        parallel::slices3(
            parameter,
            moments1,
            moments2,
            #[inline(always)]
            |range, parameter, moment1, moment2| {
                self.step_part(&gradient[range], [parameter, moment1, moment2]);
            },
        );
    }

    /// The step of some parameters, with their first and second moments. To be inlined where the widest
    /// vector instructions may be used.
    #[inline(always)]
    pub fn step_part(&self, gradient: &[f32], [parameter, moment1, moment2]: [&mut [f32]; 3]) {
        let ([b1, b2], [c1, c2]) = (self.betas, self.corrections);
        let (rate, epsilon) = (self.rate, self.epsilon);
        let smallest = f32::MIN_POSITIVE;
        // Subnormal moments of dead units would slow the loop several times.
        let flush = |v: f32| if v.abs() < smallest { 0.0 } else { v };
        let step = |g: f32, parameter: &mut f32, moment1: &mut f32, moment2: &mut f32| {
            let m = flush(b1 * *moment1 + (1.0 - b1) * g);
            let v = flush(b2 * *moment2 + (1.0 - b2) * g * g);
            *moment1 = m;
            *moment2 = v;
            *parameter += rate * (m * c1) / ((v * c2).sqrt() + epsilon);
        };
        // By blocks held in registers: the compiler cannot know that the four do not overlap.
        const BLOCK: usize = 16;
        let (gradients, rest) = gradient.as_chunks::<BLOCK>();
        let (parameters, parameter) = parameter.as_chunks_mut::<BLOCK>();
        let (moments1, moment1) = moment1.as_chunks_mut::<BLOCK>();
        let (moments2, moment2) = moment2.as_chunks_mut::<BLOCK>();
        for (i, g) in gradients.iter().enumerate() {
            let (mut p, mut m, mut v) = (parameters[i], moments1[i], moments2[i]);
            for j in 0..BLOCK {
                step(g[j], &mut p[j], &mut m[j], &mut v[j]);
            }
            (parameters[i], moments1[i], moments2[i]) = (p, m, v);
        }
        for (i, &g) in rest.iter().enumerate() {
            step(g, &mut parameter[i], &mut moment1[i], &mut moment2[i]);
        }
    }
}
