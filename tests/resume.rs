//! Runs that stop, whatever stops them, and go on: through the program as its users meet it.
#![cfg(unix)]

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use elbo::checkpoint::{About, Origin, RunFolder, Stretch, Writer};
use elbo::data;
use elbo::device::{Clock, Description, Device, DeviceError, Executor, Progress};
use elbo::plan::{PlanId, Program, TensorId};
use elbo::train::{self, EpochReport, Observer, Settings, State, TrainError, Trainer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use tempfile::TempDir;

/// 200 images in batches of 30: an epoch ends inside a batch.
const TRAIN: &str = "train --data data --hidden 16 --latent 3 --batch 30";

/// A folder to work in, with data of 6x5 pixels in `data`.
struct Home(TempDir);

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        Ended { code: output.status.code(), stdout, stderr }
    }
}

impl Ended {
    /// The last line of stderr is the only error, and has the words.
    #[track_caller]
    fn assert_error(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let errors: Vec<&str> = self.stderr.lines().filter(|l| l.starts_with("error")).collect();
        assert_eq!(
            (errors.len(), errors.last().copied()),
            (1, self.stderr.lines().last()),
            "{self:?}"
        );
        for word in words {
            assert!(errors[0].contains(word), "no {word:?} in: {self:?}");
        }
    }

    /// The table's rows, but for the two columns that are timings.
    fn rows(&self) -> Vec<Vec<String>> {
        let cells = self.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>());
        let rows = cells.filter(|row| row.first().is_some_and(|cell| cell.parse::<u32>().is_ok()));
        rows.map(|row| row[..row.len() - 2].iter().map(|cell| cell.to_string()).collect()).collect()
    }
}

impl Home {
    fn new() -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        home.data("data", 200);
        home
    }

    fn data(&self, folder: &str, train: u32) {
        fs::create_dir(self.at(folder)).unwrap();
        for (name, n) in [("train-images-idx3-ubyte", train), ("t10k-images-idx3-ubyte", 50)] {
            fs::write(self.at(folder).join(name), idx(n)).unwrap();
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
        command.current_dir(self.0.path()).args(args.split_whitespace());
        command.env_remove("XDG_RUNTIME_DIR");
        command
    }

    fn run(&self, args: &str) -> Ended {
        self.command(args).output().unwrap().into()
    }

    #[track_caller]
    fn ok(&self, args: &str) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args}: {ended:?}");
        ended
    }

    /// Refused with one line, and nothing is changed.
    #[track_caller]
    fn refuses(&self, args: &str, words: &[&str]) {
        let before = tree(self.0.path());
        self.run(args).assert_error(2, words);
        assert!(tree(self.0.path()) == before, "{args} changed files");
    }

    fn spawn(&self, args: &str) -> Child {
        self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&fs::read(self.at(path)).unwrap()).unwrap()
    }

    /// The lines of a run's metrics, but for the timings.
    fn metrics(&self, run: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.at(run).join("metrics.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|mut row| {
                let fields = row.as_object_mut().unwrap();
                assert!(fields.remove("seconds").unwrap().as_f64().unwrap() > 0.0);
                assert!(fields.remove("images_per_second").unwrap().as_f64().unwrap() > 0.0);
                row
            })
            .collect()
    }

    /// Checks that two runs came to the same, timings and dates aside.
    #[track_caller]
    fn assert_same(&self, run: &str, whole: &str) {
        assert_eq!(self.metrics(run), self.metrics(whole));
        let [ours, theirs] = [run, whole].map(|run| self.json(&format!("{run}/summary.json")));
        for key in ["parameters_sha256", "steps", "best_test_elbo", "best_epoch", "finished"] {
            assert_eq!(ours[key], theirs[key], "{key}");
        }
        assert_eq!(ours["finished"], true);
        let names = |run: &str| {
            let names = tree(&self.at(run)).into_keys();
            let names = names.map(|p| p.strip_prefix(self.at(run)).unwrap().to_path_buf());
            // Quick epochs may leave no checkpoint but the last.
            names.filter(|name| !name.ends_with("previous.safetensors")).collect::<Vec<_>>()
        };
        assert_eq!(names(run), names(whole), "nothing is left over");
        for name in ["config.json", "model.safetensors", "best.safetensors", "samples.png"] {
            let read = |run: &str| fs::read(self.at(run).join(name)).unwrap();
            assert!(read(run) == read(whole), "{name} differs");
        }
    }
}

