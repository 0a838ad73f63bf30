//! Which kernels can take the place of others in a recorded plan: the table of the fusion pass.

use super::linear::update_all::{self, Placed};
use super::{bernoulli, gaussian, linear, optimizer, posterior};
use crate::plan::fuse::{Fusion, Fusions, Part, Pattern, Reshaped, Rewrite, two_sides};
use crate::plan::{DType, Dispatch, Kernel, Plan, PlanError, Program, TensorId};

/// All of them, in the order in which they are applied.
pub fn fusions() -> Fusions {
    Fusions::of(ALL)
}

/// Every fusion of the project.
pub static ALL: &[&Fusion] = &[
    &DECODE,
    &DECODE_LOG_LIKELIHOOD,
    &GAUSSIAN_GRADIENT,
    &SAMPLE_FORWARD,
    &POSTERIOR_BACKWARD_INPUT,
    &UPDATE,
    &UPDATE_DECAYED,
    &UPDATE_ALL,
];

/// The decoder's last layer, whose output are logits.
const LAST_LAYER: Part = Part {
    kernel: &linear::FORWARD,
    tensors: &[("x", "h"), ("weight", "weight"), ("bias", "bias"), ("y", "logits")],
};

/// log p(x|z) of logits.
const BERNOULLI: Part = Part {
    kernel: &bernoulli::LOG_LIKELIHOOD,
    tensors: &[("x", "x"), ("logits", "logits"), ("log_px", "log_px")],
};

static DECODE: Fusion = Fusion {
    name: "bernoulli.decode",
    summary: "the logits are stored nowhere: the decoder's last layer, log p(x|z) and its gradient",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[
            LAST_LAYER,
            BERNOULLI,
            Part {
                kernel: &bernoulli::BACKWARD,
                tensors: &[
                    ("x", "x"),
                    ("logits", "logits"),
                    ("weight", "row_weight"),
                    ("d_logits", "d_eta"),
                ],
            },
        ],
        kernel: &bernoulli::DECODE,
        constants: &["K"],
        reshaped: Some(Reshaped { variable: "log_px", dims: log_px_in_parts }),
        when: |_| true,
    }),
};

static DECODE_LOG_LIKELIHOOD: Fusion = Fusion {
    name: "bernoulli.decode_log_likelihood",
    summary: "the logits are stored nowhere: the decoder's last layer and log p(x|z)",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[LAST_LAYER, BERNOULLI],
        kernel: &bernoulli::DECODE_LOG_LIKELIHOOD,
        constants: &["K"],
        reshaped: Some(Reshaped { variable: "log_px", dims: log_px_in_parts }),
        when: |_| true,
    }),
};

/// A row's log p(x|z) in parts of pixels, which the metrics add up.
fn log_px_in_parts(d: &Dispatch) -> Vec<usize> {
    let rows = d.constants.dim("B") * d.constants.dim("K");
    vec![rows, d.constants.dim("D").div_ceil(bernoulli::PART)]
}

static GAUSSIAN_GRADIENT: Fusion = Fusion {
    name: "gaussian.gradient",
    summary: "log p(x|z) and its gradient in one look at the pixels",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[
            Part {
                kernel: &gaussian::LOG_LIKELIHOOD,
                tensors: &[
                    ("x", "x"),
                    ("eta", "eta"),
                    ("log_variance", "log_variance"),
                    ("log_px", "log_px"),
                ],
            },
            Part {
                kernel: &gaussian::BACKWARD,
                tensors: &[
                    ("x", "x"),
                    ("eta", "eta"),
                    ("log_variance", "log_variance"),
                    ("weight", "weight"),
                    ("d_eta", "d_eta"),
                    ("squares", "squares"),
                ],
            },
        ],
        kernel: &gaussian::GRADIENT,
        constants: &["K"],
        reshaped: None,
        when: |_| true,
    }),
};

static SAMPLE_FORWARD: Fusion = Fusion {
    name: "posterior.sample_forward",
    summary: "z and the KL where the decoder's first layer loads z, for one sample an image",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[
            Part {
                kernel: &posterior::SAMPLE,
                tensors: &[("heads", "heads"), ("clock", "clock"), ("eps", "eps"), ("z", "z")],
            },
            Part { kernel: &posterior::GAUSSIAN_KL, tensors: &[("heads", "heads"), ("kl", "kl")] },
            Part {
                kernel: &linear::FORWARD,
                tensors: &[("x", "z"), ("weight", "weight"), ("bias", "bias"), ("y", "y")],
            },
        ],
        kernel: &posterior::SAMPLE_FORWARD,
        constants: &["STREAM", "N", "ACTIVATION"],
        reshaped: None,
        when: |parts| parts[0].constants.dim("K") == 1,
    }),
};

