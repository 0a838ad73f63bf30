//! A small and quick run on the folder `data`, and what it leaves.

use std::fs;
use std::path::Path;

use elbo::checkpoint::RunFolder;
use elbo::train::digest;

use crate::harness::program::Home;

pub const TRAIN: &str =
    "train --data data --device cpu --hidden 16 --latent 3 --batch 50 --epochs 2";
/// The same without its command, data and device.
pub const SIZES: &str = "--hidden 16 --latent 3 --batch 50 --epochs 2";
/// The files of a run's folder.
pub const FILES: [&str; 14] = [
    "best.safetensors",
    "checkpoint",
    "config.json",
    "interpolation.svg",
    "metrics.jsonl",
    "model.safetensors",
    "reconstructions.png",
    "reconstructions.svg",
    "samples.png",
    "samples.svg",
    "summary.json",
    "training.svg",
    "traversals.svg",
    "units.svg",
];
/// An environment in which there is no Vulkan driver.
pub const NO_ADAPTER: [(&str, &str); 2] =
    [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];

impl Home {
    /// With a finished run in `run`.
    pub fn with_run() -> Self {
        let home = Home::new();
        home.ok(&format!("{TRAIN} --run run"));
        home
    }

    /// Checks that a run's model can be read and is the one that its summary speaks of.
    #[track_caller]
    pub fn assert_model(&self, run: &str) {
        let (folder, settings) = RunFolder::open(&self.at(run)).unwrap();
        let parameters = folder.read_model(&settings.architecture).unwrap();
        let summary = self.json(&format!("{run}/summary.json"));
        assert_eq!(summary["parameters_sha256"], digest(&parameters));
    }
}

/// What is in a folder itself.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
