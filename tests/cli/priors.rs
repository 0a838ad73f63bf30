//! A prior that is not N(0, I), in every command.

use std::fs;

use crate::harness::program::Home;

const TRAIN: &str = "train --data data --device cpu --hidden 16 --batch 50 --epochs 2 --prior vamp";

#[test]
fn a_vamp_prior_in_every_command() {
    let home = Home::new();
    let ended = home.ok(&format!("{TRAIN} --latent 2 --pseudo-inputs 9 --run run"));
    assert!(ended.stderr.contains("VampPrior of 9 pseudo-inputs"), "{}", ended.stderr);
    assert!(ended.stderr.contains("sampled KL"), "{}", ended.stderr);
    let config = home.json("run/config.json");
    assert_eq!(config["architecture"]["prior"]["vamp"]["pseudo_inputs"], 9);
    assert_eq!(config["architecture"]["prior"]["vamp"]["values"], "pixels");
    assert_eq!(config["kl"], "sampled");
    let picture = |name: &str| fs::read_to_string(home.at("run").join(name)).expect("a picture");
    // Lines are broken where they are full.
    let words = |name: &str| {
        let text = picture(name).replace("</tspan>", " ");
        let mut plain = String::new();
        let mut tag = false;
        for c in text.chars() {
            match c {
                '<' => tag = true,
                '>' => tag = false,
                c if !tag => plain.push(c),
                _ => {}
            }
        }
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert!(
        words("samples.svg").contains("from p(z), the VampPrior of 9"),
        "{}",
        words("samples.svg")
    );
    assert!(words("manifold.svg").contains("in equal steps"), "{}", words("manifold.svg"));
    assert!(words("units.svg").contains("which is not the prior"), "{}", words("units.svg"));

    let evaluated = home.ok("eval run --samples 200 --device cpu").stdout;
    assert!(evaluated.contains("to N(0, 1)"), "{evaluated}");
    for command in [
        "figures run",
        "curve run --samples 10 --images 20 --out curve.svg",
        "sample run --count 4 --out s.png",
        "reconstruct run --count 3 --out r.png",
        "bounds run --samples 20 --images 10 --temperatures 3 --chains 2 --leapfrogs 2",
        "gaps run --samples 20 --images 5 --temperatures 3 --chains 2 --leapfrogs 2 --refine-steps 10",
    ] {
        home.ok(&format!("{command} --device cpu"));
    }
    home.refuses(
        "bounds run --images 10 --temperatures 3 --path prior --device cpu",
        &["run: annealed chains cannot begin at the prior", "let them begin at q(z|x)"],
    );

    // The figures are those of the file.
    home.ok("export run --pytorch model.safetensors --onnx decoder.onnx --part decoder");
    home.ok("import model.safetensors --data data --run again");
    let figures = |text: &str| text.lines().skip(1).map(str::to_string).collect::<Vec<_>>();
    let again = home.ok("eval again --samples 200 --device cpu").stdout;
    assert_eq!(figures(&again), figures(&evaluated));
    let header = fs::read(home.at("model.safetensors")).expect("a file");
    let header = String::from_utf8_lossy(&header[8..]).to_string();
    let own = header.split("\"pseudo_inputs\":{").nth(1).expect("a tensor of that name");
    assert!(own.split('}').next().expect("its shape").ends_with("\"shape\":[9,30]"), "{own}");

    // Its parameters begin another run; those of a run without pseudo-inputs do not.
    home.ok(&format!("{TRAIN} --latent 2 --pseudo-inputs 9 --init-from run --run on"));
    home.ok("train --data data --device cpu --hidden 16 --latent 2 --epochs 1 --run plain");
    home.refuses(
        &format!("{TRAIN} --latent 2 --pseudo-inputs 9 --init-from plain --run no"),
        &["plain/model.safetensors", "VampPrior of 9 pseudo-inputs"],
    );
    home.ok("train --data data --device cpu --init-from run --epochs 1 --run like");
    assert_eq!(home.json("like/config.json")["architecture"]["prior"]["vamp"]["pseudo_inputs"], 9);
}

/// Pseudo-inputs of a table are in the space of what the encoder gets.
#[test]
fn a_vamp_prior_of_a_table() {
    let home = Home::empty();
    let row = |i: usize| match i % 7 {
        0 => format!("{},,{}", (i * i) % 11, i % 3),
        _ => format!("{},{},{}", (i * i) % 11, (i * 3) % 5, i % 3),
    };
    let rows: Vec<String> = (0..120).map(row).collect();
    fs::write(home.at("table.csv"), format!("a,b,c\n{}\n", rows.join("\n"))).expect("a file");
    home.ok("train --data table.csv --device cpu --hidden 8 --latent 2 --epochs 2 --prior vamp \
         --pseudo-inputs 5 --run run");
    assert_eq!(home.json("run/config.json")["architecture"]["prior"]["vamp"]["values"], "reals");
    home.ok("eval run --samples 20 --device cpu");
    home.ok("impute run --out filled.csv --samples 10 --device cpu");
    home.ok("sample run --count 3 --out rows.csv --device cpu");
}

#[test]
fn what_a_vamp_prior_cannot_have_is_refused() {
    let home = Home::new();
    for (options, words) in [
        ("--kl analytic", &["--prior vamp", "no KL in closed form", "--kl sampled"][..]),
        ("--free-bits 1", &["--free-bits 1", "sampled KL"]),
        ("--posterior full", &["--prior vamp", "independent units", "--posterior diagonal"]),
        ("--pseudo-inputs 0", &["--pseudo-inputs", "from 1 to 65535", "got 0"]),
        ("--pseudo-inputs 65536", &["--pseudo-inputs", "from 1 to 65535", "got 65536"]),
        ("--pseudo-inputs 60000 --hidden 60000", &["--pseudo-inputs 60000", "2^31"]),
    ] {
        home.refuses(&format!("train --data data --device cpu --prior vamp {options}"), words);
    }
    home.refuses(
        "train --data data --device cpu --pseudo-inputs 5",
        &["--pseudo-inputs needs --prior vamp"],
    );
}
