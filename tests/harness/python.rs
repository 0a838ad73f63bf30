//! A Python with the libraries that files for other programs are tried with.

use std::path::{Path, PathBuf};
use std::process::Command;

const IMPORTS: &str = "import numpy, onnx, onnxruntime, safetensors";

/// What is said where there is none: a test that is skipped in silence looks like one that passed.
const HINT: &str = "no Python with numpy, safetensors, onnxruntime and onnx for the tests: \
    bash scripts/test.sh installs it, or python3 -m venv target/python && \
    target/python/bin/pip install numpy safetensors onnxruntime onnx";

#[derive(Debug)]
pub struct Python(pub PathBuf);

impl Python {
    pub fn find() -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
        Python::among(&[own, "python3".into()]).unwrap_or_else(|message| panic!("{message}"))
    }

    /// The first that has the libraries.
    pub fn among(candidates: &[PathBuf]) -> Result<Self, String> {
        let mut all = candidates.iter().map(|path| Python(path.clone()));
        all.find(|python| python.succeeds(IMPORTS)).ok_or_else(|| HINT.to_string())
    }

    pub fn has(&self, library: &str) -> bool {
        self.succeeds(&format!("import {library}"))
    }

    #[track_caller]
    pub fn run(&self, folder: &Path, code: &str) {
        self.run_with(folder, code, &[]);
    }

    #[track_caller]
    pub fn run_with(&self, folder: &Path, code: &str, args: &[&str]) {
        let mut command = Command::new(&self.0);
        let output = command.current_dir(folder).args(["-c", code]).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn succeeds(&self, code: &str) -> bool {
        Command::new(&self.0).args(["-c", code]).output().is_ok_and(|o| o.status.success())
    }
}
