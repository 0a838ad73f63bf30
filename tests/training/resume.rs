//! Runs that stop, whatever stops them, and go on: through the program as its users meet it.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use elbo::checkpoint::{About, Origin, RunFolder, Session, Writer};
use elbo::data;
use elbo::device::{Device, DeviceError, Executor, Progress};
use elbo::plan::PlanId;
use elbo::train::{self, EpochReport, Observer, Settings, State, TrainError, Trainer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use crate::harness;
use crate::harness::program::{Ended, Home, end, signal, soon, tree};
use crate::harness::wrapped::{Hooks, LOST, LostAfter, Wrapped};

/// 200 images in batches of 30: an epoch ends inside a batch.
const TRAIN: &str = "train --data data --hidden 16 --latent 3 --batch 30";

impl Ended {
    /// The table's rows, but for the two columns that are timings.
    fn rows(&self) -> Vec<Vec<String>> {
        let cells = self.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let rows = cells.filter(|row| row.first().is_some_and(|cell| cell.parse::<u32>().is_ok()));
        rows.map(|row| row[..row.len() - 2].iter().map(|cell| cell.to_string()).collect()).collect()
    }
}

impl Home {
    /// A run's metrics, but for the timings.
    fn figures(&self, run: &str) -> Vec<Value> {
        let without_timings = |mut row: Value| {
            let fields = row.as_object_mut().unwrap();
            assert!(fields.remove("seconds").unwrap().as_f64().unwrap() > 0.0);
            assert!(fields.remove("images_per_second").unwrap().as_f64().unwrap() > 0.0);
            row
        };
        self.metrics(run).into_iter().map(without_timings).collect()
    }

    /// Checks that two runs came to the same, timings and dates aside.
    #[track_caller]
    fn assert_same(&self, run: &str, whole: &str) {
        assert_eq!(self.figures(run), self.figures(whole));
        let [ours, theirs] = [run, whole].map(|run| self.json(&format!("{run}/summary.json")));
        for key in ["parameters_sha256", "steps", "best_test_elbo", "best_epoch", "finished"] {
            assert_eq!(ours[key], theirs[key], "{key}");
        }
        assert_eq!(ours["finished"], true);
        let names = |run: &str| {
            let names = tree(&self.at(run)).into_keys();
            let names = names.map(|p| p.strip_prefix(self.at(run)).unwrap().to_path_buf());
            // Quick epochs may leave no checkpoint but the last, and no best but its.
            let kept = |name: &PathBuf| {
                !["previous.safetensors", "best-before.safetensors"]
                    .iter()
                    .any(|n| name.ends_with(n))
            };
            names.filter(kept).collect::<Vec<_>>()
        };
        assert_eq!(names(run), names(whole), "nothing is left over");
        for name in ["config.json", "model.safetensors", "best.safetensors", "samples.png"] {
            let read = |run: &str| fs::read(self.at(run).join(name)).unwrap();
            assert!(read(run) == read(whole), "{name} differs");
        }
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// On the CPU and on an adapter, at the end of an epoch and in its middle, with everything that an epoch
/// or a step changes.
#[test]
fn a_run_that_stops_and_goes_on_is_the_run_that_never_stopped() {
    let home = Home::new();
    let all = "--epochs 5 --lr-schedule step:2=5e-4,4=3e-4 --warm-up 3";
    let iwae = "--epochs 4 --objective iwae --samples 3 --lr 0.0031415926535897 --seed 9";
    // Of images in a window, as larger sets are.
    let fed = "--lr-schedule cosine --epochs 4 --likelihood gaussian --resident-limit 3000";
    // Into the middle of the second epoch.
    let rising = "--epochs 4 --lr 0.01 --lr-warm-up 1.3 --lr-schedule cosine --weight-decay 0.3 --clip-norm 3 --ema 0.9";
    let vamp = "--epochs 4 --prior vamp --pseudo-inputs 7 --gradient sticking-the-landing";
    let mut n = 0;
    for device in ["cpu", "gpu"] {
        for options in [all, iwae, fed, rising, vamp] {
            let whole = format!("{device}{n}");
            let window = if options == fed { "--resident-limit 3000" } else { "" };
            n += 1;
            let train = format!("{TRAIN} --device {device} {options}");
            let ended = home.ok(&format!("{train} --run {whole}"));
            let total = home.json(&format!("{whole}/summary.json"))["steps"].as_u64().unwrap();
            // 6 2/3 steps an epoch: the first after 7, the second after 14.
            for stops in [&[7][..], &[14], &[1], &[10], &[3, 7, 12, 13, total - 1]] {
                let run = format!("{whole}-{stops:?}").replace([' ', '[', ']'], "");
                let mut rows = home.ok(&format!("{train} --run {run} --steps {}", stops[0])).rows();
                for stop in stops[1..].iter().chain([&total]) {
                    // The row of an epoch cut short gives way to that of the whole epoch.
                    let ended = home.ok(&format!(
                        "train --resume {run} --device {device} --steps {stop} {window}"
                    ));
                    let again = ended.rows();
                    if rows.last().map(|row| &row[0]) == again.first().map(|row| &row[0]) {
                        rows.pop();
                    }
                    rows.extend(again);
                }
                assert_eq!(rows, ended.rows(), "{run}");
                // The cap on the steps is the only setting that differs.
                let config = home.json(&format!("{whole}/config.json"));
                let mut ours = home.json(&format!("{run}/config.json"));
                assert_eq!(ours["steps"], total);
                ours["steps"] = Value::Null;
                assert_eq!(ours, config);
                fs::copy(home.at(&whole).join("config.json"), home.at(&run).join("config.json"))
                    .unwrap();
                // A best epoch that was cut short leaves no trace once a better one has come.
                home.assert_same(&run, &whole);
            }
        }
    }
}

/// Signals come when they come: in the middle of a long epoch.
#[test]
fn a_signal_in_the_middle_of_an_epoch_loses_nothing() {
    let home = Home::new();
    home.data("big", 6000, 50);
    // Epochs of some tenths of a second.
    for (device, signals, sizes, steps) in [
        ("cpu", &[("INT", 130), ("TERM", 143)][..], "--hidden 400,400 --batch 2", 3000),
        ("gpu", &[("INT", 130)], "--hidden 64 --batch 8", 750),
    ] {
        let train = format!("train --data big --device {device} {sizes} --latent 3 --epochs 2");
        let whole = format!("{device}-whole");
        let ended = home.ok(&format!("{train} --run {whole}"));
        for (name, code) in signals {
            let run = format!("{device}-{name}");
            let child = home.spawn(&format!("{train} --run {run}"));
            assert!(soon(|| home.at(&run).join("lock").exists()), "the run does not come");
            std::thread::sleep(Duration::from_millis(10));
            signal(&child, name);
            let first = end(child);
            assert_eq!(first.code, Some(*code), "{first:?}");
            let summary = home.json(&format!("{run}/summary.json"));
            let step = summary["steps"].as_u64().unwrap();
            assert!(0 < step && step < 2 * steps && step != steps, "{first:?}");
            assert_eq!(
                (&summary["interrupted"], &summary["finished"]),
                (&true.into(), &false.into())
            );
            assert!(first.stdout.contains(&format!("elbo train --resume {run} goes on")));
            let second = home.ok(&format!("train --resume {run} --device {device}"));
            assert!(second.stderr.contains(&format!("from step {step}")), "{second:?}");
            assert_eq!([first.rows(), second.rows()].concat(), ended.rows());
            home.assert_same(&run, &whole);
        }
    }
}

/// Killed twenty times and more at random moments, from the first one on.
#[test]
fn a_killed_run_goes_on_where_it_was() {
    let home = Home::new();
    home.data("more", 2000, 50);
    let train = "train --data more --device cpu --hidden 16 --latent 3 --batch 30";
    let seed = std::process::id().into();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Some before there is a checkpoint, some while one is written, some long after: how long that takes
    // is the machine's affair.
    let mut limit = 60.0;
    let mut steps = vec![0];
    while steps.len() <= 25 || (steps.len() <= 100 && steps[steps.len() - 5] == 0) {
        let mut child = match home.at("run/config.json").exists() {
            true => home.spawn("train --resume run --device cpu"),
            false => home.spawn(&format!("{train} --epochs 100000 --run run")),
        };
        std::thread::sleep(Duration::from_secs_f64(rng.random_range(0.0..limit) / 1e3));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "seed {seed}: {output:?}");
        let found = RunFolder::open(&home.at("run")).ok();
        let found = found.map(|(folder, _)| folder.store().newest().expect("a whole one"));
        let step = found.flatten().map_or(0, |found| found.checkpoint.state.step());
        limit = if steps.last() == Some(&step) { limit * 1.5 } else { limit * 0.7 };
        limit = limit.clamp(60.0, 5000.0);
        steps.push(step);
    }
    println!("seed {seed}: steps after each kill: {steps:?}");
    assert!(steps.is_sorted(), "seed {seed}: a checkpoint was lost: {steps:?}");
    let (folder, _) = RunFolder::open(&home.at("run")).unwrap();
    let Some(found) = folder.store().newest().unwrap() else {
        panic!("seed {seed}: no checkpoint in all these attempts")
    };
    let epochs = found.checkpoint.state.reports.len() + 3;
    home.ok(&format!("train --resume run --device cpu --epochs {epochs}"));
    home.ok(&format!("{train} --epochs {epochs} --run whole"));
    home.assert_same("run", "whole");
}

#[test]
fn a_damaged_checkpoint_is_never_used() {
    let home = Home::new();
    let train = "train --data data --hidden 2 --latent 1 --batch 30"; // few bytes
    home.ok(&format!("{train} --device cpu --epochs 4 --run whole"));
    home.ok(&format!("{train} --device cpu --epochs 2 --run run"));
    home.ok("train --resume run --device cpu --epochs 3");
    let at = |name: &str| home.at("run/checkpoint").join(name);
    let (last, previous) = (at("last.safetensors"), at("previous.safetensors"));
    let (good, before) = (fs::read(&last).unwrap(), fs::read(&previous).unwrap());
    let newest = || {
        let found = RunFolder::open(&home.at("run")).unwrap().0.store().newest();
        found.map(|found| found.map(|f| (f.checkpoint.state.step(), f.damaged.len())))
    };
    assert_eq!(newest().unwrap(), Some((20, 0)));
    // Each byte, by a bit of it; and many lengths. In place: a disk takes its time with new files.
    let file = fs::File::options().write(true).open(&last).unwrap();
    for (i, byte) in good.iter().enumerate() {
        file.write_all_at(&[byte ^ (1 << (i % 8))], i as u64).unwrap();
        assert_eq!(newest().unwrap(), Some((14, 1)), "byte {i}");
        file.write_all_at(&[*byte], i as u64).unwrap();
    }
    for length in (0..good.len()).step_by(97).chain([good.len() - 1]).rev() {
        file.set_len(length as u64).unwrap();
        assert_eq!(newest().unwrap(), Some((14, 1)), "cut at {length}");
    }
    // Both: refused, and nothing is touched.
    fs::write(&previous, &before[..100]).unwrap();
    home.refuses(
        "train --resume run --device cpu --epochs 4",
        &["run", "last.safetensors", "previous.safetensors", "damaged"],
    );
    // The damaged one does not take the place of the good one, for which a write may come to nothing.
    fs::write(&previous, &before).unwrap();
    let mut store = RunFolder::open(&home.at("run")).unwrap().0.store();
    assert_eq!(store.newest().unwrap().unwrap().checkpoint.state.step(), 14);
    let damaged = fs::read(&last).unwrap();
    store.write(&good).unwrap();
    assert!(fs::read(&previous).unwrap() == before && fs::read(&last).unwrap() == good);
    store.write(&good).unwrap();
    assert!(fs::read(&previous).unwrap() == good, "a good one does");
    fs::write(&last, damaged).unwrap();
    fs::write(&previous, &before).unwrap();
    let ended = home.ok("train --resume run --device cpu --epochs 4");
    assert!(ended.stderr.contains("last.safetensors: damaged"), "{ended:?}");
    assert!(ended.stderr.contains("of step 14, is used"), "{ended:?}");
    assert!(ended.stderr.contains("from step 14"), "{ended:?}");
    home.assert_same("run", "whole");
    // As a process leaves it that is killed between two renames.
    fs::rename(&last, &previous).unwrap();
    assert_eq!(newest().unwrap(), Some((27, 0)));
    fs::remove_dir_all(home.at("whole")).unwrap();
    home.ok("train --resume run --device cpu --epochs 5");
    home.ok(&format!("{train} --device cpu --epochs 5 --run whole"));
    home.assert_same("run", "whole");
    // Without any there is nothing to go on from.
    fs::remove_dir_all(home.at("run/checkpoint")).unwrap();
    home.refuses("train --resume run --epochs 6", &["run: it has no checkpoint", "only a model"]);
}

#[test]
fn a_damaged_model_is_named() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --run run"));
    let model = home.at("run/model.safetensors");
    let size = fs::metadata(&model).unwrap().len() as usize;
    for at in [0, 10, 30, 50, 200, size / 2, size - 1] {
        flip(&model, at);
        for command in ["sample", "reconstruct", "eval --samples 2"] {
            home.refuses(
                &format!("{command} run --device cpu"),
                &["run/model.safetensors: damaged"],
            );
        }
        flip(&model, at);
    }
    home.ok("sample run --device cpu");
}

#[test]
fn metrics_are_those_of_the_checkpoint() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 4 --run whole"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    let path = home.at("run/metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let ahead = text.lines().last().unwrap().replace("\"epoch\":2", "\"epoch\":3");
    let damaged = [format!("{text}{ahead}\n"), text[..text.len() - 30].to_string(), String::new()];
    for (i, damaged) in damaged.iter().enumerate() {
        let run = format!("run{i}");
        let copied = Command::new("cp").args(["-r", "run", &run]).current_dir(home.path()).status();
        assert!(copied.unwrap().success());
        fs::write(home.at(&run).join("metrics.jsonl"), damaged).unwrap();
        home.ok(&format!("train --resume {run} --device cpu --epochs 4"));
        home.assert_same(&run, "whole");
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_written() {
    let home = Home::new();
    // No file of more than 8 KiB: that is room for all but the checkpoint.
    let cramped = |args: &str| home.cramped(8, args);
    let ended = cramped(&format!("{TRAIN} --device cpu --epochs 3 --run new/run"));
    ended.assert_error(1, &["last.safetensors: cannot write", "too large", "no run folder"]);
    assert!(!home.at("new").exists());

    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 5 --run whole"));
    let before = tree(&home.at("run/checkpoint"));
    let ended = cramped("train --resume run --device cpu --epochs 5");
    ended.assert_error(
        1,
        &[
            "run/checkpoint/last.safetensors: cannot write",
            "of step 14 is kept",
            "elbo train --resume run",
        ],
    );
    assert!(tree(&home.at("run/checkpoint")) == before);
    home.ok("sample run --device cpu");
    // The longer end was asked for already.
    home.ok("train --resume run --device cpu");
    home.assert_same("run", "whole");

    // It is told when it happens, not when an epoch of many seconds is over.
    home.data("big", 20_000, 50);
    let slow = "--data big --device cpu --hidden 400,400 --batch 1 --epochs 2";
    home.ok(&format!("train {slow} --steps 1 --run slow"));
    let ended = cramped("train --resume slow --steps 40000");
    ended.assert_error(1, &["cannot write", "of step 1 is kept"]);
    assert!(ended.rows().is_empty(), "{ended:?}");
}

/// As another user than root, whom nothing stops.
#[test]
fn a_folder_that_cannot_be_written_is_left_as_it_is() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    let allow =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for folder in ["run", "run/checkpoint"] {
        allow(&home.at(folder), 0o555);
    }
    let before = tree(&home.at("run"));
    let run = |args: &str| home.as_nobody(args);
    let ended = run("train --resume run --device cpu --epochs 3");
    ended.assert_error(2, &["run/lock: cannot write", "ermission denied"]);
    assert!(tree(&home.at("run")) == before);
    let ended = run(&format!("{TRAIN} --device cpu --run run/within"));
    ended.assert_error(2, &["run/within: cannot make the folder", "ermission denied"]);
    // What would write into the run finds out before it computes anything, and names the file.
    for (command, file) in
        [("sample", "samples"), ("reconstruct", "reconstructions"), ("figures", "samples")]
    {
        let ended = run(&format!("{command} run --device cpu"));
        let line =
            format!("error: run/{file}.png: cannot write: Permission denied (os error 13)\n");
        assert_eq!((ended.code, ended.stderr), (Some(2), line), "{command}");
    }
    let ended = run("eval run --samples 2 --device cpu --per-image each.csv");
    ended.assert_error(2, &["each.csv: cannot write", "ermission denied"]);
    for folder in ["run", "run/checkpoint"] {
        allow(&home.at(folder), 0o755);
    }
    home.ok("train --resume run --device cpu --epochs 3");
}

#[test]
fn one_process_at_a_time_trains_in_a_folder() {
    let home = Home::new();
    let mut first = home.spawn(&format!("{TRAIN} --device cpu --epochs 100000 --run runs/run"));
    assert!(
        soon(|| home.at("runs/run/checkpoint/last.safetensors").exists()),
        "a checkpoint does not come"
    );
    let process = format!("process {}", first.id());
    for _ in 0..3 {
        let second = home.run("train --resume runs/run --device cpu --steps 1");
        second.assert_error(2, &["runs/run/lock:", &process, "one at a time"]);
    }
    let listed = home.ok("runs").stdout;
    assert!(listed.lines().nth(1).unwrap().ends_with("running"), "{listed}");
    first.kill().unwrap();
    first.wait().unwrap();
    // The lock file that it leaves locks nothing.
    assert!(home.at("runs/run/lock").exists());
    let listed = home.ok("runs").stdout;
    assert!(listed.lines().nth(1).unwrap().ends_with("interrupted"), "{listed}");
    let (folder, _) = RunFolder::open(&home.at("runs/run")).unwrap();
    let found = folder.store().newest().unwrap().unwrap();
    let epochs = found.checkpoint.state.reports.len() + 1;
    home.ok(&format!("train --resume runs/run --device cpu --epochs {epochs}"));
    assert!(!home.at("runs/run/lock").exists());
}

#[test]
fn what_would_change_the_run_is_refused() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    for options in [
        "--seed 0",
        "--batch 30",
        "--hidden 16",
        "--latent 4",
        "--lr 0.001",
        "--objective elbo",
        "--run new",
        "--preset iwae",
        "--lr-schedule cosine",
        "--lr-warm-up 1",
        "--weight-decay 0",
        "--clip-norm 9",
        "--ema 0.5",
        "--adam-beta1 0.5",
        "--binarization fixed",
        "--likelihood gaussian",
        "--init glorot",
        "--schedule-stages 2",
        "--beta 1",
        "--samples 2",
    ] {
        let option = options.split(' ').next().unwrap();
        home.refuses(
            &format!("train --resume run --device cpu {options}"),
            &[option, "cannot be given with --resume", "run/config.json", "--epochs"],
        );
    }
    home.refuses("train --resume run --epochs 0", &["--epochs", "at least 1"]);
    home.refuses("train --resume run --epochs 1", &["14 steps already", "the 7"]);
    home.refuses("train --resume run --steps 13", &["14 steps already", "the 13"]);
    home.refuses("train --resume nowhere", &["nowhere: not a run folder"]);
    home.refuses("train --resume data", &["data: not a run folder"]);

    let before = tree(&home.at("run"));
    for options in ["", "--epochs 2", "--steps 14"] {
        let ended = home.ok(&format!("train --resume run --device cpu {options}"));
        assert!(ended.stdout.starts_with("run is finished: 2 epochs, 14 steps"), "{ended:?}");
    }
    assert!(tree(&home.at("run")) == before);

    // A setting that was changed by hand or by a bit.
    let path = home.at("run/config.json");
    let config = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("\"seed\": 0", "\"seed\": 4", ["\"seed\" is 4", "taken with 0"]),
        ("\"batch\": 30", "\"batch\": 31", ["\"batch\" is 31", "taken with 30"]),
        ("\"latent\": 3", "\"latent\": 2", ["\"architecture\"", "\"latent\":3"]),
        ("0.001", "0.0011", ["\"learning_rate\" is 0.0011", "taken with 0.001"]),
    ] {
        fs::write(&path, config.replace(from, to)).unwrap();
        home.refuses(
            "train --resume run --device cpu --epochs 3",
            &[words[0], words[1], "config.json"],
        );
    }
    fs::write(&path, &config).unwrap();

    // Other images, none, and the same elsewhere.
    let images = home.at("data/train-images-idx3-ubyte");
    flip(&images, 1000);
    let resume = "train --resume run --device cpu --epochs 3";
    home.refuses(resume, &["run/config.json", "not the images", "SHA-256"]);
    flip(&images, 1000);
    fs::rename(home.at("data"), home.at("moved")).unwrap();
    home.refuses(resume, &["run/config.json", "no such file"]);
    home.data("data", 201, 50);
    home.refuses(resume, &["run/config.json", "not the images"]);
    home.refuses(&format!("{resume} --data data"), &["--data", "not the images"]);
    home.ok(&format!("{resume} --data moved"));
    let config = home.json("run/config.json");
    assert_eq!(
        (&config["epochs"], config["data"].as_str().unwrap().ends_with("moved")),
        (&3.into(), true)
    );

    // With a cosine the rates of all epochs depend on their number.
    home.ok(
        "train --data moved --device cpu --hidden 4 --lr-schedule cosine --epochs 2 --run cosine",
    );
    home.refuses("train --resume cosine --epochs 3", &["--epochs 3", "cosine", "2 in this run"]);
}

