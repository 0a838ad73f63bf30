//! Documents without a browser: what is read back is what was recorded, and asks for no more than WebGPU has.

use std::collections::BTreeSet;

use elbo::device::gpu::portable_variant;
use elbo::device::{Device, Executor};
use elbo::interchange::document::{of_model, of_training};
use elbo::kernels::REGISTRY;
use elbo::plan::document::{Document, pool, read, write};
use elbo::plan::{Program, TensorId};
use elbo::train::{self, Settings};
use elbo::vae::Binarization;
use elbo::vae::decode::{DecodeProgram, ReconstructProgram, SampleProgram, Shown};
use elbo::vae::estimate::{Chunks, EstimateProgram};
use elbo::vae::step::{Content, TrainProgram};
use serde_json::{Value, json};

use crate::harness;
use crate::settings::{combinations, dataset, networks, small};

fn written(program: &Program) -> Document {
    write(program, &portable_variant, json!({})).unwrap_or_else(|e| panic!("{e}"))
}

fn read_back(document: &Document) -> Program {
    let read = read(&document.plan, &pool([document]), REGISTRY);
    read.unwrap_or_else(|e| panic!("{e}")).program
}

/// Every tensor after some steps of training and an evaluation, by its name.
fn states(device: &Device, program: Program, settings: &Settings) -> Vec<(String, Vec<u8>)> {
    let named = |program: &Program, name: &str| {
        let found = program.tensors().iter().position(|tensor| tensor.name == name);
        TensorId(found.unwrap_or_else(|| panic!("no tensor {name}")))
    };
    let recorded = train::record(&dataset(), settings).expect("a plan");
    let mut executor = device.load(program).expect("loads");
    // The beginning of a run, brought over by the names of tensors.
    let mut begun = harness::cpu().load::<f32>(recorded.program.clone()).expect("memory");
    train::begin(&mut begun, &recorded, &dataset(), settings).expect("begins");
    for (i, tensor) in recorded.program.tensors().iter().enumerate() {
        if !tensor.dropped && tensor.part_of.is_none() {
            let bytes = begun.read_bytes(TensorId(i)).expect("reads");
            let to = named(executor.program(), &tensor.name);
            executor.write_bytes(to, &bytes).expect("writes");
        }
    }
    for (plan, steps) in [(recorded.train.plan, 5), (recorded.test.plan, 3)] {
        executor.run_all(plan, steps).expect("runs");
    }
    let tensors: Vec<_> = executor.program().tensors().to_vec();
    let kept = tensors.iter().enumerate().filter(|(_, tensor)| !tensor.dropped);
    let read = |(i, tensor): (usize, &elbo::plan::Tensor)| {
        (tensor.name.clone(), executor.read_bytes(TensorId(i)).expect("reads"))
    };
    kept.map(read).collect()
}

#[test]
fn what_is_read_back_runs_bit_for_bit() {
    // The variants that the document has, on the adapter too.
    let mut choices = elbo::plan::variant::Choices::default();
    let all: Vec<Settings> = networks().into_iter().map(|(_, settings)| settings).collect();
    for settings in [&[small()], &all[..]].concat() {
        let TrainProgram { program, .. } = train::record(&dataset(), &settings).expect("a plan");
        for dispatch in program.plans().iter().flat_map(|plan| &plan.dispatches) {
            choices.set(dispatch, portable_variant(dispatch));
        }
        let document = written(&program);
        let gpu = Device::Gpu(Box::new(harness::gpu())).with_variants(choices.clone());
        for device in [Device::Cpu(harness::cpu()), gpu] {
            let name = &device.description().name;
            let expected = states(&device, program.clone(), &settings);
            let got = states(&device, read_back(&document), &settings);
            let [expected_names, names] = [&expected, &got]
                .map(|all| all.iter().map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>());
            assert_eq!(names, expected_names);
            for ((tensor, got), (_, expected)) in got.iter().zip(&expected) {
                assert!(got == expected, "{name}: {tensor} differs");
            }
        }
    }
}

/// The limits that a document asks for.
fn limits(document: &Document) -> Value {
    serde_json::from_str::<Value>(&document.plan).expect("JSON")["limits"].clone()
}