static POSTERIOR_BACKWARD_INPUT: Fusion = Fusion {
    name: "posterior.backward_input",
    summary: "the gradient at the heads where the encoder's last layer loads it, for one sample an image",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[
            Part {
                kernel: &posterior::BACKWARD,
                tensors: &[
                    ("heads", "heads"),
                    ("noise", "noise"),
                    ("d_z", "d_z"),
                    ("d_heads", "d_heads"),
                    ("rates", "rates"),
                ],
            },
            Part {
                kernel: &linear::BACKWARD_INPUT,
                tensors: &[("x", "x"), ("weight", "weight"), ("d_y", "d_heads"), ("d_x", "d_x")],
            },
        ],
        kernel: &posterior::BACKWARD_INPUT,
        constants: &["ACTIVATION"],
        reshaped: None,
        when: |parts| parts[0].constants.dim("K") == 1,
    }),
};

/// What an optimizer's step depends on besides its tensors.
const STEP_CONSTANTS: [&str; 4] = ["OPTIMIZER", "BETA1", "BETA2", "EPSILON"];
/// The same of a step in which weights decay and biases do not.
const UPDATE_CONSTANTS: [&str; 5] = ["OPTIMIZER", "BETA1", "BETA2", "EPSILON", "DECAY"];

/// A layer's gradients.
const GRADIENTS: Part = Part {
    kernel: &linear::BACKWARD_PARAMETERS,
    tensors: &[("x", "x"), ("d_y", "d_y"), ("d_weight", "d_weight"), ("d_bias", "d_bias")],
};

/// The optimizer's step of a layer's weight, by one of its kernels.
const fn step_of_weight(kernel: &'static Kernel) -> Part {
    Part {
        kernel,
        tensors: &[
            ("gradient", "d_weight"),
            ("rates", "rates"),
            ("parameter", "weight"),
            ("state", "weight_state"),
        ],
    }
}

/// The same of its bias.
const STEP_OF_BIAS: Part = Part {
    kernel: &optimizer::STEP,
    tensors: &[
        ("gradient", "d_bias"),
        ("rates", "rates"),
        ("parameter", "bias"),
        ("state", "bias_state"),
    ],
};

static UPDATE: Fusion = Fusion {
    name: "linear.update",
    summary: "the gradients of weight and bias are stored nowhere: the optimizer's step where they are finished",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[GRADIENTS, step_of_weight(&optimizer::STEP), STEP_OF_BIAS],
        kernel: &linear::UPDATE,
        constants: &STEP_CONSTANTS,
        reshaped: None,
        when: |_| true,
    }),
};

static UPDATE_DECAYED: Fusion = Fusion {
    name: "linear.update_decayed",
    summary: "the same where the weight decays",
    rewrite: Rewrite::Pattern(Pattern {
        parts: &[GRADIENTS, step_of_weight(&optimizer::STEP_DECAYED), STEP_OF_BIAS],
        kernel: &linear::UPDATE,
        constants: &UPDATE_CONSTANTS,
        reshaped: None,
        when: |_| true,
    }),
};

static UPDATE_ALL: Fusion = Fusion {
    name: "linear.update_all",
    summary: "the layers' updates in one dispatch, for one sample an image: one launch to wait for",
    rewrite: Rewrite::Merge(merge_updates),
};

/// Of linear.update's bindings, those that a layer reads, and what it moves.
const READ: [&str; 2] = ["x", "d_y"];
const MOVED: [&str; 4] = ["weight", "bias", "weight_state", "bias_state"];

