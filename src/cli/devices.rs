//! `elbo devices`

use super::Failure;
use crate::device::cpu::CpuDevice;
use crate::device::gpu::{Adapters, adapter};
use crate::report::console::say;

/// List every adapter with its type, driver, limits and features, and what --device auto takes
#[derive(clap::Args)]
pub struct Args {}

pub fn run(Args {}: Args) -> Result<u8, Failure> {
    let adapters = Adapters::enumerate();
    let auto = adapters.hardware();
    for (i, a) in adapters.all().iter().enumerate() {
        let description = adapter::describe(&a.get_info());
        let limits = a.limits();
        let mark = if auto == Some(a) { "   <- auto" } else { "" };
        say(format_args!("{i}    {}{mark}", description.name));
        say(format_args!(
            "     {}, {}, driver {}",
            description.kind, description.backend, description.driver
        ));
        say(format_args!(
            "     binding up to {}, buffer up to {}, {} KiB workgroup memory, {} invocations",
            mebibytes(limits.max_storage_buffer_binding_size),
            mebibytes(limits.max_buffer_size),
            limits.max_compute_workgroup_storage_size / 1024,
            limits.max_compute_invocations_per_workgroup,
        ));
        let features = adapter::features(a);
        say(format_args!(
            "     {}",
            if features.is_empty() { "no extra features".to_string() } else { features.join(", ") }
        ));
    }
    let cpu = CpuDevice::new(None).map_err(Failure::run)?;
    let mark = if auto.is_none() { "   <- auto" } else { "" };
    say(format_args!("cpu  {}{mark}", cpu.description().name));
    say(format_args!("     the same plans without a GPU, {}", cpu.description().driver));
    if adapters.all().is_empty() {
        say("");
        say(format_args!("no GPU adapter found; {}", adapter::HINT));
    }
    Ok(0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