/// An epoch that --steps has cut short may be the best; it is taken back where the run goes on.
#[test]
fn the_best_may_be_cut_short() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --run one"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 3 --steps 13 --run cut"));
    let metrics = home.metrics("cut");
    let elbo = |row: &Value| row["test"]["elbo"].as_f64().unwrap();
    assert!(elbo(&metrics[1]) > elbo(&metrics[0]), "the cut epoch was the better one: {metrics:?}");
    assert_eq!((&metrics[0]["cut_short"], &metrics[1]["cut_short"]), (&Value::Null, &true.into()));
    let read = |path: &str| fs::read(home.at(path)).unwrap();
    let summary = home.json("cut/summary.json");
    assert_eq!((&summary["best_epoch"], &summary["steps"]), (&2.into(), &13.into()));
    assert_eq!(summary["best_test_elbo"], metrics[1]["test"]["elbo"]);
    let listed: Value = serde_json::from_str(&home.ok("runs cut --json").stdout).unwrap();
    assert_eq!((&listed[0]["best"]["epoch"], &listed[0]["epochs"]), (&2.into(), &2.into()));
    home.ok("sample cut --device cpu --out last.png");
    home.ok("sample cut --device cpu --best --out best.png");
    assert!(read("last.png") == read("best.png"));
    // The pictures say where in the run they are: no epoch is over.
    let units = fs::read_to_string(home.at("cut/units.svg")).unwrap();
    assert!(units.contains("after step 13"), "{units}");
    // Whoever goes on with it finds the same best as a run that never stopped, also where the whole epoch
    // is worse than the one before.
    home.ok("train --resume cut --device cpu --steps 14");
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run two"));
    assert!(read("cut/best.safetensors") == read("two/best.safetensors"));
    let spoilt = "--epochs 3 --lr 0.01 --lr-schedule step:3=0.5";
    home.ok(&format!("{TRAIN} --device cpu {spoilt} --run whole"));
    assert_eq!(home.json("whole/summary.json")["best_epoch"], 2);
    home.ok(&format!("{TRAIN} --device cpu {spoilt} --steps 13 --run late"));
    home.ok("train --resume late --device cpu --steps 20");
    assert!(read("late/best.safetensors") == read("whole/best.safetensors"));
    // Less than an epoch has one as well; before the first evaluation there is none.
    home.ok(&format!("{TRAIN} --device cpu --steps 3 --run short"));
    home.ok("sample short --best --device cpu");
    fs::remove_file(home.at("short/best.safetensors")).unwrap();
    home.refuses("sample short --best", &["short: no best.safetensors", "after an epoch"]);
}

