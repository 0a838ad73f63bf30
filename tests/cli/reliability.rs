//! What machines and people do to the program, in short; scripts/reliability.py does all of it, for docs/reliability.md.

use std::path::Path;
use std::process::Command;

use crate::harness::python::Python;

#[test]
fn nothing_is_lost_in_a_short_trial() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/reliability.py");
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(Python::find().0);
    command.arg(script).args(["--short", "--elbo", env!("CARGO_BIN_EXE_elbo")]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let [rows, failures] = [output.stdout, output.stderr].map(|t| String::from_utf8(t).unwrap());
    assert!(output.status.success(), "{rows}\n{failures}");
    for tried in
        ["SIGKILL", "IDX", "config.json", "gzip", "pipes", "links", "memory", "disk", "explore"]
    {
        assert!(
            rows.lines().any(|row| row.starts_with("| ") && row.contains(tried)),
            "{tried}: {rows}"
        );
    }
}
