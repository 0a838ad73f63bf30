//! Which variant of a kernel is the fastest on an adapter: measured once for each kernel and its sizes, and
//! remembered in the user's cache folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::default_variant::may_win;
use super::pipelines::Pipelines;
use super::{GpuDevice, GpuExecutor, autotune_timing, cache_dir};
use crate::device::{DeviceError, Executor};
use crate::plan::variant::{Choices, Variant, place};
use crate::plan::{Dispatch, Plan, PlanId, Program};

/// When so much time is spent on measuring, what is left is not measured and gets the default. Compilation does not
/// count: it is done before, for all variants together.
const MOST: Duration = Duration::from_millis(1500);
/// Shorter measurements are not reported.
const NOTICEABLE: Duration = Duration::from_millis(500);

/// Where measurements are remembered, and who is told that some were made.
#[derive(Clone)]
pub struct Tuning {
    /// None remembers nothing.
    pub cache: Option<PathBuf>,
    /// Called with one line if measuring took noticeable time.
    pub notice: fn(&str),
}

impl Tuning {
    /// With the cache of this user, where there is one.
    pub fn of_user(notice: fn(&str)) -> Self {
        Tuning { cache: cache_dir::folder_of_user().map(|dir| dir.join("variants.json")), notice }
    }
}

/// By adapter, driver and versions, then by kernel, sizes and variants: the variant's name.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Remembered(BTreeMap<String, BTreeMap<String, String>>);

/// Adds a choice for every kernel of the program that has several variants on this adapter, and none yet.
pub(super) fn choose(gpu: &GpuDevice, tuning: &Tuning, program: &Program, choices: &mut Choices) {
    let mut open: BTreeMap<String, &Dispatch> = BTreeMap::new();
    for dispatch in program.plans().iter().flat_map(|plan| &plan.dispatches) {
        if usable(gpu, dispatch).len() > 1 && choices.get(dispatch).is_none() {
            open.insert(place(dispatch), dispatch);
        }
    }
    if open.is_empty() {
        return;
    }
    let checked = if gpu.checked { ", checked" } else { "" };
    let device = cache_dir::identity(gpu) + checked;
    let remembered = tuning.cache.as_deref().map(read).unwrap_or_default();
    if let Some(known) = remembered.0.get(&device) {
        open.retain(|place, dispatch| {
            let usable = usable(gpu, dispatch);
            let name = known.get(&entry(place, &usable));
            let variant = name.and_then(|name| usable.iter().find(|v| v.name == name));
            variant.inspect(|v| choices.set(dispatch, v)).is_none()
        });
    }
    if open.is_empty() {
        return;
    }
    // The costly ones first, while there is time.
    let mut open: Vec<(String, &Dispatch)> = open.into_iter().collect();
    open.sort_by_key(|(_, d)| std::cmp::Reverse((d.kernel.cost)(&d.constants).flops));
    let compiling = Instant::now();
    Pipelines::new(gpu).compile_all(
        open.iter()
            .flat_map(|(_, dispatch)| usable(gpu, dispatch).into_iter().map(|v| (*dispatch, v))),
    );
    let begin = Instant::now();
    let left = || MOST.as_secs_f64() - begin.elapsed().as_secs_f64();
    let mut seconds_per_flop = 0.0;
    let mut measured = BTreeMap::new();
    for (place, dispatch) in &open {
        let flops = (dispatch.kernel.cost)(&dispatch.constants).flops as f64;
        let usual = gpu.default_variant(dispatch);
        let usable = usable(gpu, dispatch);
        // First the one that stays where there is no time for the others.
        let mut racing = usable.clone();
        racing.sort_by_key(|variant| variant.name != usual.name);
        let variant = match flops * seconds_per_flop < left() {
            true => fastest(gpu, program, dispatch, &racing, left).map(|(variant, seconds)| {
                seconds_per_flop = seconds / flops;
                variant
            }),
            false => None,
        };
        choices.set(dispatch, variant.unwrap_or(usual));
        // A failure may pass, and the next run may have the time.
        if let Some(variant) = variant {
            measured.insert(entry(place, &usable), variant.name.to_string());
        }
    }
    let count = measured.len();
    if let Some(path) = &tuning.cache {
        // Read again: another run may have written meanwhile.
        let mut remembered = read(path);
        remembered.0.entry(device).or_default().extend(measured);
        // A cache that cannot be written costs the next run the measurement again, and nothing else.
        if let Ok(text) = serde_json::to_vec_pretty(&remembered) {
            let _ = cache_dir::write(path, &text);
        }
    }
    let elapsed = compiling.elapsed();
    if elapsed > NOTICEABLE {
        let (n, seconds) = (count, elapsed.as_secs_f64());
        (tuning.notice)(&format!("{n} kernels measured on this device for {seconds:.1} s, once"));
    }
}

