//! Every kernel, every case, on every device, against its formula in f64.

use std::sync::{LazyLock, OnceLock};

use elbo::device::cpu::CpuDevice;
use elbo::device::gpu::GpuDevice;
use elbo::kernels::{REGISTRY, linear};
use elbo::numeric::Precision;
use elbo::plan::{Access, Case, DType, Kernel, Variant};

use crate::harness::{self, GUARD, Load, Reference, Tested};

/// What is wrong with a kernel on a device.
#[derive(Debug, Clone, Default)]
struct Found {
    /// Differences from the reference.
    wrong: Vec<String>,
    /// NaNs that do not show in any result.
    lost: Vec<String>,
}

/// Runs the cases of a kernel whose sizes are this large at most, each on a program that is loaded once.
fn on_cases(
    kernel: &'static Kernel,
    largest: usize,
    precision: Precision,
    load: Load,
    look: &mut dyn FnMut(&Case, &Reference, &mut dyn Tested),
) {
    let mut cases: Vec<(u64, Case)> = (0..).zip((kernel.cases)()).collect();
    cases.retain(|(_, case)| case.dims.iter().all(|(_, size)| *size <= largest));
    assert!(!cases.is_empty(), "{kernel} has no cases");
    for (seed, case) in cases {
        let reference = harness::reference(precision, kernel, &case, seed).expect("a case");
        let program = reference.prepared.program.clone();
        let mut loaded = load(program).unwrap_or_else(|e| panic!("{kernel} {:?}: {e}", case.dims));
        look(&case, &reference, &mut *loaded);
    }
}

/// How a kernel on a device differs from the reference.
fn differences(
    device: &str,
    kernel: &'static Kernel,
    largest: usize,
    precision: Precision,
    load: Load,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let (mut worst, mut n) = (0.0_f64, 0);
    on_cases(kernel, largest, precision, load, &mut |case, reference, loaded| {
        n += 1;
        match harness::check_loaded(precision, kernel, case, reference, loaded) {
            Ok(ratio) => worst = worst.max(ratio),
            Err(message) => wrong.push(format!("{device}: {message}")),
        }
    });
    println!("{device}: {kernel}: {n} cases, worst error {worst:.3} of its bound");
    wrong
}

fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn cpu_agrees_with_the_oracle() {
    // The loops are cut by the number of threads.
    for threads in [None, Some(1), Some(3), Some(16)] {
        let device = CpuDevice::new(threads).expect("threads");
        let name = device.description().name.clone();
        for precision in [Precision::F32, Precision::Mixed] {
            let device = device.in_precision(precision);
            let load: Load = &|program| Ok(Box::new(device.load::<f32>(program)?));
            let wrong =
                |kernel: &&'static Kernel| differences(&name, kernel, usize::MAX, precision, load);
            assert_none(&REGISTRY.iter().flat_map(wrong).collect::<Vec<_>>());
        }
    }
}

/// What is wrong with a kernel on the GPUs: in every variant, and in the variants for mixed precision where an
/// adapter has them. A driver takes most of the time to compile a case, so that all is done with it that two
/// tests look at, and only once.
fn on_gpus(kernel: &'static Kernel, gpus: &Gpus) -> &'static [Found; 2] {
    static FOUND: LazyLock<Vec<OnceLock<[Found; 2]>>> =
        LazyLock::new(|| REGISTRY.iter().map(|_| OnceLock::new()).collect());
    let place = REGISTRY.iter().position(|k| std::ptr::eq(*k, kernel)).expect("registered");
    FOUND[place].get_or_init(|| {
        let mut single = Found::default();
        for device in &gpus.single {
            let variants = harness::variants(device, kernel);
            assert!(!variants.is_empty(), "no variant of {kernel}");
            examine(device, kernel, &variants, Precision::F32, &mut single);
        }
        let mut mixed = Found::default();
        for device in &gpus.mixed {
            examine(device, kernel, &cooperative(device, kernel), Precision::Mixed, &mut mixed);
        }
        [single, mixed]
    })
}

/// The adapters, and those of them that have cooperative matrices, in mixed precision.
struct Gpus {
    single: Vec<GpuDevice>,
    mixed: Vec<GpuDevice>,
}

impl Gpus {
    fn open() -> Self {
        Gpus { single: harness::gpus(), mixed: harness::mixed_gpus() }
    }
}

fn examine(
    device: &GpuDevice,
    kernel: &'static Kernel,
    variants: &[&'static Variant],
    precision: Precision,
    found: &mut Found,
) {
    for variant in variants {
        let name = format!("{}, {}", device.description().name, variant.name);
        let (mut worst, mut n) = (0.0_f64, 0);
        let load: Load =
            &|program| Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?));
        on_cases(kernel, usize::MAX, precision, load, &mut |case, reference, loaded| {
            n += 1;
            match harness::check_loaded(precision, kernel, case, reference, loaded) {
                Ok(ratio) => worst = worst.max(ratio),
                Err(message) => found.wrong.push(format!("{name}: {message}")),
            }
            let lost = lost_nans(kernel, case, reference, loaded);
            found.lost.extend(lost.into_iter().map(|nan| format!("{name}: {nan}")));
        });
        println!("{name}: {kernel}: {n} cases, worst error {worst:.3} of its bound");
    }
}

