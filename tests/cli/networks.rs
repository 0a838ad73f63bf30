//! Networks of other layers than fully connected ones, in every command.

use std::fs;

use crate::harness::program::{Ended, Home};

/// The encoder's hidden layers, an argument with blanks.
const ENCODER: &str = "conv 4 3/2, conv 6 2/1 pad 0, 16";

/// Options behind `args`, one of which has blanks.
fn run(home: &Home, args: &str, option: &str, layers: &str) -> Ended {
    let output = home.command(args).args([option, layers]).output();
    output.expect("the program runs").into()
}

/// What stands in a file behind its header.
fn tensors(bytes: Vec<u8>) -> Vec<u8> {
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    bytes[8 + header..].to_vec()
}

const TRAIN: &str = "train --data data --device cpu --latent 3 --batch 25";

#[test]
fn convolutions_in_every_command() {
    let home = Home::new();
    let ended = run(&home, &format!("{TRAIN} --epochs 3 --run run"), "--encoder", ENCODER);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Images of 6x5 pixels: each layer with what it takes and gives.
    for line in [
        "encoder.0     conv 4 3/2            6x5x1   3x3x4           40",
        "encoder.1     conv 6 2/1 pad 0      3x3x4   2x2x6          102",
        "encoder.2     16                    2x2x6   16             400",
        "decoder.logits  convt 3/2 to 6x5",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let found = ended.stderr.lines().any(|l| {
            let has: Vec<&str> = l.split_whitespace().collect();
            has.starts_with(&words)
        });
        assert!(found, "no {line} in {}", ended.stderr);
    }
    for command in [
        "eval run --samples 5",
        "figures run",
        "sample run --count 4 --out s.png",
        "reconstruct run --count 3 --out r.png",
        "runs .",
    ] {
        let device = if command == "runs ." { "" } else { " --device cpu" };
        home.ok(&format!("{command}{device}"));
    }

    // Stopped and resumed, it is the run that never stopped.
    let ended =
        run(&home, &format!("{TRAIN} --epochs 3 --steps 11 --run cut"), "--encoder", ENCODER);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    home.ok("train --resume cut --steps 24 --device cpu");
    let model =
        |run: &str| fs::read(home.at(&format!("{run}/model.safetensors"))).expect("a model");
    assert!(tensors(model("cut")) == tensors(model("run")));

    // There and back by a file, with what it says of itself and without.
    home.ok("export run --pytorch model.safetensors --onnx encoder.onnx");
    home.ok("import model.safetensors --data data --run imported");
    let figure = |run: &str| home.ok(&format!("eval {run} --samples 5 --device cpu --json")).stdout;
    let elbo = |run: &str| {
        let json: serde_json::Value = serde_json::from_str(&figure(run)).expect("JSON");
        json["elbo"].clone()
    };
    assert_eq!(elbo("imported"), elbo("run"));
    let bytes = fs::read(home.at("model.safetensors")).expect("a file");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(text.contains("encoder.5.weight"), "behind two activations and a flattening");
    let silent = bytes.windows(12).position(|w| w == b"architecture").expect("metadata");
    let mut other = bytes.clone();
    other[silent..silent + 12].copy_from_slice(b"Architecture");
    fs::write(home.at("other.safetensors"), other).expect("a file");
    home.refuses(
        "import other.safetensors --data data --run other",
        &["convolutions", "--encoder"],
    );
    let ended =
        run(&home, "import other.safetensors --data data --run other", "--encoder", ENCODER);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let wrong = run(
        &home,
        "import other.safetensors --data data --run wrong",
        "--encoder",
        "conv 4 3/2, conv 7 2/1 pad 0, 16",
    );
    wrong.assert_error(2, &["encoder.2.weight should be [7, 4, 2, 2]", "it is [6, 4, 2, 2]"]);
}

