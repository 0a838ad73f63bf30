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

/// The commit that this was built from: what ELBO_COMMIT said at build time, else what git says of the
/// sources it was built from, where they still are.
pub fn commit() -> String {
    if let Some(commit) = option_env!("ELBO_COMMIT") {
        return commit.to_string();
    }
    let git = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .stderr(std::process::Stdio::null())
        .output();
    let said = git.ok().filter(|output| output.status.success());
    let commit = said.and_then(|output| String::from_utf8(output.stdout).ok());
    commit.map_or("unknown".to_string(), |commit| commit.trim().to_string())
}
