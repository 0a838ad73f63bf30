//! Runs: what is printed, and what is written to their folders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::harness::program::{Ended, Home, end, piped, soon, tree};
use crate::small::{FILES, TRAIN, names};

fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png).unwrap();
    (image.width(), image.height())
}

/// The size of a grid of 6x5 images, which are enlarged 9 times.
fn grid_size(columns: u32, rows: u32) -> (u32, u32) {
    (columns * (5 * 9 + 1) + 1, rows * (6 * 9 + 1) + 1)
}

#[test]
fn a_run_writes_its_folder() {
    let home = Home::new();
    let ended = home.ok(&format!("{TRAIN} --run new/run --decoder-hidden 8,9 --seed 5 --beta 0.5"));
    assert_eq!(names(&home.at("new/run")), FILES);

    let config = json!({
        "data": fs::canonicalize(home.path()).unwrap().join("data"),
        "data_sha256": elbo::data::load(&home.at("data"), Default::default()).unwrap().digest(),
        "fit": "crop",
        "architecture": {
            "image": [6, 5], "hidden": [16], "decoder_hidden": [8, 9], "latent": 3,
            "activation": "relu", "likelihood": "bernoulli"
        },
        "binarization": "dynamic", "epochs": 2, "steps": null, "batch": 50, "samples": 1,
        "learning_rate": 0.001, "schedule": "constant",
        "adam": { "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8 },
        "objective": "elbo", "gradient": "reparameterized", "kl": "analytic",
        "beta": 0.5, "warm_up": 0, "free_bits": 0.0, "init": "pytorch", "seed": 5, "precision": "f32"
    });
    assert_eq!(home.json("new/run/config.json"), config);

    let metrics = home.metrics("new/run");
    assert_eq!(metrics.len(), 2);
    for (i, epoch) in metrics.iter().enumerate() {
        assert_eq!((&epoch["epoch"], &epoch["step"]), (&json!(i + 1), &json!(4 * (i + 1))));
        assert_eq!(epoch["binarization"], "dynamic");
        for set in ["train", "test"] {
            let figure = |name: &str| epoch[set][name].as_f64().unwrap();
            let sum = figure("elbo") - (figure("reconstruction") - figure("kl"));
            assert!(sum.abs() < 1e-9 && figure("kl") > 0.0 && figure("elbo") < -1.0, "{epoch}");
        }
        assert!(epoch["images_per_second"].as_f64().unwrap() > 0.0);
        assert!(epoch["seconds"].as_f64().unwrap() > 0.0);
    }

    let summary = home.json("new/run/summary.json");
    let tests: Vec<f64> = metrics.iter().map(|e| e["test"]["elbo"].as_f64().unwrap()).collect();
    assert_eq!(summary["last"], metrics[1]);
    assert_eq!(summary["best_test_elbo"], tests[0].max(tests[1]));
    assert_eq!((&summary["steps"], &summary["seed"]), (&json!(8), &json!(5)));
    assert_eq!((&summary["finished"], &summary["interrupted"]), (&json!(true), &json!(false)));
    assert_eq!(summary["best_epoch"], if tests[1] > tests[0] { 2 } else { 1 });
    assert_eq!(summary["versions"]["elbo"], env!("CARGO_PKG_VERSION"));
    assert!(summary["versions"]["wgpu"].as_str().unwrap().starts_with("30."));
    assert_eq!((&summary["device"]["kind"], summary.get("target")), (&json!("cpu"), None));
    let sha256 = summary["parameters_sha256"].as_str().unwrap();
    assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{sha256}");
    home.assert_model("new/run");

    let bytes = fs::read(home.at("new/run/model.safetensors")).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let expected: [(&str, &[usize]); 12] = [
        ("encoder.0.weight", &[16, 30]),
        ("encoder.0.bias", &[16]),
        ("mu.weight", &[3, 16]),
        ("mu.bias", &[3]),
        ("log_variance.weight", &[3, 16]),
        ("log_variance.bias", &[3]),
        ("decoder.0.weight", &[8, 3]),
        ("decoder.0.bias", &[8]),
        ("decoder.2.weight", &[9, 8]),
        ("decoder.2.bias", &[9]),
        ("decoder.4.weight", &[30, 9]),
        ("decoder.4.bias", &[30]),
    ];
    assert_eq!(model.len(), expected.len());
    for (name, shape) in expected {
        let tensor = model.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape), "{name}");
    }

    assert_eq!(png_size(&home.at("new/run/samples.png")), grid_size(10, 10));
    assert_eq!(png_size(&home.at("new/run/reconstructions.png")), grid_size(10, 10));

    assert_eq!(ended.stdout.lines().next(), Some("nats per image, dynamic binarization"));
    ended.line("train ELBO");
    let row: Vec<&str> = ended.stdout.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(row[..2], ["2", "8"]);
    assert_eq!(row[3], format!("{:.2}", tests[1]));
    let last = ended.line("test ELBO -");
    assert!(last.contains(row[3]) && last.contains("dynamic binarization"), "{last}");
    assert!(last.contains("50 images"), "{last}");
    ended.line("beta = 0.5");
    assert!(ended.line("samples.png").starts_with("new/run:"));
}

