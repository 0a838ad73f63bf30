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
    let head = git(&["rev-parse", "--short=12", "HEAD"]);
    // Without a lock on the sources' index: this may be killed, and the lock would stay.
    let changes = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"]);
    match (head, changes) {
        (Some(head), Some(changes)) if changes.is_empty() => head,
        (Some(head), _) => format!("{head}-dirty"),
        (None, _) => "unknown".to_string(),
    }
}

/// What git says of the sources, without blanks around it.
fn git(arguments: &[&str]) -> Option<String> {
    let git = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR")])
        .args(arguments)
        .stderr(std::process::Stdio::null())
        .output();
    let said = git.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim().to_string())
}
