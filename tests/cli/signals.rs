//! Signals and pipes that close.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::program::{Home, end, piped, signal, soon};
use crate::small::{FILES, TRAIN, names};

/// A reader that goes away, as `head` does, ends nothing.
#[test]
fn closed_pipes_do_not_lose_the_run() {
    let home = Home::new();
    let mut child = home.spawn(&format!("{TRAIN} --run run"));
    drop((child.stdout.take(), child.stderr.take()));
    assert!(soon(|| child.try_wait().unwrap().is_some()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(names(&home.at("run")), FILES);
    home.assert_model("run");
}

/// Data that are mapped and cut short meanwhile: a line, not a signal without a word.
#[cfg(unix)]
#[test]
fn a_file_that_is_cut_short_ends_a_run_with_a_line() {
    let home = Home::empty();
    let n = 345_000;
    let mut head = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({n}, 28, 28), }}");
    head += &" ".repeat(117 - head.len());
    let head = [b"\x93NUMPY\x01\x00\x76\x00", head.as_bytes(), b"\n"].concat();
    assert_eq!(head.len(), 128);
    // A grey level, so that they are no bits, which are kept in memory.
    fs::write(home.at("x.npy"), [&head[..], &[200]].concat()).unwrap();
    let file = fs::File::options().write(true).open(home.at("x.npy")).unwrap();
    file.set_len(128 + n * 784).unwrap(); // a hole: it takes no room on the disk
    let child = home.spawn(
        "train --data x.npy --device cpu --hidden 8 --latent 2 --resident-limit 1000000 --run run",
    );
    let begun = soon(|| home.at("run/config.json").exists());
    file.set_len(1000).unwrap();
    let ended = end(child);
    assert!(begun && ended.code == Some(1), "{ended:?}");
    let line = "error: a file of data has become shorter while it was read";
    assert_eq!(ended.stderr.lines().filter(|l| l.starts_with(line)).count(), 1, "{ended:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_and_sigterm_end_a_run_well() {
    let home = Home::new();
    home.data("big", 20_000, 50);
    // One with an epoch behind it, and one in its first epoch, which takes many seconds.
    let small = TRAIN.replace("--epochs 2", "--epochs 100000");
    let slow = "train --data big --device cpu --hidden 400,400 --batch 1";
    for (args, run, signal_at, name, code) in [
        (&small[..], "epochs", "epochs/metrics.jsonl", "INT", 130),
        (slow, "steps", "steps/config.json", "TERM", 143),
    ] {
        let child = home.spawn(&format!("{args} --run {run}"));
        let begun = soon(|| fs::metadata(home.at(signal_at)).is_ok_and(|m| m.len() > 0));
        signal(&child, name);
        let ended = end(child);
        assert!(begun, "{ended:?}");
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ended.line("interrupted after step");
        let said = |words: &str| ended.stderr.lines().any(|line| line.starts_with(words));
        assert!(said("interrupted: the current step is finished"), "{ended:?}");
        assert!(said("the checkpoint of step "), "{ended:?}");

        let summary = home.json(&format!("{run}/summary.json"));
        assert_eq!(summary["interrupted"], true);
        let metrics = home.metrics(run);
        assert_eq!(metrics.is_empty(), run == "steps");
        assert_eq!(summary["last"], metrics.last().cloned().unwrap_or_default());
        assert!(summary["steps"].as_u64().unwrap() > 0);
        home.assert_model(run);
        // All the files, but no curve and no best of no epoch.
        for name in FILES {
            let of_epochs = ["training.svg", "best.safetensors"];
            let expected = run == "epochs" || !of_epochs.contains(&name);
            assert_eq!(home.at(run).join(name).exists(), expected, "{run}/{name}");
        }
        home.ok(&format!("sample {run} --device cpu"));
        home.ok(&format!("reconstruct {run} --device cpu"));
    }
}

/// Without its configuration a folder would be no run.
#[cfg(unix)]
#[test]
fn a_configuration_that_is_removed_meanwhile_is_written_anew() {
    let home = Home::new();
    let child = home.spawn(&TRAIN.replace("--epochs 2", "--epochs 100000 --run run"));
    let config = home.at("run/config.json");
    let begun = soon(|| fs::metadata(home.at("run/metrics.jsonl")).is_ok_and(|m| m.len() > 0));
    let before = fs::read(&config).unwrap();
    fs::remove_file(&config).unwrap();
    signal(&child, "INT");
    let ended = end(child);
    assert!(begun && ended.code == Some(130), "{ended:?}");
    assert!(ended.stderr.contains("config.json: it was removed meanwhile"), "{ended:?}");
    assert!(fs::read(&config).unwrap() == before);
}

/// An evaluation has nothing to save.
#[cfg(unix)]
#[test]
fn signals_end_an_evaluation() {
    let home = Home::with_run();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let mut command = home.command("eval run --samples 1000000 --device cpu --per-image a.csv");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("device: "), "{line}");
        std::thread::sleep(Duration::from_millis(300)); // it listens for signals then
        signal(&child, name);
        let ended = end(child);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stderr, "interrupted; nothing was written\n");
        assert!(!home.at("a.csv").exists());
    }
}

/// `nohup elbo train` outlives its terminal.
#[cfg(unix)]
#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let home = Home::new();
    let mut command = Command::new("sh");
    let command = command
        .current_dir(home.path())
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_elbo")])
        .args(TRAIN.replace("--epochs 2", "--epochs 100000 --run run").split(' '));
    let child = piped(command);
    let written = || fs::metadata(home.at("run/metrics.jsonl")).map_or(0, |m| m.len());
    assert!(soon(|| written() > 0));
    signal(&child, "HUP");
    let then = written();
    let goes_on = soon(|| written() > then + 1000); // two epochs and more
    signal(&child, "INT");
    let ended = end(child);
    assert!(goes_on && ended.code == Some(130), "{ended:?}");
}