fn usable(gpu: &GpuDevice, dispatch: &Dispatch) -> Vec<&'static Variant> {
    let usable = |v: &&Variant| gpu.runs(dispatch, v) && may_win(dispatch, v);
    dispatch.kernel.variants.iter().filter(usable).collect()
}

fn entry(place: &str, usable: &[&Variant]) -> String {
    let names: Vec<&str> = usable.iter().map(|v| v.name).collect();
    format!("{place}: {}", names.join(" "))
}

/// The quickest of these variants, and the seconds of a run of it; none where measuring failed.
fn fastest(
    gpu: &GpuDevice,
    program: &Program,
    dispatch: &Dispatch,
    usable: &[&'static Variant],
    left: impl Fn() -> f64,
) -> Option<(&'static Variant, f64)> {
    let scratch = alone(program, dispatch, usable.len());
    // A plan for each, on the same tensors.
    let mut executor = GpuExecutor::new(gpu, scratch, 0, &|plan, _| usable[plan.0]).ok()?;
    let raced =
        autotune_timing::quickest(usable.len(), left, |index, n| -> Result<f64, DeviceError> {
            let executor: &mut dyn Executor = &mut executor;
            let (seconds, _) = executor.time(PlanId(index), 0..1, n as usize)?;
            Ok(seconds)
        });
    let (index, seconds) = raced.ok()?;
    Some((usable[index], seconds))
}

/// A program of one dispatch's tensors, and so many plans that each consist of it.
fn alone(program: &Program, dispatch: &Dispatch, plans: usize) -> Program {
    let mut scratch = Program::new();
    let mut dispatch = dispatch.clone();
    for bound in &mut dispatch.bindings {
        let tensor = program.get(bound.tensor);
        let own = scratch.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
        // What a kernel finds to do may depend on what some tensors always hold.
        let always = program.constants().iter().find(|(id, _)| *id == bound.tensor);
        if let Some((_, bytes)) = always {
            scratch.constant(own, bytes.clone());
        }
        bound.tensor = own;
    }
    for _ in 0..plans {
        scratch.add(Plan { name: "measured".to_string(), dispatches: vec![dispatch.clone()] });
    }
    scratch
}

/// What the file holds; nothing if it is not there or not what it should be.
fn read(path: &Path) -> Remembered {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::linear;
    use crate::plan::{DType, TensorId};

    /// A kernel that finds how much it has to do in a tensor must find that where it is measured.
    #[test]
    fn what_is_measured_has_the_constants_of_the_program() {
        let mut program = Program::new();
        program.tensor("another", &[7], DType::F32);
        let declared = [("x", [5, 2]), ("weight", [3, 2]), ("y", [5, 3])];
        let mut tensors: Vec<(&str, TensorId)> = declared
            .iter()
            .map(|(name, dims)| (*name, program.tensor(*name, dims, DType::F32)))
            .collect();
        tensors.push(("bias", program.tensor("bias", &[3], DType::F32)));
        program.constant(tensors[1].1, vec![9; 24]);
        let mut plan = Plan::new("step");
        plan.dispatch(&program, &linear::FORWARD, &tensors, &[]).expect("fits");
        let scratch = alone(&program, &plan.dispatches[0], 3);
        assert_eq!(scratch.plans().len(), 3);
        assert_eq!(scratch.tensors().len(), 4);
        let [(tensor, bytes)] = scratch.constants() else { panic!("one") };
        assert_eq!((scratch.get(*tensor).name.as_str(), &bytes[..]), ("weight", &[9; 24][..]));
    }
}
