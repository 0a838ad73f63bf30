//! `elbo bounds` and `elbo gaps` as a person runs them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn elbo(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
    command.args(args).args(["--device", "cpu"]).current_dir(folder);
    command.output().expect("the program runs")
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
    let small = ["--hidden", "16", "--latent", "2", "--epochs", "1", "--batch", "500"];
    let mut args = vec!["train", "--run", run];
    args.extend(small.iter().chain(more));
    succeed(folder, &args);
}

fn value(report: &Value, keys: &[&str]) -> f64 {
    let found = keys.iter().fold(report, |report, key| &report[key]);
    found["value"].as_f64().unwrap_or_else(|| panic!("{keys:?} in {report}"))
}

const SHORT: [&str; 6] = ["--temperatures", "6", "--chains", "3", "--leapfrogs", "3"];

#[test]
fn bounds_and_gaps() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    train(folder, "a", &[]);

    let few = ["bounds", "a", "--images", "40", "--samples", "60"];
    let table = succeed(folder, &few);
    assert!(
        table.contains("40 images drawn from the model") && table.contains("U_k - L_k"),
        "{table}"
    );
    let curve = [&few[..], &SHORT, &["--path", "prior", "--curve", "curve.svg", "--json"]].concat();
    let report: Value = serde_json::from_str(&succeed(folder, &curve)).expect("JSON");
    let ks: Vec<u64> = report["importance_sampling"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|at| at["k"].as_u64().expect("a number"))
        .collect();
    assert_eq!(ks, [1, 5, 50, 60]);
    let annealed = &report["annealed"];
    let (lower, upper) = (value(annealed, &["lower"]), value(annealed, &["upper"]));
    assert!(lower < upper, "{report}");
    assert!((upper - lower - value(annealed, &["width"])).abs() < 1e-6);
    let schedule = &annealed["schedule"];
    assert_eq!(schedule["betas"].as_array().expect("an array").len(), 7);
    assert_eq!(schedule["sizes"].as_array().expect("an array").len(), 5);
    assert_eq!((schedule["path"].as_str(), schedule["chains"].as_u64()), (Some("prior"), Some(3)));
    let rates = annealed["rate_distortion"].as_array().expect("a curve");
    let of = |point: &Value, key: &str| point[key].as_f64().expect("a number");
    assert_eq!((rates.len(), of(&rates[5], "beta")), (6, 1.0));
    // colder: more is told of the image, and it is less far off; at the end rate + distortion bounds -log p(x)
    assert!(rates.is_sorted_by(|a, b| of(a, "rate") < of(b, "rate")), "{rates:?}");
    assert!(rates.is_sorted_by(|a, b| of(a, "distortion") > of(b, "distortion")), "{rates:?}");
    assert!((of(&rates[5], "rate") + of(&rates[5], "distortion") + lower).abs() < 1e-6);
    let svg = fs::read_to_string(folder.join("curve.svg")).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("distortion"), "{svg}");
    // the same again is the same
    let again: Value = serde_json::from_str(&succeed(folder, &curve)).expect("JSON");
    assert_eq!(again["annealed"], report["annealed"]);

    let short = ["gaps", "a", "--images", "30", "--samples", "60", "--refine-steps", "60"];
    let gaps = [&short[..], &SHORT].concat();
    let table = succeed(folder, &gaps);
    for words in ["test images", "train images", "amortization gap", "largest part of the gap"] {
        assert!(table.contains(words), "{words}: {table}");
    }
    let report = succeed(folder, &[&gaps[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    for set in ["test", "train"] {
        let of = |key: &str| value(&report[set], &[key]);
        assert!(of("best_elbo") > of("elbo"), "{report}");
        let parts = of("approximation_gap") + of("amortization_gap");
        assert!((parts - of("inference_gap")).abs() < 1e-6);
        let higher = f64::max(of("importance_sampling"), of("annealing"));
        assert!((higher - of("elbo") - of("inference_gap")).abs() < 1e-6);
        // eval has the same draws
        if set == "test" {
            let eval =
                succeed(folder, &["eval", "a", "--images", "30", "--samples", "60", "--json"]);
            let eval: Value = serde_json::from_str(&eval).expect("JSON");
            let last = &eval["importance_sampling"].as_array().expect("an array")[3];
            let theirs = last["value"].as_f64().expect("a number");
            assert!((theirs - of("importance_sampling")).abs() < 1e-3, "{theirs} {report}");
        }
    }

    refuse(folder, &["bounds", "a", "--images", "0"], "--images must be from 1");
    refuse(folder, &["bounds", "a", "--samples", "0"], "--samples must be from 1");
    refuse(folder, &["bounds", "a", "--temperatures", "0"], "--temperatures must be from 1");
    refuse(folder, &["bounds", "a", "--temperatures", "5", "--chains", "0"], "--chains must be");
    refuse(folder, &["bounds", "nowhere"], "nowhere");
    let curve = ["bounds", "a", "--temperatures", "5", "--curve", "x.svg"];
    refuse(folder, &curve, "--curve needs --path prior");
    refuse(folder, &["gaps", "a", "--images", "99999"], "--images must be from 1 to 10000");
    refuse(folder, &["gaps", "a", "--refine-steps", "0"], "--refine-steps must be from 1");
    assert!(!folder.join("x.svg").exists());
}

/// Real values and levels: images can be drawn from every likelihood, and the bounds have their order.
#[test]
fn bounds_of_other_likelihoods() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    for (likelihood, variance) in [
        ("gaussian", Some("pixel")),
        ("gaussian", Some("decoder")),
        ("continuous-bernoulli", None),
        ("discretized-logistic", None),
    ] {
        let mut more = vec!["--binarization", "none", "--likelihood", likelihood];
        more.extend(variance.iter().flat_map(|variance| ["--variance", variance]));
        let run = format!("{likelihood}-{}", variance.unwrap_or("own"));
        train(folder, &run, &more);
        let args = ["bounds", &run, "--images", "50", "--samples", "50", "--json"];
        let report = succeed(folder, &[&args[..], &SHORT].concat());
        let report: Value = serde_json::from_str(&report).expect("JSON");
        for at in report["importance_sampling"].as_array().expect("an array") {
            assert!(value(at, &["lower"]) < value(at, &["upper"]), "{run}: {report}");
        }
        let width = value(&report["annealed"], &["width"]);
        assert!(width > -0.5, "{run}: {report}");
    }
    // black and white images of a model of grey ones, which is said
    train(folder, "grey", &["--binarization", "none"]);
    let output = elbo(folder, &["bounds", "grey", "--images", "20", "--samples", "20"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("trained on grey levels"));
}
