//! The programs of a run as documents, with what a host must know to train and to compute with them:
//! docs/plans.md has both.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::names::Names;
use super::trained::Trained;
use super::weights::{ARCHITECTURE, Stored, written};
use crate::data::Dataset;
use crate::device::gpu::portable_variant;
use crate::loaded::ModelProgram;
use crate::nn::Uniform;
use crate::plan::document::{Document, DocumentError, write};
use crate::plan::{PlanError, Program, TensorId};
use crate::train::{self, Schedule, Settings, first_rates};
use crate::vae::network::{Moments, Network};
use crate::vae::step::{Pass, TrainProgram};
use crate::vae::{Architecture, Init};

/// The plans of a run's steps of training and of evaluation, as a browser trains it on these data, which are not in the
/// document.
///
/// # Errors
/// Settings that do not fit the data; sizes beyond what a kernel's grid can cover.
pub fn of_training(dataset: &Dataset, settings: &Settings) -> Result<Document, DocumentError> {
    let wrong = |place: &str, e: &dyn std::fmt::Display| DocumentError::new(place, e.to_string());
    settings.check_with(dataset).map_err(|e| wrong("settings", &e))?;
    let plan = train::record(dataset, settings).map_err(refused)?;
    let moments = train::moments(dataset, settings);
    let host = training(&plan, settings, &moments);
    write(&plan.program, &portable_variant, host)
}

/// A program that computes with a network's parameters, for settings that tell how they came about. `roles` are the tensors
/// that the host writes and reads, by names of the caller's.
///
/// # Errors
/// A shader that is invalid: a defect.
pub fn of_model(
    program: &impl ModelProgram,
    settings: &Settings,
    roles: &[(&str, TensorId)],
) -> Result<Document, DocumentError> {
    let (program, network, clock) = program.parts();
    let name = |id: TensorId| Value::from(program.get(id).name.as_str());
    let roles: BTreeMap<&str, Value> = roles.iter().map(|&(role, id)| (role, name(id))).collect();
    let files = files(&network.architecture);
    let parameters = network.parameters().into_iter().zip(files);
    let parameters: Vec<Value> =
        parameters.map(|(id, files)| json!({ "tensor": name(id), "files": files })).collect();
    let host = json!({
        "kind": "model",
        "clock": clock.map(name),
        "tensors": roles,
        "parameters": parameters,
        "architecture": network.architecture,
        "metadata": metadata(&network.architecture, settings),
    });
    write(program, &portable_variant, host)
}

fn refused(error: PlanError) -> DocumentError {
    DocumentError::new("the plan", error.to_string())
}

/// What a host must know to train.
fn training(plan: &TrainProgram, settings: &Settings, moments: &Moments) -> Value {
    let program = &plan.program;
    let name = |id: TensorId| Value::from(program.get(id).name.as_str());
    let a = &plan.network.architecture;
    let begin = beginnings(&plan.network, settings.init, settings.seed, moments);
    let parameters = plan.trained.iter().zip(begin).zip(files(a));
    let parameters: Vec<Value> = parameters
        .map(|((trained, begin), files)| {
            json!({
                "tensor": name(trained.parameter),
                "state": name(trained.state),
                "begin": begin,
                "files": files,
            })
        })
        .collect();
    let fixed = settings.learning_rate_warm_up == 0.0 && settings.schedule == Schedule::default();
    json!({
        "kind": "training",
        "train": pass(program, plan.train),
        "evaluate": pass(program, plan.test),
        "swap": plan.swap.map(|swap| program.plan(swap).name.as_str()),
        "rates": first_rates(plan.train, settings),
        "learning_rate_fixed": fixed,
        "epochs": settings.epochs,
        "parameters": parameters,
        "averages": plan.averages.iter().map(|&id| name(id)).collect::<Vec<_>>(),
        "architecture": a,
        "metadata": metadata(a, settings),
        "settings": settings,
    })
}

/// The tensors by which a host feeds a pass and reads its results.
fn pass(program: &Program, pass: Pass) -> Value {
    let name = |id: TensorId| program.get(id).name.as_str();
    let plan = program.plan(pass.plan).name.as_str();
    let x = format!("{plan}/x");
    let seen = program.tensors().iter().find(|tensor| tensor.name == x);
    json!({
        "plan": plan,
        "data": name(pass.data),
        "labels": pass.labels.map(name),
        "clock": name(pass.clock),
        "rates": name(pass.rates),
        "history": name(pass.history),
        "history_steps": pass.history_steps,
        "images": pass.source.images,
        "batch": pass.source.batch,
        "samples": pass.source.samples,
        "bound": pass.bound.is_some(),
        "norms": pass.norms.map(|(id, most)| json!({ "tensor": name(id), "most": most })),
        "seen": seen.map(|tensor| tensor.name.as_str()),
    })
}

