//! Layers by themselves: a tensor and a parameter that are used twice get the sum of their gradients.

use std::sync::Arc;

use elbo::device::Executor;
use elbo::device::cpu::CpuExecutor;
use elbo::nn::{Activation, Dense, Init, Layer, Shape, Tape, Uniform};
use elbo::plan::{PlanId, Program, Recorder, TensorId};

use crate::harness;

const ROWS: usize = 3;

/// y = first(x), which two layers read: a = second(second(y)), b = third(y). The loss is the sum of all
/// elements of a and b, each times its number.
struct Forked {
    executor: CpuExecutor<f64>,
    plan: PlanId,
    outputs: [TensorId; 2],
    x: TensorId,
    d_x: TensorId,
    parameters: Vec<(TensorId, TensorId)>,
}

fn weight(i: usize) -> f64 {
    0.3 + 0.1 * i as f64
}

impl Forked {
    fn new() -> Self {
        let mut program = Program::new();
        let dense = |program: &mut Program,
                     name: &str,
                     dims: [usize; 2],
                     activation|
         -> Arc<dyn Layer> {
            Arc::new(Dense::declare(program, name.to_string(), dims.map(Shape::Units), activation))
        };
        let first = dense(&mut program, "first", [4, 5], Activation::Tanh);
        let second = dense(&mut program, "second", [5, 5], Activation::Softplus);
        let third = dense(&mut program, "third", [5, 2], Activation::Identity);
        let mut r = Recorder::new(&mut program, "fork");
        let x = r.tensor("x", &[ROWS, 4]);
        let mut tape = Tape::default();
        let y = tape.forward(&mut r, std::slice::from_ref(&first), x).expect("records");
        let twice = [second.clone(), second.clone()];
        let a = tape.forward(&mut r, &twice, y).expect("records");
        let b = tape.forward(&mut r, std::slice::from_ref(&third), y).expect("records");
        // `a` went through a softplus: the gradient is the one before it.
        let (d_a, d_b) = (r.tensor("d_a", &[ROWS, 5]), r.tensor("d_b", &[ROWS, 2]));
        let gradients =
            tape.backward(&mut r, &[(a, d_a), (b, d_b)], &[x]).expect("records the backward pass");
        let d_x = gradients.at(x).expect("it was asked for");
        let plan = r.finish();
        let mut executor = harness::cpu().load::<f64>(program).expect("memory");
        let mut uniform = Uniform::new(7);
        for layer in [&first, &second, &third] {
            let values = layer.initial_values(Init::Pytorch, &mut uniform);
            for (parameter, values) in layer.parameters().into_iter().zip(values) {
                let to = executor.floats_mut(parameter);
                to.iter_mut().zip(values).for_each(|(to, v)| *to = f64::from(v));
            }
        }
        for (i, v) in executor.floats_mut(x).iter_mut().enumerate() {
            *v = (i as f64 * 0.7).sin();
        }
        for (i, v) in executor.floats_mut(d_b).iter_mut().enumerate() {
            *v = weight(i);
        }
        let parameters = gradients.parameters;
        let mut forked = Forked { executor, plan, outputs: [a, b], x, d_x, parameters };
        forked.run();
        let a = forked.executor.floats_mut(forked.outputs[0]).to_vec();
        for (i, v) in forked.executor.floats_mut(d_a).iter_mut().enumerate() {
            *v = weight(i) * (1.0 - (-a[i]).exp());
        }
        forked
    }

    fn run(&mut self) {
        let executor: &mut dyn Executor = &mut self.executor;
        executor.run_all(self.plan, 1).expect("the CPU runs");
    }

    fn loss(&mut self) -> f64 {
        self.run();
        let of =
            |values: &[f64]| -> f64 { values.iter().enumerate().map(|(i, v)| weight(i) * v).sum() };
        self.outputs.map(|output| of(self.executor.floats_mut(output))).iter().sum()
    }

    fn check(&mut self, tensor: TensorId, gradient: TensorId) {
        const STEP: f64 = 1e-5;
        self.run();
        let gradient = self.executor.floats_mut(gradient).to_vec();
        for (i, expected) in gradient.into_iter().enumerate() {
            let value = self.executor.floats_mut(tensor)[i];
            let mut at = |v: f64| {
                self.executor.floats_mut(tensor)[i] = v;
                self.loss()
            };
            let difference = (at(value + STEP) - at(value - STEP)) / (2.0 * STEP);
            at(value);
            let name = &self.executor.program().get(tensor).name;
            assert!(
                (difference - expected).abs() < 1e-8 * (1.0 + expected.abs()),
                "{name} {i}: gradient {expected}, by differences {difference}"
            );
        }
    }
}

#[test]
fn gradients_that_meet_are_added() {
    let mut forked = Forked::new();
    assert_eq!(forked.parameters.len(), 6, "each parameter once");
    for (parameter, gradient) in forked.parameters.clone() {
        forked.check(parameter, gradient);
    }
    let (x, d_x) = (forked.x, forked.d_x);
    forked.check(x, d_x);
}
