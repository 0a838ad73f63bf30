//! The gradients of a fully connected layer's parameters and the optimizer's step, in one.

use super::backward_parameters::gradients;
use super::{case, cost, exact, sizes};
use crate::kernels::optimizer;
use crate::kernels::product::product;
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

pub static UPDATE: Kernel = product(Parts {
    file: "linear/update",
    source: include_str!("../../../shaders/linear/update.wgsl"),
    entry: "update",
    summary: "d_W = d_yᵀ x, d_b = Σ d_y, and the optimizer's step of W and b",
    grid: |c| [c.dim("O"), c.dim("I") + 1, 1],
    formula: formula!(update),
    cases: || {
        let rates = |case: Case| {
            case.dim("PLANES", 2)
                .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
                .fill("weight_state", Fill::Uniform(0.0, 2.0))
                .fill("bias_state", Fill::Uniform(0.0, 2.0))
        };
        let mut cases: Vec<Case> = sizes().into_iter().map(rates).collect();
        let zero = || Fill::Cycle(vec![0.0]);
        let first = |case: Case| case.fill("weight_state", zero()).fill("bias_state", zero());
        let at = rates(case([21, 33, 37]));
        cases.push(rates(exact("d_y", "x")));
        cases.push(at.clone().fill("rates", Fill::Cycle(vec![0.02, 0.19, 1.999e-3, 0.0])));
        let adam = [("BETA1", 0.8), ("BETA2", 0.99), ("EPSILON", 0.5)];
        cases.push(adam.iter().fold(at.clone(), |case, (name, v)| case.constant(name, *v)));
        let rmsprop = Case { dims: case([21, 33, 37]).dim("PLANES", 1).dims, ..at.clone() };
        cases.push(rmsprop.constant("OPTIMIZER", optimizer::RMSPROP).constant("BETA2", 0.8));
        cases.push(at.clone().constant("DECAY", 40.0));
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
        cases.push(dead.fill("weight_state", about(24)).fill("bias_state", about(6)));
        cases
    },
    cost: |c| {
        let (i, o) = (c.dim("I") as u64, c.dim("O") as u64);
        let Cost { flops, bytes } = cost(c);
        Cost { flops: flops + 14 * (i + 1) * o, bytes: bytes + 20 * (i + 1) * o }
    },
});

/// The gradients, and the optimizer's step with them.
fn update<T: Real>(c: &Call<T>) {
    let dims = ["R", "I", "O"].map(|name| c.dim(name));
    let [d_weight, d_bias] = gradients(c, dims, &c.read("x"), &c.read("d_y"));
    optimizer::decay(c, &mut c.write("weight"));
    optimizer::step(c, &d_weight, &mut c.write("weight"), &mut c.write("weight_state"));
    optimizer::step(c, &d_bias, &mut c.write("bias"), &mut c.write("bias_state"));
}