/// A process may be killed between any two of its files: the best parameters are those that the checkpoint
/// which is gone on from calls the best, and no others.
#[test]
fn the_best_is_never_of_a_future_that_the_run_does_not_have() {
    let home = Home::new();
    let spoilt = "--lr 0.01 --lr-schedule step:3=0.5,5=0.001";
    let run = |epochs: u32, name: &str| {
        home.ok(&format!("{TRAIN} --device cpu {spoilt} --epochs {epochs} --run {name}"));
        home.json(&format!("{name}/summary.json"))["best_epoch"].as_u64().unwrap()
    };
    let read = |path: &str| fs::read(home.at(path)).unwrap();
    // The best is of epoch 2 after three epochs.
    assert_eq!((run(2, "two"), run(3, "run"), run(1, "one")), (2, 2, 1));
    // Killed before the checkpoint whose best was written already: epoch 1 stands for a later one.
    fs::copy(home.at("one/best.safetensors"), home.at("run/checkpoint/best-next.safetensors"))
        .unwrap();
    home.ok("train --resume run --device cpu --epochs 9 --steps 21");
    assert_eq!(home.json("run/summary.json")["best_epoch"], 2);
    assert!(read("run/best.safetensors") == read("two/best.safetensors"));
    assert!(!home.at("run/checkpoint/best-next.safetensors").exists());
    // Killed after the checkpoint, before it was put in place.
    fs::rename(home.at("run/best.safetensors"), home.at("run/checkpoint/best-next.safetensors"))
        .unwrap();
    fs::copy(home.at("one/best.safetensors"), home.at("run/best.safetensors")).unwrap();
    home.ok("train --resume run --device cpu --epochs 9 --steps 22");
    assert!(read("run/best.safetensors") == read("two/best.safetensors"));
    // The last checkpoint is damaged: the one before has its own best.
    run(1, "early");
    home.ok("train --resume early --device cpu --epochs 2");
    assert!(read("early/best.safetensors") == read("two/best.safetensors"));
    flip(&home.at("early/checkpoint/last.safetensors"), 700);
    let ended = home.ok("train --resume early --device cpu --steps 8");
    assert!(ended.stderr.contains("of step 7, is used"), "{ended:?}");
    let best = home.json("early/summary.json")["best_epoch"].clone();
    home.ok(&format!("{TRAIN} --device cpu {spoilt} --epochs 2 --steps 8 --run same"));
    assert_eq!(best, home.json("same/summary.json")["best_epoch"]);
    assert!(read("early/best.safetensors") == read("same/best.safetensors"));
    // As an older version left it: what is lost is told, and is not made up.
    fs::copy(home.at("one/best.safetensors"), home.at("run/best.safetensors")).unwrap();
    let ended = home.ok("train --resume run --device cpu --epochs 9 --steps 23");
    assert!(
        ended.stderr.contains("the parameters after epoch 2, the best so far, are lost"),
        "{ended:?}"
    );
    home.refuses("sample run --best", &["run: no best.safetensors"]);
}

