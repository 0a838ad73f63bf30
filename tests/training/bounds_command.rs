//! `elbo bounds`, `elbo gaps` and `elbo score` as a person runs them.

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
        // Bits are of levels alone.
        let score = ["score", &run, "--images", "2", "--samples", "5", "--refine-steps", "5"];
        let csv = succeed(folder, &[&score[..], &["--reference", "0"]].concat());
        assert_eq!(csv.contains(",bits_per_dimension"), likelihood == "discretized-logistic");
        if likelihood == "discretized-logistic" {
            let (bits, nats) = (numbers(&csv, "bits_per_dimension"), numbers(&csv, "log_px"));
            assert!((bits[1] * 784.0 * std::f64::consts::LN_2 + nats[1]).abs() < 1e-6, "{csv}");
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

/// Parts of the work, on as many machines or one after the other, are the whole to the last bit; files of other settings are
/// refused, and stay.
#[test]
fn gaps_in_parts_are_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    train(folder, "a", &[]);
    // Two blocks of each set.
    let short = ["gaps", "a", "--images", "110", "--samples", "20", "--refine-steps", "20"];
    let gaps = [&short[..], &SHORT].concat();
    let run = |more: &[&str]| succeed(folder, &[&gaps[..], more].concat());
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect("a file");
    let report = |text: &str| {
        let mut report: Value = serde_json::from_str(text).expect("JSON");
        report["seconds"] = Value::Null;
        report
    };
    let files = ["--per-image", "whole.csv", "--figure", "gaps.svg", "--snr", "snr.svg", "--json"];
    let mut whole = report(&run(&files));
    let signals = whole.as_object_mut().expect("an object").remove("signal_to_noise").expect("it");
    for (estimator, part) in [
        ("reparameterized", "decoder"),
        ("reparameterized", "encoder"),
        ("doubly_reparameterized", "encoder"),
    ] {
        let of_part = |at: &Value| at[part].as_f64().expect("a number");
        let each: Vec<f64> =
            signals[estimator].as_array().expect("an array").iter().map(of_part).collect();
        assert!(each.len() == 4 && each.iter().all(|v| *v > 0.0), "{signals}");
        assert!(part == "encoder" || each.is_sorted(), "{signals}");
    }
    assert!(read("snr.svg").contains("doubly reparameterized"));
    let csv = read("whole.csv");
    assert_eq!(column(&csv, "set").len(), 330);
    let real = || csv.lines().skip(1).filter(|line| !line.contains(",own,"));
    let head = csv.lines().next().expect("a head");
    let tests: String = real().filter(|l| l.contains(",test,")).map(|l| format!("{l}\n")).collect();
    let tests = format!("{head}\n{tests}");
    let of = |name: &str| numbers(&tests, name);
    assert!((mean(&of("best_elbo")) - value(&whole["test"], &["best_elbo"])).abs() < 1e-9);
    assert!(
        (mean(&of("importance_20")) - value(&whole["test"], &["importance_sampling"])).abs() < 1e-9
    );
    let ends = of("best_elbo_from_encoder").into_iter().zip(of("best_elbo_from_prior"));
    assert_eq!(ends.map(|(a, b)| a.max(b)).collect::<Vec<_>>(), of("best_elbo"));
    for words in ["amortization gap", ">test<", ">train<", "log p(x) − ELBO", "±"] {
        assert!(read("gaps.svg").contains(words), "{words}");
    }

    for (part, file, images) in
        [("1/3", "1.csv", 102 + 8), ("2/3", "2.csv", 110), ("3/3", "3.csv", 110)]
    {
        assert_eq!(run(&["--shard", part, "--per-image", file]), "");
        assert_eq!(column(&read(file), "set").len(), images);
    }
    let merged =
        run(&["--merge", "1.csv", "2.csv", "3.csv", "--per-image", "merged.csv", "--json"]);
    assert_eq!(report(&merged), whole);
    assert!(read("merged.csv") == csv);
    // What a part lacks is found.
    assert_eq!(report(&run(&["--per-image", "2.csv", "--json"])), whole);
    assert!(read("2.csv") == csv);

    let refused = |more: &[&str], words: &str| refuse(folder, &[&gaps[..], more].concat(), words);
    refused(&["--per-image", "2.csv", "--seed", "5"], "2.csv: line 2: its figures are of other");
    refused(&["--merge", "gaps.svg"], "gaps.svg: line 1: it is no file of");
    refused(&["--merge", "nowhere.csv"], "nowhere.csv: it cannot be read");
    assert!(read("2.csv") == csv);
    let not = |more: &[&str]| {
        let output = elbo(folder, &[&gaps[..], more].concat());
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).expect("UTF-8")
    };
    for wrong in ["0/3", "4/3", "2", "a/b"] {
        let text = not(&["--shard", wrong, "--per-image", "x.csv"]);
        assert!(text.contains("as 1/8 to 8/8"), "{text}");
    }
    assert!(not(&["--shard", "1/2"]).contains("--per-image"));
    assert!(!folder.join("x.csv").exists());
}

