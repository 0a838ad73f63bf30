//! The comparison has no holes, its bounds are tight, and a case that is wrong is refused.

use elbo::device::gpu::adapter;
use elbo::kernels::{REGISTRY, linear};
use elbo::numeric::bounded::Bounded;
use elbo::numeric::{Precision, Real};
use elbo::plan::Case;
use elbo::plan::case::Fill;

use crate::harness::{self, Expected, SAFETY};

#[test]
fn the_comparison_has_no_holes() {
    let bounded = |value: f64, error: f64| {
        let mut b = Bounded::from_f64(value);
        b.error = error;
        b
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    for (value, error, got, passes) in [
        (1.0, 0.25, 1.5, true),
        (1.0, 0.25, 0.5, true),
        (1.0, 0.25, 1.5_f32.next_up(), false),
        (1.0, 0.25, 0.5_f32.next_down(), false),
        (1.0, 0.0, 1.0, true),
        (1.0, 0.0, 1.0_f32.next_up(), false),
        (0.0, 0.0, -0.0, true),
        (1.0, 0.25, nan, false),
        (1.0, 0.25, inf, false),
        (1.0, f64::INFINITY, 7.0, false), // a bound of everything is no bound
        (1.0, f64::INFINITY, 1.0, false),
        (1.0, f64::NAN, 1.0, false),
        (1.0, -1.0, 7.0, false),
        (f64::NAN, 0.0, nan, false),
        (f64::NAN, 0.0, 0.0, false),
        (f64::INFINITY, f64::NAN, inf, true),
        (f64::INFINITY, f64::NAN, -inf, false),
        (f64::INFINITY, f64::INFINITY, f32::MAX, false),
        (1e39, 1.0, inf, false),
    ] {
        // at every place among elements that agree
        for i in 0..3 {
            let (mut expected, mut device) = ([bounded(2.0, 0.1); 3], [2.0; 3]);
            (expected[i], device[i]) = (bounded(value, error), got);
            let result = harness::compare(&expected, &device);
            assert_eq!(result.is_ok(), passes, "{value} ± {error}, got {got}: {result:?}");
        }
    }
    assert!(harness::compare(&[bounded(1.0, 0.1); 2], &[1.0]).is_err());
    assert!(harness::compare(&[bounded(1.0, 0.1)], &[1.0, 1.0]).is_err());
}

#[test]
fn a_case_with_a_misspelled_name_is_refused() {
    let case = Case::new(&[("R", 2), ("I", 3), ("O", 4)]);
    let prepare = |case: &Case| harness::prepare(&linear::FORWARD, case, 0).map(|p| p.tensors);
    let refused = |case: Case| prepare(&case).map(|_| ()).unwrap_err();
    assert!(prepare(&case).is_ok());
    assert!(refused(case.clone().fill("wieght", Fill::Bits)).contains("wieght"));
    assert!(refused(case.clone().fill("x", Fill::Bytes)).contains("another type"));
    assert!(refused(case.clone().constant("ACTIVATOIN", 1.0)).contains("ACTIVATOIN"));
    assert!(refused(Case::new(&[("R", 2), ("I", 3)])).contains("no O"));
    assert!(refused(Case::new(&[("R", 2), ("I", 3), ("O", 4), ("K", 1)])).contains('K'));
    // a case that refines another one's fill
    let twice = case.fill("x", Fill::Bits).fill("x", Fill::Cycle(vec![0.25]));
    let x = &prepare(&twice).unwrap()[0].2;
    assert_eq!(bytemuck::pod_collect_to_vec::<u8, f32>(x), [0.25; 6]);
}

/// The bound leaves no room for a fault that matters: not even for one term of a sum.
#[test]
fn the_bounds_are_tight() {
    let mut wide = Vec::new();
    for kernel in REGISTRY {
        for (seed, case) in (kernel.cases)().iter().enumerate() {
            let reference = harness::reference(Precision::F32, kernel, case, seed as u64).unwrap();
            let prepared = &reference.prepared;
            for ((id, ..), expected) in prepared.tensors.iter().zip(&reference.expected) {
                let tensor = prepared.program.get(*id);
                let Expected::Floats(values) = expected else { continue };
                let largest = values.iter().map(|e| SAFETY * e.error).fold(0.0, f64::max);
                let squares: f64 = values.iter().map(|e| e.value * e.value).sum();
                let typical = (squares / values.len() as f64).sqrt();
                let place = format!("{kernel} {case:?} {tensor}: ± {largest:e} of {typical:e}");
                if largest > 2e-3 * typical + 1e-37 {
                    wide.push(place.clone());
                }
                if case.dims == [("R", 128), ("I", 784), ("O", 400)] {
                    // x and the weights are normal: a term is 1, typically
                    assert!(largest < 0.05, "{place}");
                }
            }
        }
    }
    assert!(wide.is_empty(), "{}", wide.join("\n"));
}

/// The environment that tells the test below that it is its own child.
const CHILD: &str = "ELBO_TEST_WITHOUT_ADAPTER";

#[test]
#[cfg(target_os = "linux")]
fn a_missing_adapter_fails_with_the_line_that_installs_one() {
    if std::env::var_os(CHILD).is_some() {
        harness::gpu();
        return;
    }
    let test = "a_missing_adapter_fails_with_the_line_that_installs_one";
    let child = harness::again(module_path!(), test)
        .env(CHILD, "1")
        .env("VK_DRIVER_FILES", "/nonexistent")
        .env("VK_ICD_FILENAMES", "/nonexistent")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success(), "it passed without an adapter: {text}");
    assert!(text.contains("1 failed"), "{text}");
    assert!(text.contains("no GPU adapter for the tests"), "{text}");
    assert!(text.contains(adapter::HINT) && adapter::HINT.contains("apt-get install"), "{text}");
}