/// The order of its files: a checkpoint that cannot be written leaves the best of the one before.
#[test]
fn the_best_waits_for_its_checkpoint() {
    let home = Home::new();
    let dataset = data::load(&home.at("data"), Default::default()).unwrap();
    let settings = Settings { epochs: 2, batch: 30, ..Settings::of(&dataset) };
    let device = Device::Cpu(harness::cpu());
    let mut trainer = Trainer::new(&device, &dataset, &settings).unwrap();
    let mut states = Collect(Vec::new());
    train::run(&mut trainer, &mut states).unwrap();
    let [first, second] = &states.0[..] else { panic!("two epochs") };
    assert_eq!(second.best().map(|best| best.epoch), Some(2));
    let folder = RunFolder::create(&home.at("run"), &settings).unwrap();
    let session = Session {
        from_step: 0,
        device: device.description().clone(),
        elbo: String::new(),
        variants: Default::default(),
    };
    let origin =
        Origin { begun: String::new(), computed_on: vec![session], shown: Default::default() };
    let about = About { settings, origin };
    let mut writer = Writer::start(&folder, about.clone(), folder.store(), None).unwrap();
    writer.save(first).unwrap();
    assert!(matches!(writer.finish(), (Some(_), Ok(()))));
    let best = || fs::read(home.at("run/best.safetensors")).unwrap();
    let before = best();
    // Nothing can be renamed onto a folder that is not empty.
    let last = home.at("run/checkpoint/last.safetensors");
    fs::remove_file(&last).unwrap();
    fs::create_dir_all(last.join("in the way")).unwrap();
    let mut writer = Writer::start(&folder, about, folder.store(), None).unwrap();
    writer.save(second).unwrap();
    assert!(matches!(writer.finish(), (None, Err(_))));
    assert!(best() == before);
}