/// The cells of a column of CSV.
fn column<'a>(csv: &'a str, name: &str) -> Vec<&'a str> {
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().expect("a head").split(',').collect();
    let place = head.iter().position(|&is| is == name);
    let place = place.unwrap_or_else(|| panic!("{name} in {head:?}"));
    lines.map(|line| line.split(',').nth(place).expect("a cell")).collect()
}

fn numbers(csv: &str, name: &str) -> Vec<f64> {
    column(csv, name).iter().map(|cell| cell.parse().expect("a number")).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn images_are_scored_one_by_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    train(folder, "a", &[]);
    let short = ["score", "a", "--samples", "60", "--refine-steps", "60", "--reference", "20"];
    let csv = succeed(folder, &[&short[..], &["--images", "30"]].concat());
    let head = "data,split,image,class,log_px,importance_sampling,importance_sampling_from_best_q,elbo,best_elbo,\
                effective_sample_size,regret,log_px_quantile,regret_quantile";
    assert_eq!(csv.lines().next(), Some(head));
    assert_eq!(column(&csv, "image").last(), Some(&"29"));
    assert_eq!((column(&csv, "class")[0], column(&csv, "split")[0]), ("7", "test"));
    let (log_px, elbo) = (numbers(&csv, "log_px"), numbers(&csv, "elbo"));
    assert!(log_px.iter().zip(&elbo).all(|(log_px, elbo)| elbo < log_px));
    assert!(mean(&numbers(&csv, "regret")) > 0.1, "{csv}");
    // log p(x) of an image is the highest of its bounds, of which more draws have the higher ones on average
    let of_q = numbers(&csv, "importance_sampling");
    let (of_best, best) =
        (numbers(&csv, "importance_sampling_from_best_q"), numbers(&csv, "best_elbo"));
    for i in 0..30 {
        assert_eq!(log_px[i], of_q[i].max(of_best[i]).max(best[i]), "{csv}");
    }
    assert!(mean(&best) < mean(&of_best) && mean(&of_q) < mean(&of_best), "{csv}");
    assert!(of_q.iter().zip(&of_best).any(|(a, b)| a > b), "{csv}");
    // eval has the same draws
    let eval = succeed(folder, &["eval", "a", "--images", "30", "--samples", "60", "--json"]);
    let eval: Value = serde_json::from_str(&eval).expect("JSON");
    for (k, ours) in [(0, &elbo), (3, &of_q)] {
        let theirs = value(&eval["importance_sampling"][k], &[]);
        assert!((theirs - mean(ours)).abs() < 1e-3, "{theirs} {}", mean(ours));
    }
    // The training images have their own places among themselves.
    let own = succeed(folder, &[&short[..], &["--split", "train", "--images", "20"]].concat());
    for name in ["log_px_quantile", "regret_quantile"] {
        let mut quantiles = numbers(&own, name);
        quantiles.sort_by(f64::total_cmp);
        let even: Vec<f64> = (1..=20).map(|i| f64::from(i) / 20.0).collect();
        assert_eq!(quantiles, even, "{own}");
    }
    // A file, and a table of means or one object; and what cannot be told apart is not.
    let twice = [&short[..], &["--images", "30", "--against", "mnist", "--out", "s.csv"]].concat();
    let table = succeed(folder, &twice);
    assert!(table.contains("by log p(x) 0.500 ±") && table.contains("the regret 0.500"), "{table}");
    let report = succeed(folder, &[&twice[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let both = fs::read_to_string(folder.join("s.csv")).expect("a file");
    assert_eq!(both.lines().take(31).collect::<Vec<_>>(), csv.lines().collect::<Vec<_>>());
    assert_eq!(report["rows"].as_array().map(Vec::len), Some(60));
    assert_eq!(report["rows"][29]["log_px"].as_f64(), Some(log_px[29]));
    assert!((value(&report["sets"][0], &["log_px"]) - mean(&log_px)).abs() < 1e-9);
    assert!((value(&report["auroc"], &["regret"]) - 0.5).abs() < 1e-9);
    // Without regret and quantiles.
    let bare = ["--refine-steps", "0", "--reference", "0", "--images", "3", "--split", "all"];
    let bare = succeed(folder, &[&short[..4], &bare].concat());
    let head = "data,split,image,class,log_px,importance_sampling,elbo,effective_sample_size";
    assert_eq!(bare.lines().next(), Some(head));
    assert_eq!(column(&bare, "log_px"), column(&bare, "importance_sampling"));
    assert_eq!(column(&bare, "split"), ["train", "train", "train", "test", "test", "test"]);

    fs::write(folder.join("t.csv"), "a,b\n1,2\n2,1\n3,5\n0,1\n2,2\n").expect("a file");
    refuse(folder, &["score", "a", "--data", "t.csv"], "these are a table, and the run's data");
    refuse(folder, &["score", "a", "--against", "t.csv"], "these are a table, and the run's data");
    refuse(folder, &["score", "a", "--images", "10001"], "from 1 to 10000, the test images of");
    refuse(folder, &["score", "a", "--split", "valid"], "--split valid: there are none in MNIST");
    refuse(folder, &["score", "a", "--samples", "0"], "--samples must be from 1");
    refuse(folder, &["score", "a", "--refine-steps", "1000001"], "--refine-steps must be");
    refuse(folder, &["score", "a", "--out", "no/s.csv"], "no/s.csv");
}

/// Of a table every row is scored, whose class stands beside it; where its own data are gone, its rows have no place among
/// them.
#[test]
fn rows_of_a_table_are_scored() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let row = |i: i32| {
        format!("{},{},{}\n", i % 7, (i * i) % 11, ["low", "high"][usize::from(i % 7 > 3)])
    };
    let cells: String = (0..60).map(row).collect();
    fs::write(folder.join("t.csv"), format!("a,b,kind\n{cells}")).expect("a file");
    let small = ["--hidden", "8", "--latent", "2", "--epochs", "1", "--batch", "10"];
    let table = ["train", "--run", "t", "--data", "t.csv", "--label", "kind"];
    succeed(folder, &[&table[..], &small].concat());
    let short = ["score", "t", "--samples", "20", "--refine-steps", "20"];
    let csv = succeed(folder, &[&short[..], &["--data", "t.csv"]].concat());
    assert_eq!(column(&csv, "row").len(), 60);
    assert_eq!((column(&csv, "split")[0], column(&csv, "class")[4]), ("test", "high"));
    assert!(numbers(&csv, "log_px_quantile").iter().all(|q| (0.0..=1.0).contains(q)));
    fs::rename(folder.join("t.csv"), folder.join("u.csv")).expect("it moves");
    let output = elbo(folder, &[&short[..], &["--data", "u.csv"]].concat());
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.contains("the quantiles are left out"), "{err}");
    assert!(!out.contains("quantile"), "{out}");
    assert_eq!(numbers(&out, "log_px"), numbers(&csv, "log_px"));
}
