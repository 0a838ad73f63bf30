//! What is refused, and what the program says then.

use std::fs;
use std::process::Command;

use elbo::checkpoint::RunFolder;

use crate::harness::program::{Ended, Home, end, idx, tree};
use crate::small::{FILES, TRAIN};

/// What is wrong with the input is found before any time goes into a device.
#[test]
fn no_device_is_opened_for_wrong_input() {
    let home = Home::with_run();
    let summary = fs::read(home.at("run/summary.json")).unwrap();
    fs::write(home.at("run/summary.json"), "{").unwrap();
    home.refuses("figures run --device cpu", &["run/summary.json: not a summary"]);
    fs::write(home.at("run/summary.json"), summary).unwrap();
    for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
        fs::write(home.at("data").join(name), idx(20, 4, 4)).unwrap();
    }
    for command in ["figures", "eval", "curve", "explore --no-open"] {
        home.refuses(&format!("{command} run --device cpu"), &["data: its images"]);
    }
}

#[test]
fn wrong_options_are_refused() {
    let home = Home::new();
    for (options, words) in [
        ("--hidden 0", &["--hidden", "no layer"][..]),
        ("--hidden abc", &["--hidden", "abc"]),
        ("--hidden 16,,16", &["--hidden", "no layer"]),
        ("--hidden 99999999999", &["2^31 weights"]),
        ("--decoder-hidden 1,0", &["--decoder-hidden"]),
        ("--latent 0", &["at least one unit", "30-400-0-400-30"]),
        ("--latent 18446744073709551615", &["2^31 weights"]),
        ("--batch 0", &["--batch", "at least 1"]),
        ("--batch 201", &["--batch 201", "200 training images"]),
        ("--batch 1e9", &["--batch"]),
        ("--batch 200 --samples 400", &["--batch", "--samples", "65535", "200 times 400"]),
        ("--samples 0", &["--samples", "at least 1"]),
        ("--samples 18446744073709551615", &["65535"]),
        ("--lr 0", &["--lr", "positive", "got 0"]),
        ("--lr -1", &["--lr", "positive", "got -1"]),
        ("--lr nan", &["--lr", "positive", "NaN"]),
        ("--lr inf", &["--lr", "inf"]),
        ("--lr 1e-300", &["--lr", "from 1.5e-45"]),
        ("--lr 1e39", &["--lr", "to 3.4e38"]),
        ("--beta 1e39", &["--beta", "3.4e38 at most"]),
        ("--free-bits 1e39", &["--free-bits", "3.4e38 at most"]),
        ("--beta -1", &["--beta", "got -1"]),
        ("--beta nan", &["--beta", "NaN"]),
        ("--epochs 0", &["--epochs", "at least 1"]),
        ("--epochs 4294967296", &["--epochs"]),
        ("--steps 0", &["--steps", "at least 1"]),
        ("--seed -1", &["--seed", "a whole number from 0 to 18446744073709551615"]),
        ("--seed 1.5", &["--seed", "a whole number from 0"]),
        ("--valid 0.0000001", &["--valid 0.0000001", "200 images", "give 0.0025 or more"]),
        ("--valid 0.9999", &["--valid 0.9999", "200 images", "none to train on"]),
        ("--figures-every 0", &["--figures-every"]),
        ("--binarization grey", &["--binarization", "grey"]),
        ("--likelihood gaussian --variance 1e-30", &["--variance", "from 9.4e-14", "1e-30"]),
        ("--likelihood gaussian --variance 1e9", &["--variance", "to 4.9e8", "1000000000.0"]),
        ("--likelihood gaussian --variance -1", &["--variance", "from 9.4e-14", "got -1.0"]),
        (
            "--likelihood gaussian --variance best",
            &[
                "--variance",
                "best",
                "optimal, learned, channel, pixel, column, decoder or a number",
            ],
        ),
        ("--activation gelu", &["--activation"]),
        ("--preset mine", &["--preset"]),
        ("--run", &["--run"]),
        ("--nonsense", &["--nonsense"]),
        ("more", &["more"]),
    ] {
        home.refuses(&format!("train --data data --device cpu {options}"), words);
    }
    home.refuses("frobnicate", &["there is no command \"frobnicate\"; there are train, sample, "]);
    home.refuses(
        "runs --sort size",
        &["--sort <KEY>: there is no \"size\"; there are run, begun,"],
    );
    for args in ["", "sample", "reconstruct", "devices gpu"] {
        assert_eq!(home.run(args).code, Some(2), "{args}");
    }
}