/// Merges all dispatches of linear.update of as many rows. What they read and write become parts of a few
/// tensors: two for the inputs and two for the gradients, since a layer's forward pass reads one input and
/// writes the next.
fn merge_updates(program: &mut Program, plan: &mut Plan) -> Result<bool, PlanError> {
    let is_update = |d: &Dispatch| std::ptr::eq(d.kernel, &linear::UPDATE);
    let updates: Vec<Dispatch> = plan.dispatches.iter().filter(|d| is_update(d)).cloned().collect();
    let tensor = |d: &Dispatch, binding: &str| d.tensor(binding).expect("of linear.update");
    let same = |name: &str| {
        updates.iter().all(|d| d.constants.get(name) == updates[0].constants.get(name))
    };
    if updates.len() < 2 || !UPDATE_CONSTANTS.into_iter().chain(["R", "PLANES"]).all(same) {
        return Ok(false);
    }
    // Nothing may come between them that they would overtake.
    let first = plan.dispatches.iter().position(is_update).expect("there are two");
    let last = plan.dispatches.iter().rposition(is_update).expect("there are two");
    let between = &plan.dispatches[first..last];
    let rates = tensor(&updates[0], "rates");
    let moved: Vec<TensorId> =
        updates.iter().flat_map(|d| MOVED.map(|binding| tensor(d, binding))).collect();
    let crosses = |d: &Dispatch| {
        let read =
            |id| updates.iter().any(|u| READ.iter().any(|b| tensor(u, b) == id)) || id == rates;
        d.bindings.iter().any(|b| moved.contains(&b.tensor) || b.access.writes() && read(b.tensor))
    };
    if between.iter().any(|d| !is_update(d) && crosses(d)) {
        return Ok(false);
    }

    let unique = |binding: &str| {
        let mut all: Vec<TensorId> = Vec::new();
        for tensor in updates.iter().map(|d| tensor(d, binding)) {
            if !all.contains(&tensor) {
                all.push(tensor);
            }
        }
        all
    };
    let (inputs, gradients) = (unique("x"), unique("d_y"));
    let parameters: Vec<TensorId> =
        updates.iter().flat_map(|d| [tensor(d, "weight"), tensor(d, "bias")]).collect();
    let state: Vec<TensorId> =
        updates.iter().flat_map(|d| [tensor(d, "weight_state"), tensor(d, "bias_state")]).collect();
    let packed = [&inputs[..], &gradients, &parameters, &state].concat();
    let elements = packed.iter().map(|&id| program.get(id).len()).fold(0, usize::saturating_add);
    let parts = packed.iter().any(|&id| program.place(id).0 != id);
    // Places are words of 32 bits.
    if parts || elements >= u32::MAX as usize {
        return Ok(false);
    }
    let mut others = plan.clone();
    others.dispatches.retain(|d| !is_update(d));
    let (Some(odd), Some(d_odd)) = (two_sides(&others, &inputs), two_sides(&others, &gradients))
    else {
        return Ok(false);
    };
    let side = |ids: &[TensorId], sides: &[bool], which: bool| -> Vec<TensorId> {
        ids.iter().zip(sides).filter(|(_, side)| **side == which).map(|(id, _)| *id).collect()
    };
    let sides = [
        ("even", side(&inputs, &odd, false)),
        ("odd", side(&inputs, &odd, true)),
        ("d_even", side(&gradients, &d_odd, false)),
        ("d_odd", side(&gradients, &d_odd, true)),
    ];
    // A network without a hidden layer leaves one of them empty.
    if sides.iter().any(|(_, ids)| ids.is_empty()) {
        return Ok(false);
    }

    let mut tensors = vec![("rates", rates)];
    for (name, ids) in sides.into_iter().chain([("parameters", parameters), ("state", state)]) {
        let label = format!("{}/{name}", plan.name);
        tensors.push((name, program.pack(label, &ids, &others)?));
    }
    let whole = |name: &str| tensors.iter().find(|(n, _)| *n == name).map(|(_, id)| *id);
    let [odd, d_odd] = ["odd", "d_odd"].map(whole);
    let placed: Vec<Placed> = updates
        .iter()
        .map(|d| {
            let at = |binding: &str| program.place(tensor(d, binding));
            let in_side = |binding: &str, odd: Option<TensorId>| {
                let (whole, first) = at(binding);
                (Some(whole) == odd, first)
            };
            Placed {
                inputs: d.constants.dim("I"),
                outputs: d.constants.dim("O"),
                input: in_side("x", odd),
                d_output: in_side("d_y", d_odd),
                weight: at("weight").1,
                bias: at("bias").1,
                weight_state: at("weight_state").1,
                bias_state: at("bias_state").1,
            }
        })
        .collect();
    let all = |of: fn(&Placed) -> usize| placed.iter().map(of).sum::<usize>() as f64;
    let mut constants =
        vec![("BATCH", updates[0].constants.value("R")), ("ALL_INPUTS", all(|l| l.inputs))];
    constants.push(("ALL_OUTPUTS", all(|l| l.outputs)));
    for name in UPDATE_CONSTANTS.into_iter().chain(["PLANES"]) {
        constants.push((name, updates[0].constants.value(name)));
    }
    let table = format!("{}/layers", plan.name);
    let table = program.tensor(table, &[placed.len(), update_all::WORDS], DType::U32);
    let words: Vec<u32> = placed.iter().flat_map(Placed::words).collect();
    program.constant(table, bytemuck::pod_collect_to_vec(&words));
    tensors.push(("layers", table));
    let merged = Dispatch::new(program, &linear::UPDATE_ALL, &tensors, &constants)?;
    others.dispatches.insert(last + 1 - updates.len(), merged);
    plan.dispatches = others.dispatches;
    Ok(true)
}
