//! A run folder whose `model.safetensors` is the fuzzer's.

#![no_main]

mod file;

use elbo::checkpoint::RunFolder;

const CONFIG: &str = r#"{"data": "mnist", "architecture": {"image": [2, 2], "hidden": [3], "decoder_hidden": [3],
    "latent": 2, "activation": "relu", "likelihood": "bernoulli"}, "binarization": "dynamic", "epochs": 1,
    "steps": null, "batch": 8, "samples": 1, "learning_rate": 0.001, "objective": "elbo",
    "gradient": "reparameterized", "kl": "analytic", "beta": 1.0, "warm_up": 0, "free_bits": 0.0, "seed": 0}"#;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    file::write("config.json", CONFIG.as_bytes());
    file::write("model.safetensors", bytes);
    let (folder, settings) = RunFolder::open(file::folder()).expect("a run");
    if let Err(error) = folder.read_model(&settings.architecture) {
        let message = error.to_string();
        assert_eq!(message.lines().count(), 1, "{message:?}");
    }
});
