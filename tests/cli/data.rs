//! Data sets on the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::program::{Ended, Home, idx};
use crate::small::{SIZES, TRAIN};

/// The data's path is kept so that it is found from anywhere, by its shortest name.
#[test]
fn data_are_found_from_any_folder() {
    let home = Home::new();
    fs::create_dir_all(home.at("a/b")).unwrap();
    let mut command = home.command(&TRAIN.replace("--data data", "--data ../b/../../data"));
    let command = command.args(["--run", "../../run"]).current_dir(home.at("a/b"));
    let ended: Ended = command.output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let canonical = fs::canonicalize(home.at("data")).unwrap();
    assert_eq!(home.json("run/config.json")["data"], canonical.to_str().unwrap());
    fs::remove_dir_all(home.at("a")).unwrap();
    fs::create_dir(home.at("elsewhere")).unwrap();
    let mut command = home.command("reconstruct ../run --device cpu");
    let ended: Ended = command.current_dir(home.at("elsewhere")).output().unwrap().into();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn bad_data_is_refused() {
    let home = Home::new();
    let good = idx(20, 6, 5);
    let mut magic = good.clone();
    magic[3] = 4;
    fs::write(home.at("truncated"), &good[..100]).unwrap();
    fs::write(home.at("magic"), magic).unwrap();
    fs::write(home.at("empty"), "").unwrap();
    fs::create_dir(home.at("folder")).unwrap();
    for (data, words) in [
        ("nowhere", &["nowhere:", "no such file"][..]),
        ("truncated", &["truncated:", "too short"]),
        ("magic", &["magic:", "wrong magic number"]),
        ("empty", &["empty:", "file is empty"]),
        ("folder", &["folder:", "no images in this folder"]),
    ] {
        let words = [&["--data"], words].concat();
        home.refuses(&format!("train --device cpu {SIZES} --data {data}"), &words);
    }
}

/// A folder of pictures: what config.json keeps of it is enough for every command.
#[test]
fn pictures_are_data_in_every_command() {
    let home = Home::new();
    for i in 0..60_u32 {
        let path = home.at(&format!("photos/{}/{i}.png", i % 3));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (width, height) = (7 + i % 5, 9);
        let pixel = |x: u32, y: u32| image::Luma([(40 * (x + y) * (1 + i % 3)) as u8]);
        image::GrayImage::from_fn(width, height, pixel).save(path).unwrap();
    }
    let options = "--device cpu --hidden 8 --latent 2 --batch 10 --epochs 2 --data photos";
    home.refuses(&format!("train {options} --run run"), &["photos/", "--size"]);
    let ended = home.ok(&format!("train {options} --run run --size 6x5 --valid 0.25"));
    assert!(ended.stderr.contains("45 training and 15 test images of 6x5"), "{ended:?}");
    assert!(ended.stderr.contains("its last 25%, in random order, held out"), "{ended:?}");
    let config = home.json("run/config.json");
    assert_eq!((&config["size"], &config["valid"]), (&json!([6, 5]), &json!(0.25)));
    let eval = home.ok("eval run --samples 2 --device cpu --json");
    let eval: Value = serde_json::from_str(&eval.stdout).unwrap();
    assert_eq!(eval["images"], 15);
    home.ok("reconstruct run --count 3 --device cpu");
    home.ok("curve run --samples 4 --images 5 --device cpu --out curve.svg");
    for (option, words) in [
        ("--size 6", ["--size", "as in 28x28"]),
        ("--size 0x5", ["--size", "from 1 to"]),
        ("--valid 1", ["--valid", "between 0 and 1"]),
    ] {
        home.refuses(&format!("train {options} --run other {option}"), &words);
    }
    // On another machine the images are elsewhere.
    let before: Value =
        serde_json::from_str(&home.ok("eval run --samples 2 --device cpu --json").stdout).unwrap();
    fs::rename(home.at("photos"), home.at("moved")).unwrap();
    let words = ["run/config.json names", "photos: no such file", "--data PATH says where"];
    for command in ["reconstruct run", "eval run", "curve run"] {
        home.refuses(command, &words);
    }
    home.ok("sample run --device cpu"); // needs none
    let ended = home.ok("figures run --device cpu");
    assert!(
        ended.stderr.contains("no test images are drawn") && ended.stdout.contains("manifold.svg")
    );
    assert!(
        !ended.stdout.contains("reconstructions") && !ended.stdout.contains("units"),
        "{ended:?}"
    );
    for command in ["reconstruct run", "figures run", "curve run --samples 2 --out c.svg"] {
        let ended = home.ok(&format!("{command} --data moved --device cpu"));
        assert!(!ended.stderr.contains("these are not the images"), "{ended:?}");
    }
    let eval = |data: &str| -> Value {
        let ended = home.ok(&format!("eval run --samples 2 --device cpu --json --data {data}"));
        serde_json::from_str(&ended.stdout).unwrap()
    };
    let moved = eval("moved");
    assert_eq!((&moved["elbo"], &moved["other_data"]), (&before["elbo"], &false.into()));
    // Other images of any size, for the run stretches them: it is said that they are others.
    home.data("other", 40, 20);
    assert_eq!(eval("other")["other_data"], true);
    let ended = home.ok("train --resume run --data moved --epochs 3 --device cpu");
    assert!(ended.stderr.contains("45 training"), "{ended:?}");
    home.ok("reconstruct run --device cpu");
}

/// A whole set may be smaller than the usual minibatch.
#[test]
fn a_small_set_needs_no_options() {
    let home = Home::new();
    home.data("few", 20, 10);
    home.ok("train --data few --device cpu --hidden 8 --epochs 1 --run run");
    assert_eq!(home.json("run/config.json")["batch"], 20);
    home.refuses("train --data few --batch 21", &["--batch 21", "20 training images"]);
    home.refuses("export run --pytorch vae.pt", &["vae.pt: torch.load could not open it"]);
}

/// Figures that are not to be taken at their face value say so, once each.
#[test]
fn warnings_come_with_the_figures() {
    let home = Home::new();
    let said = |ended: &Ended, words: &str| {
        ended.stderr.lines().filter(|l| l.starts_with("warning: ") && l.contains(words)).count()
    };
    let ended = home.ok(&format!("{TRAIN} --run good"));
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
    let ended = home.ok(&format!("{TRAIN} --warm-up 4 --beta 2 --run slow"));
    assert_eq!(
        said(
            &ended,
            "over 4 epochs (--warm-up), 16 steps, and the run ends after 8: it comes to 1.000, not to 2"
        ),
        1,
        "{ended:?}"
    );
    let long = TRAIN.replace("--epochs 2", "--epochs 60");
    let ended = home.ok(&format!("{long} --lr 0.01 --beta 1000 --run collapsed"));
    assert_eq!(said(&ended, "has collapsed onto the prior"), 1, "{ended:?}");
    let ended = home.ok("eval collapsed --samples 2 --device cpu");
    assert_eq!(said(&ended, "none of the 3 latent units is active"), 1, "{ended:?}");
    let ended = home.ok(&format!("{long} --lr 0.01 --lr-schedule step:50=1 --run diverged"));
    assert_eq!(said(&ended, "has fallen, on the training images, from"), 1, "{ended:?}");
    // From the first step on, so that nothing falls.
    let ended = home.ok(&format!("{TRAIN} --lr 100 --run wild"));
    assert_eq!(
        said(&ended, "far below that of a model that knows nothing (-20.79)"),
        1,
        "{ended:?}"
    );
    // An ELBO falls while the weight of the KL is not 1, and all is well.
    let ended = home.ok(&format!("{long} --lr 0.01 --beta 0.001 --run free"));
    assert_eq!(said(&ended, "--lr"), 0, "{ended:?}");
    ended.line("trained with beta = 0.001; the ELBOs above");
    let elbos: Vec<f64> =
        home.metrics("free").iter().map(|e| e["train"]["elbo"].as_f64().unwrap()).collect();
    assert!(elbos.iter().copied().fold(f64::MIN, f64::max) > elbos[elbos.len() - 1], "{elbos:?}");
    let ended = home.ok(&format!("{TRAIN} --warm-up 8 --beta 4 --run part"));
    ended.line("trained with beta = 0.8");
}

/// Files that are left out of a folder of pictures are told where it is named, and only there.
#[test]
fn files_that_are_no_pictures_are_told() {
    let home = Home::new();
    let picture =
        |i: u32| image::GrayImage::from_fn(6, 5, |x, y| image::Luma([(9 * i + x + y) as u8]));
    for i in 0..12 {
        let folder = home.at(&format!("photos/{}", i % 2));
        fs::create_dir_all(&folder).unwrap();
        picture(i).save(folder.join(format!("{i}.png"))).unwrap();
    }
    for unseen in [".DS_Store", "0/Thumbs.db", "1/desktop.ini"] {
        fs::write(home.at("photos").join(unseen), "").unwrap();
    }
    let options = "--device cpu --hidden 8 --latent 2 --batch 5 --epochs 1 --data photos";
    let ended = home.ok(&format!("train {options} --run quiet"));
    assert!(!ended.stderr.contains("left out"), "{ended:?}");
    fs::write(home.at("photos/1/notes.txt"), "").unwrap();
    let ended = home.ok(&format!("train {options} --run one"));
    let line = "photos: left out are 1 file that is neither PNG nor JPEG: 1/notes.txt\n";
    assert!(ended.stderr.contains(line), "{ended:?}");
    for name in ["0/a.webp", "0/b.heic", "1/c.HEIC"] {
        fs::write(home.at("photos").join(name), "").unwrap();
    }
    let ended = home.ok(&format!("train {options} --run all"));
    let line = "photos: left out are 4 files that are neither PNG nor JPEG, 0/a.webp the first; \
                convert pictures (2 .heic, 1 .webp) to PNG or JPEG\n";
    assert!(ended.stderr.contains(line), "{ended:?}");
    home.refuses(
        &format!("train {} --run no", options.replace("--batch 5", "--batch 500")),
        &["--batch 500"],
    );
    for command in ["eval all --samples 2", "reconstruct all", "train --resume all --epochs 2"] {
        let ended = home.ok(&format!("{command} --device cpu"));
        assert!(!ended.stderr.contains("left out"), "{ended:?}");
    }
    fs::create_dir(home.at("webp")).unwrap();
    fs::write(home.at("webp/a.webp"), "").unwrap();
    let words = ["webp: no images in this folder", "a.webp; convert pictures (1 .webp)"];
    home.refuses("train --data webp", &words);
}

/// Photos are drawn as noise by dynamic binarization: whoever did not ask for it hears of it once.
#[test]
fn grey_images_are_told_of_the_gaussian_likelihood() {
    let home = Home::new();
    let set = |folder: &str, grey: usize| {
        fs::create_dir(home.at(folder)).unwrap();
        for (name, n) in [("train-images-idx3-ubyte", 100), ("t10k-images-idx3-ubyte", 20)] {
            let mut bytes = idx(n, 6, 5);
            for (i, v) in bytes[16..].iter_mut().enumerate() {
                *v = if i % 100 < grey { 128 } else { 0 };
            }
            fs::write(home.at(folder).join(name), bytes).unwrap();
        }
    };
    set("photos", 60);
    set("drawings", 40);
    let said = |data: &str, options: &str| {
        let run = format!("of-{data}{}", options.replace([' ', '-'], ""));
        let ended = home.ok(&format!(
            "{} {options} --run {run}",
            TRAIN.replace("data data", &format!("data {data}"))
        ));
        ended.stderr.matches("--likelihood gaussian models them as they are").count()
    };
    assert_eq!(said("photos", ""), 1);
    assert_eq!(said("drawings", ""), 0);
    for chosen in ["--binarization dynamic", "--binarization none", "--likelihood gaussian"] {
        assert_eq!(said("photos", chosen), 0, "{chosen}");
    }
    let ended = home.ok("train --resume of-photos --epochs 3 --device cpu");
    assert!(!ended.stderr.contains("gaussian"), "{ended:?}");
    // The sets that come with the program are drawn as people are used to.
    let mnist = elbo::data::mnist().unwrap().train.grey_share();
    assert!((0.08..0.10).contains(&mnist), "{mnist}");
    if let Ok(fashion) = elbo::data::open(elbo::data::FASHION_MNIST, Default::default()) {
        let share = fashion.train.grey_share();
        assert!((0.35..0.45).contains(&share), "{share}");
    }
}

/// Beside a test set the share is a set of its own, by which training is watched.
#[test]
fn validation_images_are_shown_as_such() {
    let home = Home::new();
    let ended = home.ok(&format!("{TRAIN} --run run --valid 0.1"));
    assert!(ended.stderr.contains("180 training and 50 test images"), "{ended:?}");
    ended.line("valid ELBO  reconstruction");
    ended.line("valid ELBO -");
    ended.line("elbo eval run shows the test set's figures");
    assert!(!ended.stdout.contains("test ELBO"), "{ended:?}");
    assert!(home.metrics("run").iter().all(|row| row["validation"] == true));
    // The figures are those of the last tenth of the training images.
    let images = |path: &str| fs::read(home.at(path)).unwrap();
    let train = images("data/train-images-idx3-ubyte");
    let (rest, held) = train[16..].split_at(180 * 30);
    let idx = |n: u32, pixels: &[u8]| {
        let header = [0x803, n, 6, 5].map(u32::to_be_bytes);
        [header.as_flattened(), pixels].concat()
    };
    fs::create_dir(home.at("parts")).unwrap();
    fs::write(home.at("parts/train-images-idx3-ubyte"), idx(180, rest)).unwrap();
    fs::write(home.at("parts/t10k-images-idx3-ubyte"), idx(20, held)).unwrap();
    home.ok(&format!("{} --run parts-run", TRAIN.replace("--data data", "--data parts")));
    for (a, b) in home.metrics("run").iter().zip(home.metrics("parts-run")) {
        assert_eq!((&a["train"], &a["test"]), (&b["train"], &b["test"]));
    }
}

#[test]
fn fashion_mnist_is_found_or_said_how_to_get() {
    let home = Home::new();
    let with_cache = |cache: &str| {
        let args = format!("train {SIZES} --device cpu --run run --steps 2 --data fashion-mnist");
        Ended::from(home.command(&args).env("XDG_CACHE_HOME", home.at(cache)).output().unwrap())
    };
    if !Path::new("/usr/share/datasets/fashion-mnist").exists() {
        let words =
            ["cache/elbo/fashion-mnist", "apt-get install dataset-fashion-mnist", "github.com"];
        with_cache("cache").assert_error(2, &words);
    }
    fs::create_dir_all(home.at("cache/elbo")).unwrap();
    home.data("cache/elbo/fashion-mnist", 120, 40);
    let ended = with_cache("cache");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("Fashion-MNIST: 120 training and 40 test"), "{ended:?}");
    assert_eq!(home.json("run/config.json")["data"], "fashion-mnist");
}

