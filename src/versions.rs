//! Versions of what computes: they stand beside every result.

use std::collections::BTreeMap;

/// This program's version and those of the libraries under it, as they were built.
pub fn versions() -> BTreeMap<&'static str, &'static str> {
    ["elbo", "gemm", "naga", "wgpu"]
        .into_iter()
        .filter_map(|name| Some((name, locked(name)?)))
        .collect()
}

/// The version of a package in the lock file.
fn locked(name: &str) -> Option<&'static str> {
    let lock = include_str!("../Cargo.lock");
    let package =
        lock.split("[[package]]").find(|p| p.contains(&format!("\nname = \"{name}\"\n")))?;
    package.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
}
