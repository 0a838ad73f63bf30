//! `elbo train --config`: the settings of a run, or some of them, and what is given beside them; and how much is printed.

use std::fs;

use serde_json::{Value, json};

use crate::harness::program::Home;

const OPTIONS: &str = "--device cpu --hidden 8 --latent 3 --epochs 2 --batch 25";

/// The parameters of a run by their SHA-256.
fn digest(home: &Home, run: &str) -> String {
    home.json(&format!("{run}/summary.json"))["parameters_sha256"].as_str().unwrap().to_string()
}

#[test]
fn a_runs_config_makes_the_run_again() {
    let home = Home::new();
    fs::create_dir(home.at("other")).unwrap();
    for (run, options) in [
        (
            "plain",
            "--seed 3 --lr 2e-3 --activation tanh --valid 0.1 --early-stop 9 --flip --free-bits 0.1",
        ),
        (
            "odd",
            "--objective iwae --samples 3 --lr-schedule iwae --schedule-stages 2 --optimizer rmsprop --ema 0.9 \
             --binarization fixed --init glorot --weight-decay 0.01 --clip-norm 3",
        ),
        ("kl", "--kl sampled --beta 0.5 --warm-up 1 --likelihood gaussian --variance 0.2"),
        (
            "shown",
            "--tensorboard --figures-every 1 --log-every 2 --channels grey --size 6x6 --fit pad",
        ),
    ] {
        let options = match run {
            "odd" => format!("{} {options}", OPTIONS.replace("--epochs 2", "")),
            _ => format!("{OPTIONS} {options}"),
        };
        home.ok(&format!("train --data data --run {run} {options}"));
        // From any folder: the data are where they were.
        let mut again =
            home.command(&format!("train --config ../{run}/config.json --run again-{run}"));
        let ended = again.current_dir(home.at("other")).args(["--device", "cpu"]).output().unwrap();
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success(), "{run}: {stderr}");
        let said = format!("settings: those of ../{run}/config.json, else the defaults");
        assert!(stderr.contains(&said), "{stderr}");
        let again = format!("other/again-{run}");
        assert_eq!(
            home.json(&format!("{again}/config.json")),
            home.json(&format!("{run}/config.json"))
        );
        assert_eq!(digest(&home, &again), digest(&home, run), "{run}");
    }
}

#[test]
fn options_beside_a_config_win() {
    let home = Home::new();
    home.ok(&format!("train --data data --run a --optimizer rmsprop --seed 4 {OPTIONS}"));
    let config = home.json("a/config.json");
    // A folder stands for its config.json.
    let ended = home.ok("train --config a --lr 0.01 --hidden 6,5 --seed 5 --run b --device cpu");
    let said = "settings: those of a/config.json, --lr, --hidden, --seed of the command line, else the defaults";
    let words = |line: &str| {
        line.split([' ', ',']).map(str::to_string).collect::<std::collections::BTreeSet<_>>()
    };
    let line = ended.stderr.lines().find(|line| line.starts_with("settings: ")).unwrap();
    assert_eq!(words(line), words(said));
    let mut expected = config.clone();
    expected["learning_rate"] = json!(0.01);
    expected["seed"] = json!(5);
    expected["architecture"]["hidden"] = json!([6, 5]);
    expected["architecture"]["decoder_hidden"] = json!([5, 6]);
    assert_eq!(home.json("b/config.json"), expected);
    home.data("more", 60, 20);
    home.ok("train --config a --data more --optimizer adam --epochs 1 --run c --device cpu");
    let other = home.json("c/config.json");
    assert!(other["data"].as_str().unwrap().ends_with("more") && other["adam"]["beta1"] == 0.9);
    assert!(other.get("rmsprop").is_none() && other["batch"] == 25 && other["epochs"] == 1);

    // Some fields alone.
    let some = json!({
        "data": home.at("data"),
        "epochs": 1,
        "kl": "sampled",
        "rmsprop": {"decay": 0.9, "epsilon": 1e-7},
        "architecture": {"hidden": [7, 6], "latent": 2, "likelihood": {"gaussian": {"variance": "optimal"}}},
    });
    fs::write(home.at("some.json"), some.to_string()).unwrap();
    home.ok("train --config some.json --batch 50 --run d --device cpu");
    let own = home.json("d/config.json");
    for field in ["epochs", "kl", "rmsprop"] {
        assert_eq!(own[field], some[field], "{field}");
    }
    assert_eq!(
        (&own["batch"], &own["learning_rate"], &own["binarization"]),
        (&json!(50), &json!(0.001), &json!("none"))
    );
    assert_eq!(own["architecture"]["decoder_hidden"], json!([6, 7]));
    assert_eq!(own["architecture"]["likelihood"], some["architecture"]["likelihood"]);
}

