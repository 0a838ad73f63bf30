//! Documents that are none: each is refused with a line that says where, and nothing panics.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use elbo::interchange::document::of_training;
use elbo::kernels::REGISTRY;
use elbo::plan::document::{Document, pool, read};
use serde_json::{Value, json};

use crate::settings::{dataset, networks, small};

fn document() -> Document {
    of_training(&dataset(), &small()).expect("a document")
}

fn value(document: &Document) -> Value {
    serde_json::from_str(&document.plan).expect("JSON")
}

/// What is said of a text; one line.
fn refused(plan: &str, modules: &str) -> String {
    let message = match read(plan, modules, REGISTRY) {
        Ok(_) => panic!("it was read"),
        Err(e) => e.to_string(),
    };
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.len() < 1000, "{message}");
    message
}

/// Changes of a document, and what is said of each. The same changes are refused in the browser: see `problems`.
pub fn forgeries() -> Vec<(&'static str, Value, &'static str)> {
    let first = "/plans/0/dispatches/0";
    let at = |path: &str| -> &'static str { format!("{first}{path}").leak() };
    vec![
        ("/format", json!("elbo"), "format"),
        ("/version", json!(2), "version"),
        ("/tensors/0/name", json!(7), ""),
        ("/tensors/1/name", json!("encoder.0.weight"), "another tensor has this name"),
        ("/tensors/0/dtype", json!("f64"), "f64"),
        ("/tensors/0/dims", json!([0, 4]), "dimensions"),
        ("/tensors/0/dims", json!([-1, 4]), "-1"),
        (
            "/tensors/0/dims",
            json!([4_294_967_296_u64, 4_294_967_296_u64, 4_294_967_296_u64]),
            "dimensions",
        ),
        ("/tensors/0/dims", json!([1 << 20, 1 << 20]), "dimensions"),
        ("/tensors/0/part_of", json!([0, 0]), "part of"),
        ("/tensors/0/part_of", json!([99_999, 0]), "part of"),
        // It is one, of all parameters together.
        ("/tensors/0/part_of/1", json!(1), "part of"),
        ("/tensors/0/part_of/1", json!(64_000_000), "part of"),
        ("/constants/0/base64", json!("AAAA"), "bytes for"),
        ("/constants/0/base64", json!("!"), "base64"),
        ("/constants/0/tensor", json!(100_000), "constants[0]"),
        ("/modules/0", json!("00"), "not among the modules"),
        ("/limits", json!({ "maxBindGroups": 9 }), "limits"),
        ("/plans/0/dispatches", json!([]), "dispatch"),
        ("/plans/1/name", json!("train"), "another plan has this name"),
        (at("/module"), json!(77), "module 77"),
        (at("/grid"), json!([0, 1, 1]), "grid"),
        (at("/grid"), json!([70_000, 1, 1]), "grid"),
        (at("/bindings/0/tensor"), json!(12_345), "tensor 12345"),
        (at("/bindings/0/access"), json!("all"), "all"),
    ]
}

/// A document with a change.
pub fn forged(document: &Document, path: &str, new: &Value) -> String {
    let mut value = value(document);
    let (parent, key) = path.rsplit_once('/').expect("a path");
    let parent = value.pointer_mut(parent).unwrap_or_else(|| panic!("no {path}"));
    match parent {
        Value::Array(items) => items[key.parse::<usize>().expect("a number")] = new.clone(),
        _ => parent[key] = new.clone(),
    }
    value.to_string()
}

