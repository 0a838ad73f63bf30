//! The update of every layer in one dispatch.

use super::backward_parameters::gradients;
use crate::kernels::product::product;
use crate::kernels::{grid_of_groups, optimizer};
use crate::numeric::Real;
use crate::plan::case::Fill;
use crate::plan::{Call, Case, Constants, Cost, Kernel, Parts, formula};

/// Words that say where a layer's parts are: see [`Placed::words`].
pub const WORDS: usize = 10;

/// A layer in the tensors that [`UPDATE_ALL`] binds.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    pub inputs: usize,
    pub outputs: usize,
    /// Whether its input (B, inputs) is in `odd`, else it is in `even`; its first element there.
    pub input: (bool, usize),
    /// The same of the gradient (B, outputs) of its output, in `d_odd` or `d_even`.
    pub d_output: (bool, usize),
    /// First elements in `parameters`.
    pub weight: usize,
    pub bias: usize,
    /// First elements in `state`.
    pub weight_state: usize,
    pub bias_state: usize,
}

impl Placed {
    /// A row of the tensor `layers`.
    ///
    /// # Panics
    /// If a place is 2^32 elements away or more.
    pub fn words(&self) -> [u32; WORDS] {
        [
            self.inputs,
            self.outputs,
            usize::from(self.input.0),
            self.input.1,
            usize::from(self.d_output.0),
            self.d_output.1,
            self.weight,
            self.bias,
            self.weight_state,
            self.bias_state,
        ]
        .map(|word| u32::try_from(word).expect("a place is below 2^32"))
    }

    /// What [`Placed::words`] says.
    pub(crate) fn of(words: &[u32]) -> Self {
        let at = |i: usize| words[i] as usize;
        Placed {
            inputs: at(0),
            outputs: at(1),
            input: (at(2) == 1, at(3)),
            d_output: (at(4) == 1, at(5)),
            weight: at(6),
            bias: at(7),
            weight_state: at(8),
            bias_state: at(9),
        }
    }
}

pub static UPDATE_ALL: Kernel = product(Parts {
    file: "linear/update_all",
    source: include_str!("../../../shaders/linear/update_all.wgsl"),
    entry: "update_all",
    summary: "the same for all layers at once",
    grid: tiles,
    formula: formula!(update_all),
    cases: || {
        let mut cases = vec![
            placed_case(1, &[[1, 1], [1, 1]]),
            placed_case(3, &[[2, 5], [5, 3]]),
            placed_case(5, &[[31, 33], [33, 14], [7, 33], [33, 31]]),
            placed_case(20, &[[65, 40], [40, 64], [64, 6], [3, 64], [64, 65]]),
            placed_case(130, &[[17, 63], [63, 16]]),
            placed_case(9, &[[127, 129], [129, 1], [1, 130], [130, 128]]),
            placed_case(128, &[[784, 400], [400, 40], [20, 400], [400, 784]]),
        ];
        let adam = [("BETA1", 0.8), ("BETA2", 0.99), ("EPSILON", 0.5)];
        let case = cases[2].clone();
        cases.push(adam.iter().fold(case, |case, (name, v)| case.constant(name, *v)));
        cases.push(cases[2].clone().constant("DECAY", 40.0));
        // RMSprop on the same places: its one plane lies where Adam's first does
        let case = cases[3].clone().constant("PLANES", 1.0).constant("BETA2", 0.8);
        cases.push(case.constant("OPTIMIZER", optimizer::RMSPROP));
        cases
    },
    cost: |c| {
        // Padding between the parts counts as parameters: below one in a hundred of a real network.
        let [b, parameters] = ["BATCH", "P"].map(|name| c.dim(name) as u64);
        let sizes = ["EVEN", "ODD", "D_EVEN", "D_ODD", "P", "P", "M", "M"];
        let words: usize = sizes.iter().map(|name| c.dim(name)).sum();
        Cost { flops: (2 * b + 14) * parameters, bytes: 4 * words as u64 }
    },
});

/// At least as many tiles as the layers have, in a row: their sizes are in a tensor. Of O x (I + 1) elements there are at
/// most (O + rows - 1) (I + 1 + columns - 1) / (rows columns) tiles, and all layers' O (I + 1) are at most P.
fn tiles(c: &Constants) -> [usize; 3] {
    let [rows, columns] = c.tile();
    let [l, outputs, inputs, elements] =
        ["L", "ALL_OUTPUTS", "ALL_INPUTS", "P"].map(|name| c.dim(name) as u128);
    let (r, k) = (rows as u128 - 1, columns as u128 - 1);
    let covered = elements + k * outputs + r * (inputs + l) + l * r * k;
    let [x, y, z] = grid_of_groups((covered / (rows * columns) as u128) as usize);
    [x * rows, y * columns, z]
}

/// Layers of these inputs and outputs, a minibatch of `b`.
fn placed_case(b: usize, layers: &[[usize; 2]]) -> Case {
    // Not at any alignment, and something between them: the shader needs neither.
    let mut ends = [3; 6];
    let mut place = |tensor: usize, len: usize| {
        let at = ends[tensor];
        ends[tensor] += len + 1;
        at
    };
    let mut words = Vec::new();
    for (i, &[inputs, outputs]) in layers.iter().enumerate() {
        let placed = Placed {
            inputs,
            outputs,
            input: (i % 2 == 1, place(i % 2, b * inputs)),
            d_output: (i % 3 == 1, place(2 + usize::from(i % 3 == 1), b * outputs)),
            weight: place(4, outputs * inputs),
            bias: place(4, outputs),
            weight_state: place(5, 2 * outputs * inputs),
            bias_state: place(5, 2 * outputs),
        };
        words.extend(placed.words());
    }
    let [even, odd, d_even, d_odd, p, m] = ends;
    let all = |i: usize| layers.iter().map(|layer| layer[i]).sum::<usize>() as f64;
    Case::new(&[("L", layers.len()), ("EVEN", even), ("ODD", odd), ("D_EVEN", d_even)])
        .dim("D_ODD", d_odd)
        .dim("P", p)
        .dim("M", m)
        .constant("BATCH", b as f64)
        .constant("ALL_INPUTS", all(0))
        .constant("ALL_OUTPUTS", all(1))
        .fill("layers", Fill::Words(words))
        .fill("rates", Fill::Cycle(vec![1e-3, 0.1, 1e-3, 0.0]))
        .fill("state", Fill::Uniform(0.0, 2.0))
}

/// linear.update of each layer, where `layers` says that it is.
fn update_all<T: Real>(c: &Call<T>) {
    let r = c.dim("BATCH");
    for words in c.read_u32("layers").chunks_exact(WORDS) {
        let layer = Placed::of(words);
        let (i, o) = (layer.inputs, layer.outputs);
        let (x, d_y) = (
            c.read(if layer.input.0 { "odd" } else { "even" }),
            c.read(if layer.d_output.0 { "d_odd" } else { "d_even" }),
        );
        let (x, d_y) = (&x[layer.input.1..][..r * i], &d_y[layer.d_output.1..][..r * o]);
        let [d_weight, d_bias] = gradients(c, [r, i, o], x, d_y);
        let (mut parameters, mut state) = (c.write("parameters"), c.write("state"));
        optimizer::decay(c, &mut parameters[layer.weight..][..o * i]);
        for (gradient, at, state_at) in
            [(d_weight, layer.weight, layer.weight_state), (d_bias, layer.bias, layer.bias_state)]
        {
            let n = gradient.len();
            let state = &mut state[state_at..][..c.dim("PLANES") * n];
            optimizer::step(c, &gradient, &mut parameters[at..][..n], state);
        }
    }
}