/// Residual blocks, normalisations, gates and the SiLU: trained, stopped and resumed, exported and imported.
#[test]
fn blocks_in_every_command() {
    const LAYERS: &str = "conv 8 3/2 norm, res 12 norm, gated 16 norm";
    let home = Home::new();
    let train = format!("{TRAIN} --activation silu");
    let ended = run(&home, &format!("{train} --epochs 3 --run run"), "--encoder", LAYERS);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    // Each with its groups: 9 * 8 + 8 + 16; 9 * 8 * 12 + 9 * 12 * 12 + 8 * 12 + 3 * 12 + 2 * 24.
    for line in [
        "encoder.0 conv 8 3/2 norm 8 6x5x1 3x3x8 96",
        "encoder.1 res 12 norm 4 3x3x8 3x3x12 2340",
        "encoder.2 gated 16 norm 1 3x3x12 16 3552",
        "decoder.0 gated 16 norm 1 3 16 192",
        "decoder.1 gated dense 3x3x12 norm 1 16 3x3x12 3720",
        "decoder.2 res 8 norm 4 3x3x12 3x3x8 1592",
        "decoder.logits convt 3/2 to 6x5 3x3x8 6x5x1 73",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        let found = ended.stderr.lines().any(|l| l.split_whitespace().eq(words.iter().copied()));
        assert!(found, "no {line} in {}", ended.stderr);
    }
    let ended =
        run(&home, &format!("{train} --epochs 3 --steps 11 --run cut"), "--encoder", LAYERS);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    home.ok("train --resume cut --steps 24 --device cpu");
    let model =
        |run: &str| fs::read(home.at(&format!("{run}/model.safetensors"))).expect("a model");
    assert!(model("cut") == model("run"), "stopped and resumed it is the run that never stopped");
    for command in ["figures run", "sample run --count 4 --out s.png"] {
        home.ok(&format!("{command} --device cpu"));
    }

    home.ok("export run --pytorch model.safetensors --onnx encoder.onnx --onnx decoder.onnx");
    home.ok("import model.safetensors --data data --run imported");
    assert!(tensors(model("imported")) == tensors(model("run")));
    let text = String::from_utf8_lossy(&model("run")).into_owned();
    for name in
        ["encoder.1.weight", "encoder.3.norm2.bias", "encoder.3.skip.weight", "encoder.7.bias"]
    {
        assert!(text.contains(&format!("\"{name}\"")), "no {name}");
    }
    // Networks without convolutions, whose gates and normalisations the tensors do not tell: the metadata do.
    for (name, layers) in [("gated", "gated 12"), ("norm", "16 norm, 9 norm 3")] {
        let ended = run(&home, &format!("{TRAIN} --steps 2 --run {name}"), "--encoder", layers);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        home.ok(&format!("import {name}/model.safetensors --data data --run {name}-imported"));
        assert!(tensors(model(&format!("{name}-imported"))) == tensors(model(name)), "{layers}");
    }
}

#[test]
fn networks_by_the_size_of_the_images() {
    let home = Home::new();
    let ended =
        home.ok("train --data data --device cpu --network conv --steps 1 --size 17x9 --run run");
    let layers = "17x9-(conv 32 4/2)-256-20 and back silu";
    assert!(ended.stderr.contains(layers), "{}", ended.stderr);
    let layers = "-(conv 32 4/2)-256-20 and back relu";
    let ended = home.ok("train --data data --device cpu --network conv --activation relu --steps 1 --size 17x9 --run relu");
    assert!(ended.stderr.contains(layers), "{}", ended.stderr);
    // Few images have as many passes as they may have.
    let config = fs::read_to_string(home.at("run/config.json")).unwrap();
    assert!(config.contains("\"epochs\": 50,"), "{config}");
    home.refuses("train --data data --network conv --hidden 20", &["--network", "--hidden"]);
    home.refuses("train --data data --network cnn", &["--network", "mlp, conv"]);
}

#[test]
fn layers_that_do_not_meet_are_refused() {
    let home = Home::new();
    for (option, layers, words) in [
        (
            "--hidden",
            "conv 8 4/2, cnov 16 4/2",
            &["\"cnov 16 4/2\" is no layer", "\"conv CHANNELS"][..],
        ),
        ("--hidden", "conv 8 9/1 pad 0", &["conv 8 9/1 pad 0 needs 9 pixels", "6x5x1"]),
        ("--hidden", "20, conv 8 3", &["conv 8 3/1 needs a map of pixels", "dense HxWxC"]),
        ("--decoder", "20, convt 8 4/2", &["convt 8 4/2 needs a map of pixels"]),
        ("--decoder", "dense 4x4x8", &["--decoder-hidden dense 4x4x8", "4x4x8", "6x5"]),
        ("--decoder", "dense 3x3x8, convt 4/2", &["ends with 6x6", "6x5"]),
        ("--decoder", "convt 3/1, 20", &["convt 3/1 needs"]),
        ("--hidden", "conv 3/1, 20", &["conv 3/1 needs its number of channels"]),
        ("--hidden", "conv 99999 4/2, 99999", &["2^31 weights"]),
        ("--hidden", "conv 30 3 norm 8", &["\"conv 30 3 norm 8\"", "30 channels in 8 groups"]),
        ("--hidden", "conv 32 4/2 nrom", &["\"conv 32 4/2 nrom\" is no layer", "norm GROUPS"]),
        ("--hidden", "gatd 30", &["\"gatd 30\" is no layer", "\"gated\""]),
        ("--hidden", "20, res 8", &["res 8 needs a map of pixels", "dense HxWxC"]),
        ("--decoder", "dense 3x3x8, convt 4/2 norm", &["convt 4/2 norm", "no gate and no norm"]),
        ("--hidden", "res 99999", &["2^31 weights"]),
    ] {
        let ended = run(&home, "train --data data --device cpu", option, layers);
        ended.assert_error(2, words);
        assert!(!home.at("runs").exists(), "{layers}");
    }
}
