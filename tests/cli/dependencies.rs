//! The crates that the program is built from: their licences, and which are there in two versions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::process::Command;

use crate::harness::program::Home;

/// Licences that an MIT program can be given away under without further conditions than to name them.
const LICENCES: [&str; 6] = ["Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"];

/// Crates under another licence, with why that is right.
const OTHER_LICENCES: [(&str, &str, &str); 2] = [
    (
        "elbo-mnist-train",
        "CC-BY-SA-3.0",
        "MNIST's images, unchanged and alone in it; --version names their authors and the licence",
    ),
    (
        "option-ext",
        "MPL-2.0",
        "used as it is published; its conditions are on changes of its own files",
    ),
];

/// Crates in several versions, with who holds the older one. Each is built twice.
const SEVERAL_VERSIONS: [(&str, &str); 3] = [
    ("hashbrown", "gpu-allocator 0.28 and safetensors 0.8 use 0.16, wgpu 30 uses 0.17"),
    ("miniz_oxide", "png 0.18 uses 0.8, flate2 1.1 uses 0.9"),
    ("syn", "jiff, prost and thiserror's macros use 2, serde's and clap's use 3"),
];

/// (name, version, licence) of every crate that is built on this platform.
fn crates() -> BTreeSet<(String, String, String)> {
    let crates = crates_of(&[]);
    assert!(crates.len() > 100, "{crates:?}");
    crates
}

/// The same with further options of `cargo tree`.
fn crates_of(options: &[&str]) -> BTreeSet<(String, String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--locked", "--offline", "--no-dedupe", "--prefix", "none"])
        .args(["--format", "{p}|{l}"])
        .args(options)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let parse = |line: &str| {
        let (package, licence) = line.split_once('|').expect("a package and a licence");
        let mut words = package.split(' ');
        let mut word = || words.next().expect("a name and a version").to_string();
        (word(), word(), licence.to_string())
    };
    text.lines().map(parse).collect()
}

/// Whether a licence expression leaves a choice that is in the list.
fn is_accepted(expression: &str, licences: &[&str]) -> bool {
    let expression = expression.replace('/', " OR ");
    let parts = expression.split(" AND ").map(|part| part.trim_matches(['(', ')']));
    parts.into_iter().all(|part| part.split(" OR ").any(|one| licences.contains(&one.trim())))
}

#[test]
fn licences_are_understood() {
    let accepted = |expression| is_accepted(expression, &LICENCES);
    for right in ["MIT", "MIT/Apache-2.0", "LGPL-2.1 OR MIT", "(MIT OR X) AND Unicode-3.0"] {
        assert!(accepted(right), "{right}");
    }
    for wrong in ["", "GPL-3.0-only", "MPL-2.0", "MIT AND GPL-3.0-only", "(MIT OR Zlib) AND X"] {
        assert!(!accepted(wrong), "{wrong}");
    }
}

#[test]
fn every_licence_is_accepted() {
    let mut others: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for (name, version, licence) in crates() {
        if is_accepted(&licence, &LICENCES) {
            continue;
        }
        let other =
            OTHER_LICENCES.iter().find(|(n, l, _)| (*n, *l) == (name.as_str(), licence.as_str()));
        others.extend(other);
        assert!(other.is_some(), "{name} {version} is under {licence:?}: may this program use it?");
    }
    assert!(cfg!(not(target_os = "linux")) || others.len() == OTHER_LICENCES.len(), "{others:?}");
}

/// What hands the program on hands the notices on. They are of all platforms, so that some are of no crate here.
#[test]
fn the_notices_are_of_the_crates_that_are_built() {
    let notices = Home::empty().ok("notices").stdout;
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let crates = crates_of(&["--edges", "normal"]);
    assert!(crates.len() > 50, "{crates:?}");
    let again = "run python3 scripts/notices.py";
    for (name, version, _) in crates.iter().filter(|(name, ..)| name != "elbo") {
        let line = format!("  {name} {}", version.trim_start_matches('v'));
        assert!(notices.lines().any(|l| l == line), "no notice of{line}: {again}");
    }
    let mut sections = 0;
    for section in notices.split(&"=".repeat(78)).skip(1) {
        let (heads, text) = section.split_once("\n\n").expect("crates, then a text");
        assert!(text.trim().len() > 100, "{section}");
        for (name, version) in
            heads.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(' '))
        {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
            assert!(lock.contains(&entry), "{name} {version} is no dependency any more: {again}");
            sections += 1;
        }
    }
    assert!(sections >= crates.len() - 1);
}

#[test]
fn no_crate_is_built_twice_without_a_reason() {
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version, _) in crates() {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let known = |name: &str| SEVERAL_VERSIONS.iter().any(|(known, _)| *known == name);
    for (name, versions) in &versions {
        assert!(known(name), "{name} is built as {versions:?}: can one of them go?");
    }
    for (name, _) in SEVERAL_VERSIONS {
        let there = versions.contains_key(name) || cfg!(not(target_os = "linux"));
        assert!(there, "{name} is in one version now: take it off the list");
    }
}

/// A registry takes none above 10 MB.
#[test]
fn packages_are_small_enough_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["package", "--workspace", "--no-verify", "--allow-dirty", "--locked", "--offline"])
        .arg("--target-dir")
        .arg(folder.path())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let packed = |name: &str| {
        let version = env!("CARGO_PKG_VERSION");
        fs::read(folder.path().join(format!("package/{name}-{version}.crate"))).unwrap()
    };
    let (own, images) = (packed("elbo"), packed("elbo-mnist-train"));
    for package in [&own, &images] {
        assert!(package.len() < 10_000_000, "{} bytes", package.len());
    }
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(&own[..]).read_to_end(&mut text).unwrap();
    let has = |name: &str| text.windows(name.len()).any(|part| part == name.as_bytes());
    for file in [
        "shaders/linear/forward.wgsl",
        "assets/mnist/t10k-images-idx3-ubyte.gz",
        "assets/SOURCES.md",
        "assets/notices.txt",
        "LICENSE",
    ] {
        assert!(has(&format!("elbo-{}/{file}", env!("CARGO_PKG_VERSION"))), "{file}");
    }
}
