//! Every kernel, every case, on every device, against the f64 twin.

use elbo::device::DeviceError;
use elbo::device::cpu::CpuDevice;
use elbo::device::gpu::GpuDevice;
use elbo::kernels::{REGISTRY, linear};
use elbo::numeric::Precision;
use elbo::plan::{Case, Kernel, Variant};
use elbo::plan::{DType, Program};

use crate::harness::{self, GUARD, Load, Tested};

/// Loads a program on a device, with this variant of each kernel that has it.
type LoadVariant<'a> = &'a dyn Fn(Program, &Variant) -> Result<Box<dyn Tested>, DeviceError>;

/// Which variants of a kernel to look at.
type Variants<'a> = &'a dyn Fn(&Kernel) -> Vec<&'static Variant>;

fn check_all(
    device: &str,
    precision: Precision,
    largest: usize,
    variants: Variants,
    load: LoadVariant,
) {
    let mut failures = Vec::new();
    for kernel in REGISTRY {
        let mut cases = (kernel.cases)();
        cases.retain(|case| case.dims.iter().all(|(_, size)| *size <= largest));
        assert!(!cases.is_empty(), "{kernel} has no cases");
        let variants = variants(kernel);
        for variant in variants {
            let mut worst = 0.0_f64;
            for (seed, case) in cases.iter().enumerate() {
                let load: Load = &|program| load(program, variant);
                match harness::check_in(precision, kernel, case, seed as u64, load) {
                    Ok(ratio) => worst = worst.max(ratio),
                    Err(message) => failures.push(format!("{} {message}", variant.name)),
                }
            }
            println!(
                "{device}: {kernel}, {}: {} cases, worst error {worst:.3} of its bound",
                variant.name,
                cases.len(),
            );
        }
    }
    assert!(failures.is_empty(), "{device}:\n{}", failures.join("\n"));
}

/// A twin is the same for all variants.
fn first(kernel: &Kernel) -> Vec<&'static Variant> {
    vec![&kernel.variants[0]]
}

#[test]
fn cpu_agrees_with_the_oracle() {
    // The loops are cut by the number of threads.
    for threads in [None, Some(1), Some(3), Some(16)] {
        let device = CpuDevice::new(threads).expect("threads");
        let name = device.description().name.clone();
        for precision in [Precision::F32, Precision::Mixed] {
            let device = device.in_precision(precision);
            check_all(&name, precision, usize::MAX, &first, &|program, _| {
                Ok(Box::new(device.load::<f32>(program)?))
            });
        }
    }
}

#[test]
fn gpu_agrees_with_the_oracle() {
    for device in harness::gpus() {
        let name = device.description().name.clone();
        check_all(
            &name,
            Precision::F32,
            usize::MAX,
            &|kernel| {
                let variants = harness::variants(&device, kernel);
                assert!(!variants.is_empty(), "{name}: no variant of {kernel}");
                variants
            },
            &|program, variant| Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?)),
        );
    }
}

/// The variants that an adapter has for mixed precision alone.
fn cooperative(device: &GpuDevice, kernel: &Kernel) -> Vec<&'static Variant> {
    let mut variants = harness::variants(device, kernel);
    variants.retain(|variant| variant.cooperative.is_some());
    variants
}

#[test]
fn mixed_precision_agrees_with_the_oracle() {
    for device in harness::mixed_gpus() {
        for (device, largest) in [(device.clone(), usize::MAX), (device.checked(), 200)] {
            check_all(
                &device.description().name,
                Precision::Mixed,
                largest,
                &|kernel| cooperative(&device, kernel),
                &|program, variant| {
                    Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?))
                },
            );
        }
    }
}

/// With the checks of every index and loop that a user can turn on, shaders compute the same.
#[test]
fn gpu_agrees_with_the_oracle_in_checked_mode() {
    let device = harness::gpu().checked();
    let last = |kernel: &Kernel| vec![*harness::variants(&device, kernel).last().expect("one")];
    check_all("checked", Precision::F32, 200, &last, &|program, variant| {
        Ok(Box::new(device.load_guarded(program, GUARD, variant.name)?))
    });
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
    ("end_step.end_step", "history"), // other rows, which stay as they are
    ("store_samples.store", "stored"),
    ("end_step.end_step", "rates"),
    ("end_step.end_step_with_bound", "history"),
    ("end_step.end_step_with_bound", "rates"),
    ("posterior.backward_free_bits", "rates"), // a unit below the bound has no use for it
    ("posterior.backward_free_bits", "unit_kl"), // the heads it is made of show it
    ("gaussian.variance", "log_variance"),     // log p(x|z) shows it
];

/// The watchdog sees a NaN only if no kernel hides it, as max() and clamp() do.
fn a_nan_stays_one(variants: Variants, load: LoadVariant) {
    for kernel in REGISTRY {
        for variant in variants(kernel) {
            a_nan_stays_one_in(kernel, &|program| load(program, variant));
        }
    }
}

fn a_nan_stays_one_in(kernel: &'static Kernel, load: Load) {
    // Not past the end of a pass, where no image is left to count.
    let past_the_end =
        |c: &Case| c.dims.contains(&("B", 65)) && c.constants.contains(&("WRAP", 0.0));
    let small = |c: &&Case| c.dims.iter().all(|(_, n)| *n < 1000) && !past_the_end(c);
    for case in (kernel.cases)().iter().filter(small) {
        let prepared = harness::prepare(kernel, case, 0).expect("a case");
        let name_of = |id| prepared.program.get(id).name.clone();
        for (planted, access, bytes) in &prepared.tensors {
            let name = name_of(*planted);
            let is_input = *access != elbo::plan::Access::Write;
            let hidden = HIDDEN.contains(&(kernel.to_string().as_str(), name.as_str()));
            if !is_input || hidden || prepared.program.get(*planted).dtype != DType::F32 {
                continue;
            }
            let mut device: Box<dyn Tested> = load(prepared.program.clone()).expect("loads");
            for (id, _, bytes) in &prepared.tensors {
                device.write_bytes(*id, bytes).expect("writes");
            }
            let nans = f32::NAN.to_le_bytes().repeat(bytes.len() / 4);
            device.write_bytes(*planted, &nans).expect("writes");
            device.run_dispatch(prepared.plan, 0).expect("runs");
            let shows = prepared.tensors.iter().any(|(id, access, _)| {
                let f32s = prepared.program.get(*id).dtype == DType::F32;
                let mut read = || device.read_bytes(*id).expect("reads");
                access.writes()
                    && f32s
                    && bytemuck::pod_collect_to_vec::<u8, f32>(&read()).iter().any(|v| v.is_nan())
            });
            assert!(shows, "{kernel} {:?} {:?}: NaN in {name} is lost", case.dims, case.constants);
        }
    }
}

#[test]
fn the_cpu_keeps_a_nan() {
    let device = harness::cpu();
    a_nan_stays_one(&first, &|program, _| Ok(Box::new(device.load::<f32>(program)?)));
}

#[test]
fn the_gpu_keeps_a_nan() {
    for device in harness::gpus() {
        a_nan_stays_one(&|kernel| harness::variants(&device, kernel), &|program, variant| {
            Ok(Box::new(device.load_guarded(program, 0, variant.name)?))
        });
    }
    for device in harness::mixed_gpus() {
        a_nan_stays_one(&|kernel| cooperative(&device, kernel), &|program, variant| {
            Ok(Box::new(device.load_guarded(program, 0, variant.name)?))
        });
    }
}