/// Where the data are makes no difference but to the speed.
#[test]
fn data_beyond_the_device_give_the_same_run() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --run whole"));
    home.ok(&format!("{TRAIN} --run fed --resident-limit 4000"));
    assert_eq!(home.json("whole/config.json"), home.json("fed/config.json"));
    let sha = |run: &str| home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
    assert_eq!(sha("whole"), sha("fed"));
}

/// Figures of other images are not passed off as those of the run's test set.
#[test]
fn other_images_than_the_run_was_trained_on_are_told() {
    let home = Home::with_run();
    let eval = "eval run --samples 2 --device cpu --json";
    let other = |ended: &Ended| {
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        (
            ended.stderr.contains("not the images that the run was trained on"),
            report["other_data"].clone(),
        )
    };
    assert_eq!(other(&home.ok(eval)), (false, json!(false)));
    let images = home.at("data/t10k-images-idx3-ubyte");
    let mut bytes = fs::read(&images).unwrap();
    bytes[100] ^= 1;
    fs::write(&images, bytes).unwrap();
    let ended = home.ok(eval);
    assert_eq!(other(&ended), (true, json!(true)));
    assert!(
        ended.stderr.contains("run/config.json") && ended.stderr.contains("SHA-256"),
        "{ended:?}"
    );
    for command in ["reconstruct", "figures", "curve --samples 2"] {
        let ended = home.ok(&format!("{command} run --device cpu"));
        assert!(ended.stderr.contains("not the images"), "{command}: {ended:?}");
    }
}
