//! What the tests share: the devices of this machine, kernel cases and their comparison with the reference
//! (tests/kernels/faults plants faults to see that nothing gets past it), devices with faults, the program as its
//! users run it, and a browser.
#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

#[cfg(unix)]
pub mod browser;
mod check;
#[cfg(unix)]
pub mod chromium;
pub mod program;
pub mod python;
pub mod site;
pub mod wrapped;

use std::io::Write;
use std::process::Command;
use std::sync::Once;

use elbo::device::cpu::CpuDevice;
use elbo::device::gpu::{Adapters, GpuDevice, adapter};
use elbo::device::{Device, DeviceError};
use elbo::numeric::Precision;
use elbo::plan::{Kernel, Variant};

pub use check::{
    Expected, Load, Prepared, Reference, SAFETY, Tested, check, check_in, check_loaded, compare,
    prepare, reference,
};

/// Bytes around each tensor that must stay untouched.
pub const GUARD: u64 = 512;

/// The adapter that the GPU tests run on. A machine without one fails them: a test that is skipped in
/// silence looks like one that passed.
pub fn gpu() -> GpuDevice {
    match open_gpu(&Adapters::enumerate()) {
        Ok(device) => device,
        Err(message) => panic!("{message}"),
    }
}

/// Every adapter of this machine: the software one that is the same everywhere, and any hardware.
pub fn gpus() -> Vec<GpuDevice> {
    let adapters = Adapters::enumerate();
    assert!(!adapters.all().is_empty(), "no GPU adapter for the tests: {}", adapter::HINT);
    let open = |a| GpuDevice::open(a).unwrap_or_else(|e| panic!("{e}"));
    adapters.all().iter().map(open).collect()
}

/// Every adapter that has cooperative matrices, in mixed precision. The others are named on the terminal,
/// past what the test runner keeps to itself: there the shaders are not tested.
pub fn mixed_gpus() -> Vec<GpuDevice> {
    let mixed = |gpu: &GpuDevice| match gpu.in_precision(Precision::Mixed) {
        Ok(gpu) => Some(gpu),
        Err(DeviceError::Precision { adapter, problem }) => {
            assert!(!problem.contains("wrongly"), "{adapter}: {problem}");
            static ONCE: Once = Once::new();
            ONCE.call_once(|| {
                let line = format!("NOT TESTED: cooperative matrices on {adapter}: {problem}\n");
                std::io::stderr().write_all(line.as_bytes()).expect("a terminal");
            });
            None
        }
        Err(error) => panic!("{error}"),
    };
    gpus().iter().filter_map(mixed).collect()
}

/// The CPU and every adapter.
pub fn devices() -> Vec<Device> {
    let gpus = gpus().into_iter().map(|gpu| Device::Gpu(Box::new(gpu)));
    std::iter::once(Device::Cpu(cpu())).chain(gpus).collect()
}

/// The variants of a kernel that an adapter can run.
pub fn variants(device: &GpuDevice, kernel: &Kernel) -> Vec<&'static Variant> {
    kernel.variants.iter().filter(|variant| device.can_run(variant)).collect()
}

pub fn open_gpu(adapters: &Adapters) -> Result<GpuDevice, String> {
    // The software adapter is preferred: the tests are the same on every machine.
    let software = adapters.find("llvmpipe").or_else(|_| adapters.best());
    let chosen =
        software.map_err(|_| format!("no GPU adapter for the tests: {}", adapter::HINT))?;
    GpuDevice::open(chosen).map_err(|e| e.to_string())
}

pub fn cpu() -> CpuDevice {
    CpuDevice::new(None).expect("threads")
}

/// The CPU device without threads of its own, which is the quickest on small cases.
pub fn single_thread() -> CpuDevice {
    CpuDevice::new(Some(1)).expect("this thread")
}

/// A test of this program again, in a process of its own. The module is `module_path!()`.
pub fn again(module: &str, test: &str) -> Command {
    let (_, module) = module.split_once("::").expect("a module of a test program");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]);
    command
}

/// Whether the test runs alone in its process, which one that changes or measures the whole process needs.
/// Where it does not, it runs there now, and must pass.
pub fn is_alone(module: &str, test: &str) -> bool {
    const ALONE: &str = "ELBO_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let output = again(module, test).env(ALONE, "1").output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{test}: {output:?}");
    false
}