#[test]
fn nothing_is_written_over() {
    let home = Home::with_run();
    fs::write(home.at("file"), "mine").unwrap();
    home.refuses(&format!("{TRAIN} --run run"), &["run:", "never overwritten"]);
    home.refuses(&format!("{TRAIN} --run ."), &["never overwritten"]);
    home.refuses(&format!("{TRAIN} --run file"), &["file:", "never overwritten"]);
    home.refuses(&format!("{TRAIN} --run file/run"), &["file/run:", "cannot make the folder"]);
    home.refuses(&format!("{TRAIN} --run file/a/run"), &["file/a/run:", "cannot make"]);

    fs::create_dir(home.at("empty")).unwrap();
    home.ok(&format!("{TRAIN} --run empty"));
    home.assert_model("empty");
}

#[test]
fn a_network_larger_than_the_memory_is_refused() {
    let home = Home::new();
    let before = tree(home.path());
    let ended = home.run("train --device cpu --batch 60000 --hidden 1000000 --run huge"); // a terabyte
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let error = ended.stderr.lines().last().unwrap();
    assert!(error.starts_with("error: ") && error.contains("more than is free"), "{ended:?}");
    assert!(tree(home.path()) == before, "something was left");
}

/// What a run keeps beside its tensors counts, and so does the limit of the process.
#[cfg(unix)]
#[test]
fn what_does_not_fit_the_limit_of_the_process_is_refused() {
    let home = Home::new();
    let before = tree(home.path());
    let limited = |args: &str| -> Ended {
        let mut command = Command::new("bash");
        command.current_dir(home.path()).args(["-c", "ulimit -v 900000; exec \"$@\"", "bash"]);
        command.arg(env!("CARGO_BIN_EXE_elbo")).args(args.split(' ')).output().unwrap().into()
    };
    let train = "train --data data --device cpu --run run";
    for options in ["--hidden 150000 --batch 4", "--size 4096x4000"] {
        let ended = limited(&format!("{train} {options}"));
        assert_eq!(ended.code, Some(2), "{ended:?}");
        let error = ended.stderr.lines().last().unwrap();
        assert!(
            error.starts_with("error: ") && error.contains("bytes of memory, more than"),
            "{error}"
        );
        assert!(tree(home.path()) == before, "something was left");
    }
    let ended = limited(&format!("{train} --hidden 16 --epochs 1"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// A folder that somebody sent may hold anything: nothing in it is waited for or read to no end.
#[cfg(unix)]
#[test]
fn what_is_no_file_in_a_run_folder_is_refused() {
    let home = Home::with_run();
    home.ok(&format!("{TRAIN} --run other"));
    let at = |name: &str| home.at("run").join(name);
    for name in ["config.json", "model.safetensors", "summary.json", "metrics.jsonl", "lock"] {
        let before = fs::read(at(name)).ok();
        let _ = fs::remove_file(at(name));
        assert!(Command::new("mkfifo").arg(at(name)).status().unwrap().success());
        let listed = end(home.spawn("runs ."));
        assert_eq!(listed.code, Some(0), "{name}: {listed:?}");
        assert!(listed.line("other").contains("finished"), "{name}: {listed:?}");
        let refused = name == "lock" || listed.stdout.contains("it is not a file");
        assert!(refused, "{name}: {listed:?}");
        if name != "lock" {
            let figures = end(home.spawn("figures run --device cpu"));
            figures.assert_error(if name == "metrics.jsonl" { 1 } else { 2 }, &[name]);
        }
        fs::remove_file(at(name)).unwrap();
        if let Some(before) = before {
            fs::write(at(name), before).unwrap();
        }
    }
    // A terabyte of holes.
    let model = fs::File::options().write(true).open(at("model.safetensors")).unwrap();
    model.set_len(1 << 40).unwrap();
    let ended = end(home.spawn("sample run --device cpu"));
    ended.assert_error(2, &["model.safetensors: damaged"]);
}

/// What stdout cannot take is lost where it was all there is.
#[cfg(target_os = "linux")]
#[test]
fn figures_for_a_full_disk_are_an_error() {
    let home = Home::with_run();
    let full = |args: &str| -> Ended {
        let mut command = home.command(args);
        command.stdout(fs::File::create("/dev/full").unwrap()).output().unwrap().into()
    };
    for args in
        ["runs . --json", "runs .", "eval run --samples 2 --device cpu --json", "completions bash"]
    {
        full(args).assert_error(1, &["cannot write to stdout"]);
    }
    assert_eq!(full(&format!("{TRAIN} --run second")).code, Some(0), "its results are in files");
}

#[test]
fn pictures_of_no_run_are_refused() {
    let home = Home::with_run();
    let model = fs::read(home.at("run/model.safetensors")).unwrap();
    let config = fs::read_to_string(home.at("run/config.json")).unwrap();
    fs::create_dir(home.at("broken")).unwrap();
    fs::write(home.at("file"), "").unwrap();
    let sample = |files: &[(&str, &[u8])], words: &[&str]| {
        for name in FILES {
            let _ = fs::remove_file(home.at("broken").join(name));
        }
        for (name, bytes) in files {
            fs::write(home.at("broken").join(name), bytes).unwrap();
        }
        home.refuses("sample broken --device cpu", words);
        home.refuses("reconstruct broken --device cpu", words);
    };
    let with_model = |bytes: &[u8], words: &[&str]| {
        let words = [&["broken/model.safetensors:"], words].concat();
        sample(&[("config.json", config.as_bytes()), ("model.safetensors", bytes)], &words);
    };
    let with_config = |from: &str, to: &str, words: &[&str]| {
        assert_eq!(config.matches(from).count(), 1, "{from} in {config}");
        let text = config.replace(from, to);
        sample(&[("config.json", text.as_bytes()), ("model.safetensors", &model)], words);
    };

    sample(&[], &["broken:", "not a run folder"]);
    home.refuses("sample file --device cpu", &["file:", "not a run folder"]);
    home.refuses("sample nowhere --device cpu", &["nowhere:", "not a run folder"]);
    sample(&[("config.json", config.as_bytes())], &["broken:", "no model.safetensors"]);

    with_model(b"", &["damaged", "no checksum"]);
    with_model(&model[..model.len() - 1], &["damaged or cut short"]);
    let mut flipped = model.clone();
    flipped[4] ^= 1; // the length of the header
    with_model(&flipped, &["damaged or cut short"]);
    let (folder, settings) = RunFolder::open(&home.at("run")).unwrap();
    let mut parameters = folder.read_model(&settings.architecture).unwrap();
    parameters[0][0] = f32::NAN;
    let nan = RunFolder::create(&home.at("nan"), &settings).unwrap();
    nan.write_model(&settings, &parameters).unwrap();
    with_model(&fs::read(home.at("nan/model.safetensors")).unwrap(), &["holds NaN"]);
    home.ok(&format!("{} --run wide", TRAIN.replace("--hidden 16", "--hidden 17")));
    home.ok(&format!("{} --run deep", TRAIN.replace("--hidden 16", "--hidden 16,16")));
    let of = |run: &str| fs::read(home.at(run).join("model.safetensors")).unwrap();
    with_model(&of("wide"), &["fc1.weight", "[16, 30]", "[17, 30]", "30-16-3-16-30 relu"]);
    with_model(&of("deep"), &["decoder.2.weight", "[30, 16]", "[16, 16]", "30-16-3-16-30 relu"]);

    let corrupt = ["broken/config.json:", "not a configuration"];
    sample(&[("config.json", &config.as_bytes()[..40])], &corrupt);
    sample(&[("config.json", b"\xff\x00")], &corrupt);
    with_config("\"dynamic\"", "\"a\\nb\\u001b[31m\"", &corrupt);
    with_config("\"latent\": 3", "\"latent\": -3", &corrupt);
    with_config("\"latent\": 3", "\"latent\": 0", &["broken/config.json:", "at least one unit"]);
    with_config("\"batch\": 50", "\"batch\": 0", &["broken/config.json:", "--batch"]);
    // Sizes that would take gigabytes are compared before any memory is taken.
    with_config("\"latent\": 3", "\"latent\": 60000000", &["[60000000, 16]", "it is [3, 16]"]);
    let huge = u64::MAX.to_string();
    with_config("\"latent\": 3", &format!("\"latent\": {huge}"), &["2^31 weights"]);
    // 2^63 + 3 times 10 is 30 in 64 bits.
    let image = config.split("\"image\": ").nth(1).unwrap().split(']').next().unwrap();
    with_config(image, "[9223372036854775811, 10", &["2^31 weights"]);
}

#[test]
fn pictures_that_cannot_be_made_are_refused() {
    let home = Home::with_run();
    for command in ["sample", "reconstruct"] {
        for (options, words) in [
            ("--count 0", &["--count", "from 1 to 10000", "got 0"][..]),
            ("--count 10001", &["--count", "got 10001"]),
            ("--count -1", &["-1"]),
            ("--seed -1", &["--seed", "a whole number from 0 to"]),
            ("--out a.jpg", &["--out a.jpg", "a PNG", "FILE.png"]),
            ("--out a.png.svg", &["--out a.png.svg", "FILE.png"]),
            ("--out a.csv", &["--out a.csv", "FILE.png", "FILE.npy", "FOLDER/"]),
            ("--out nowhere/folder/", &["no folder nowhere"]),
            ("--out run/config.json/", &["run/config.json/:", "no folder that can be read"]),
            ("--out nowhere/a.png", &["nowhere/a.png:", "no folder nowhere"]),
            ("--out run", &["run:", "it is a folder"]),
            ("--out run/config.json/a.png", &["no folder run/config.json"]),
        ] {
            home.refuses(&format!("{command} run --device cpu {options}"), words);
        }
    }
    // Other images have come in the data's place; then they go.
    for (height, width, words) in [(5, 6, "5x6 now"), (6, 4, "6x4 now")] {
        for name in ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"] {
            fs::write(home.at("data").join(name), idx(20, height, width)).unwrap();
        }
        home.refuses("reconstruct run --device cpu", &[words, "were 6x5"]);
    }
    fs::remove_dir_all(home.at("data")).unwrap();
    let words = ["run/config.json", "data:", "no such file"];
    home.refuses("reconstruct run --device cpu", &words);
    home.ok("sample run --device cpu");
}

/// Nothing is computed for a file that cannot be written: not even a device is opened.
#[test]
fn a_destination_that_cannot_be_written_is_found_before_the_work() {
    let home = Home::with_run();
    for name in ["mine.png", "mine.svg", "mine.csv", "mine.json", "mine-decoder.onnx"] {
        fs::write(home.at(name), "mine").unwrap();
        let mut permissions = fs::metadata(home.at(name)).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(home.at(name), permissions).unwrap();
    }
    fs::create_dir(home.at("folder.svg")).unwrap();
    for (command, file) in [
        ("bench --json", "json"),
        ("sample run --out", "png"),
        ("reconstruct run --out", "png"),
        ("eval run --per-image", "csv"),
        ("curve run --out", "svg"),
        ("curve run --csv", "csv"),
        ("export run --pytorch", "csv"),
    ] {
        home.refuses(&format!("{command} nowhere/a.{file}"), &["no folder nowhere"]);
        home.refuses(
            &format!("{command} mine.{file}"),
            &[&format!("mine.{file}: it is read-only")],
        );
    }
    home.refuses("curve run --out folder.svg", &["folder.svg: it is a folder"]);
    home.refuses("curve run --out a.svg --csv a.svg", &["a.svg: named twice"]);
    home.refuses("curve run --images 0", &["--images", "at least 1"]);
    home.refuses("export run --onnx mine-decoder.onnx", &["it is read-only"]);
    // Before the run is looked at.
    home.refuses("export nowhere --onnx nowhere/decoder.onnx", &["no folder nowhere"]);
    fs::write(home.at("run/summary.json"), "{").unwrap();
    home.refuses("figures run", &["run/summary.json: not a summary"]);
}

/// What the disk does not take is a failure of the work, told by the name that people know the file by.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_in_the_end_is_a_failure() {
    let home = Home::with_run();
    let before = tree(home.path());
    for (command, file) in [
        ("sample run --device cpu --out", "a.png"),
        ("reconstruct run --device cpu --out", "a.png"),
        ("eval run --samples 2 --device cpu --per-image", "a.csv"),
        ("curve run --samples 2 --device cpu --out a.svg --csv", "a.csv"),
        ("export run --pytorch", "a.safetensors"),
        ("bench --quick --only ceilings --device cpu --json", "a.json"),
        ("figures --device cpu", "run"),
    ] {
        let ended = home.cramped(0, &format!("{command} {file}"));
        ended.assert_error(1, &[file, ": cannot write: ", "too large"]);
        assert!(!ended.stderr.contains(".elbo-"), "{ended:?}");
        assert!(tree(home.path()) == before, "{command} left something");
    }
}

/// Where the adapter cannot hold what was asked for, there is nothing to repair but the request.
#[test]
fn sizes_that_the_adapter_cannot_hold_are_refused() {
    let home = Home::new();
    for (name, n) in [("train-images-idx3-ubyte", 20), ("t10k-images-idx3-ubyte", 5)] {
        fs::create_dir_all(home.at("large")).unwrap();
        fs::write(home.at("large").join(name), idx(n, 64, 64)).unwrap();
    }
    let ended = home.run("train --data large --device llvmpipe --hidden 9000 --batch 10 --run run");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let error = ended.stderr.lines().last().unwrap();
    assert!(error.contains("bytes, and the adapter binds at most"), "{ended:?}");
}

/// A limit on the process is told like a lack of memory: by what all tensors need, not by one of them.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_the_process_may_not_have_is_told_in_all() {
    let home = Home::new();
    let train = "train --data data --device cpu --batch 1 --hidden 6000,6000 --run huge";
    let limited = "ulimit -v 400000; exec taskset -c 0 \"$@\"";
    let mut command = Command::new("bash");
    command.current_dir(home.path()).args(["-c", limited, "bash", env!("CARGO_BIN_EXE_elbo")]);
    command.args(train.split(' ')).env("MALLOC_ARENA_MAX", "1");
    let ended: Ended = command.output().unwrap().into();
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let error = ended.stderr.lines().last().unwrap();
    let bytes = error.strip_prefix("error: this needs ").and_then(|rest| rest.split(' ').next());
    let bytes: u64 =
        bytes.and_then(|bytes| bytes.parse().ok()).unwrap_or_else(|| panic!("{ended:?}"));
    // Twice 6000 x 6000 weights, and two moments of each.
    assert!(bytes > 2 * 3 * 4 * 6000 * 6000, "{ended:?}");
    assert!(error.contains(" bytes of memory, more than the process may have ("), "{ended:?}");
    assert!(!home.at("huge").exists());
}

