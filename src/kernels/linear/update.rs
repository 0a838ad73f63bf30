//! The gradients of a fully connected layer's parameters and Adam's step, in one.

use super::{case, cost, exact, sizes};
use crate::kernels::adam::Adam;
use crate::kernels::product::product;
use crate::numeric::precision::mean_scale;
use crate::numeric::{Matrix, Real, parallel};
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, twin};

pub static UPDATE: Kernel = product(Parts {
    file: "linear/update",
    source: include_str!("../../../shaders/linear/update.wgsl"),
    entry: "update",
    summary: "d_W = d_yᵀ x, d_b = Σ d_y, and Adam's step of W and b",
    grid: |c| [c.dim("O"), c.dim("I") + 1, 1],
    twin: twin!(update),
    cases: || {
        let rates = |case: Case| {
            case.fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
                .fill("weight_moments", Fill::Uniform(0.0, 2.0))
                .fill("bias_moments", Fill::Uniform(0.0, 2.0))
        };
        let mut cases: Vec<Case> = sizes().into_iter().map(rates).collect();
        let zero = || Fill::Cycle(vec![0.0]);
        let first = |case: Case| case.fill("weight_moments", zero()).fill("bias_moments", zero());
        let at = rates(case([21, 33, 37]));
        cases.push(rates(exact("d_y", "x")));
        cases.push(at.clone().fill("rates", Fill::Cycle(vec![0.02, 0.19, 1.999e-3, 0.0])));
        let adam = [("BETA1", 0.8), ("BETA2", 0.99), ("EPSILON", 0.5)];
        cases.push(adam.iter().fold(at.clone(), |case, (name, v)| case.constant(name, *v)));
        // the first step, and one whose gradients are about as small as epsilon
        cases.push(first(at.clone()));
        let small = at.fill("d_y", Fill::Cycle(vec![1e-9, -3e-9, 7e-9, 0.0]));
        cases.push(first(small).fill("weight", zero()).fill("bias", zero()));
        // dead units: no gradient, moments about to become subnormal
        let about = |n: usize| {
            let (firsts, seconds) = ([1.2e-38, -1.2e-38, 1e-37], [1.17549435e-38, 1e-30, 0.0]);
            let plane = |values: [f64; 3]| values.into_iter().cycle().take(n);
            Fill::Cycle(plane(firsts).chain(plane(seconds)).collect())
        };
        let dead = rates(case([3, 4, 6])).fill("d_y", zero());
        cases.push(dead.fill("weight_moments", about(24)).fill("bias_moments", about(6)));
        cases
    },
    cost: |c| {
        let (i, o) = (c.dim("I") as u64, c.dim("O") as u64);
        let Cost { flops, bytes } = cost(c);
        Cost { flops: flops + 14 * (i + 1) * o, bytes: bytes + 20 * (i + 1) * o }
    },
});

fn update<T: Real>(c: &Call<T>) {
    let (x, d_y) = (c.read("x"), c.read("d_y"));
    update_layer(
        c,
        &Adam::of(c),
        [c.dim("R"), c.dim("I"), c.dim("O")],
        [&x, &d_y],
        [&mut c.write("weight"), &mut c.write("weight_moments")],
        [&mut c.write("bias"), &mut c.write("bias_moments")],
    );
}

/// Of a layer with input x (r, i) and gradient d_y (r, o): weight (o, i) and bias, each with its moments.
pub(super) fn update_layer<T: Real>(
    c: &Call<T>,
    adam: &Adam<T>,
    [r, i, o]: [usize; 3],
    [x, d_y]: [&[T]; 2],
    [weight, weight_moments]: [&mut [T]; 2],
    [bias, bias_moments]: [&mut [T]; 2],
) {
    let (x, d_y) = (c.operand(x, 1.0), c.operand(d_y, mean_scale(r)));
    let (left, right) = (Matrix::new(&d_y, o), Matrix::new(&x, i));
    if T::streams_outer_products([o, i, r]) {
        let (moments1, moments2) = weight_moments.split_at_mut(o * i);
        parallel::stripes(
            o,
            2 * r * i * o,
            [(weight, i), (moments1, i), (moments2, i)],
            |outputs, [weight, moments1, moments2]| {
                let stripe = Matrix { data: &left.data[outputs.start..], ..left };
                T::vectorized(
                    #[inline(always)]
                    || {
                        T::outer_products(
                            [outputs.len(), i, r],
                            stripe,
                            right,
                            #[inline(always)]
                            |output, input, gradient| {
                                let at = output * i + input..output * i + input + gradient.len();
                                let moments =
                                    (&mut moments1[at.clone()], &mut moments2[at.clone()]);
                                adam.step_part(gradient, [&mut weight[at], moments.0, moments.1]);
                            },
                        );
                    },
                );
            },
        );
    } else {
        T::with_scratch(o * i, |gradient| {
            T::multiply(o, i, r, left.transposed(), right, gradient);
            adam.step(gradient, weight, weight_moments);
        });
    }
    T::with_scratch(o, |gradient| {
        T::vectorized(
            #[inline(always)]
            || {
                gradient.fill(T::ZERO);
                for row in d_y.chunks_exact(o) {
                    for (sum, &d) in gradient.iter_mut().zip(row) {
                        *sum += d;
                    }
                }
            },
        );
        adam.step(gradient, bias, bias_moments);
    });
}
