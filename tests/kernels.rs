//! Every kernel, every case, on every device, against the f64 twin.

mod harness;

use elbo::kernels::REGISTRY;
use harness::{GUARD, Load};

fn check_all(device: &str, load: Load) {
    let mut failures = Vec::new();
    for kernel in REGISTRY {
        let mut worst = 0.0_f64;
        let cases = (kernel.cases)();
        assert!(!cases.is_empty(), "{kernel} has no cases");
        for (seed, case) in cases.iter().enumerate() {
            match harness::check(kernel, case, seed as u64, load) {
                Ok(ratio) => worst = worst.max(ratio),
                Err(message) => failures.push(message),
            }
        }
        println!(
            "{device}: {kernel}: {} cases, worst error {:.3} of its bound",
            cases.len(),
            worst
        );
    }
    assert!(failures.is_empty(), "{device}:\n{}", failures.join("\n"));
}

#[test]
fn cpu_agrees_with_the_oracle() {
    let device = harness::cpu();
    check_all("CPU", &|program| Ok(Box::new(device.load::<f32>(program))));
}

#[test]
fn gpu_agrees_with_the_oracle() {
    let device = harness::gpu();
    let name = device.description().name.clone();
    check_all(&name, &|program| Ok(Box::new(device.load_guarded(program, GUARD)?)));
}
