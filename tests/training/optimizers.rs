//! Optimizers by themselves: the steps of a weight and a bias under given gradients, against the recurrences as
//! PyTorch documents them (torch.optim.Adam, AdamW, RMSprop, Adamax with `maximize`), written out for one number.

use elbo::device::Executor;
use elbo::kernels::{clock, rates};
use elbo::optim::{Adam, Adamax, Optimizer, RmsProp, Update};
use elbo::plan::{DType, Program, Recorder};
use elbo::train::Settings;

use crate::harness;

const STEPS: usize = 6;
const WEIGHT: usize = 6;
const BIAS: usize = 3;

/// Constants are numbers of single precision in the kernels, whatever they compute with.
fn rounded(constant: f64) -> f64 {
    f64::from(constant as f32)
}

/// The learning rate of a step; 1 is the first.
fn rate(step: usize) -> f64 {
    0.02 / step as f64
}

/// Of element `i`, which for some gets small and changes its sign.
fn gradient(i: usize, step: usize) -> f64 {
    ((i * 7 + step * 3) as f64 * 0.9).sin() * [2.0, 0.3, 1e-7][i % 3]
}

fn first(i: usize) -> f64 {
    0.5 - 0.3 * i as f64
}

/// Weight and bias after each of the steps, by the kernels in double precision.
fn by_kernels(update: &Update) -> Vec<Vec<f64>> {
    let mut program = Program::new();
    let weight = program.tensor("weight", &[2, 3], DType::F32);
    let bias = program.tensor("bias", &[BIAS], DType::F32);
    let trained = [weight, bias].map(|p| update.optimizer.declare(&mut program, p, false));
    let mut r = Recorder::new(&mut program, "step");
    let rates = r.tensor("rates", &[rates::WORDS]);
    let gradients = [(weight, r.tensor("d_weight", &[2, 3])), (bias, r.tensor("d_bias", &[BIAS]))];
    let clock = r.tensor_of("clock", &[clock::WORDS], DType::U32);
    update.record(&mut r, [rates, clock], STEPS, &trained, &gradients).expect("records");
    let plan = r.finish();
    let mut executor = harness::cpu().load::<f64>(program).expect("memory");
    let offsets = [0, WEIGHT];
    for (tensor, offset) in [weight, bias].into_iter().zip(offsets) {
        let values = executor.floats_mut(tensor).iter_mut().enumerate();
        values.for_each(|(i, v)| *v = first(offset + i));
    }
    let decays = update.optimizer.rule().corrected().unwrap_or([0.9, 0.999]).map(rounded);
    let mut after = Vec::new();
    for step in 1..=STEPS {
        let words = executor.floats_mut(rates);
        words[rates::LEARNING_RATE] = rate(step);
        words[rates::CORRECTION1] = 1.0 - decays[0].powi(step as i32);
        words[rates::CORRECTION2] = 1.0 - decays[1].powi(step as i32);
        for ((_, tensor), offset) in gradients.into_iter().zip(offsets) {
            let values = executor.floats_mut(tensor).iter_mut().enumerate();
            values.for_each(|(i, v)| *v = gradient(offset + i, step));
        }
        let executor_dyn: &mut dyn Executor = &mut executor;
        executor_dyn.run_all(plan, 1).expect("the CPU runs");
        let mut all = executor.floats_mut(weight).to_vec();
        all.extend_from_slice(executor.floats_mut(bias));
        after.push(all);
    }
    after
}

/// Element `i` after each of the steps, with this weight decay.
fn by_hand(optimizer: Optimizer, i: usize, decay: f64, clip: Option<f64>) -> Vec<f64> {
    let (mut p, mut m, mut v) = (first(i), 0.0_f64, 0.0_f64);
    let decay = rounded(decay);
    (1..=STEPS)
        .map(|step| {
            let (t, lr) = (step as i32, rate(step));
            let norm = (0..WEIGHT + BIAS).map(|i| gradient(i, step).powi(2)).sum::<f64>().sqrt();
            let share = clip.map_or(1.0, |most| (rounded(most) / norm).min(1.0));
            let g = share * gradient(i, step);
            p -= lr * decay * p;
            p += match optimizer {
                Optimizer::Adam(Adam { beta1, beta2, epsilon }) => {
                    let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(rounded);
                    m = beta1 * m + (1.0 - beta1) * g;
                    v = beta2 * v + (1.0 - beta2) * g * g;
                    let size = (v / (1.0 - beta2.powi(t))).sqrt() + epsilon;
                    lr * m / (1.0 - beta1.powi(t)) / size
                }
                Optimizer::RmsProp(RmsProp { decay, epsilon }) => {
                    let [decay, epsilon] = [decay, epsilon].map(rounded);
                    v = decay * v + (1.0 - decay) * g * g;
                    lr * g / (v.sqrt() + epsilon)
                }
                Optimizer::Adamax(Adamax { beta1, beta2, epsilon }) => {
                    let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(rounded);
                    m = beta1 * m + (1.0 - beta1) * g;
                    v = f64::max(beta2 * v, g.abs() + epsilon);
                    lr / (1.0 - beta1.powi(t)) * m / v
                }
            };
            p
        })
        .collect()
}

#[test]
fn every_optimizer_takes_the_steps_of_its_paper() {
    let optimizers = [
        Optimizer::default(),
        Optimizer::Adam(Adam { beta1: 0.5, beta2: 0.9, epsilon: 1e-3 }),
        Optimizer::RmsProp(RmsProp { decay: 0.8, epsilon: 1e-8 }),
        Optimizer::Adamax(Adamax { beta1: 0.8, beta2: 0.7, epsilon: 1e-8 }),
    ];
    for optimizer in optimizers {
        // The second clips some of the steps, the third none.
        for (weight_decay, clip_norm) in
            [(0.0, None), (5.0, None), (0.0, Some(2.5)), (5.0, Some(2.5)), (0.0, Some(100.0))]
        {
            let update =
                Update { optimizer, weight_decay, clip_norm, ..Settings::default().update() };
            let got = by_kernels(&update);
            for i in 0..WEIGHT + BIAS {
                // Biases do not decay.
                let decay = if i < WEIGHT { weight_decay } else { 0.0 };
                let expected = by_hand(optimizer, i, decay, clip_norm);
                for (step, expected) in expected.into_iter().enumerate() {
                    let got = got[step][i];
                    assert!(
                        (got - expected).abs() < 1e-12,
                        "{optimizer:?}, decay {decay}, element {i}, step {step}: {got}, expected {expected}"
                    );
                }
            }
        }
    }
}