/// Keeps the states of a run.
struct Collect(Vec<State>);

impl Observer for Collect {
    fn epoch_begins(&mut self, _: u32) {}
    fn step(&mut self, _: u64) -> bool {
        false
    }
    fn evaluating(&mut self) {}
    fn epoch_ends(&mut self, _: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        Ok(())
    }
    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.0.push(state.clone());
        Ok(())
    }
}

/// A run ends where no epoch is better, stopped and resumed or not, and goes on with more patience as if it had had it.
#[test]
fn a_run_stops_early_and_goes_on_with_more_patience() {
    let home = Home::new();
    // The third epoch's rate is too large for it, and for those that follow.
    let train =
        format!("{TRAIN} --device cpu --valid 0.2 --epochs 9 --lr 0.01 --lr-schedule step:3=0.5");
    let ended = home.ok(&format!("{train} --early-stop 2 --run early"));
    assert_eq!(ended.rows().len(), 5, "{ended:?}");
    assert_eq!(
        ended.line("stopped early"),
        "stopped early, after epoch 5 of 9: no better valid ELBO in 2 epochs"
    );
    let summary = home.json("early/summary.json");
    assert_eq!(summary["best_epoch"], 3);
    assert_eq!((&summary["finished"], &summary["stopped_early"]), (&true.into(), &true.into()));
    for options in ["", "--early-stop 2", "--epochs 12", "--early-stop 1"] {
        let ended = home.ok(&format!("train --resume early --device cpu {options}"));
        assert!(ended.stdout.starts_with("early is finished: 5 epochs"), "{ended:?}");
        assert!(ended.stdout.contains("a larger --early-stop than"), "{ended:?}");
    }
    // Stopped before its early stop.
    home.ok(&format!("{train} --early-stop 2 --run cut --steps 24"));
    let ended = home.ok("train --resume cut --device cpu --steps 1000");
    assert!(ended.stdout.contains("stopped early, after epoch 5"), "{ended:?}");
    let config = fs::read(home.at("early/config.json")).unwrap();
    fs::write(home.at("cut/config.json"), config).unwrap(); // it has no cap on the steps
    home.assert_same("cut", "early");
    // With more patience.
    home.ok(&format!("{train} --early-stop 4 --run patient"));
    home.ok("train --resume early --device cpu --early-stop 4");
    home.assert_same("early", "patient");
    assert_eq!(
        home.json("early/summary.json")["steps"],
        home.json("patient/summary.json")["steps"]
    );
    home.refuses(&format!("{TRAIN} --early-stop 2"), &["--early-stop 2", "--valid"]);
}

