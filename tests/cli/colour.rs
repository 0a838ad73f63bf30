//! Images in colour in every command.

use std::fs;

use serde_json::json;

use crate::harness::program::Home;
use crate::small::TRAIN as SMALL;

/// Discs and squares on coloured grounds, 12x12: what a network of some units can learn.
fn sprites(home: &Home, folder: &str, n: u32) {
    for i in 0..n {
        let path = home.at(&format!("{folder}/{}/{i}.png", ["disc", "square"][(i % 2) as usize]));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (across, down) = ((3 + i * 5 % 7) as f32, (3 + i * 3 % 7) as f32);
        let inside = |x: u32, y: u32| {
            let (dx, dy) = ((x as f32 - across).abs(), (y as f32 - down).abs());
            if i % 2 == 0 { dx * dx + dy * dy < 9.0 } else { dx.max(dy) < 2.5 }
        };
        let (ink, ground) =
            ([[230, 40, 30], [30, 90, 220], [240, 200, 40]], [20, 30 + (i % 50) as u8, 60]);
        let pixel = |x, y| image::Rgb(if inside(x, y) { ink[(i % 3) as usize] } else { ground });
        image::RgbImage::from_fn(12, 12, pixel).save(path).unwrap();
    }
}

const TRAIN: &str =
    "train --data sprites --device cpu --hidden 32 --batch 20 --epochs 3 --likelihood gaussian";

#[test]
fn colour_in_every_command() {
    let home = Home::empty();
    sprites(&home, "sprites", 120);
    home.ok(&format!("{TRAIN} --latent 2 --run run --figures-every 2 --tensorboard"));
    let config = home.json("run/config.json");
    assert_eq!(config["architecture"]["image"], json!([12, 12]));
    assert_eq!(config["architecture"]["channels"], 3);
    let is_colour = |path: &str| {
        let picture = image::open(home.at(path)).unwrap();
        assert_eq!(picture.color(), image::ColorType::Rgb8, "{path}");
        picture.into_rgb8().pixels().any(|p| p.0[0] != p.0[2])
    };
    for picture in ["samples.png", "reconstructions.png", "progress/epoch-0002-samples.png"] {
        assert!(is_colour(&format!("run/{picture}")), "{picture}");
    }
    for command in ["eval run --samples 5", "figures run", "sample run --count 4 --out s.png"] {
        home.ok(&format!("{command} --device cpu"));
    }
    home.ok("reconstruct run --count 3 --out r.png --device cpu");
    // The upper row is the test images themselves: each of two inks and grounds.
    assert!(is_colour("r.png") && is_colour("s.png"));
    home.ok("train --resume run --epochs 4 --device cpu");
    home.ok(&format!("{TRAIN} --latent 4 --run other"));
    home.ok("curve run other --samples 5 --images 10 --device cpu --out curve.svg");
    assert!(home.at("run/manifold.svg").exists() && home.at("other/traversals.svg").exists());

    // There and back by a file, which says itself that it is of colour.
    home.ok("export run --pytorch model.safetensors --onnx decoder.onnx");
    let ended = home.ok("import model.safetensors --data sprites --run imported");
    ended.line("432-32-2-32-432");
    let figure = |run: &str| home.ok(&format!("eval {run} --samples 5 --device cpu")).stdout;
    let elbo = |run: &str| figure(run).lines().find(|l| l.contains("ELBO")).unwrap().to_string();
    assert_eq!(elbo("imported"), elbo("run"));
    let onnx = fs::read(home.at("decoder.onnx")).unwrap();
    let said = b"12x12x3, red, green and blue of each side by side";
    assert!(onnx.windows(said.len()).any(|w| w == said));
}

