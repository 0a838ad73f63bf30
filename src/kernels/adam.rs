//! Adam's step, ascending the objective: as a kernel, and for the kernels that end with it.

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::{Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};

pub static ADAM: Kernel = single(Parts {
    file: "adam",
    source: include_str!("../../shaders/adam.wgsl"),
    entry: "adam",
    summary: "moments and parameters of one tensor",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    twin: twin!(adam),
    cases: || {
        let case = |n| {
            Case::new(&[("N", n)])
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
                .fill("moments", Fill::Uniform(0.0, 2.0))
        };
        vec![
            case(1),
            case(63),
            case(64),
            case(64).fill("rates", Fill::Cycle(vec![0.02, 0.19, 1.999e-3, 0.0])),
            case(65),
            case(313_600),
            // more workgroups than one dimension of a grid has room for
            case(33_000).constant("WORKGROUP", 1.0),
            // gradients about as small as epsilon
            case(100)
                .fill("gradient", Fill::Cycle(vec![1e-8, -3e-9, 1e-7, 0.0]))
                .fill("parameter", Fill::Cycle(vec![0.0]))
                .fill("moments", Fill::Cycle(vec![0.0])),
            // the first step, from zero moments
            case(100).fill("moments", Fill::Cycle(vec![0.0])),
            // a dead unit: no gradient, moments about to become subnormal
            case(3).fill("gradient", Fill::Cycle(vec![0.0])).fill(
                "moments",
                Fill::Cycle(vec![1.2e-38, -1.2e-38, 1e-37, 1.17549435e-38, 1e-30, 0.0]),
            ),
        ]
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 14 * n, bytes: 28 * n }
    },
});

fn adam<T: Real>(c: &Call<T>) {
    Adam::of(c).step(&c.read("gradient"), &mut c.write("parameter"), &mut c.write("moments"));
}

/// A step of Adam, with its constants.
pub(super) struct Adam<T> {
    betas: [T; 2],
    epsilon: T,
    rate: T,
    /// 1 / (1 - beta^t)
    corrections: [T; 2],
}

impl<T: Real> Adam<T> {
    /// From the overrides and the binding `rates` of a kernel.
    pub fn of(c: &Call<T>) -> Self {
        let words = c.read("rates");
        Adam {
            betas: [c.value("BETA1"), c.value("BETA2")],
            epsilon: c.value("EPSILON"),
            rate: words[rates::LEARNING_RATE],
            corrections: [T::ONE / words[rates::CORRECTION1], T::ONE / words[rates::CORRECTION2]],
        }
    }

    /// `moments`: as many first moments as there are parameters, then as many second ones.
    pub fn step(&self, gradient: &[T], parameter: &mut [T], moments: &mut [T]) {
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
    pub fn step_part(&self, gradient: &[T], [parameter, moment1, moment2]: [&mut [T]; 3]) {
        let ([b1, b2], [c1, c2]) = (self.betas, self.corrections);
        let (rate, epsilon) = (self.rate, self.epsilon);
        let smallest = T::from_f64(f64::from(f32::MIN_POSITIVE));
        // Subnormal moments of dead units would slow the loop several times.
        let flush = |v: T| if v.abs() < smallest { T::ZERO } else { v };
        let step = |g: T, parameter: &mut T, moment1: &mut T, moment2: &mut T| {
            let m = flush(b1 * *moment1 + (T::ONE - b1) * g);
            let v = flush(b2 * *moment2 + (T::ONE - b2) * g * g);
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
