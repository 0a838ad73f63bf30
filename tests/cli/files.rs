//! docs/files.md names every field of a run's files.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::program::Home;

/// Runs that have all fields between them.
const RUNS: [&str; 8] = [
    "--data data --valid 0.2 --early-stop 5 --clip-norm 1 --ema 0.9 --weight-decay 0.01 --lr-warm-up 1 --objective iwae \
     --samples 3 --flip --log-every 3 --tensorboard --figures-every 1 --hidden 8 --latent 2",
    "--data data --size 6x5 --likelihood gaussian --variance learned --optimizer rmsprop --lr-schedule step:2=1e-4 --latent 3",
    "--data data --prior vamp --pseudo-inputs 5 --hidden 8 --latent 3 --optimizer adamax --steps 3",
    "--data data --posterior planar --flow-steps 2 --hidden 8 --latent 3 --kl sampled",
    "--data data --free-bits 0.1 --beta 2 --warm-up 1 --encoder \"conv 4 3/1\" --latent 2",
    "--data table.csv --label kind",
    "--data counts.csv --likelihood negative-binomial",
    "--data data --valid 0.2 --init-from run-0 --hidden 8 --latent 2",
];

/// Names that are of the data's making: of kernels, columns and the like.
const FREE: [&str; 1] = ["variants"];

fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                found.insert(name.clone());
                if !FREE.contains(&name.as_str()) {
                    keys(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_field_is_documented() {
    let home = Home::new();
    let row = |i: u32| format!("{i},{},{}\n", i * i % 7, ["x", "y"][i as usize % 2]);
    let table: String = (0..40).map(row).collect();
    fs::write(home.at("table.csv"), format!("a,b,kind\n{table}")).unwrap();
    let counts: String = (0..40).map(|i| format!("{},{}\n", i % 7, i % 3)).collect();
    fs::write(home.at("counts.csv"), format!("a,b\n{counts}")).unwrap();
    let mut found = BTreeSet::new();
    for (i, options) in RUNS.iter().enumerate() {
        let args = format!("train --device cpu --epochs 2 --batch 20 --run run-{i} {options}");
        // Quotes hold words together, which nothing else does here.
        let mut command = home.command("");
        for (i, part) in args.split('"').enumerate() {
            match i % 2 {
                0 => command.args(part.split_whitespace()),
                _ => command.arg(part),
            };
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }
    home.ok("train --resume run-0 --epochs 3 --device cpu");
    fs::copy(home.at("run-0/model.safetensors"), home.at("model.safetensors")).unwrap();
    home.ok("import model.safetensors --data data --run run-8");
    for i in 0..=RUNS.len() {
        for name in ["config.json", "summary.json", "import.json", "metrics.jsonl", "steps.jsonl"] {
            let Ok(text) = fs::read_to_string(home.at(&format!("run-{i}/{name}"))) else {
                continue;
            };
            let rows = if name.ends_with('l') { text.lines().collect() } else { vec![&text[..]] };
            for row in rows {
                keys(&serde_json::from_str(row).unwrap(), &mut found);
            }
        }
    }
    let printed = ["runs . --json", "eval run-0 --samples 3 --device cpu --json"];
    for command in printed {
        keys(&serde_json::from_str(&home.ok(command).stdout).unwrap(), &mut found);
    }
    assert!(found.len() > 90, "{found:?}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/files.md");
    let page = fs::read_to_string(page).unwrap();
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).collect();
    let missing: Vec<&String> = found.iter().filter(|key| !named.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "docs/files.md names none of {missing:?}");
}
