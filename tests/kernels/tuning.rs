//! Which variant of a kernel runs: measured, remembered, given, and what happens to a cache that is spoilt.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use elbo::device::gpu::{GpuDevice, GpuExecutor, Tuning};
use elbo::device::{Device, Executor};
use elbo::kernels::linear;
use elbo::plan::variant::Choices;
use elbo::plan::{Dispatch, Program};
use serde_json::{Value, json};

use crate::harness;

/// One product.
fn program() -> Program {
    let case = &(linear::FORWARD.cases)()[8];
    harness::prepare(&linear::FORWARD, case, 0).expect("a case").program
}

fn dispatch(program: &Program) -> &Dispatch {
    &program.plans()[0].dispatches[0]
}

fn tuning(cache: impl Into<PathBuf>) -> Tuning {
    Tuning { cache: Some(cache.into()), notice: |_| {} }
}

fn load(device: &GpuDevice, cache: &Path) -> GpuExecutor {
    device.tuned(tuning(cache)).load(program()).expect("loads")
}

/// The name of the one variant that an executor runs.
fn chosen(executor: &GpuExecutor) -> String {
    dispatch_choice(&executor.variants()).expect("a product has several variants")
}

fn dispatch_choice(choices: &Choices) -> Option<String> {
    let program = program();
    choices.get(dispatch(&program)).map(|variant| variant.name.to_string())
}

/// The one entry of a cache: its device, its place and its variant.
fn entry(cache: &Path) -> (String, String, String) {
    let all: Value = serde_json::from_slice(&fs::read(cache).expect("there")).expect("JSON");
    let (device, places) = all.as_object().expect("an object").iter().next().expect("a device");
    let (place, variant) = places.as_object().expect("an object").iter().next().expect("a place");
    (device.clone(), place.clone(), variant.as_str().expect("a name").to_string())
}

#[test]
fn a_measurement_is_made_once_and_remembered() {
    for device in harness::gpus() {
        let home = tempfile::tempdir().expect("a folder");
        let cache = home.path().join("in/folders/variants.json");
        let first = chosen(&load(&device, &cache));
        let mut usable: Vec<&str> =
            harness::variants(&device, &linear::FORWARD).iter().map(|v| v.name).collect();
        // Of tiles of 128 rows there is one.
        usable.retain(|name| !["large", "tall"].contains(name));
        assert!(usable.contains(&first.as_str()));
        let (whose, place, variant) = entry(&cache);
        assert_eq!(variant, first);
        assert!(
            whose.starts_with(&device.description().name) && whose.contains("elbo "),
            "{whose}"
        );
        let sizes = "linear.forward ACTIVATION=0 I=101 O=43 R=37: ";
        assert_eq!(place, format!("{sizes}{}", usable.join(" ")));
        // What is remembered is taken, not measured again: each of them, whichever is the fastest.
        for variant in &usable {
            let text = json!({ &whose: { &place: variant } }).to_string();
            fs::write(&cache, &text).expect("writes");
            assert_eq!(chosen(&load(&device, &cache)), *variant);
            assert_eq!(fs::read_to_string(&cache).expect("there"), text, "nothing was measured");
        }
        // Another driver's measurements stay, and are not ours.
        fs::write(&cache, json!({ "another": { &place: "wide" } }).to_string()).expect("writes");
        load(&device, &cache);
        let all: Value = serde_json::from_slice(&fs::read(&cache).expect("there")).expect("JSON");
        assert_eq!(all["another"][&place], "wide");
        assert!(usable.contains(&all[&whose][&place].as_str().expect("a name")));
    }
}

#[test]
fn a_spoilt_cache_does_no_harm() {
    let device = harness::gpu();
    let home = tempfile::tempdir().expect("a folder");
    let cache = home.path().join("variants.json");
    load(&device, &cache);
    let (whose, place, _) = entry(&cache);
    let spoilt = [
        String::new(),
        "{".to_string(),
        "[1, 2]".to_string(),
        json!({ &whose: 7 }).to_string(),
        json!({ &whose: { &place: "no such variant" } }).to_string(),
    ];
    for text in spoilt {
        fs::write(&cache, &text).expect("writes");
        let variant = chosen(&load(&device, &cache));
        assert_eq!(entry(&cache), (whose.clone(), place.clone(), variant), "{text}");
    }
    // Nowhere to write: below a file, and in place of a folder.
    fs::write(home.path().join("file"), "").expect("writes");
    load(&device, &home.path().join("file/variants.json"));
    fs::create_dir(home.path().join("folder")).expect("makes");
    load(&device, &home.path().join("folder"));
    let none = Tuning { cache: None, notice: |_| {} };
    device.tuned(none).load(program()).expect("loads");
}

#[test]
fn given_choices_come_first() {
    let home = tempfile::tempdir().expect("a folder");
    for gpu in harness::gpus() {
        let cache = home.path().join("variants.json");
        let device = || Device::Gpu(Box::new(gpu.tuned(tuning(&cache))));
        let program = program();
        for variant in linear::FORWARD.variants {
            let mut given = Choices::default();
            given.set(dispatch(&program), variant);
            let executor =
                device().with_variants(given.clone()).load(program.clone()).expect("loads");
            let ran = dispatch_choice(&executor.variants()).expect("one");
            // One that the adapter cannot run, of a run elsewhere, is not insisted on.
            assert_eq!(ran == variant.name, gpu.can_run(variant), "{} {ran}", variant.name);
        }
        assert!(!cache.exists(), "what is given is not measured");
        // A run's choices survive their file.
        let executor = device().load(program.clone()).expect("loads");
        let text = serde_json::to_string(&executor.variants()).expect("JSON");
        let read: Choices = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read, executor.variants());
        let unknown: Choices =
            serde_json::from_value(json!({ "linear.forward": "x", "y": "z" })).expect("JSON");
        device().with_variants(unknown).load(program.clone()).expect("loads");
    }
    let cpu = Device::Cpu(harness::cpu());
    assert!(cpu.load(program()).expect("loads").variants().is_empty());
}

/// Without tuning the choice is a rule's, the same at every load, and nothing is written.
#[test]
fn a_device_that_is_not_tuned_measures_nothing() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let device = harness::gpu();
    let first = chosen(&device.load(program()).expect("loads"));
    assert_eq!(chosen(&device.load(program()).expect("loads")), first);
    let home = tempfile::tempdir().expect("a folder");
    let cache = home.path().join("variants.json");
    let heard = Tuning {
        cache: Some(cache.clone()),
        notice: |line| {
            assert_eq!(line.lines().count(), 1);
            HEARD.fetch_add(1, Ordering::Relaxed);
        },
    };
    // At most one line, and none where all is remembered.
    device.tuned(heard.clone()).load(program()).expect("loads");
    let after_first = HEARD.load(Ordering::Relaxed);
    assert!(after_first <= 1);
    device.tuned(heard).load(program()).expect("loads");
    assert_eq!(HEARD.load(Ordering::Relaxed), after_first);
}
