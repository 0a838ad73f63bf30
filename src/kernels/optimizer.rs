//! An optimizer's step, ascending the objective: by itself, and for the kernels that end with it.

use crate::kernels::library::single;
use crate::kernels::{grid_of_groups, rates};
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

/// The number that shaders/lib/optimizer_step.wgsl knows Adam by.
pub const ADAM: f64 = 0.0;
/// The same of RMSprop.
pub const RMSPROP: f64 = 1.0;
/// The same of Adamax.
pub const ADAMAX: f64 = 2.0;

pub static STEP: Kernel = single(Parts {
    file: "optimizer",
    source: include_str!("../../shaders/optimizer.wgsl"),
    entry: "step",
    summary: "an optimizer's step of one tensor",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(one_tensor),
    cases,
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 14 * n, bytes: 28 * n }
    },
});

pub static STEP_DECAYED: Kernel = single(Parts {
    file: "optimizer",
    source: include_str!("../../shaders/optimizer.wgsl"),
    entry: "step_decayed",
    summary: "the same with decoupled weight decay",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(one_tensor_decayed),
    cases: || cases().into_iter().map(|case| case.constant("DECAY", 40.0)).collect(),
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 15 * n, bytes: 28 * n }
    },
});

pub static STEP_CLIPPED: Kernel = single(Parts {
    file: "optimizer",
    source: include_str!("../../shaders/optimizer.wgsl"),
    entry: "step_clipped",
    summary: "the same by a share of the gradient",
    grid: |c| grid_of_groups(c.dim("N").div_ceil(c.dim("WORKGROUP"))),
    formula: formula!(one_tensor_clipped),
    cases: || {
        let with = |decay, share| {
            let cases = cases().into_iter().map(move |case| case.constant("DECAY", decay));
            cases.map(move |case| case.fill("share", Fill::Cycle(vec![share])))
        };
        with(40.0, 0.3).chain(with(0.0, 1.0)).collect()
    },
    cost: |c| {
        let n = c.dim("N") as u64;
        Cost { flops: 16 * n, bytes: 28 * n }
    },
});

fn cases() -> Vec<Case> {
    let case_of = |n, planes| {
        Case::new(&[("N", n), ("PLANES", planes)])
            .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
            .fill("state", Fill::Uniform(0.0, 2.0))
    };
    let case = |n| case_of(n, 2);
    let adamax = |case: Case| case.constant("OPTIMIZER", ADAMAX).constant("BETA2", 0.8);
    let rmsprop = |case: Case| case.constant("OPTIMIZER", RMSPROP).constant("BETA2", 0.8);
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
            .fill("state", Fill::Cycle(vec![0.0])),
        rmsprop(case_of(65, 1)),
        rmsprop(case_of(100, 1)).fill("state", Fill::Cycle(vec![0.0])),
        // gradients larger and smaller than what is left of the largest, and the first step
        adamax(case(65)),
        adamax(case(100)).fill("gradient", Fill::Uniform(-3.0, 3.0)),
        adamax(case(100)).fill("state", Fill::Cycle(vec![0.0])).constant("EPSILON", 0.5),
        // the first step, from zero moments
        case(100).fill("state", Fill::Cycle(vec![0.0])),
        // a dead unit: no gradient, moments about to become subnormal
        case(3)
            .fill("gradient", Fill::Cycle(vec![0.0]))
            .fill("state", Fill::Cycle(vec![1.2e-38, -1.2e-38, 1e-37, 1.17549435e-38, 1e-30, 0.0])),
    ]
}

fn one_tensor<T: Real>(c: &Call<T>) {
    step(c, &c.read("gradient"), &mut c.write("parameter"), &mut c.write("state"));
}

fn one_tensor_decayed<T: Real>(c: &Call<T>) {
    decay(c, &mut c.write("parameter"));
    one_tensor(c);
}

fn one_tensor_clipped<T: Real>(c: &Call<T>) {
    decay(c, &mut c.write("parameter"));
    let share = c.read("share")[0];
    let gradient: Vec<T> = c.read("gradient").iter().map(|&g| share * g).collect();
    step(c, &gradient, &mut c.write("parameter"), &mut c.write("state"));
}