/// Every command that takes a model takes the best one.
#[test]
fn the_best_model_is_taken_where_it_is_asked_for() {
    let home = Home::new();
    // The third epoch spoils what the second has come to.
    let spoilt = "--epochs 3 --lr 0.01 --lr-schedule step:3=0.5";
    let ended = home.ok(&format!("{TRAIN} --device cpu {spoilt} --run run"));
    let summary = home.json("run/summary.json");
    assert_eq!(summary["best_epoch"], 2, "{ended:?}");
    let told = format!(
        "the best test ELBO was {:.2}, after epoch 2: run/best.safetensors has those parameters, --best takes them",
        summary["best_test_elbo"].as_f64().unwrap()
    );
    assert_eq!(ended.line("the best"), told);
    home.ok(&format!("{TRAIN} --device cpu {} --run two", spoilt.replace("epochs 3", "epochs 2")));
    let same = |ours: &str, theirs: &str| {
        let read = |path: &str| fs::read(home.at(path)).unwrap();
        assert!(read(ours) == read(theirs), "{ours} differs from {theirs}");
    };
    for (command, file) in [
        ("sample", "--out a.png"),
        ("reconstruct", "--out b.png"),
        ("eval --samples 4", "--per-image c.csv"),
        ("export", "--pytorch d.safetensors"),
        ("export", "--onnx decoder.onnx"),
    ] {
        let device = if command == "export" { "" } else { "--device cpu" };
        let name = file.split(' ').nth(1).unwrap();
        home.ok(&format!("{command} two {device} {file} --best")); // its last
        fs::rename(home.at(name), home.at("of-two")).unwrap();
        let ended = home.ok(&format!("{command} run {device} {file} --best"));
        let note = "run/best.safetensors: the parameters after epoch 2, step 14";
        assert!(ended.stderr.lines().any(|line| line == note), "{ended:?}");
        same(name, "of-two");
        let ended = home.ok(&format!("{command} run {device} {file}"));
        assert!(!ended.stderr.contains("best"), "{ended:?}");
        assert!(fs::read(home.at(name)).unwrap() != fs::read(home.at("of-two")).unwrap());
    }
    let report = |args: &str| -> Value {
        serde_json::from_str(
            &home.ok(&format!("eval --samples 4 --device cpu --json {args}")).stdout,
        )
        .unwrap()
    };
    assert_eq!(report("run --best")["run"], "run, best epoch 2");
    assert_eq!(report("run --best")["elbo"], report("two")["elbo"]);
    home.ok("curve run --samples 4 --device cpu --best");
    home.ok("figures run --device cpu --best");
    same("run/samples.png", "two/samples.png");
    let units = fs::read_to_string(home.at("run/units.svg")).unwrap();
    assert!(units.contains("after step 14"), "{units}");
    flip(&home.at("run/best.safetensors"), 700);
    home.refuses("eval run --best", &["run/best.safetensors: damaged"]);
}