#[test]
fn binarization_and_cap_are_said_and_kept() {
    let home = Home::new();
    for (option, word) in [("fixed", "v ≥ 128"), ("none", "pixels not binarized")] {
        let ended = home.ok(&format!("{TRAIN} --binarization {option} --run {option} --steps 6"));
        assert!(ended.stdout.lines().next().unwrap().contains(word), "{ended:?}");
        assert!(ended.line("test ELBO -").contains(word));
        assert_eq!(home.json(&format!("{option}/summary.json"))["steps"], 6);
        let steps: Vec<Value> = home.metrics(option).iter().map(|e| e["step"].clone()).collect();
        assert_eq!(steps, [4, 6]);
    }
}

#[test]
fn the_seed_decides_everything() {
    let home = Home::new();
    let model = |run: &str, options: &str| {
        home.ok(&format!("{TRAIN} --run {run} {options}"));
        let sha256 = home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
        (sha256, tree(&home.at(run)))
    };
    let (first, files) = model("first", "--seed 3");
    let (again, files_again) = model("again", "--seed 3");
    let (other, _) = model("other", "--seed 4");
    assert_eq!(first, again);
    assert_ne!(first, other);
    for name in ["config.json", "model.safetensors", "samples.png", "reconstructions.png"] {
        let content = &files[&home.at("first").join(name)];
        assert!(
            content.is_some() && *content == files_again[&home.at("again").join(name)],
            "{name}"
        );
    }
}

#[test]
fn a_run_begins_with_the_parameters_of_another() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --run first"));
    let test_elbo = |run: &str| home.metrics(run).pop().unwrap()["test"]["elbo"].as_f64().unwrap();
    let sha256 = &home.json("first/summary.json")["parameters_sha256"];
    // The network and the batch are those of the first; at this rate a step changes next to nothing.
    let data = "train --data data --device cpu";
    for from in ["first", "first/model.safetensors --hidden 16 --latent 3 --batch 50"] {
        home.ok(&format!("{data} --init-from {from} --lr 1e-9 --steps 1 --run second"));
        let config = home.json("second/config.json");
        assert_eq!(&config["init_from"]["sha256"], sha256);
        assert_eq!((&config["batch"], &config["architecture"]["latent"]), (&json!(50), &json!(3)));
        assert!((test_elbo("second") - test_elbo("first")).abs() < 1e-3, "{from}");
        fs::remove_dir_all(home.at("second")).unwrap();
    }
    // It was interrupted before its first checkpoint.
    home.ok(&format!("{data} --init-from first --epochs 1 --run second"));
    let second = home.json("second/summary.json")["parameters_sha256"].clone();
    for entry in fs::read_dir(home.at("second")).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.file_name().unwrap().to_str().unwrap() {
            "config.json" => {}
            "checkpoint" => fs::remove_dir_all(entry).unwrap(),
            _ => fs::remove_file(entry).unwrap(),
        }
    }
    home.ok("train --resume second --device cpu");
    assert_eq!(home.json("second/summary.json")["parameters_sha256"], second);
    for (options, words) in [
        ("--init-from first --hidden 9", &["fc1.weight", "should be [9, 30]"][..]),
        ("--init-from data", &["not a run folder"]),
        ("--init-from first/config.json", &["first/config.json", "not a safetensors file"]),
    ] {
        home.refuses(&format!("{data} {options} --run third"), words);
        assert!(!home.at("third").exists());
    }
}

