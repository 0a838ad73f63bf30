//! Flows as q(z|x), in every command.

use std::fs;

use crate::harness::program::Home;

const TRAIN: &str = "train --data data --device cpu --hidden 16 --batch 50 --latent 3";

#[test]
fn autoregressive_flows_in_every_command() {
    let home = Home::new();
    let flows = "--posterior iaf --flow-steps 3 --flow-hidden 10";
    let ended = home.ok(&format!("{TRAIN} --epochs 1 {flows} --run run"));
    let told = "q of 3 inverse autoregressive flows of 10 hidden units";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    assert!(ended.stderr.contains("sampled KL"), "{}", ended.stderr);
    let config = home.json("run/config.json");
    assert_eq!(config["architecture"]["posterior"]["iaf"]["hidden"], 10);
    assert_eq!(config["kl"], "sampled");

    // Two epochs at once are one and one.
    home.ok(&format!("{TRAIN} --epochs 2 {flows} --run both"));
    home.ok("train --resume run --epochs 2 --device cpu");
    let weights = |run: &str| fs::read(home.at(run).join("model.safetensors")).expect("a file");
    assert!(weights("run") == weights("both"));

    let evaluated = home.ok("eval run --samples 200 --device cpu").stdout;
    for command in [
        "figures run",
        "sample run --count 4 --out s.png",
        "reconstruct run --count 3 --out r.png",
        "encode run --out codes.csv",
        "bounds run --samples 20 --images 10 --temperatures 3 --chains 2 --leapfrogs 2",
        "gaps run --samples 20 --images 5 --temperatures 3 --chains 2 --leapfrogs 2 --refine-steps 10",
        "score run --samples 20 --images 5 --reference 5 --out scores.csv --refine-steps 10",
    ] {
        home.ok(&format!("{command} --device cpu"));
    }

    home.refuses(
        "gaps run --images 5 --snr snr.svg --device cpu",
        &["doubly-reparameterized", "flows would have to be undone"],
    );

    // The figures are those of the file, whose tensors say the family.
    home.ok("export run --pytorch model.safetensors --onnx encoder.onnx --part encoder");
    home.ok("import model.safetensors --data data --run again");
    let figures = |text: &str| text.lines().skip(1).map(str::to_string).collect::<Vec<_>>();
    let again = home.ok("eval again --samples 200 --device cpu").stdout;
    assert_eq!(figures(&again), figures(&evaluated));

    // Its parameters begin another run; what is not named stays as it is.
    home.ok("train --data data --device cpu --init-from run --epochs 1 --run like");
    assert_eq!(home.json("like/config.json")["architecture"]["posterior"]["iaf"]["steps"], 3);
    home.ok(&format!("{TRAIN} --epochs 1 --posterior iaf --run plain"));
    let own = &home.json("plain/config.json")["architecture"]["posterior"]["iaf"];
    assert_eq!((&own["steps"], &own["hidden"]), (&2.into(), &256.into()));
}

#[test]
fn what_flows_cannot_have_is_refused() {
    let home = Home::new();
    for (options, words) in [
        ("--posterior iaf --kl analytic", &["no closed form", "--kl sampled"][..]),
        (
            "--posterior iaf --gradient sticking-the-landing",
            &["--gradient sticking-the-landing", "flows would have to be undone"],
        ),
        ("--posterior iaf --flow-steps 0", &["--flow-steps", "at least 1", "got 0"]),
        ("--posterior iaf --flow-hidden 0", &["--flow-hidden", "from 1 to 16384", "got 0"]),
        ("--posterior iaf --latent 1", &["--posterior iaf", "a single latent unit"]),
        ("--posterior iaf --prior vamp", &["--prior vamp", "independent units"]),
        ("--posterior planar --flow-hidden 4", &["--flow-hidden needs --posterior iaf"]),
        ("--flow-steps 4", &["--flow-steps needs --posterior planar or iaf"]),
    ] {
        home.refuses(&format!("train --data data --device cpu {options}"), words);
    }
}