#[test]
fn no_configuration_asks_for_more_than_webgpu_has() {
    let settings = networks().into_iter().map(|(_, settings)| settings).chain(combinations());
    let mut kernels = BTreeSet::new();
    let mut check = |program: &Program, what: &dyn std::fmt::Debug| {
        let document = written(program);
        assert_eq!(limits(&document), json!({}), "{what:?}");
        for dispatch in program.plans().iter().flat_map(|plan| &plan.dispatches) {
            assert!(dispatch.bindings.len() <= 8, "{}", dispatch.kernel);
            kernels.insert(dispatch.kernel.to_string());
        }
        // Read and written again it is the same text: nothing is lost on the way.
        let again = read(&document.plan, &pool([&document]), REGISTRY).expect("reads");
        assert!(
            write(&again.program, &portable_variant, again.host).expect("writes") == document,
            "{what:?}"
        );
    };
    let mut n = 0;
    for settings in settings {
        let plan = train::record(&dataset(), &settings).expect("a plan");
        check(&plan.program, &settings.architecture);
        n += 1;
    }
    assert!(n > 300, "{n} configurations");
    for settings in networks().into_iter().map(|(_, settings)| settings) {
        let (a, content) = (&settings.architecture, Content::Bytes(Binarization::Dynamic));
        let chunks = Chunks { batch: 4, samples: 3, runs: 2 };
        check(&DecodeProgram::record(a, 4).expect("a plan").program, a);
        check(&SampleProgram::record(a, 4, Shown::Expected).expect("a plan").program, a);
        let reconstruct = ReconstructProgram::record(a, content, 50, None, chunks);
        check(&reconstruct.expect("a plan").program, a);
        check(&EstimateProgram::record(a, content, 50, None, chunks).expect("a plan").program, a);
    }
    assert!(kernels.len() > 70, "{} kernels: {kernels:?}", kernels.len());
}

/// What is beyond a default limit is said.
#[test]
fn a_large_data_set_asks_for_its_limit() {
    let mut program = Program::new();
    let large = program.tensor("large", &[300 << 20], elbo::plan::DType::U8);
    let asked = limits(&written(&program));
    let size = program.get(large).size_bytes();
    assert_eq!(asked, json!({ "maxBufferSize": size, "maxStorageBufferBindingSize": size }));
}

#[test]
fn the_host_is_told_what_it_must_know() {
    let document = of_training(&dataset(), &small()).expect("a document");
    let value: Value = serde_json::from_str(&document.plan).expect("JSON");
    let host = &value["host"];
    assert_eq!(host["kind"], "training");
    assert_eq!(host["train"]["data"], "train/data");
    assert_eq!(host["train"]["history_steps"], 14);
    assert_eq!(host["evaluate"]["images"], 50);
    assert_eq!(host["rates"][0].as_f64(), Some(f64::from(1e-3_f32)));
    let names: Vec<&Value> = host["parameters"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|p| &p["files"][0]["name"])
        .collect();
    assert_eq!(names[0], "fc1.weight");
    assert_eq!(host["parameters"][2]["files"][1]["name"], "fc22.weight");
    // A prior that begins at images of the training set cannot begin without them.
    let vamp = crate::settings::with(|s| {
        let values = elbo::vae::prior::PseudoValues::Pixels;
        s.architecture.prior = elbo::vae::Prior::Vamp { pseudo_inputs: 3, values };
        s.objective.kl = elbo::vae::objective::Kl::Sampled;
    });
    let value: Value =
        serde_json::from_str(&of_training(&dataset(), &vamp).expect("a document").plan)
            .expect("JSON");
    assert!(value["host"]["parameters"][0]["begin"].is_null());
    let decode = DecodeProgram::record(&small().architecture, 4).expect("a plan");
    let document = of_model(&decode, &small(), &[("z", decode.z), ("mean", decode.mean)]);
    let value: Value = serde_json::from_str(&document.expect("a document").plan).expect("JSON");
    assert_eq!(value["host"]["tensors"]["z"], "decode/z");
    // Settings that do not fit are refused as they are anywhere.
    let large = crate::settings::with(|s| s.batch = 300);
    let error = of_training(&dataset(), &large).expect_err("refused").to_string();
    assert!(error.contains("batch"), "{error}");
}
