//! The way back through the layers, and what it ends in: the update of the parameters.

use super::config::Adam;
use super::network::{Layer, Trained};
use super::recorder::Recorder;
use crate::kernels::linear::{self, Activation};
use crate::kernels::update::{self, Placed};
use crate::plan::{DType, PlanError, TensorId};

/// Encoder or decoder on the way back.
pub(super) struct Side {
    /// Of each layer, (rows, inputs).
    pub inputs: Vec<TensorId>,
    /// The gradient of each layer's output, (rows, outputs).
    pub d_outputs: Vec<TensorId>,
}

/// What moves the parameters in a training step.
#[derive(Clone, Copy)]
pub(super) struct Training<'a> {
    /// In the order of [`Network::parameters`].
    pub trained: &'a [Trained],
    /// (4), see [`rates`]
    pub rates: TensorId,
    pub adam: &'a Adam,
}

impl Training<'_> {
    /// Adam's overrides.
    pub fn constants(&self) -> [(&'static str, f64); 3] {
        let Adam { beta1, beta2, epsilon, .. } = *self.adam;
        [("BETA1", beta1), ("BETA2", beta2), ("EPSILON", epsilon)]
    }
}

impl Recorder<'_> {
    /// From the gradient `d_output` of the last layer's output back through `layers`, of which `inputs` are
    /// the inputs: the gradient of each layer's output, and on demand that of the first one's input.
    pub fn backward(
        &mut self,
        layers: &[Layer],
        inputs: &[TensorId],
        d_output: TensorId,
        to_input: bool,
    ) -> Result<(Vec<TensorId>, Option<TensorId>), PlanError> {
        let rows = self.program.get(d_output).dims[0];
        let mut d_outputs = vec![d_output];
        let mut d_y = d_output;
        for (i, layer) in layers.iter().enumerate().rev() {
            if i == 0 && !to_input {
                break;
            }
            let made_by = if i == 0 { Activation::Identity } else { layers[i - 1].activation };
            let d_x = self.tensor(&format!("d_input of {}", layer.name), &[rows, layer.inputs]);
            self.dispatch(
                &linear::BACKWARD_INPUT,
                &[("x", inputs[i]), ("weight", layer.weight), ("d_y", d_y), ("d_x", d_x)],
                &[("ACTIVATION", made_by.number())],
            )?;
            d_outputs.push(d_x);
            d_y = d_x;
        }
        let d_input = if to_input { d_outputs.pop() } else { None };
        d_outputs.reverse();
        Ok((d_outputs, d_input))
    }

    /// Moves the parameters of every layer of `sides`, from its input and its output's gradient. Only now:
    /// until here the gradients were those at the weights that the step began with.
    pub fn update(&mut self, training: Training, sides: [&Side; 2]) -> Result<(), PlanError> {
        // Without a hidden layer there is nothing to take turns; places are words.
        let of_sides = sides.iter().flat_map(|side| side.inputs.iter().chain(&side.d_outputs));
        let all = of_sides.copied().chain(training.trained.iter().map(|t| t.moments));
        let elements = all.map(|id| self.program.get(id).len()).fold(0, usize::saturating_add);
        let hidden = sides.iter().any(|side| side.inputs.len() > 1);
        if self.samples() == 1 && hidden && elements < u32::MAX as usize {
            return self.update_at_once(training, sides);
        }
        let layers = sides.into_iter().flat_map(|s| s.inputs.iter().zip(&s.d_outputs));
        for ((&x, &d_y), trained) in layers.zip(training.trained.chunks_exact(2)) {
            let [weight, bias] = [trained[0], trained[1]];
            self.dispatch(
                &update::UPDATE,
                &[
                    ("x", x),
                    ("d_y", d_y),
                    ("rates", training.rates),
                    ("weight", weight.parameter),
                    ("bias", bias.parameter),
                    ("weight_moments", weight.moments),
                    ("bias_moments", bias.moments),
                ],
                &training.constants(),
            )?;
        }
        Ok(())
    }

    /// The same in one dispatch: what the layers of a side read and write are packed into two tensors each,
    /// in turn.
    fn update_at_once(&mut self, training: Training, sides: [&Side; 2]) -> Result<(), PlanError> {
        let (mut inputs, mut d_outputs) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        let mut layers = Vec::new();
        for Side { inputs: of_side, d_outputs: d_of_side } in sides {
            let last = of_side.len() - 1;
            for (i, (&x, &d_y)) in of_side.iter().zip(d_of_side).enumerate() {
                let turns = [i % 2, (last - i) % 2];
                inputs[turns[0]].push(x);
                d_outputs[turns[1]].push(d_y);
                layers.push((x, d_y, turns.map(|turn| turn == 1)));
            }
        }
        let trained = &training.trained[..2 * layers.len()];
        let parameters: Vec<TensorId> = trained.iter().map(|t| t.parameter).collect();
        let moments: Vec<TensorId> = trained.iter().map(|t| t.moments).collect();
        let mut tensors = vec![("rates", training.rates)];
        let named = [
            ("even", &inputs[0]),
            ("odd", &inputs[1]),
            ("d_even", &d_outputs[0]),
            ("d_odd", &d_outputs[1]),
            ("parameters", &parameters),
            ("moments", &moments),
        ];
        for (name, parts) in named {
            let label = format!("{}/{name}", self.plan.name);
            tensors.push((name, self.program.pack(label, parts, &self.plan)?));
        }
        let place = |id: TensorId| self.program.place(id).1;
        let width = |id: TensorId| self.program.get(id).dims[1];
        let placed: Vec<Placed> = layers
            .iter()
            .zip(trained.chunks_exact(2))
            .map(|(&(x, d_y, [odd, d_odd]), trained)| Placed {
                inputs: width(x),
                outputs: width(d_y),
                input: (odd, place(x)),
                d_output: (d_odd, place(d_y)),
                weight: place(trained[0].parameter),
                bias: place(trained[1].parameter),
                weight_moments: place(trained[0].moments),
                bias_moments: place(trained[1].moments),
            })
            .collect();
        let most = |of: fn(&Placed) -> usize| placed.iter().map(of).max().unwrap_or(0) as f64;
        let mut constants = training.constants().to_vec();
        constants.extend([
            ("BATCH", self.rows() as f64),
            ("MOST_INPUTS", most(|layer| layer.inputs)),
            ("MOST_OUTPUTS", most(|layer| layer.outputs)),
        ]);
        let name = format!("{}/layers", self.plan.name);
        let table = self.program.tensor(name, &[placed.len(), update::WORDS], DType::U32);
        tensors.push(("layers", table));
        let words: Vec<u32> = placed.iter().flat_map(Placed::words).collect();
        self.program.constant(table, bytemuck::pod_collect_to_vec(&words));
        self.dispatch(&update::UPDATE_ALL, &tensors, &constants)
    }
}