#[test]
fn pictures_are_made_again() {
    let home = Home::with_run();
    let read = |name: &str| fs::read(home.at(name)).unwrap();
    for (command, picture) in [("sample", "samples"), ("reconstruct", "reconstructions")] {
        let own = format!("run/{picture}.png");
        let first = read(&own);
        let with = |options: &str| {
            let ended = home.ok(&format!("{command} run --device cpu {options}"));
            ended.stdout.split_once(": ").unwrap().0.to_string()
        };
        assert_eq!(with("--seed 1"), own, "the default place");
        let seed1 = read(&own);
        assert_ne!(seed1, first);
        assert_eq!(with("--seed 1 --out a.png"), "a.png");
        assert_eq!(read("a.png"), seed1);
        with("--out a.png");
        assert_eq!(read("a.png"), first, "the run's own seed is the default");
        with("--seed 2 --out run/../a.png");
        assert_ne!(read("a.png"), seed1);
    }
    for (command, count, columns, rows) in [
        ("sample", 1, 1, 1),
        ("sample", 7, 3, 3),
        ("reconstruct", 1, 1, 2),
        ("reconstruct", 3, 3, 2),
        ("reconstruct", 50, 10, 10), // all that there are
    ] {
        home.ok(&format!("{command} run --device cpu --count {count} --out b.png"));
        assert_eq!(png_size(&home.at("b.png")), grid_size(columns, rows), "{command} {count}");
    }
    home.refuses("reconstruct run --device cpu --count 51", &["--count 51", "50 test images"]);
}

