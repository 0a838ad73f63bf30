//! What Python has of the program: a wheel, its runs as arrays, and sweeps of them by what is there for that.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::program::Home;
use crate::harness::python::Python;

const MORE: &str = "no Python with maturin, optuna and ray for the tests: bash scripts/test.sh installs them, or \
    target/python/bin/pip install maturin optuna 'ray[tune]'";

/// One that has what scripts/test.sh installs besides.
fn python() -> PathBuf {
    let python = Python::find();
    for library in ["maturin", "optuna", "ray.tune"] {
        assert!(python.has(library), "{MORE}");
    }
    python.0
}

#[track_caller]
fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    output
}

/// The path on which `elbo` is the one in `folder`.
fn path_with(folder: &Path) -> std::ffi::OsString {
    let others = env::var_os("PATH").unwrap_or_default();
    env::join_paths([folder.to_path_buf()].into_iter().chain(env::split_paths(&others))).unwrap()
}

/// The blocks of a page between lines of ```LANGUAGE and ```.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("```{language}\n");
    page.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// Built as docs/python.md says, installed into an environment that has nothing else, and used.
#[test]
fn a_wheel_carries_the_program() {
    let (python, home) = (python(), Home::new());
    let wheels = home.at("wheels");
    let maturin = python.with_file_name("maturin");
    done(
        Command::new(maturin)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--release", "--offline", "--out"])
            .arg(&wheels),
    );
    let wheel = fs::read_dir(&wheels).unwrap().next().expect("a wheel").unwrap().path();
    let environment = home.at("environment");
    done(Command::new(&python).args(["-m", "venv"]).arg(&environment));
    let bin = environment.join("bin");
    done(
        Command::new(bin.join("python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-index", "--no-deps"])
            .arg(wheel),
    );

    let elbo = |arguments: &str| {
        let mut command = Command::new("elbo");
        command.env("PATH", path_with(&bin)).env_remove("ELBO_DEVICE").current_dir(home.path());
        done(command.args(arguments.split(' ')))
    };
    let version = elbo("--version").stdout;
    assert!(String::from_utf8(version).unwrap().starts_with("elbo 0.1.0"));
    elbo("train --device cpu --steps 20 --run runs/first");
    elbo("encode runs/first --device cpu --split test --out codes.npz");
    let page = blocks(include_str!("../../docs/python.md"), "python");
    let [page] = page[..] else { panic!("one block") };
    let checks = "\n\
        assert test_elbo.shape == (1,) and test_elbo[0] < 0\n\
        assert weights['fc1.weight'].shape == (400, 784)\n\
        assert codes.shape == (10000, 20) and np.isfinite(codes).all()\n";
    done(Command::new(&python).current_dir(home.path()).arg("-c").arg(format!("{page}{checks}")));
}

/// Each program of docs/sweeps.md as it stands there, one after the other, with real schedulers.
#[test]
fn the_sweeps_of_the_guide_run() {
    let (python, home) = (python(), Home::new());
    let program = Path::new(env!("CARGO_BIN_EXE_elbo"));
    let path = path_with(program.parent().unwrap());
    let page = include_str!("../../docs/sweeps.md");
    let mut said = Vec::new();
    for (i, block) in blocks(page, "python").into_iter().enumerate() {
        let file = home.at(&format!("sweep{i}.py"));
        fs::write(&file, block).unwrap();
        let mut command = Command::new(&python);
        // Ray lets its workers run behind everything else, and reports home.
        command.env("RAY_worker_niceness", "0").env("RAY_USAGE_STATS_ENABLED", "0");
        let output = done(command.env("PATH", &path).current_dir(home.path()).arg(&file));
        said.push(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let [optuna, ray, gathered] = &said[..] else { panic!("{} programs", said.len()) };
    assert!(optuna.lines().any(|line| line.starts_with("{'lr': ")), "{optuna}");
    assert!(ray.lines().any(|line| line.starts_with("{'beta': ")), "{ray}");
    // Four runs of two epochs, no two alike.
    let alone = gathered.lines().filter(|line| line.contains(" ± nan over 1: ")).count();
    assert_eq!(alone, 4, "{gathered}");

    let job = home.at("job.sh");
    let [script] = blocks(page, "bash")[..] else { panic!("one script") };
    fs::write(&job, script).unwrap();
    let array = |task: &str| {
        let mut command = Command::new("bash");
        command.arg(&job).env("SLURM_ARRAY_TASK_ID", task).env("PATH", &path);
        done(command.current_dir(home.path()))
    };
    // The second time the run is there, and finished.
    for _ in 0..2 {
        array("3");
    }
    let summary = fs::read_to_string(home.at("runs/seed-3/summary.json")).unwrap();
    assert!(summary.contains("\"finished\": true") && summary.contains("\"seed\": 3"), "{summary}");
}