/// An IDX file of images with a pattern to learn.
fn idx(n: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = [0x803, n, 6, 5].iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
    let pixel = |image: u32, p: u32| if (p + image % 3) % 5 < 2 { 230 } else { (image % 40) as u8 };
    bytes.extend((0..n).flat_map(|image| (0..30).map(move |p| pixel(image, p))));
    bytes
}

/// Everything below a folder, with the content of files.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.insert(path.clone(), fs::read(path).ok());
    }
    all
}

fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[track_caller]
fn wait_until(what: &str, mut happens: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !happens() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
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
    let mut n = 0;
    for device in ["cpu", "gpu"] {
        for options in [all, iwae, fed] {
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

/// Ctrl-C comes when it comes: in the middle of a long epoch.
#[test]
fn ctrl_c_in_the_middle_of_an_epoch_loses_nothing() {
    let home = Home::new();
    home.data("big", 6000);
    // Epochs of some tenths of a second.
    for (device, sizes, steps) in
        [("cpu", "--hidden 400,400 --batch 2", 3000), ("gpu", "--hidden 64 --batch 8", 750)]
    {
        let train = format!("train --data big --device {device} {sizes} --latent 3 --epochs 2");
        let whole = format!("{device}-whole");
        let ended = home.ok(&format!("{train} --run {whole}"));
        let child = home.spawn(&format!("{train} --run {device}"));
        wait_until("the run", || home.at(device).join("lock").exists());
        std::thread::sleep(Duration::from_millis(10));
        signal(&child, "INT");
        let first: Ended = child.wait_with_output().unwrap().into();
        assert_eq!(first.code, Some(130), "{first:?}");
        let summary = home.json(&format!("{device}/summary.json"));
        let step = summary["steps"].as_u64().unwrap();
        assert!(0 < step && step < 2 * steps && step != steps, "{first:?}");
        assert_eq!((&summary["interrupted"], &summary["finished"]), (&true.into(), &false.into()));
        assert!(first.stdout.contains(&format!("elbo train --resume {device} goes on")));
        let second = home.ok(&format!("train --resume {device} --device {device}"));
        assert!(second.stderr.contains(&format!("from step {step}")), "{second:?}");
        assert_eq!([first.rows(), second.rows()].concat(), ended.rows());
        home.assert_same(device, &whole);
    }
}

/// Killed twenty times and more at random moments, from the first one on.
#[test]
fn a_killed_run_goes_on_where_it_was() {
    let home = Home::new();
    home.data("more", 2000);
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
        let copied =
            Command::new("cp").args(["-r", "run", &run]).current_dir(home.0.path()).status();
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
    let cramped = |args: &str| -> Ended {
        let mut command = Command::new("bash");
        command.current_dir(home.0.path());
        command.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash"]);
        command.arg(env!("CARGO_BIN_EXE_elbo")).args(args.split_whitespace());
        command.output().unwrap().into()
    };
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
}

/// As another user than root, whom nothing stops.
#[test]
fn a_folder_that_cannot_be_written_is_left_as_it_is() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --device cpu --epochs 2 --run run"));
    let program = home.at("elbo");
    fs::copy(env!("CARGO_BIN_EXE_elbo"), &program).unwrap();
    let allow =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(home.0.path(), 0o755);
    allow(&program, 0o755);
    for folder in ["run", "run/checkpoint"] {
        allow(&home.at(folder), 0o555);
    }
    let before = tree(&home.at("run"));
    let run = |args: &str| -> Ended {
        let mut command = Command::new(&program);
        command.current_dir(home.0.path()).args(args.split_whitespace());
        if fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
            command.uid(65534).gid(65534);
        }
        command.output().unwrap().into()
    };
    let ended = run("train --resume run --device cpu --epochs 3");
    ended.assert_error(2, &["run/lock: cannot write", "ermission denied"]);
    assert!(tree(&home.at("run")) == before);
    let ended = run(&format!("{TRAIN} --device cpu --run run/within"));
    ended.assert_error(2, &["run/within: cannot make the folder", "ermission denied"]);
    for folder in ["run", "run/checkpoint"] {
        allow(&home.at(folder), 0o755);
    }
    home.ok("train --resume run --device cpu --epochs 3");
}

#[test]
fn one_process_at_a_time_trains_in_a_folder() {
    let home = Home::new();
    let mut first = home.spawn(&format!("{TRAIN} --device cpu --epochs 100000 --run runs/run"));
    wait_until("a checkpoint", || home.at("runs/run/checkpoint/last.safetensors").exists());
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
    home.data("data", 201);
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

/// A device that is lost after some steps of training.
struct Lossy {
    inner: Box<dyn Executor>,
    steps_left: u64,
}

impl Executor for Lossy {
    fn description(&self) -> &Description {
        self.inner.description()
    }
    fn program(&self) -> &Program {
        self.inner.program()
    }
    fn run(&mut self, plan: PlanId, n: u64, progress: &mut Progress) -> Result<u64, DeviceError> {
        let n = self.inner.run(plan, n.min(self.steps_left), progress)?;
        self.steps_left -= n;
        match self.steps_left {
            0 => Err(DeviceError::Lost { adapter: "test".into(), message: "unplugged".into() }),
            _ => Ok(n),
        }
    }
    fn run_dispatch(&mut self, plan: PlanId, index: usize) -> Result<(), DeviceError> {
        self.inner.run_dispatch(plan, index)
    }
    fn time(
        &mut self,
        plan: PlanId,
        dispatches: std::ops::Range<usize>,
        n: usize,
    ) -> Result<(f64, Clock), DeviceError> {
        self.inner.time(plan, dispatches, n)
    }
    fn write_bytes(&mut self, tensor: TensorId, bytes: &[u8]) -> Result<(), DeviceError> {
        self.inner.write_bytes(tensor, bytes)
    }
    fn write_part(
        &mut self,
        tensor: TensorId,
        start: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.inner.write_part(tensor, start, bytes)
    }
    fn read_bytes(&mut self, tensor: TensorId) -> Result<Vec<u8>, DeviceError> {
        self.inner.read_bytes(tensor)
    }
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
    let lossy = Lossy { inner, steps_left: 14 + 2 * 2 + 3 };
    let mut trainer = Trainer::on(Box::new(lossy), program, &dataset, &settings).unwrap();
    let folder = RunFolder::create(&home.at("run"), &settings).unwrap();
    let lock = folder.lock().unwrap();
    let stretch = Stretch {
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
    let mut keep = Keep(Writer::start(&folder, about, folder.store(), None));
    match train::run(&mut trainer, &mut keep) {
        Err(error @ TrainError::Device(DeviceError::Lost { .. })) => {
            assert_eq!(error.to_string(), "test: the device was lost: unplugged");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(keep.0.finish(), (Some(14), Ok(())));
    drop(lock);
    let ended = home.ok("train --resume run --device cpu");
    assert!(ended.stderr.contains("from step 14"), "{ended:?}");
    home.assert_same("run", "whole");
}

/// A software adapter has the computer's memory, of which Linux promises more than there is.
#[test]
fn memory_that_is_not_there_is_asked_of_no_device() {
    let home = Home::new();
    let before = tree(home.0.path());
    let deep = vec!["4000"; 1000].join(","); // 250 GB in tensors of 128 MB at most
    for device in ["cpu", "llvmpipe"] {
        let ended = home.run(&format!(
            "train --data data --device {device} --batch 1 --hidden {deep} --run huge"
        ));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let error = ended.stderr.lines().last().unwrap();
        assert!(error.starts_with("error: ") && error.contains("more than is free ("), "{ended:?}");
        assert!(tree(home.0.path()) == before, "something was left");
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
    assert!(find("torn")["reason"].as_str().unwrap().contains("not a configuration"));
    assert_eq!(names("runs/b-first")[0], "runs/b-first");
}