/// Killed before its first checkpoint, a run still knows what it was to show; files that were made private stay so.
#[test]
fn a_run_that_begins_anew_shows_what_it_was_to_show() {
    let home = Home::new();
    let options = "--epochs 2 --figures-every 1 --tensorboard";
    home.ok(&format!("{TRAIN} --device cpu {options} --run whole"));
    let config = fs::read(home.at("whole/config.json")).unwrap();
    fs::create_dir(home.at("run")).unwrap();
    fs::write(home.at("run/config.json"), config).unwrap();
    fs::set_permissions(home.at("run/config.json"), fs::Permissions::from_mode(0o600)).unwrap();
    let ended = home.ok("train --resume run --device cpu --epochs 3");
    assert!(ended.stderr.contains("it begins anew"), "{ended:?}");
    assert!(home.at("run/progress/epoch-0001-samples.png").exists());
    let is_events = |e: fs::DirEntry| e.file_name().to_string_lossy().starts_with("events.out");
    assert!(fs::read_dir(home.at("run")).unwrap().any(|e| is_events(e.unwrap())));
    let mode = |name: &str| fs::metadata(home.at("run").join(name)).unwrap().permissions().mode();
    assert_eq!(mode("config.json") & 0o777, 0o600);
    fs::set_permissions(home.at("run/model.safetensors"), fs::Permissions::from_mode(0o640))
        .unwrap();
    fs::write(home.at("run/progress/.elbo-left"), "half").unwrap();
    home.ok("train --resume run --device cpu --epochs 4");
    assert_eq!(mode("model.safetensors") & 0o777, 0o640);
    let best = home.at("run/best.safetensors");
    fs::set_permissions(&best, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&best).unwrap();
    home.ok("train --resume run --device cpu --epochs 30");
    assert!(fs::read(&best).unwrap() != before && mode("best.safetensors") & 0o777 == 0o600);
    assert!(home.at("run/progress/epoch-0004-samples.png").exists());
    assert!(!home.at("run/progress/.elbo-left").exists());
}

/// Killed between its last checkpoint and its pictures, a run still comes to its end.
#[test]
fn the_end_of_a_run_is_made_up_for() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run whole"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    for name in ["summary.json", "samples.png", "model.safetensors", "best.safetensors"] {
        fs::remove_file(home.at("run").join(name)).unwrap();
    }
    fs::write(home.at("run/.elbo-left"), "half").unwrap();
    fs::write(home.at("run/checkpoint/.elbo-left"), "half").unwrap();
    let ended = home.ok("train --resume run --device cpu");
    assert!(ended.rows().is_empty() && ended.stdout.contains("test ELBO -"), "{ended:?}");
    home.assert_same("run", "whole");
    // Before the first checkpoint there is only the configuration.
    for name in ["summary.json", "samples.png", "reconstructions.png", "metrics.jsonl"] {
        fs::remove_file(home.at("run").join(name)).unwrap();
    }
    for name in ["model.safetensors", "best.safetensors"] {
        fs::remove_file(home.at("run").join(name)).unwrap();
    }
    fs::remove_dir_all(home.at("run/checkpoint")).unwrap();
    let ended = home.ok("train --resume run --device cpu");
    assert!(ended.stderr.contains("it begins anew"), "{ended:?}");
    home.assert_same("run", "whole");
    // Before the configuration there is less than that.
    fs::create_dir(home.at("new")).unwrap();
    fs::write(home.at("new/.elbo-left"), "half").unwrap();
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run new"));
    home.ok("train --resume new --device cpu --epochs 3");
    assert!(!home.at("new/.elbo-left").exists());
}

#[test]
fn a_run_goes_on_on_another_device() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device gpu --epochs 1 --run run"));
    let ended = home.ok("train --resume run --epochs 2"); // on its own
    assert!(!ended.stderr.contains("may differ"), "{ended:?}");
    let ended = home.ok("train --resume run --device cpu --epochs 3");
    assert!(ended.stderr.contains("from here on the run may differ"), "{ended:?}");
    let summary = home.json("run/summary.json");
    assert_eq!(summary["device"]["kind"], "cpu");
    let stretches = summary["computed_on"].as_array().unwrap();
    assert_eq!((stretches.len(), &stretches[1]["from_step"]), (2, &14.into()), "{summary}");
    // The noise is the same: so are the figures, up to rounding.
    home.ok(&format!("{TRAIN} --device cpu --epochs 3 --run whole"));
    let elbo = |run: &str| home.metrics(run)[2]["test"]["elbo"].as_f64().unwrap();
    assert!((elbo("run") - elbo("whole")).abs() < 0.05);
}

struct Keep(Writer);

impl Observer for Keep {
    fn epoch_begins(&mut self, _: u32) {}
    fn step(&mut self, _: u64) -> bool {
        false
    }
    fn evaluating(&mut self) {}
    fn epoch_ends(&mut self, _: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        Ok(())
    }
    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.0.save(state)
    }
}