#[test]
fn gpu_agrees_with_the_oracle() {
    let gpus = Gpus::open();
    let wrong = REGISTRY.iter().flat_map(|kernel| on_gpus(kernel, &gpus)[0].wrong.clone());
    assert_none(&wrong.collect::<Vec<_>>());
}

/// The variants that an adapter has for mixed precision alone.
fn cooperative(device: &GpuDevice, kernel: &Kernel) -> Vec<&'static Variant> {
    let mut variants = harness::variants(device, kernel);
    variants.retain(|variant| variant.cooperative.is_some());
    variants
}

#[test]
fn mixed_precision_agrees_with_the_oracle() {
    let gpus = Gpus::open();
    let mut wrong = Vec::new();
    for device in &gpus.mixed {
        let device = device.checked();
        for kernel in REGISTRY {
            for variant in cooperative(&device, kernel) {
                let load: Load =
                    &|program| Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?));
                let name = format!("checked, {}", variant.name);
                wrong.extend(differences(&name, kernel, 200, Precision::Mixed, load));
            }
        }
    }
    assert_none(&wrong);
    // Without cooperative matrices there is nothing to wait for.
    if !gpus.mixed.is_empty() {
        let unchecked = REGISTRY.iter().flat_map(|kernel| on_gpus(kernel, &gpus)[1].wrong.clone());
        assert_none(&unchecked.collect::<Vec<_>>());
    }
}

/// With the checks of every index and loop that a user can turn on, shaders compute the same.
#[test]
fn gpu_agrees_with_the_oracle_in_checked_mode() {
    let device = harness::gpu().checked();
    let wrong = |kernel: &&'static Kernel| {
        let last = harness::variants(&device, kernel).last().expect("one").name;
        let load: Load = &|program| Ok(Box::new(device.load_guarded(program, GUARD, last)?));
        differences("checked", kernel, 200, Precision::F32, load)
    };
    assert_none(&REGISTRY.iter().flat_map(wrong).collect::<Vec<_>>());
}

#[test]
fn a_variant_that_the_adapter_cannot_run_is_refused() {
    let kernel = &linear::FORWARD;
    let prepared = harness::prepare(kernel, &(kernel.cases)()[1], 0).expect("a case");
    for device in harness::gpus() {
        for variant in kernel.variants {
            let loaded = device.load_guarded(prepared.program.clone(), GUARD, variant.name);
            assert_eq!(loaded.is_ok(), device.can_run(variant), "{}", variant.name);
        }
        let impossible = Variant { subgroup: Some(3), ..kernel.variants[0] };
        assert!(!device.can_run(&impossible));
    }
}

