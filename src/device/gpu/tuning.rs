//! Which variant of a kernel is the fastest on an adapter: measured once for each kernel and its sizes, and
//! remembered in the user's cache folder.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{GpuDevice, GpuExecutor};
use crate::device::{DeviceError, Executor};
use crate::kernels::variant::{Choices, Variant, place};
use crate::plan::{Dispatch, Plan, PlanId, Program};
use crate::versions::versions;

/// When so much time is spent, what is left is not measured and gets the default.
const MOST: Duration = Duration::from_millis(1500);
/// What one timing should take at least, many dispatches together, so that the host's part is small.
const SAMPLE: Duration = Duration::from_millis(2);
/// Timings of a variant, of which the median counts.
const SAMPLES: usize = 5;
/// Below this nobody is told.
const NOTICEABLE: Duration = Duration::from_millis(500);

/// Where measurements are remembered, and who hears that some were made.
#[derive(Clone)]
pub struct Tuning {
    /// None remembers nothing.
    pub cache: Option<PathBuf>,
    /// Hears one line if measuring took noticeable time.
    pub notice: fn(&str),
}

impl Tuning {
    /// With the cache of this user, where there is one.
    pub fn of_user(notice: fn(&str)) -> Self {
        Tuning {
            cache: dirs::cache_dir().map(|dir| dir.join("elbo").join("variants.json")),
            notice,
        }
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
    let device = identity(gpu);
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
    let begin = Instant::now();
    let mut measured = BTreeMap::new();
    for (place, dispatch) in &open {
        let usable = usable(gpu, dispatch);
        let usual = gpu.default_variant(dispatch.kernel);
        let variant = match begin.elapsed() < MOST {
            true => fastest(gpu, program, dispatch, &usable),
            // Remembered too, so that the next run computes the same.
            false => Some(usual),
        };
        choices.set(dispatch, variant.unwrap_or(usual));
        // A failure may pass.
        if let Some(variant) = variant {
            measured.insert(entry(place, &usable), variant.name.to_string());
        }
    }
    if let Some(path) = &tuning.cache {
        // Read again: another run may have written meanwhile.
        let mut remembered = read(path);
        remembered.0.entry(device).or_default().extend(measured);
        // A cache that cannot be written costs the next run the measurement again, and nothing else.
        let _ = write(path, &remembered);
    }
    let elapsed = begin.elapsed();
    if elapsed > NOTICEABLE {
        let (n, seconds) = (open.len(), elapsed.as_secs_f64());
        (tuning.notice)(&format!("{n} kernels measured on this device for {seconds:.1} s, once"));
    }
}

fn usable(gpu: &GpuDevice, dispatch: &Dispatch) -> Vec<&'static Variant> {
    dispatch.kernel.variants.iter().filter(|v| gpu.can_run(v)).collect()
}

/// What a measurement holds for.
fn identity(gpu: &GpuDevice) -> String {
    let d = &gpu.description;
    let versions = versions();
    let version = |name| versions.get(name).copied().unwrap_or("unknown");
    let checked = if gpu.checked { ", checked" } else { "" };
    let (elbo, wgpu) = (version("elbo"), version("wgpu"));
    format!("{}, {}, {}, elbo {elbo}, wgpu {wgpu}{checked}", d.name, d.backend, d.driver)
}

fn entry(place: &str, usable: &[&Variant]) -> String {
    let names: Vec<&str> = usable.iter().map(|v| v.name).collect();
    format!("{place}: {}", names.join(" "))
}

/// The variant with the shortest median time on tensors of its own; none where that failed.
fn fastest(
    gpu: &GpuDevice,
    program: &Program,
    dispatch: &Dispatch,
    usable: &[&'static Variant],
) -> Option<&'static Variant> {
    let (scratch, plan) = alone(program, dispatch);
    let mut timed = Vec::new();
    for variant in usable {
        timed.push((time(gpu, &scratch, plan, variant).ok()?, *variant));
    }
    timed.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, variant)| variant)
}

/// A program of one dispatch and its tensors.
fn alone(program: &Program, dispatch: &Dispatch) -> (Program, PlanId) {
    let mut scratch = Program::new();
    let mut dispatch = dispatch.clone();
    for bound in &mut dispatch.bindings {
        let tensor = program.get(bound.tensor);
        bound.tensor = scratch.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
    }
    let plan = scratch.add(Plan { name: "measured".to_string(), dispatches: vec![dispatch] });
    (scratch, plan)
}

/// The median seconds of one run.
fn time(
    gpu: &GpuDevice,
    scratch: &Program,
    plan: PlanId,
    variant: &'static Variant,
) -> Result<f64, DeviceError> {
    let mut executor = GpuExecutor::new(gpu, scratch.clone(), 0, &|_| variant)?;
    let mut run = |n: u64| -> Result<f64, DeviceError> {
        let begin = Instant::now();
        let executor: &mut dyn Executor = &mut executor;
        executor.run_all(plan, n)?;
        Ok(begin.elapsed().as_secs_f64())
    };
    run(1)?; // the driver compiles
    let n = (SAMPLE.as_secs_f64() / run(1)?.max(1e-6)).clamp(1.0, 500.0) as u64;
    run(n)?;
    let mut seconds = [0.0; SAMPLES];
    for sample in &mut seconds {
        *sample = run(n)? / n as f64;
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[SAMPLES / 2])
}

/// What the file holds; nothing if it is not there or not what it should be.
fn read(path: &Path) -> Remembered {
    let text = std::fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Whole or not at all.
fn write(path: &Path, remembered: &Remembered) -> std::io::Result<()> {
    let folder = path.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(remembered)?)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