/// The metadata of a model's file.
fn metadata(architecture: &Architecture, settings: &Settings) -> BTreeMap<String, String> {
    let mut all = Trained::of(settings).metadata();
    if let Ok(text) = serde_json::to_string(architecture) {
        all.insert(ARCHITECTURE.to_string(), text);
    }
    all
}

/// What of each parameter, in the network's order, is which tensor of a model's file.
fn files(architecture: &Architecture) -> Vec<Vec<Value>> {
    let mut all: Vec<Vec<Value>> = Vec::new();
    for Stored { name, shape, parameter, range, order, scale } in
        written(architecture, Names::of(architecture))
    {
        if all.len() <= parameter {
            all.resize(parameter + 1, Vec::new());
        }
        all[parameter].push(json!({
            "name": name,
            "shape": shape,
            "first": range.start,
            "order": order.map(|order| json!({ "dims": order.dims, "axes": order.axes })),
            "scale": scale,
        }));
    }
    all
}

/// How each parameter begins, in the network's order, as [`Network::initial_values`] has it: runs of equal numbers, of numbers
/// at random, or numbers as they are. Null where it cannot be said so: the host must be given such parameters.
pub fn beginnings(network: &Network, init: Init, seed: u64, data: &Moments) -> Vec<Value> {
    let (mut up, mut down) = (Uniform::marks(1.0), Uniform::marks(-1.0));
    let marked = network.initial_values_of(init, &mut up, data);
    let against = network.initial_values_of(init, &mut down, data);
    let drawn = up.drawn();
    let all: Option<Vec<Vec<Segment>>> =
        marked.iter().zip(&against).map(|(up, down)| segments(up, down, drawn)).collect();
    // What the marks do not show, an order within a draw, would show here.
    let real = network.initial_values(init, seed, data);
    match all.filter(|all| drawn_by(all, seed) == real) {
        Some(all) => all.iter().map(|parts| parts.iter().map(Segment::value).collect()).collect(),
        None => vec![Value::Null; real.len()],
    }
}

/// Elements of a parameter that follow each other.
enum Segment {
    /// So many at random, on ±bound.
    Uniform(usize, f32),
    /// These.
    Values(Vec<f32>),
}

impl Segment {
    fn value(&self) -> Value {
        match self {
            Segment::Uniform(n, bound) => json!({ "n": n, "uniform": bound }),
            Segment::Values(values)
                if values.iter().all(|v| v.to_bits() == values[0].to_bits()) =>
            {
                json!({ "n": values.len(), "value": values[0] })
            }
            Segment::Values(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                json!({ "n": values.len(), "base64": STANDARD.encode(bytes) })
            }
        }
    }
}

/// What a parameter is made of, by its values from marks of either sign.
fn segments(up: &[f32], down: &[f32], drawn: &[(usize, f32)]) -> Option<Vec<Segment>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < up.len() {
        if up[at] == down[at] {
            let n = up[at..].iter().zip(&down[at..]).take_while(|(a, b)| a == b).count();
            all.push(Segment::Values(up[at..at + n].to_vec()));
            at += n;
        } else {
            let mark = up[at];
            let &(n, bound) = drawn.get((mark as usize).checked_sub(1)?)?;
            let own = |values: &[f32], mark| {
                values.get(at..at + n).is_some_and(|v| v.iter().all(|&v| v == mark))
            };
            if !own(up, mark) || !own(down, -mark) {
                return None;
            }
            all.push(Segment::Uniform(n, bound));
            at += n;
        }
    }
    Some(all)
}

/// The parameters that begin so.
fn drawn_by(parameters: &[Vec<Segment>], seed: u64) -> Vec<Vec<f32>> {
    let mut uniform = Uniform::new(seed);
    let mut of = |segment: &Segment| match segment {
        Segment::Uniform(n, bound) => uniform.numbers(*n, *bound),
        Segment::Values(values) => values.clone(),
    };
    parameters.iter().map(|segments| segments.iter().flat_map(&mut of).collect()).collect()
}