/// Even the same second has room for several runs.
#[test]
fn runs_without_a_name_find_one() {
    let home = Home::new();
    let children: Vec<Child> = (0..4).map(|_| home.spawn(TRAIN)).collect();
    for child in children {
        let ended = end(child);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let runs: Vec<PathBuf> =
        fs::read_dir(home.at("runs")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(runs.len(), 4, "{runs:?}");
    for run in runs {
        assert_eq!(names(&run), FILES, "{run:?}");
        home.assert_model(run.to_str().unwrap());
    }
}

/// Where the names of these seconds are taken, a number behind one is not.
#[test]
fn a_taken_second_is_no_obstacle() {
    let home = Home::new();
    let now = jiff::Zoned::now();
    for second in 0..20 {
        let then = now.saturating_add(jiff::Span::new().seconds(second));
        let name = then.strftime("%Y-%m-%d-%H%M%S").to_string();
        fs::create_dir_all(home.at("runs").join(&name)).unwrap();
        fs::write(home.at("runs").join(name).join("config.json"), "{}").unwrap();
    }
    let ended = home.ok(TRAIN);
    assert!(ended.stdout.contains("-2"), "{ended:?}");
}

/// Numbers that are too long for their column are written shorter.
#[test]
fn large_figures_keep_the_columns() {
    use elbo::report::console::figure;
    for (value, decimals, width, text) in [
        (-105.694, 2, 10, "-105.69"),
        (-1_234_567.891, 2, 10, "-1234567.9"),
        (-123_456_789.1, 2, 10, "-123456789"),
        (-1.234e12, 2, 10, "-1.23e12"),
        (12345.67, 2, 7, "12345.7"),
        (-1.234e12, 2, 7, "-1.2e12"),
        (1e10, 0, 9, "1.00e10"),
        (f64::NAN, 2, 7, "NaN"),
    ] {
        assert_eq!(figure(value, decimals, width), text);
    }
    let home = Home::new();
    let huge = "--likelihood gaussian --variance 1e-13";
    let ended = home.ok(&format!("{TRAIN} {huge} --run runs/huge"));
    let rows: Vec<&str> = ended.stdout.lines().skip(1).take(3).collect();
    assert!(rows.iter().all(|row| row.chars().count() == rows[0].len()), "{rows:#?}");
    assert!(rows[1].contains("e1"), "{rows:#?}");
    let table = home.ok("runs").stdout;
    assert!(table.lines().nth(1).unwrap().contains("e1"), "{table}");
    assert!(ended.line("test ELBO -").contains("e1"));
    let svg = fs::read_to_string(home.at("runs/huge/training.svg")).unwrap();
    let ticks = svg.lines().filter(|line| line.contains("text-anchor=\"end\""));
    let ticks: Vec<&str> = ticks.map(|l| l.split(['>', '<']).nth(2).unwrap()).collect();
    assert!(ticks.iter().any(|tick| tick.contains("e1")), "{ticks:?}");
    assert!(ticks.iter().all(|tick| tick.chars().count() <= 7), "{ticks:?}");
}

/// The list says what each figure is of, and which end a run has.
#[test]
fn runs_say_what_their_figures_are_of() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --run runs/a-test"));
    let nine = TRAIN.replace("--epochs 2", "--epochs 9");
    home.ok(&format!("{nine} --run runs/b-steps --steps 6"));
    let title =
        |args: &str| home.ok(&format!("runs {args}")).stdout.lines().next().unwrap().to_string();
    assert!(title("").contains("  test ELBO  "), "{}", title(""));
    home.ok(&format!("{TRAIN} --run runs/c-valid --valid 0.1 --steps 1000"));
    assert!(title("runs/c-valid").contains("  valid ELBO  "), "{}", title("runs/c-valid"));
    home.ok("import runs/a-test/model.safetensors --data data --run runs/d-imported");
    let table = home.ok("runs --sort run").stdout;
    let lines: Vec<&str> = table.lines().collect();
    let title: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(title[5..], ["epochs", "steps", "ELBO", "best", "of", "device", "state"], "{table}");
    for (row, words) in [
        (lines[1], ["2/2  ", " 8 ", "  test  ", "finished"]),
        (lines[2], [" 2  ", "  6/6  ", "  test  ", "finished"]),
        (lines[3], ["2/2  ", " 8 ", "  valid  ", "finished"]),
        (lines[4], ["d-imported", "30-16-3-16-30", "relu   ", "imported"]),
    ] {
        for word in words {
            assert!(row.contains(word), "{word:?} in {table}");
        }
    }
    assert!(!lines[4].contains('/') && !lines[4].contains("ELBO"), "{table}");
    let all: Value = serde_json::from_str(&home.ok("runs --json --sort run").stdout).unwrap();
    assert_eq!(
        (&all[3]["state"], &all[2]["last"]["validation"]),
        (&json!("imported"), &json!(true))
    );
    // A summary calls the best figure by what it is of.
    let [test, valid] =
        ["a-test", "c-valid"].map(|run| home.json(&format!("runs/{run}/summary.json")));
    assert!(test["best_test_elbo"].is_f64() && test.get("best_valid_elbo").is_none());
    assert!(valid["best_valid_elbo"].is_f64() && valid.get("best_test_elbo").is_none());
}

#[test]
fn a_run_that_diverges_says_where() {
    let home = Home::new();
    let ended = home.run(&format!("{TRAIN} --run new/run --lr 1e30"));
    ended.assert_error(1, &["step 2:", "encoder.heads", "linear.forward", "--lr", "no checkpoint"]);
    assert!(!home.at("new").exists(), "nothing is left of a run without an epoch");

    // An epoch is one step here. The sums over many training images overflow long before the one test
    // image does: the figures leave room for a factor of 5 either way.
    home.data("tall", 5000, 1);
    let long = "train --data tall --device cpu --hidden none --latent 2 --batch 5000 --epochs 50";
    let ended = home.run(&format!("{long} --run kept --lr 1e17"));
    let words = ["step ", " of train/", "written by", "kept/model.safetensors keeps"];
    ended.assert_error(1, &words);
    let epochs = home.metrics("kept").len();
    assert!((1..50).contains(&epochs));
    assert!(ended.stderr.contains(&format!("error: step {}: ", epochs + 1)), "{ended:?}");
    assert_eq!(home.json("kept/summary.json")["finished"], false);
    home.ok("sample kept --device cpu");
}

#[test]
fn a_preset_is_compared_only_when_it_is_itself() {
    let home = Home::new();
    let ended =
        home.ok("train --preset pytorch-example --data data --device cpu --run run --epochs 1");
    ended.line("pixels not binarized");
    ended.line("target is not compared");
    assert_eq!(home.json("run/summary.json").get("target"), None);
    let config = home.json("run/config.json");
    assert_eq!((&config["binarization"], &config["batch"]), (&json!("none"), &json!(128)));
    let ended = home.ok(
        "train --preset pytorch-example --binarization fixed --data data --device cpu --run own",
    );
    ended.line("fixed binarization");
    ended.line("target is not compared");
}

#[test]
fn output_is_plain_where_there_is_no_terminal() {
    let home = Home::new();
    let run = "a\nb\x1b[31m";
    for code in [0, 2] {
        let mut command = home.command(TRAIN);
        let ended: Ended = command.args(["--run", run]).output().unwrap().into();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains(r"a\nb\u{1b}[31m:"), "{text:?}");
        if code == 0 {
            let starts: Vec<&str> = ended.stderr.lines().map(|l| &l[..6.min(l.len())]).collect();
            assert_eq!((starts.len(), starts[0]), (2, "device"), "{ended:?}");
            assert_eq!(ended.stdout.lines().count(), 6, "{ended:?}");
        }
    }
}

/// A time zone that names a device would be read without an end.
#[cfg(unix)]
#[test]
fn a_time_zone_that_is_no_file_is_left_alone() {
    let home = Home::new();
    for zone in ["/dev/zero", ":/dev/zero", "/none"] {
        let mut command = home.command(&format!("{TRAIN} --steps 1 --run run"));
        let mut child = piped(command.env("TZ", zone));
        let ended = soon(|| child.try_wait().unwrap().is_some());
        let _ = child.kill();
        assert!(ended && child.wait().unwrap().success(), "{zone}");
        let begun = home.json("run/summary.json")["begun"].as_str().unwrap().to_string();
        assert!(begun.ends_with("+00:00"), "{zone}: {begun}");
        fs::remove_dir_all(home.at("run")).unwrap();
    }
}
