//! The end of a step: metrics into the history, the clock one step on.

use crate::kernels::library::single;
use crate::kernels::{clock, rates};
use crate::numeric::Real;
use crate::plan::case::{Fill, clock_words};
use crate::plan::{Call, Case, Cost, Kernel, Parts, formula};

/// Words of a history row: sum over images of mean_k log p(x|z_k), sum of KL, images counted, sum of
/// L_K where it is computed.
pub const COLUMNS: usize = 4;

pub static END_STEP: Kernel = single(Parts {
    file: "end_step",
    source: include_str!("../../shaders/end_step.wgsl"),
    entry: "end_step",
    summary: "batch sums into the history; step, position and Adam's corrections move on",
    grid: |_| [1, 1, 1],
    formula: formula!(end_step),
    cases,
    cost: |c| {
        let n = (c.dim("B") * (c.dim("K") * c.dim("T") + 1)) as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

pub static END_STEP_WITH_BOUND: Kernel = single(Parts {
    file: "end_step",
    source: include_str!("../../shaders/end_step.wgsl"),
    entry: "end_step_with_bound",
    summary: "the same with the sum of L_K",
    grid: |_| [1, 1, 1],
    formula: formula!(end_step_with_bound),
    cases: || {
        cases().into_iter().map(|case| case.fill("bound", Fill::Uniform(-300.0, -50.0))).collect()
    },
    cost: |c| {
        let n = (c.dim("B") * (c.dim("K") * c.dim("T") + 2)) as u64;
        Cost { flops: n, bytes: 4 * n }
    },
});

fn cases() -> Vec<Case> {
    let case = |b, k, n: usize, step, position| {
        Case::new(&[("B", b), ("K", k), ("S", 3)])
            .constant("N", n as f64)
            .constant("T", 1.0)
            .fill("history", Fill::Normal(1.0)) // the other rows stay
            .fill("log_px", Fill::Uniform(-300.0, -50.0))
            .fill("rates", Fill::Normal(1.0)) // and the learning rate
            .fill("kl", Fill::Uniform(0.0, 60.0))
            .fill("clock", clock_words(1, step, 2, position))
    };
    let parts = |mut case: Case, t: f64| {
        case.constants.retain(|(name, _)| *name != "T");
        case.constant("T", t)
    };
    let warm = |case: Case| case.constant("BETA", 0.7).constant("WARM_UP", 300.5);
    let rising = |case: Case| case.constant("RATE", 0.3).constant("RATE_WARM_UP", 300.5);
    let quick =
        |case: Case| case.constant("LN_BETA1", 0.99_f64.ln()).constant("LN_BETA2", 0.9_f64.ln());
    vec![
        case(1, 1, 1, 0, 0),
        case(5, 2, 12, 3, 9).constant("WRAP", 0.0),
        case(5, 2, 12, 2, 10),
        case(128, 1, 60_000, 468, 59_904),
        case(300, 1, 60_000, 199, 59_800),
        case(128, 1, 10_000, 78, 9_984).constant("WRAP", 0.0),
        case(20, 50, 60_000, 123_456, 1_000),
        // more images than are loaded at once, of which the last are not counted
        case(1300, 1, 60_000, 45, 0),
        case(1300, 2, 1_280, 0, 10).constant("WRAP", 0.0),
        // log p(x|z) in parts
        parts(case(128, 1, 60_000, 468, 59_904), 25.0),
        parts(case(5, 2, 12, 3, 9), 3.0).constant("WRAP", 0.0),
        // corrections between the series and 1
        case(3, 1, 12, 30, 0),
        case(3, 1, 12, 2_000, 5),
        // a batch larger than the data set, and a position past its end
        case(65, 1, 10, 0, 3),
        case(65, 1, 10, 0, 30).constant("WRAP", 0.0),
        // on the way up to beta, at its end, and other constants of Adam
        warm(case(5, 2, 12, 2, 10)),
        warm(case(5, 2, 12, 299, 10)),
        warm(case(5, 2, 12, 300, 10)),
        quick(case(5, 2, 12, 30, 10)),
        // the learning rate on its way up, in its last step there, and after it
        rising(case(5, 2, 12, 2, 10)),
        rising(case(5, 2, 12, 299, 10)),
        rising(case(5, 2, 12, 300, 10)),
    ]
}

fn end_step<T: Real>(c: &Call<T>) {
    let slot = slot_of(c);
    finish(c);
    c.write("history")[slot + 3] = T::ZERO;
}

fn end_step_with_bound<T: Real>(c: &Call<T>) {
    let (slot, counted) = (slot_of(c), counted(c));
    finish(c);
    c.write("history")[slot + 3] = sum(&c.read("bound")[..counted]);
}

/// Where the step's row of the history begins.
fn slot_of<T: Real>(c: &Call<T>) -> usize {
    COLUMNS * (c.read_u32("clock")[clock::STEP] as usize % c.dim("S"))
}

/// Rows of the minibatch that are images of the data set.
fn counted<T: Real>(c: &Call<T>) -> usize {
    let (b, n) = (c.dim("B"), c.dim("N"));
    match c.dim("WRAP") {
        1 => b,
        _ => b.min(n - n.min(c.read_u32("clock")[clock::POSITION] as usize)),
    }
}

fn sum<T: Real>(values: &[T]) -> T {
    values.iter().fold(T::ZERO, |sum, &v| sum + v)
}

/// All but the last column of the history.
fn finish<T: Real>(c: &Call<T>) {
    let (counted, slot) = (counted(c), slot_of(c));
    let (b, k, n) = (c.dim("B"), c.dim("K"), c.dim("N"));
    let (log_px, kl) = (c.read("log_px"), c.read("kl"));
    let (mut history, mut words, mut rate) =
        (c.write("history"), c.write_u32("clock"), c.write("rates"));
    let wrap = c.dim("WRAP") == 1;
    let position = words[clock::POSITION] as usize;
    let step = words[clock::STEP];
    history[slot] = sum(&log_px[..counted * k * c.dim("T")]) / T::from_f64(k as f64);
    history[slot + 1] = sum(&kl[..counted]);
    history[slot + 2] = T::from_f64(counted as f64);
    words[clock::STEP] = step + 1;
    words[clock::POSITION] = (position + b) as u32;
    if wrap {
        words[clock::EPOCH] += ((position + b) / n) as u32;
        words[clock::POSITION] = ((position + b) % n) as u32;
    }
    let t = T::from_f64(f64::from(step) + 2.0);
    rate[rates::CORRECTION1] = -(t * c.value("LN_BETA1")).exp_m1();
    rate[rates::CORRECTION2] = -(t * c.value("LN_BETA2")).exp_m1();
    let (done, warm_up) = (T::from_f64(f64::from(step) + 1.0), c.value("WARM_UP"));
    let share = if done < warm_up { done / warm_up } else { T::ONE };
    rate[rates::KL_WEIGHT] = c.value("BETA") * share;
    let rising = c.value("RATE_WARM_UP");
    if done < rising {
        let share = if t < rising { t / rising } else { T::ONE };
        rate[rates::LEARNING_RATE] = c.value("RATE") * share;
    }
}
