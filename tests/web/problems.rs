//! What goes wrong in the browser: each has a plain message, and nothing is computed with it.

use std::rc::Rc;

use elbo::interchange::document::of_training;
use elbo::plan::document::{Document, pool};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::forged::{forged, forgeries};
use crate::harness::browser::Browser;
use crate::harness::chromium::Tab;
use crate::settings::{dataset, small, with};

const LOAD: &str = "const [plan, modules] = await Promise.all([tools.text('/plan.json'), tools.text('/modules.json')]);
    tools.p = await tools.Program.load(tools.opened, plan, modules);";

fn document() -> Document {
    of_training(&dataset(), &small()).expect("a document")
}

#[test]
fn without_webgpu_it_says_what_to_do() {
    let browser = Browser::in_tab(Tab::open());
    let said = browser.problem("await tools.openDevice()");
    assert!(["no webgpu", "no adapter"].contains(&&*said.kind), "{said:?}");
    assert!(
        said.advice.contains("--enable-unsafe-webgpu") && said.advice.contains("Safari"),
        "{said:?}"
    );
    // As other browsers have it.
    let said = browser.problem("await tools.openDevice({ gpu: null })");
    assert_eq!((&*said.kind, &*said.message), ("no webgpu", "This browser has no WebGPU."));
    let said =
        browser.problem("await tools.openDevice({ gpu: { requestAdapter: async () => null } })");
    assert_eq!(said.kind, "no adapter");
    let said = browser.problem(
        "await tools.openDevice({ gpu: { requestAdapter: async () => { throw new Error('blocked') } } })",
    );
    assert!(said.kind == "no adapter" && said.message.contains("blocked"), "{said:?}");
    let adapter = "{ requestAdapter: async () => ({ limits: { maxBufferSize: 5 }, info: {} }) }";
    let said = browser.problem(&format!(
        "await tools.openDevice({{ gpu: {adapter}, limits: {{ maxBufferSize: 6 }} }})"
    ));
    assert!(said.kind == "limits" && said.message.contains("maxBufferSize of 6"), "{said:?}");
}

#[test]
fn a_software_adapter_is_told() {
    let browser = Browser::new();
    let told = browser.ok("return { ...tools.opened, device: 0, lost: 0, waiting: 0 }");
    assert_eq!(told["software"], true, "{told}");
    assert!(told["name"].as_str().is_some_and(|name| !name.is_empty()), "{told}");
    // An older browser has no mark of it but the name.
    let adapter = |name: &str| {
        let device = "{ limits: {}, lost: new Promise(() => {}), addEventListener() {} }";
        let adapter = format!(
            "{{ limits: {{}}, info: {{ description: '{name}' }}, requestDevice: async () => ({device}) }}"
        );
        browser.ok(&format!(
            "const gpu = {{ requestAdapter: async () => ({adapter}) }};
             return (await tools.openDevice({{ gpu }})).software"
        ))
    };
    assert_eq!(adapter("llvmpipe (LLVM 15.0.6, 256 bits)"), true);
    assert_eq!(adapter("NVIDIA GeForce RTX 4060"), false);
    assert!(told["limits"]["maxBufferSize"].as_u64() >= Some(256 << 20), "{told}");
}