/// What was trained on grey pictures goes on with grey pictures, whether it was asked for or there was
/// nothing else yet.
#[test]
fn grey_when_it_is_asked_for() {
    let home = Home::empty();
    sprites(&home, "sprites", 60);
    home.ok(&format!("{TRAIN} --latent 3 --run run --channels grey"));
    let config = home.json("run/config.json");
    assert_eq!(config["architecture"].get("channels"), None);
    let ended = home.ok("eval run --samples 5 --device cpu");
    ended.line("144-32-3-32-144");
    home.ok("train --resume run --epochs 4 --device cpu");
    home.ok("figures run --device cpu");
    let picture = image::open(home.at("run/samples.png")).unwrap();
    assert_eq!(picture.color(), image::ColorType::L8);
    home.refuses(
        &format!("{TRAIN} --run no --channels rgb"),
        &["--channels <CHANNELS>: there is no \"rgb\"; there are grey, colour"],
    );
    // A run of colour and one of grey are no curves of the same images.
    home.ok(&format!("{TRAIN} --latent 3 --run colour"));
    home.refuses("curve run colour --out curve.svg", &["colour: its images are 12x12x3", "12x12"]);
}

#[test]
fn grey_pictures_among_colours_are_mentioned() {
    let home = Home::empty();
    sprites(&home, "sprites", 40);
    let grey = image::GrayImage::from_fn(12, 12, |x, y| image::Luma([(x * y) as u8]));
    grey.save(home.at("sprites/disc/grey.png")).unwrap();
    let ended = home.ok(&format!("{TRAIN} --run run"));
    let line = "sprites: 1 of the 41 pictures is grey, the others are in colour, and so all are read; \
                --channels grey reads all as grey\n";
    assert!(ended.stderr.contains(line), "{ended:?}");
    assert!(!home.ok("eval run --samples 2 --device cpu").stderr.contains("grey"));
}

/// Mirroring is a part of what a run is a function of: resumed or not, resident or not.
#[test]
fn flips_are_resumed_and_streamed() {
    let home = Home::new();
    let digest = |run: &str| home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
    home.ok(&format!("{SMALL} --run plain"));
    home.ok(&format!("{SMALL} --flip --run whole"));
    assert_eq!(home.json("whole/config.json")["flip"], true);
    assert_eq!(home.json("plain/config.json").get("flip"), None);
    assert_ne!(digest("whole"), digest("plain"));
    home.ok(&format!("{SMALL} --flip --run streamed --resident-limit 4000"));
    assert_eq!(digest("streamed"), digest("whole"));
    home.ok(&format!("{SMALL} --flip --run parts --steps 3"));
    home.ok("train --resume parts --steps 8 --device cpu");
    home.ok(&format!("{SMALL} --flip --run eight --steps 8"));
    assert_eq!(digest("parts"), digest("eight"));
    home.refuses("train --resume parts --flip", &["--flip cannot be given with --resume"]);
}

/// What --size does is kept, and old runs are stretched as they were.
#[test]
fn a_fit_is_kept() {
    let home = Home::empty();
    sprites(&home, "sprites", 60);
    for i in 0..4 {
        let wide = image::RgbImage::from_fn(30, 12, |x, _| image::Rgb([(8 * x) as u8, 0, i * 40]));
        wide.save(home.at(&format!("sprites/disc/wide{i}.png"))).unwrap();
    }
    home.refuses(
        &format!("{TRAIN} --run no"),
        &["brings all to one size, for example --size 12x12"],
    );
    home.refuses(&format!("{TRAIN} --run no --fit crop"), &["--size 12x12"]);
    let elbo = |run: &str| {
        let ended = home.ok(&format!("eval {run} --samples 3 --device cpu"));
        assert!(!ended.stderr.contains("these are not the images"), "{ended:?}");
    };
    for fit in ["", " --fit crop", " --fit pad", " --fit stretch"] {
        let run = format!("run{}", fit.replace(' ', ""));
        home.ok(&format!("{TRAIN} --latent 2 --size 10x10{fit} --run {run}"));
        let fit = fit.strip_prefix(" --fit ").unwrap_or("crop");
        assert_eq!(home.json(&format!("{run}/config.json"))["fit"], fit);
        elbo(&run);
    }
    // A run of before --fit was has no word of it.
    let mut config = home.json("run--fitstretch/config.json");
    config.as_object_mut().unwrap().remove("fit");
    fs::write(home.at("run--fitstretch/config.json"), config.to_string()).unwrap();
    elbo("run--fitstretch");
    // Other crops are other images.
    home.refuses(
        "curve run run--fitpad --out curve.svg --device cpu",
        &["their likelihoods do not compare"],
    );
}