/// A run folder from elsewhere can hold links: what they name is not written over, and no file is made there.
#[test]
#[cfg(unix)]
fn links_in_a_run_folder_are_not_followed() {
    let home = Home::with_run();
    let victim = home.at("victim");
    for (link, commands) in [
        ("lock", &["train --resume run --epochs 3"][..]),
        ("samples.png", &["sample run", "figures run", "train --resume run --epochs 3"]),
        ("reconstructions.png", &["reconstruct run", "figures run"]),
        ("model.safetensors", &["train --resume run --epochs 3"]),
        ("checkpoint/last.safetensors", &["train --resume run --epochs 3"]),
    ] {
        let path = home.at("run").join(link);
        let own = fs::read(&path).ok();
        let _ = fs::remove_file(&path);
        // What it names holds what the run's file does, so that nothing else is wrong with it.
        let content = own.clone().unwrap_or_else(|| b"mine".to_vec());
        fs::write(&victim, &content).unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        for command in commands {
            home.refuses(&format!("{command} --device cpu"), &[link, "it is a link"]);
            assert_eq!(fs::read(&victim).unwrap(), content, "{command}");
        }
        fs::remove_file(&path).unwrap();
        if let Some(own) = own {
            fs::write(&path, own).unwrap();
        }
    }
    // A link that names nothing makes nothing.
    fs::remove_file(&victim).unwrap();
    std::os::unix::fs::symlink(&victim, home.at("run/lock")).unwrap();
    home.refuses("train --resume run --epochs 3 --device cpu", &["lock", "it is a link"]);
    assert!(!victim.exists());
}