/// Decoupled weight decay, before the step: parameter *= 1 - rate DECAY (Loshchilov and Hutter 2019).
pub(crate) fn decay<T: Real>(c: &Call<T>, parameter: &mut [T]) {
    let (rate, decay) = (c.read("rates")[rates::LEARNING_RATE], c.value("DECAY"));
    if decay > T::ZERO {
        let kept = T::ONE - rate * decay;
        parameter.iter_mut().for_each(|p| *p *= kept);
    }
}

/// The step that the call's OPTIMIZER stands for, of some parameters and the planes of their state.
pub(crate) fn step<T: Real>(c: &Call<T>, gradient: &[T], parameter: &mut [T], state: &mut [T]) {
    match c.dim("OPTIMIZER") as f64 {
        ADAM => adam(c, gradient, parameter, state.split_at_mut(parameter.len())),
        RMSPROP => rmsprop(c, gradient, parameter, state),
        ADAMAX => adamax(c, gradient, parameter, state.split_at_mut(parameter.len())),
        other => unreachable!("there is no optimizer {other}"),
    }
}

/// m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,  parameter += rate (m / c1) / (sqrt(v / c2) + epsilon), with
/// c_i = 1 - b_i^t (Kingma and Ba 2015).
fn adam<T: Real>(c: &Call<T>, gradient: &[T], parameter: &mut [T], (m, v): (&mut [T], &mut [T])) {
    let [b1, b2, epsilon] = ["BETA1", "BETA2", "EPSILON"].map(|name| c.value(name));
    let words = c.read("rates");
    let (rate, c1, c2) =
        (words[rates::LEARNING_RATE], words[rates::CORRECTION1], words[rates::CORRECTION2]);
    for (i, &g) in gradient.iter().enumerate() {
        m[i] = flush(b1 * m[i] + (T::ONE - b1) * g);
        v[i] = flush(b2 * v[i] + (T::ONE - b2) * g * g);
        parameter[i] += rate * (m[i] / c1) / ((v[i] / c2).sqrt() + epsilon);
    }
}

/// v = b2 v + (1 - b2) g^2,  parameter += rate g / (sqrt(v) + epsilon) (Hinton 2012).
fn rmsprop<T: Real>(c: &Call<T>, gradient: &[T], parameter: &mut [T], v: &mut [T]) {
    let [decay, epsilon] = ["BETA2", "EPSILON"].map(|name| c.value(name));
    let rate = c.read("rates")[rates::LEARNING_RATE];
    for (i, &g) in gradient.iter().enumerate() {
        v[i] = flush(decay * v[i] + (T::ONE - decay) * g * g);
        parameter[i] += rate * g / (v[i].sqrt() + epsilon);
    }
}

/// m = b1 m + (1 - b1) g,  u = max(b2 u, |g| + epsilon),  parameter += rate (m / c1) / u (Kingma and Ba 2015, with
/// the epsilon of PyTorch).
fn adamax<T: Real>(
    c: &Call<T>,
    gradient: &[T],
    parameter: &mut [T],
    (m, largest): (&mut [T], &mut [T]),
) {
    let [b1, b2, epsilon] = ["BETA1", "BETA2", "EPSILON"].map(|name| c.value(name));
    let words = c.read("rates");
    let (rate, c1) = (words[rates::LEARNING_RATE], words[rates::CORRECTION1]);
    for (i, &g) in gradient.iter().enumerate() {
        m[i] = flush(b1 * m[i] + (T::ONE - b1) * g);
        let (before, now) = (b2 * largest[i], g.abs() + epsilon);
        largest[i] = if before > now { before } else { now };
        parameter[i] += rate * (m[i] / c1) / largest[i];
    }
}

/// Zero in place of a number that is subnormal in single precision.
fn flush<T: Real>(v: T) -> T {
    if v.abs() < T::from_f64(f64::from(f32::MIN_POSITIVE)) { T::ZERO } else { v }
}