#[test]
fn a_forged_document_is_refused() {
    let document = document();
    let modules = pool([&document]);
    read(&document.plan, &modules, REGISTRY).expect("it is whole");
    let mut all: Vec<(String, Value, &str)> =
        forgeries().into_iter().map(|(path, new, words)| (path.to_string(), new, words)).collect();
    // What only a reader who has the kernels can see.
    let first = "/plans/0/dispatches/0";
    for (path, new, words) in [
        ("/kernel", json!("linear.sideways"), "there is no kernel \"linear.sideways\""),
        ("/kernel", json!("add.add"), "not the shader of add.add"),
        ("/variant", json!("fast"), "has no variant \"fast\""),
        ("/entry", json!("main"), "begins at"),
        ("/grid", json!([9, 9, 9]), "its grid is"),
        ("/overrides/B", json!(0), "expects"),
        ("/overrides/B", json!(15), "expects"),
        ("/overrides/B", json!(1e300), "B cannot be"),
        ("/overrides/WORKGROUP", json!(0), "WORKGROUP cannot be 0"),
        ("/overrides/NOTHING", json!(1), "not declared"),
        ("/bindings/0/binding", json!(7), "other numbers"),
        ("/bindings/0/name", json!("y"), "there is no binding y"),
        ("/bindings/0/access", json!("update"), "another access"),
        ("/bindings/0/tensor", json!(0), "expects"),
        ("/shape", json!([1]), "unknown field"),
    ] {
        all.push((format!("{first}{path}"), new, words));
    }
    let mut wrong = Vec::new();
    for (path, new, words) in all {
        match read(&forged(&document, &path, &new), &modules, REGISTRY) {
            Err(e) if e.to_string().contains(words) => {}
            Err(e) => wrong.push(format!("{path} = {new}: {e}")),
            Ok(_) => wrong.push(format!("{path} = {new}: it was read")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // A module of another text.
    let message = refused(&document.plan, &modules.replace("workgroup_size", "workgroup_sizes"));
    assert!(message.contains("another SHA-256"), "{message}");
    let message = refused(&document.plan, "{\"format\":\"elbo modules\",\"version\":1}");
    assert!(message.contains("modules"), "{message}");
    let message = refused(&" ".repeat((64 << 20) + 1), &modules);
    assert!(message.contains("too many"), "{message}");
    refused(&"[".repeat(1 << 20), &modules);
}

#[test]
fn a_truncated_document_is_refused() {
    let document = document();
    let modules = pool([&document]);
    for end in (0..document.plan.len()).step_by(211) {
        refused(&document.plan[..end], &modules);
    }
    for end in (0..modules.len()).step_by(4001) {
        let end = (0..=end).rev().find(|&end| modules.is_char_boundary(end)).expect("a boundary");
        refused(&document.plan, &modules[..end]);
    }
}

/// Every number of every kernel's dispatch, by others: it is refused or it is a plan, and nothing panics.
#[test]
fn no_number_makes_it_panic() {
    let mut seen = BTreeSet::new();
    let mut tried = 0;
    for (name, settings) in networks() {
        let document = of_training(&dataset(), &settings).expect("a document");
        let mut whole = value(&document);
        let plans = whole["plans"].take();
        let hashes = whole["modules"].take();
        whole["host"] = json!({});
        let dispatches = plans.as_array().expect("plans").iter();
        for dispatch in dispatches.flat_map(|plan| plan["dispatches"].as_array().expect("a list")) {
            if !seen.insert(dispatch["kernel"].to_string()) {
                continue;
            }
            // Of the dispatch alone, with its own module.
            let hash = hashes[dispatch["module"].as_u64().expect("a number") as usize].as_str();
            let hash = hash.expect("a text").to_string();
            let own = BTreeMap::from([(hash.clone(), document.modules[&hash].clone())]);
            let modules = pool([&Document { plan: String::new(), modules: own }]);
            whole["modules"] = json!([hash]);
            whole["plans"] = json!([{ "name": "one", "dispatches": [dispatch] }]);
            let alone = |whole: &mut Value| -> Value {
                whole["plans"][0]["dispatches"][0]["module"] = json!(0);
                whole.clone()
            };
            let whole = alone(&mut whole);
            read(&whole.to_string(), &modules, REGISTRY).unwrap_or_else(|e| panic!("{name}: {e}"));
            for key in dispatch["overrides"].as_object().expect("overrides").keys() {
                for new in [json!(0), json!(1), json!(4_294_967_295_u64), json!(-1), json!(0.5)] {
                    let mut forged = whole.clone();
                    forged["plans"][0]["dispatches"][0]["overrides"][key] = new.clone();
                    let text = forged.to_string();
                    let result = catch_unwind(|| read(&text, &modules, REGISTRY).map(|_| ()));
                    assert!(result.is_ok(), "{name}: {}, {key} = {new}", dispatch["kernel"]);
                    tried += 1;
                }
            }
        }
    }
    assert!(seen.len() > 30 && tried > 1000, "{} kernels, {tried} documents", seen.len());
}
