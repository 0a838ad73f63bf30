//! `elbo eval` and `elbo curve` as a person runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn elbo(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
    command.args(args).current_dir(folder).output().expect("the program runs")
}

fn succeed(folder: &Path, args: &[&str]) -> String {
    let output = elbo(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Exit code 2, one line, and these words in it.
fn refuse(folder: &Path, args: &[&str], words: &str) {
    let output = elbo(folder, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert!(last.starts_with("error: ") && last.contains(words), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty());
}

fn train(folder: &Path, run: &str, more: &[&str]) {
    let small = ["--device", "cpu", "--hidden", "16", "--epochs", "1", "--batch", "500"];
    let mut args = vec!["train", "--run", run];
    args.extend(small.iter().chain(more));
    succeed(folder, &args);
}

fn value(report: &Value, key: &str) -> f64 {
    report[key]["value"].as_f64().unwrap_or_else(|| panic!("{key} in {report}"))
}

#[test]
fn eval_and_curve() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    train(folder, "a", &["--latent", "2"]);
    train(folder, "b", &["--latent", "3"]);
    train(folder, "grey", &["--latent", "2", "--binarization", "none"]);

    // with one draw an image the ELBO is the one that training printed
    let metrics = fs::read_to_string(folder.join("a/metrics.jsonl")).expect("metrics");
    let metrics: Value = serde_json::from_str(metrics.trim()).expect("one line");
    let cpu = ["--device", "cpu"];
    let one = succeed(folder, &[&["eval", "a", "--samples", "1", "--json"], &cpu[..]].concat());
    let one: Value = serde_json::from_str(&one).expect("JSON");
    let expected = metrics["test"]["elbo"].as_f64().expect("an ELBO");
    assert!((value(&one, "elbo") - expected).abs() < 1e-3, "{one} and {expected}");
    assert_eq!(one["images"], 10_000);

    let eval = ["eval", "a", "--images", "30", "--samples", "60", "--per-image", "each.csv"];
    let report = succeed(folder, &[&eval[..], &["--json"], &cpu].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let (elbo_value, gap) = (value(&report, "elbo"), value(&report, "gap"));
    for key in ["elbo", "reconstruction", "gap", "effective_sample_size"] {
        let figure = &report[key];
        assert!(figure["standard_error"].as_f64().expect("an error") > 0.0, "{key}: {figure}");
        assert_eq!(figure["samples"], 60, "{key}");
        assert_eq!(figure["images"], 30, "{key}");
        assert_eq!(figure["binarization"], "dynamic", "{key}");
    }
    let ks: Vec<u64> = ["importance_sampling", "prior_monte_carlo"]
        .iter()
        .flat_map(|key| report[key].as_array().expect("a list"))
        .map(|at| at["k"].as_u64().expect("k"))
        .collect();
    assert_eq!(ks, [1, 5, 50, 60, 1, 5, 50, 60]);
    let last = report["importance_sampling"][3]["value"].as_f64().expect("L_60");
    assert!((last - elbo_value - gap).abs() < 1e-6);
    assert_eq!(report["kl_per_unit"].as_array().map(Vec::len), Some(2));

    // a row an image, whose mean is the figure
    let each = fs::read_to_string(folder.join("each.csv")).expect("a file");
    let rows: Vec<Vec<&str>> = each.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), &rows[0][..2]), (31, &["image", "elbo"][..]));
    assert!(rows.iter().all(|row| row.len() == rows[0].len()));
    let sum: f64 = rows[1..].iter().map(|row| row[1].parse::<f64>().expect("a number")).sum();
    assert!((sum / 30.0 - elbo_value).abs() < 1e-6);

    let table =
        succeed(folder, &["eval", "grey", "--images", "5", "--samples", "7", "--device", "cpu"]);
    assert!(table.contains("cross entropies, not likelihoods"), "{table}");
    assert!(table.contains("effective sample size, of 7"), "{table}");
    // A Gaussian likelihood of grey pixels is a density of them.
    let gaussian = ["--likelihood", "gaussian", "--hidden", "8", "--latent", "2", "--steps", "3"];
    let train = ["train", "--run", "density", "--device", "cpu"];
    succeed(folder, &[&train[..], &gaussian].concat());
    let eval = ["eval", "density", "--images", "5", "--samples", "7", "--device", "cpu"];
    let table = succeed(folder, &eval);
    assert!(table.contains("log densities") && !table.contains("cross entropies"), "{table}");

    let curve = ["curve", "a", "b", "--images", "5", "--samples", "30", "--out", "c.svg"];
    succeed(folder, &[&curve[..], &cpu].concat());
    let svg = fs::read_to_string(folder.join("c.svg")).expect("a picture");
    assert!(svg.starts_with("<svg ") && svg.contains("Z = 2") && svg.contains("Z = 3"));
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    assert_eq!(svg.matches("<polyline").count(), 8);
    let numbers = fs::read_to_string(folder.join("c.csv")).expect("numbers");
    // k = 1, 2, 5, 10, 20, 30; three estimates and one difference; two runs
    assert_eq!(numbers.lines().count(), 1 + 6 * 4 * 2);

    refuse(folder, &["eval", "nowhere"], "not a run folder");
    refuse(folder, &["eval", "a", "--samples", "0"], "--samples");
    refuse(folder, &["eval", "a", "--images", "10001"], "from 1 to 10000");
    refuse(folder, &["eval", "a", "--per-image", "no/such/file.csv"], "no/such/file.csv");
    refuse(folder, &["curve", "a", "--out", "c.gif"], "SVG");
    refuse(folder, &["curve", "a", "grey"], "do not compare");
}
