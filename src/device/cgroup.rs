//! What a control group leaves a process of memory: containers and job schedulers bound it so.

use std::fs;
use std::path::Path;

/// Bytes that the groups of a process may still have, the least of its group and those around it. `root` is where
/// the groups are, `groups` the text of /proc/self/cgroup; `None` where none is bounded.
pub fn available(root: &Path, groups: &str) -> Option<usize> {
    groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let path = path.trim_start_matches('/');
            match controllers {
                "" => least(root, path, ["memory.max", "memory.current"], "inactive_file"),
                c if c.split(',').any(|c| c == "memory") => {
                    let files = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                    least(&root.join("memory"), path, files, "total_inactive_file")
                }
                _ => None,
            }
        })
        .min()
}

/// The least that the group at `path` and those above it leave: limit less use. Cached files, which `reclaimable`
/// counts in memory.stat, are no use.
fn least(root: &Path, path: &str, [limit, used]: [&str; 2], reclaimable: &str) -> Option<usize> {
    let number = |path: &Path| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let group = root.join(path);
    // In a container its own group is the root of what it sees.
    let seen = group.ancestors().take_while(|folder| folder.starts_with(root));
    seen.filter_map(|folder| {
        let bound = number(&folder.join(limit))?;
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached =
            stat.lines().find_map(|line| line.strip_prefix(reclaimable)?.trim().parse().ok());
        let used = number(&folder.join(used))?.saturating_sub(cached.unwrap_or(0));
        Some(bound.saturating_sub(used))
    })
    .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, files: &[(&str, &str)]) {
        let folder = root.join(path);
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        group(root, "", &[("memory.current", "9000")]); // the root has no bound
        group(root, "job", &[("memory.max", "1000\n"), ("memory.current", "700\n")]);
        group(root, "job/step", &[("memory.max", "max\n"), ("memory.current", "600\n")]);
        assert_eq!(available(root, "0::/job/step\n"), Some(300));
        group(root, "job", &[("memory.stat", "anon 5\ninactive_file 250\n")]);
        assert_eq!(available(root, "0::/job/step\n"), Some(550));
        group(root, "job/step", &[("memory.max", "800")]);
        assert_eq!(available(root, "0::/job/step\n"), Some(200));
        assert_eq!(available(root, "0::/\n"), None);
        assert_eq!(available(root, "0::/elsewhere\n"), None);
        assert_eq!(available(root, ""), None);
    }

    #[test]
    fn the_first_version_has_other_files() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let files = [("memory.limit_in_bytes", "1000"), ("memory.usage_in_bytes", "400")];
        group(root, "memory/docker/x", &files);
        let groups = "12:cpu,cpuacct:/docker/x\n9:memory:/docker/x\n0::/\n";
        assert_eq!(available(root, groups), Some(600));
        // No bound is written as a number that no machine has.
        group(root, "memory/docker/x", &[("memory.limit_in_bytes", "9223372036854771712")]);
        assert!(available(root, groups).unwrap() > 1 << 60);
    }
}