#[test]
fn a_table_and_first_parameters_are_those_of_the_config() {
    let home = Home::empty();
    let row = |i: u32| {
        format!("{},{},{},{}\n", i % 7, i * 37 % 5, i * 11 % 9, ["x", "y"][i as usize % 2])
    };
    let rows: String = (0..90).map(row).collect();
    fs::write(home.at("t.csv"), format!("a,b,c,kind\n{rows}")).unwrap();
    let options = "--device cpu --hidden 6 --latent 2 --epochs 2";
    home.ok(&format!(
        "train --data t.csv --drop b --label kind --likelihood poisson --run a {options}"
    ));
    home.ok("train --config a --run b --device cpu");
    assert_eq!(home.json("b/config.json"), home.json("a/config.json"));
    assert_eq!(digest(&home, "b"), digest(&home, "a"));
    home.ok(
        "train --init-from a --data t.csv --drop b --label kind --epochs 1 --run c --device cpu",
    );
    let ended = home.ok("train --config c --run d --device cpu");
    assert!(!ended.stderr.contains("another than"), "{ended:?}");
    assert_eq!(digest(&home, "d"), digest(&home, "c"));
    // Where they are others by now, it is said.
    fs::write(home.at("t.csv"), format!("a,b,c,kind\n{}", rows.replace("6,", "5,"))).unwrap();
    home.ok("train --data t.csv --drop b --label kind --likelihood poisson --run e --device cpu --hidden 6 --latent 2 --epochs 1");
    fs::remove_dir_all(home.at("a")).unwrap();
    fs::rename(home.at("e"), home.at("a")).unwrap();
    let ended = home.ok("train --config c --run f --device cpu");
    let others =
        ended.stderr.lines().filter(|line| line.contains("another than the configuration"));
    assert_eq!(others.count(), 2, "{ended:?}");
}

#[test]
fn configs_that_cannot_be_are_refused() {
    let home = Home::new();
    let refuse = |config: Value, words: &[&str]| {
        fs::write(home.at("c.json"), config.to_string()).unwrap();
        home.refuses("train --config c.json --run r --device cpu", &[&["c.json"], words].concat());
    };
    let data = home.at("data");
    refuse(json!({"learning_rat": 1e-3}), &["no setting learning_rat;", "a run's config.json"]);
    refuse(
        json!({"data": data, "beta_1": 1, "architecture": {"latnt": 3, "latent": 2}}),
        &["no setting beta_1, architecture.latnt;"],
    );
    refuse(json!({"epochs": "ten"}), &["epochs: invalid type: string \"ten\", expected u32"]);
    refuse(json!({"architecture": {"latent": -2}}), &["architecture.latent: invalid"]);
    refuse(json!({"architecture": 3}), &["architecture: invalid type"]);
    refuse(json!({"seed": 1.5}), &["seed: invalid type"]);
    refuse(json!({"rmsprop": {"decay": 0.9}}), &["rmsprop: missing field `epsilon`"]);
    refuse(json!([1, 2]), &["no object of settings"]);
    fs::write(home.at("c.json"), "{").unwrap();
    home.refuses("train --config c.json --run r", &["c.json: not JSON: EOF"]);
    home.refuses("train --config no.json --run r", &["--config no.json: cannot read"]);
    // A value that no run can have is told as its option.
    fs::write(home.at("c.json"), json!({"data": data, "learning_rate": -1}).to_string()).unwrap();
    home.refuses("train --config c.json --run r --device cpu", &["--lr must be a positive number"]);
    home.refuses("train --config c.json --preset iwae --run r", &["--config", "--preset"]);
    home.ok(&format!("train --data data --run a {OPTIONS}"));
    home.refuses("train --config a --resume a", &["--config cannot be given with --resume"]);
}

#[test]
fn quiet_is_results_alone_and_threads_are_as_many_as_asked() {
    let home = Home::new();
    let loud = home.ok(&format!("train --data data --run a {OPTIONS} --threads 1"));
    assert!(loud.stderr.contains("device: CPU, 1 thread ("), "{loud:?}");
    let quiet = home.ok(&format!("train --data data --run b {OPTIONS} --threads 3 --quiet"));
    assert_eq!(quiet.stderr, "");
    assert!(quiet.stdout.contains("test ELBO"), "{quiet:?}");
    let verbose = home.ok(&format!("train --data data --run c {OPTIONS} -v"));
    for word in [
        "tensors of 0 MiB in all",
        "the training data are on the device as a whole, all ",
        "a training step is ",
        "linear.forward",
    ] {
        assert!(verbose.stderr.contains(word) && !loud.stderr.contains(word), "{verbose:?}");
    }
    home.refuses("sample a -q -v", &["--quiet", "--verbose"]);
    // None of them changes a bit.
    assert_eq!(digest(&home, "a"), digest(&home, "c"));
    assert_eq!(digest(&home, "a"), digest(&home, "b"));
    assert_eq!(home.ok("-q sample a --device cpu").stderr, "");
    let ended = home.run("sample no -q");
    assert!(ended.stderr.starts_with("error: no: not a run folder"), "{ended:?}");
    let mut command = home.command("sample a");
    command.env("ELBO_DEVICE", "cpu").env("ELBO_THREADS", "2");
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("device: CPU, 2 threads ("), "{stderr}");
    home.refuses("sample a --threads 0", &["--threads", "0 is not in 1..=4096"]);
}