#[test]
fn a_lost_device_leaves_the_last_checkpoint() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 4 --run whole"));
    let (_, settings): (_, Settings) = RunFolder::open(&home.at("whole")).unwrap();
    let dataset = data::load(&home.at("data"), Default::default()).unwrap();
    let device = Device::Cpu(harness::cpu());
    let program = train::record(&dataset, &settings).unwrap();
    let inner = device.load(program.program.clone()).unwrap();
    // Two steps evaluate the test set after each epoch; the third epoch begins after step 14.
    let hooks = LostAfter(Arc::new(AtomicU64::new(14 + 2 * 2 + 3)));
    let mut trainer =
        Trainer::on(Box::new(Wrapped { inner, hooks }), program, &dataset, &settings).unwrap();
    let folder = RunFolder::create(&home.at("run"), &settings).unwrap();
    let lock = folder.lock().unwrap();
    let stretch = Session {
        from_step: 0,
        device: device.description().clone(),
        elbo: env!("CARGO_PKG_VERSION").to_string(),
        variants: Default::default(),
    };
    let origin = Origin {
        begun: "2026-01-01T00:00:00+00:00".into(),
        computed_on: vec![stretch],
        shown: Default::default(),
    };
    let about = About { settings, origin };
    let mut keep = Keep(Writer::start(&folder, about, folder.store(), None).unwrap());
    match train::run(&mut trainer, &mut keep) {
        Err(error @ TrainError::Device(DeviceError::Lost { .. })) => {
            assert_eq!(error.to_string(), LOST);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(keep.0.finish(), (Some(14), Ok(())));
    drop(lock);
    let ended = home.ok("train --resume run --device cpu");
    assert!(ended.stderr.contains("from step 14"), "{ended:?}");
    home.assert_same("run", "whole");
}

/// A driver that takes work and does none of it, as one without its GPU.
struct Idle;

impl Hooks for Idle {
    fn run(
        &mut self,
        _: &mut dyn Executor,
        _: PlanId,
        n: u64,
        _: &mut Progress,
    ) -> Result<u64, DeviceError> {
        Ok(n)
    }
}

#[test]
fn a_device_that_drops_its_work_is_noticed() {
    let home = Home::new();
    let dataset = data::load(&home.at("data"), Default::default()).unwrap();
    let settings = Settings { epochs: 1, batch: 30, ..Settings::of(&dataset) };
    let program = train::record(&dataset, &settings).unwrap();
    let inner = Device::Cpu(harness::cpu()).load(program.program.clone()).unwrap();
    let executor = Box::new(Wrapped { inner, hooks: Idle });
    let mut trainer = Trainer::on(executor, program, &dataset, &settings).unwrap();
    let folder = RunFolder::create(&home.at("run"), &settings).unwrap();
    let _lock = folder.lock().unwrap();
    let origin = Origin {
        begun: "2026-01-01T00:00:00+00:00".into(),
        computed_on: Vec::new(),
        shown: Default::default(),
    };
    let about = About { settings, origin };
    let mut keep = Keep(Writer::start(&folder, about, folder.store(), None).unwrap());
    let error = train::run(&mut trainer, &mut keep).unwrap_err().to_string();
    assert!(error.contains("it has not run the steps from 0 on"), "{error}");
}

/// A software adapter has the computer's memory, of which Linux promises more than there is.
#[test]
fn memory_that_is_not_there_is_asked_of_no_device() {
    let home = Home::new();
    let before = tree(home.path());
    let deep = vec!["4000"; 1000].join(","); // 250 GB in tensors of 128 MB at most
    for device in ["cpu", "llvmpipe"] {
        let ended = home.run(&format!(
            "train --data data --device {device} --batch 1 --hidden {deep} --run huge"
        ));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let error = ended.stderr.lines().last().unwrap();
        assert!(error.starts_with("error: ") && error.contains("more than is free ("), "{ended:?}");
        assert!(tree(home.path()) == before, "something was left");
    }
}

#[test]
fn runs_are_listed_whatever_is_wrong_with_one() {
    let home = Home::new();
    home.refuses("runs", &["runs: cannot list the folder"]);
    fs::create_dir(home.at("runs")).unwrap();
    assert_eq!(home.ok("runs").stdout, "runs: no run folder is in it\n");
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run runs/b-first"));
    home.ok(&format!(
        "{TRAIN} --device cpu --epochs 4 --run runs/a-second --objective iwae --samples 5"
    ));
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --run runs/torn"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --run runs/flipped"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run runs/stale"));
    fs::write(home.at("runs/torn/config.json"), "{").unwrap();
    flip(&home.at("runs/flipped/model.safetensors"), 700);
    flip(&home.at("runs/stale/checkpoint/last.safetensors"), 7000);
    fs::create_dir(home.at("runs/no run")).unwrap();
    fs::write(home.at("runs/file"), "").unwrap();

    let names = |args: &str| -> Vec<String> {
        let text = home.ok(&format!("runs {args}")).stdout;
        let rows = text.lines().skip(1).take(5);
        rows.map(|l| l.split_whitespace().next().unwrap().to_string()).collect()
    };
    let table = home.ok("runs").stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 5 + 3, "{table}");
    for word in
        ["run", "begun", "data", "network", "objective", "epochs", "test ELBO", "best", "state"]
    {
        assert!(lines[0].contains(word), "{table}");
    }
    let row = |name: &str| lines.iter().find(|l| l.starts_with(name)).unwrap();
    for word in ["30-16-3-16-30 relu", "bound of 5 samples", "4/4", "27", "CPU, ", "finished"] {
        assert!(row("a-second").contains(word), "{word}: {table}");
    }
    for (name, reason) in [
        ("torn", "runs/torn/config.json: not a configuration"),
        ("flipped", "runs/flipped/model.safetensors: damaged"),
        ("stale", "runs/stale/checkpoint/last.safetensors: damaged"),
    ] {
        assert!(row(name).ends_with("broken"), "{table}");
        let begin = format!("{name} is broken: ");
        let line = lines[6..].iter().find(|line| line.starts_with(&begin));
        assert!(line.is_some_and(|line| line.contains(reason)), "{table}");
    }
    assert_eq!(names("--sort run"), ["a-second", "b-first", "flipped", "stale", "torn"]);
    assert_eq!(names("--sort run --reverse"), ["torn", "stale", "flipped", "b-first", "a-second"]);
    // What has no value is last both ways.
    assert_eq!(names("--sort epochs --reverse")[0], "a-second");
    assert_eq!(names("--sort network").last().unwrap(), "torn");
    assert_eq!(names("--sort network --reverse").last().unwrap(), "torn");

    let all: Value = serde_json::from_str(&home.ok("runs --json --sort begun").stdout).unwrap();
    let find = |name: &str| all.as_array().unwrap().iter().find(|r| r["run"] == name).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 5);
    let (first, summary) = (find("b-first"), home.json("runs/b-first/summary.json"));
    assert_eq!((&first["state"], &first["steps"]), (&"finished".into(), &14.into()));
    assert_eq!((&first["last"], &first["begun"]), (&summary["last"], &summary["begun"]));
    assert_eq!(first["settings"], home.json("runs/b-first/config.json"));
    assert_eq!(first["best"]["test"]["elbo"], summary["best_test_elbo"]);
    // What differs between runs is shown, and nothing else.
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --lr 0.01 --seed 4 --run pair/a"));
    home.ok(&format!("{TRAIN} --device cpu --epochs 1 --run pair/b"));
    let table = home.ok("runs pair").stdout;
    let title: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(title[5..9], ["lr", "seed", "epochs", "steps"], "{table}");
    assert!(!home.ok("runs").stdout.contains("seed"));
    assert!(find("torn")["reason"].as_str().unwrap().contains("not a configuration"));
    assert_eq!(names("runs/b-first")[0], "runs/b-first");
}