/// Inputs through which a NaN need not show: another tensor of the same step shows it.
const HIDDEN: &[(&str, &str)] = &[
    ("posterior.backward_input", "x"),
    ("linear.backward_input", "x"), // only the sign of a ReLU's value matters, the forward pass has it
    ("convolution.backward_input", "x"),
    ("transposed_convolution.backward_input", "x"),
    ("residual.backward", "a"),
    ("end_step.end_step", "history"), // other rows, which stay as they are
    ("store_samples.store", "stored"),
    ("end_step.end_step", "rates"),
    ("end_step.end_step_with_bound", "history"),
    ("end_step.end_step_with_bound", "rates"),
    ("posterior.backward_free_bits", "rates"), // a unit below the bound has no use for it
    ("posterior.backward_free_bits", "unit_kl"), // the heads it is made of show it
    ("posterior.full_backward_free_bits", "rates"), // as of the diagonal one
    ("posterior.full_backward_free_bits", "unit_kl"),
    ("gaussian.variance", "log_variance"), // log p(x|z) shows it
    ("annealed.leapfrog", "gradient"),     // one of the two is read, by the step
    ("annealed.leapfrog", "begun"),
    // What a proposal is made of: one that is no number is refused, and the chain stays where it is.
    ("annealed.transition", "d_z"),
    ("annealed.transition", "z"),
    ("annealed.transition", "v"),
    ("annealed.transition", "log_px"),
    ("annealed.transition", "heads"),
];

/// The names of inputs whose NaNs show in no result of a small case, with the case: the watchdog sees a NaN only
/// if no kernel hides it, as max() and clamp() do.
fn lost_nans(
    kernel: &'static Kernel,
    case: &Case,
    reference: &Reference,
    loaded: &mut dyn Tested,
) -> Vec<String> {
    // Not past the end of a pass, where no image is left to count.
    let past_the_end = case.dims.contains(&("B", 65)) && case.constants.contains(&("WRAP", 0.0));
    // Nor within a transition, where nothing is done, and at the first step of all, which reads no state.
    let within = kernel.to_string() == "annealed.transition" && case.dims.contains(&("B", 20));
    if past_the_end || within || case.dims.iter().any(|(_, n)| *n >= 1000) {
        return Vec::new();
    }
    let mut lost = Vec::new();
    let prepared = &reference.prepared;
    for (planted, access, bytes) in &prepared.tensors {
        let tensor = prepared.program.get(*planted);
        // A weight of zero leaves the rates out.
        let left_out = tensor.name == "rates" && case.constants.contains(&("KL", 0.0));
        let hidden = HIDDEN.contains(&(kernel.to_string().as_str(), tensor.name.as_str()));
        if *access == Access::Write || hidden || left_out || tensor.dtype != DType::F32 {
            continue;
        }
        for (id, _, bytes) in &prepared.tensors {
            loaded.write_bytes(*id, bytes).expect("writes");
        }
        let nans = f32::NAN.to_le_bytes().repeat(bytes.len() / 4);
        loaded.write_bytes(*planted, &nans).expect("writes");
        loaded.run_dispatch(prepared.plan, 0).expect("runs");
        let shows = prepared.tensors.iter().any(|(id, access, _)| {
            let floats = prepared.program.get(*id).dtype == DType::F32;
            let mut read = || loaded.read_bytes(*id).expect("reads");
            access.writes()
                && floats
                && bytemuck::pod_collect_to_vec::<u8, f32>(&read()).iter().any(|v| v.is_nan())
        });
        if !shows {
            let Case { dims, constants, .. } = case;
            lost.push(format!("{kernel} {dims:?} {constants:?}: NaN in {} is lost", tensor.name));
        }
    }
    lost
}

#[test]
fn the_cpu_keeps_a_nan() {
    let device = harness::cpu();
    let load: Load = &|program| Ok(Box::new(device.load::<f32>(program)?));
    let mut lost = Vec::new();
    for kernel in REGISTRY {
        on_cases(kernel, usize::MAX, Precision::F32, load, &mut |case, reference, loaded| {
            lost.extend(lost_nans(kernel, case, reference, loaded));
        });
    }
    assert_none(&lost);
}

#[test]
fn the_gpu_keeps_a_nan() {
    let gpus = Gpus::open();
    // In the other direction, so that two tests that run at the same time share the work.
    let found = REGISTRY.iter().rev().flat_map(|kernel| on_gpus(kernel, &gpus));
    assert_none(&found.flat_map(|found| found.lost.clone()).collect::<Vec<_>>());
}
