//! The floors of the house, read off the sources: a file uses what lies below its own folder, never what lies
//! above or beside it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of `src/`, from the ground up; those of one floor do not use each other.
const FLOORS: &[&[&str]] = &[
    &["config_error", "image_shape", "named", "read", "text", "versions"],
    &["numeric"],
    &["plan"],
    &["kernels"],
    &["device", "nn", "optim"],
    &["vae"],
    &["data"],
    &["data_stream"],
    &["loaded", "train"],
    &["bounds"],
    &["bench", "evaluate", "interchange", "verify"],
    &["checkpoint", "explore", "generate", "web"],
    &["error", "report"],
    &["model", "pictures"],
    &["cli"],
];

/// The crates that only these folders may name.
const KEPT_IN: &[(&str, &[&str])] = &[
    ("wgpu", &["device", "versions"]),
    ("clap", &["cli", "main"]),
    ("hyper", &["explore"]),
    ("tokio", &["cli", "explore"]),
    ("indicatif", &["report"]),
];

/// The Rust files below a folder, each with its path there.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files.extend(files_of(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// (folder of `src/` or file in it, path, code without comments and unit tests)
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let of = |path: PathBuf| {
        let name = path.strip_prefix(&root).expect("inside").to_str().expect("UTF-8");
        let name = name.replace('\\', "/");
        let folder = name.split('/').next().expect("a name").trim_end_matches(".rs").to_string();
        let text = fs::read_to_string(&path).expect("UTF-8");
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        let code: Vec<&str> =
            code.lines().map(|line| line.split("//").next().expect("a first part")).collect();
        (folder, name, code.join("\n"))
    };
    files_of(&root).into_iter().map(of).collect()
}

/// The names that follow `crate::` in a file: of `crate::{a::b, c}` they are a and c.
fn used(code: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut names = Vec::new();
    for (at, found) in code.match_indices("crate::") {
        let rest = &code[at + found.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut start = true;
        for (i, c) in group.char_indices() {
            if start && depth == 1 && !c.is_whitespace() {
                names.push(word(&group[i..]));
                start = false;
            }
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => start = true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What is wrong with a file of `folder`, if anything.
fn misplaced(floors: &BTreeMap<&str, usize>, folder: &str, code: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(own) = floors.get(folder) else {
        return vec![format!("{folder} has no floor")];
    };
    for name in used(code) {
        match floors.get(&*name) {
            Some(floor) if name != folder && floor >= own => {
                wrong.push(format!("uses {name}, which is no floor below {folder}"));
            }
            // A type that the library shows at its root is one of some folder: it is named there.
            None => wrong.push(format!("uses crate::{name}, which names no folder")),
            _ => {}
        }
    }
    for (name, folders) in KEPT_IN {
        let named = code.match_indices(&format!("{name}::")).any(|(at, _)| {
            !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
        });
        if named && !folders.contains(&folder) {
            wrong.push(format!("names {name}"));
        }
    }
    wrong
}

fn floors() -> BTreeMap<&'static str, usize> {
    let of = |(floor, names): (usize, &&[&'static str])| {
        names.iter().map(move |name| (*name, floor)).collect::<Vec<_>>()
    };
    FLOORS.iter().enumerate().flat_map(of).collect()
}

#[test]
fn arrows_go_down_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (folder, path, code) in sources() {
        // The two roots may use all.
        if folder != "lib" && folder != "main" {
            let of_file = misplaced(&floors, &folder, &code);
            wrong.extend(of_file.into_iter().map(|what| format!("src/{path} {what}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Devices run any kernel: only the fast forms and the test of cooperative matrices know some by name.
#[test]
fn devices_name_no_kernel() {
    for (folder, path, code) in sources() {
        let may = ["device/cpu/fast/", "device/gpu/mixed.rs"];
        if folder == "device" && !may.iter().any(|place| path.starts_with(place)) {
            assert!(!code.contains("kernels::"), "src/{path} names a kernel");
        }
    }
}

/// Neither trainer nor command line knows the kinds of layers or likelihoods, but for the options' names.
#[test]
fn kinds_are_told_apart_in_one_place() {
    for (_, path, code) in sources() {
        let matched = code.matches("Likelihood::Gaussian { variance } =>").count();
        let expected = usize::from(path == "vae/likelihood/mod.rs");
        assert_eq!(matched, expected, "src/{path} matches the kinds of likelihoods");
        if path.starts_with("train/") || path.starts_with("device/") {
            assert!(!code.contains("Dense"), "src/{path} knows a kind of layer");
        }
    }
}

#[test]
fn a_file_in_the_wrong_place_is_found() {
    let floors = floors();
    let wrong = |folder: &str, code: &str| misplaced(&floors, folder, code).join("; ");
    assert_eq!(wrong("plan", "use crate::numeric::Real;"), "");
    assert_eq!(wrong("plan", "use crate::plan::Kernel;"), "");
    assert!(wrong("plan", "use crate::kernels::LIBRARY;").contains("uses kernels"));
    assert!(
        wrong("nn", "use crate::{\n    kernels::add,\n    vae::{Network, x},\n};").contains("vae")
    );
    assert!(wrong("nn", "let d = crate::device::Device::cpu();").contains("uses device"));
    assert!(wrong("train", "let x: crate::Settings;").contains("crate::Settings"));
    assert!(wrong("train", "#[derive(clap::ValueEnum)]").contains("names clap"));
    assert!(wrong("attic", "").contains("no floor"));
}
