//! How a training run does its work, for who asks.

use crate::plan::variant::Choices;
use crate::plan::{Dispatch, Plan, Program, Tensor};
use crate::vae::step::{Pass, TrainProgram};

/// Lines on memory, data and kernels of a training plan, with the variants that an executor has chosen.
pub fn of_training(plan: &TrainProgram, variants: &Choices) -> Vec<String> {
    let TrainProgram { program, train, test, fused, .. } = plan;
    let [of_train, of_test] = fused;
    let mut lines = vec![memory(program), data("training", train), data("test", test)];
    for (what, pass, fused) in [("training", train, of_train), ("test", test, of_test)] {
        let plan = program.plan(pass.plan);
        lines.push(format!("a {what} step is {}", kernels(plan, variants)));
        let applied = fused.iter().filter(|(_, times)| *times > 0);
        let applied: Vec<String> = applied.map(|(name, times)| format!("{name} {times}")).collect();
        if !applied.is_empty() {
            lines.push(format!("fusions in it, and how often: {}", applied.join(", ")));
        }
    }
    lines
}

fn memory(program: &Program) -> String {
    let bytes: usize = program.stored().map(Tensor::size_bytes).sum();
    let largest = program.stored().max_by_key(|tensor| tensor.size_bytes());
    let largest = largest.map_or(String::new(), |tensor| format!(", the largest {tensor}"));
    format!("{} tensors of {} MiB in all{largest}", program.stored().count(), bytes >> 20)
}

fn data(what: &str, pass: &Pass) -> String {
    let images = pass.source.images;
    match pass.source.window {
        Some(rows) => {
            format!("of the {what} data {rows} of {images} at a time are on the device")
        }
        None => format!("the {what} data are on the device as a whole, all {images}"),
    }
}

fn kernels(plan: &Plan, variants: &Choices) -> String {
    let name = |dispatch: &Dispatch| match variants.get(dispatch) {
        Some(variant) => format!("{} ({})", dispatch.kernel, variant.name),
        None => dispatch.kernel.to_string(),
    };
    let names: Vec<String> = plan.dispatches.iter().map(name).collect();
    format!("{} kernels: {}", names.len(), names.join(", "))
}