#[test]
fn forged_and_truncated_documents_are_refused() {
    let browser = Rc::new(Browser::new());
    let document = document();
    let modules = pool([&document]);
    let said = |plan: &str, modules: &str| {
        browser.site.put("/plan.json", plan.as_bytes());
        browser.site.put("/modules.json", modules.as_bytes());
        let said = browser.problem(LOAD);
        assert_eq!(said.kind, "document", "{said:?}");
        assert!(said.message.len() < 300 && said.advice.contains("reload"), "{said:?}");
        said.message
    };
    for (path, new, words) in forgeries() {
        let message = said(&forged(&document, path, &new), &modules);
        assert!(message.contains(words), "{path}: {message}");
    }
    for (path, new, words) in [
        ("/overrides/B", json!("15"), "override \"B\""),
        ("/overrides", json!(3), "no overrides"),
        ("/flops", json!(-1), "flops"),
        ("/entry", json!(null), "entry"),
        ("/bindings/0", json!(null), "binding"),
    ] {
        let path = format!("/plans/0/dispatches/0{path}");
        let message = said(&forged(&document, &path, &new), &modules);
        assert!(message.contains(words), "{path}: {message}");
    }
    let length = document.plan.len();
    for end in [0, 1, length / 3, length - 1] {
        said(&document.plan[..end], &modules);
    }
    assert!(said(&document.plan, &modules[..modules.len() / 2]).contains("no JSON"));
    let other = modules.replace("workgroup_size", "workgroup_sizes");
    assert!(said(&document.plan, &other).contains("another one's"));
    // A shader that is none, under its own hash.
    let Document { plan, modules } = document;
    let (hash, source) = modules.iter().next().expect("a module");
    let broken = source.replace("@compute", "@computed");
    let new: String =
        Sha256::digest(broken.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let mut modules = modules.clone();
    modules.remove(hash);
    let plan = plan.replace(hash, &new);
    modules.insert(new, broken);
    let forged = Document { plan, modules };
    browser.site.put("/plan.json", forged.plan.as_bytes());
    browser.site.put("/modules.json", pool([&forged]));
    let said = browser.problem(LOAD);
    assert!(said.kind == "shader" && said.message.contains("computed"), "{said:?}");
    // The device is as it was.
    assert_eq!(browser.ok("return tools.opened.problem"), json!(null));
}

#[test]
fn wrong_values_are_refused() {
    let browser = Rc::new(Browser::new());
    let document = document();
    browser.site.put("/plan.json", document.plan.as_bytes());
    browser.site.put("/modules.json", pool([&document]));
    browser.ok(LOAD);
    for (body, kind, words) in [
        ("tools.p.write('nothing', new Float32Array(3))", "tensor", "no tensor \"nothing\""),
        ("tools.p.write('train/rates', new Uint32Array(4))", "tensor", "expected a Float32Array"),
        (
            "tools.p.write('train/rates', new Float32Array(5))",
            "tensor",
            "expected 4 elements, got 5",
        ),
        ("tools.p.write('train/rates', [1, 2, 3, 4])", "tensor", "got Array"),
        ("tools.p.writePart('train/data', 2, new Uint8Array(4))", "tensor", "do not fit"),
        ("await tools.p.run('nothing')", "tensor", "there are train, evaluate"),
        ("await tools.p.run('train', -1)", "tensor", "-1 times"),
        ("await tools.p.dispatch('train', 99)", "tensor", "no dispatch 99"),
        ("tools.writeParameters(tools.p, [])", "tensor", "another network"),
        (
            "const v = tools.firstParameters(tools.p.host, 1); v[0] = v[0].subarray(1); tools.writeParameters(tools.p, v)",
            "tensor",
            "another network",
        ),
        (
            "const v = tools.firstParameters(tools.p.host, 1); v[1][2] = NaN; tools.writeParameters(tools.p, v)",
            "not finite",
            "NaN at 2",
        ),
        ("tools.readFile(tools.p.host, new Uint8Array(7))", "tensor", "no safetensors file"),
        (
            "tools.readFile(tools.p.host, new Uint8Array(80).fill(255))",
            "tensor",
            "no safetensors file",
        ),
    ] {
        let said = browser.problem(body);
        assert!(said.kind == kind && said.message.contains(words), "{body}: {said:?}");
    }
    // Weights of another network, damaged ones, and what a file lacks.
    let write =
        "const host = structuredClone(tools.p.host); const v = tools.firstParameters(host, 1);";
    for (change, words) in [
        ("host.parameters[0].files[0].shape = [510]", "should be [17,30], it is [510]"),
        ("host.parameters[0].files[0].name = 'other.weight'", "has no tensor fc1.weight"),
        ("v[1][0] = Infinity", "holds Infinity"),
        (
            "host.parameters[0].files.push({ ...host.parameters[0].files[0], name: 'more' })",
            "a tensor more too many",
        ),
    ] {
        let body =
            format!("{write} {change}; tools.readFile(tools.p.host, tools.writeFile(host, v))");
        let said = browser.problem(&body);
        assert!(said.kind == "tensor" && said.message.contains(words), "{change}: {said:?}");
    }
    let cut = format!(
        "{write} const f = tools.writeFile(host, v); tools.readFile(host, f.subarray(0, f.length - 9))"
    );
    let said = browser.problem(&cut);
    assert!(said.message.contains("not all in the file"), "{said:?}");
}

#[test]
fn a_run_that_diverges_says_so() {
    let browser = Rc::new(Browser::new());
    let settings = with(|s| s.learning_rate = 1e30);
    let document = of_training(&dataset(), &settings).expect("a document");
    browser.serve("run", &document);
    let begin = "const [plan, modules] = await Promise.all([tools.json('/run.json'), tools.json('/run.modules.json')]);
        const [train, test] = [new Uint8Array(6000).map((_, i) => 37 * i), new Uint8Array(1500)];";
    let said = browser.problem(&format!(
        "{begin} const run = await tools.Training.begin(tools.opened, plan, modules, {{ seed: 1, train, test }});
         await run.advance(8); await run.metrics(0)"
    ));
    assert!(said.kind == "not finite" && said.message.contains("of step "), "{said:?}");
    assert!(said.advice.contains("learning rate"), "{said:?}");
    for (with, words) in [
        ("train: train.subarray(30), test", "expected 6000 values, got 5970"),
        ("train, test, learningRate: -1", "learning rate must be a positive number"),
        ("train", "1500 values, got none"),
    ] {
        let said = browser.problem(&format!(
            "{begin} await tools.Training.begin(tools.opened, plan, modules, {{ seed: 1, {with} }})"
        ));
        assert!(said.message.contains(words), "{said:?}");
    }
}

#[test]
fn a_lost_device_ends_the_run_with_a_message() {
    let browser = Rc::new(Browser::new());
    let document = document();
    browser.site.put("/plan.json", document.plan.as_bytes());
    browser.site.put("/modules.json", pool([&document]));
    browser.ok(LOAD);
    // An abort first: it ends at the end of a step.
    let done = browser
        .ok("const stop = new AbortController(); setTimeout(() => stop.abort(), 100);
         return await tools.p.run('train', 1000000, { signal: stop.signal })");
    assert!(done.as_u64().is_some_and(|done| (1..1_000_000).contains(&done)), "{done}");
    let clock = browser.ok("return [...await tools.p.read('train/clock')][2]");
    assert_eq!(clock, done, "steps");
    let said = browser.problem(
        "setTimeout(() => tools.opened.device.destroy(), 100); await tools.p.run('train', 1000000)",
    );
    assert_eq!((&*said.kind, &*said.message), ("lost", "The GPU was closed."));
    for body in [
        "await tools.p.run('train')",
        "await tools.p.read('train/rates')",
        "tools.p.write('train/rates', new Float32Array(4))",
        LOAD,
    ] {
        assert_eq!(browser.problem(body).kind, "lost", "{body}");
    }
    // And one that is lost by itself: the process that has the GPU dies.
    browser.ok("tools.opened = await tools.openDevice()");
    browser.ok(LOAD);
    browser.ok("tools.running = tools.p.run('train', 1000000); tools.running.catch(() => {})");
    browser.tab.borrow_mut().call_browser("Browser.crashGpuProcess", json!({}));
    let said = browser.problem("await tools.running");
    assert!(said.kind == "lost" && said.message.contains("lost the GPU"), "{said:?}");
    assert!(said.advice.contains("Reload"), "{said:?}");
}
