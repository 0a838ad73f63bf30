//! The program as its users meet it: what it prints, what it writes, how it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use elbo::checkpoint::RunFolder;
use elbo::train::digest;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde_json::{Value, json};

use crate::harness::program::{Ended, Home, end, idx, piped, signal, soon, tree};

/// A small and quick run on the folder `data`, and the same as words.
const SIZES: &str = "--hidden 16 --latent 3 --batch 50 --epochs 2";
const TRAIN: &str = "train --data data --device cpu --hidden 16 --latent 3 --batch 50 --epochs 2";
const FILES: [&str; 14] = [
    "best.safetensors",
    "checkpoint",
    "config.json",
    "interpolation.svg",
    "metrics.jsonl",
    "model.safetensors",
    "reconstructions.png",
    "reconstructions.svg",
    "samples.png",
    "samples.svg",
    "summary.json",
    "training.svg",
    "traversals.svg",
    "units.svg",
];
const NO_ADAPTER: [(&str, &str); 2] =
    [("VK_DRIVER_FILES", "/nonexistent"), ("VK_ICD_FILENAMES", "/nonexistent")];

impl Home {
    /// With a finished run in `run`.
    fn with_run() -> Self {
        let home = Home::new();
        home.ok(&format!("{TRAIN} --run run"));
        home
    }

    /// Checks that a run's model can be read and is the one that its summary speaks of.
    #[track_caller]
    fn assert_model(&self, run: &str) {
        let (folder, settings) = RunFolder::open(&self.at(run)).unwrap();
        let parameters = folder.read_model(&settings.architecture).unwrap();
        let summary = self.json(&format!("{run}/summary.json"));
        assert_eq!(summary["parameters_sha256"], digest(&parameters));
    }
}

/// What is in a folder itself.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn png_size(path: &Path) -> (u32, u32) {
    let bytes = fs::read(path).unwrap();
    let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::Png).unwrap();
    (image.width(), image.height())
}

/// The size of a grid of 6x5 images, which are enlarged 9 times.
fn grid_size(columns: u32, rows: u32) -> (u32, u32) {
    (columns * (5 * 9 + 1) + 1, rows * (6 * 9 + 1) + 1)
}

#[test]
fn a_run_writes_its_folder() {
    let home = Home::new();
    let ended = home.ok(&format!("{TRAIN} --run new/run --decoder-hidden 8,9 --seed 5 --beta 0.5"));
    assert_eq!(names(&home.at("new/run")), FILES);

    let config = json!({
        "data": fs::canonicalize(home.path()).unwrap().join("data"),
        "data_sha256": elbo::data::load(&home.at("data"), Default::default()).unwrap().digest(),
        "architecture": {
            "image": [6, 5], "hidden": [16], "decoder_hidden": [8, 9], "latent": 3,
            "activation": "relu", "likelihood": "bernoulli"
        },
        "binarization": "dynamic", "epochs": 2, "steps": null, "batch": 50, "samples": 1,
        "learning_rate": 0.001, "schedule": "constant",
        "adam": { "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8 },
        "objective": "elbo", "gradient": "reparameterized", "kl": "analytic",
        "beta": 0.5, "warm_up": 0, "free_bits": 0.0, "init": "pytorch", "seed": 5, "precision": "f32"
    });
    assert_eq!(home.json("new/run/config.json"), config);

    let metrics = home.metrics("new/run");
    assert_eq!(metrics.len(), 2);
    for (i, epoch) in metrics.iter().enumerate() {
        assert_eq!((&epoch["epoch"], &epoch["step"]), (&json!(i + 1), &json!(4 * (i + 1))));
        assert_eq!(epoch["binarization"], "dynamic");
        for set in ["train", "test"] {
            let figure = |name: &str| epoch[set][name].as_f64().unwrap();
            let sum = figure("elbo") - (figure("reconstruction") - figure("kl"));
            assert!(sum.abs() < 1e-9 && figure("kl") > 0.0 && figure("elbo") < -1.0, "{epoch}");
        }
        assert!(epoch["images_per_second"].as_f64().unwrap() > 0.0);
        assert!(epoch["seconds"].as_f64().unwrap() > 0.0);
    }

    let summary = home.json("new/run/summary.json");
    let tests: Vec<f64> = metrics.iter().map(|e| e["test"]["elbo"].as_f64().unwrap()).collect();
    assert_eq!(summary["last"], metrics[1]);
    assert_eq!(summary["best_test_elbo"], tests[0].max(tests[1]));
    assert_eq!((&summary["steps"], &summary["seed"]), (&json!(8), &json!(5)));
    assert_eq!((&summary["finished"], &summary["interrupted"]), (&json!(true), &json!(false)));
    assert_eq!(summary["best_epoch"], if tests[1] > tests[0] { 2 } else { 1 });
    assert_eq!(summary["versions"]["elbo"], env!("CARGO_PKG_VERSION"));
    assert!(summary["versions"]["wgpu"].as_str().unwrap().starts_with("30."));
    assert_eq!((&summary["device"]["kind"], summary.get("target")), (&json!("cpu"), None));
    let sha256 = summary["parameters_sha256"].as_str().unwrap();
    assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()), "{sha256}");
    home.assert_model("new/run");

    let bytes = fs::read(home.at("new/run/model.safetensors")).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let expected: [(&str, &[usize]); 12] = [
        ("encoder.0.weight", &[16, 30]),
        ("encoder.0.bias", &[16]),
        ("mu.weight", &[3, 16]),
        ("mu.bias", &[3]),
        ("log_variance.weight", &[3, 16]),
        ("log_variance.bias", &[3]),
        ("decoder.0.weight", &[8, 3]),
        ("decoder.0.bias", &[8]),
        ("decoder.2.weight", &[9, 8]),
        ("decoder.2.bias", &[9]),
        ("decoder.4.weight", &[30, 9]),
        ("decoder.4.bias", &[30]),
    ];
    assert_eq!(model.len(), expected.len());
    for (name, shape) in expected {
        let tensor = model.tensor(name).unwrap();
        assert_eq!((tensor.dtype(), tensor.shape()), (Dtype::F32, shape), "{name}");
    }

    assert_eq!(png_size(&home.at("new/run/samples.png")), grid_size(10, 10));
    assert_eq!(png_size(&home.at("new/run/reconstructions.png")), grid_size(10, 10));

    assert_eq!(ended.stdout.lines().next(), Some("nats per image, dynamic binarization"));
    ended.line("train ELBO");
    let row: Vec<&str> = ended.stdout.lines().nth(3).unwrap().split_whitespace().collect();
    assert_eq!(row[..2], ["2", "8"]);
    assert_eq!(row[3], format!("{:.2}", tests[1]));
    let last = ended.line("test ELBO -");
    assert!(last.contains(row[3]) && last.contains("dynamic binarization"), "{last}");
    assert!(last.contains("50 images"), "{last}");
    ended.line("beta = 0.5");
    assert!(ended.line("samples.png").starts_with("new/run:"));
}

#[test]
fn binarization_and_cap_are_said_and_kept() {
    let home = Home::new();
    for (option, word) in [("fixed", "v ≥ 128"), ("none", "grey pixels, not binarized")] {
        let ended = home.ok(&format!("{TRAIN} --binarization {option} --run {option} --steps 6"));
        assert!(ended.stdout.lines().next().unwrap().contains(word), "{ended:?}");
        assert!(ended.line("test ELBO -").contains(word));
        assert_eq!(home.json(&format!("{option}/summary.json"))["steps"], 6);
        let steps: Vec<Value> = home.metrics(option).iter().map(|e| e["step"].clone()).collect();
        assert_eq!(steps, [4, 6]);
    }
}

#[test]
fn the_seed_decides_everything() {
    let home = Home::new();
    let model = |run: &str, options: &str| {
        home.ok(&format!("{TRAIN} --run {run} {options}"));
        let sha256 = home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
        (sha256, tree(&home.at(run)))
    };
    let (first, files) = model("first", "--seed 3");
    let (again, files_again) = model("again", "--seed 3");
    let (other, _) = model("other", "--seed 4");
    assert_eq!(first, again);
    assert_ne!(first, other);
    for name in ["config.json", "model.safetensors", "samples.png", "reconstructions.png"] {
        let content = &files[&home.at("first").join(name)];
        assert!(
            content.is_some() && *content == files_again[&home.at("again").join(name)],
            "{name}"
        );
    }
}

#[test]
fn pictures_are_made_again() {
    let home = Home::with_run();
    let read = |name: &str| fs::read(home.at(name)).unwrap();
    for (command, picture) in [("sample", "samples"), ("reconstruct", "reconstructions")] {
        let own = format!("run/{picture}.png");
        let first = read(&own);
        let with = |options: &str| {
            let ended = home.ok(&format!("{command} run --device cpu {options}"));
            ended.stdout.trim().to_string()
        };
        assert_eq!(with("--seed 1"), own, "the default place");
        let seed1 = read(&own);
        assert_ne!(seed1, first);
        assert_eq!(with("--seed 1 --out a.png"), "a.png");
        assert_eq!(read("a.png"), seed1);
        with("--out a.png");
        assert_eq!(read("a.png"), first, "the run's own seed is the default");
        with("--seed 2 --out run/../a.png");
        assert_ne!(read("a.png"), seed1);
    }
    for (command, count, columns, rows) in [
        ("sample", 1, 1, 1),
        ("sample", 7, 3, 3),
        ("reconstruct", 1, 1, 2),
        ("reconstruct", 3, 3, 2),
        ("reconstruct", 50, 10, 10), // all that there are
    ] {
        home.ok(&format!("{command} run --device cpu --count {count} --out b.png"));
        assert_eq!(png_size(&home.at("b.png")), grid_size(columns, rows), "{command} {count}");
    }
    home.refuses("reconstruct run --device cpu --count 51", &["--count 51", "50 test images"]);
}

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
        ("--hidden 0", &["--hidden", "not a width"][..]),
        ("--hidden abc", &["--hidden", "abc"]),
        ("--hidden 16,,16", &["--hidden", "not a width"]),
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

/// Even the same second has room for several runs.
#[test]
fn runs_without_a_name_find_one() {
    let home = Home::new();
    let children: Vec<Child> = (0..4).map(|_| home.spawn(TRAIN)).collect();
    for child in children {
        let ended = end(child);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    let runs: Vec<PathBuf> =
        fs::read_dir(home.at("runs")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(runs.len(), 4, "{runs:?}");
    for run in runs {
        assert_eq!(names(&run), FILES, "{run:?}");
        home.assert_model(run.to_str().unwrap());
    }
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
    fs::remove_dir_all(home.at("photos")).unwrap();
    home.refuses("reconstruct run", &["run/config.json names", "photos: no such file"]);
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
        ended.stderr.matches("--likelihood gaussian models grey values").count()
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

/// Numbers that are too long for their column are written shorter.
#[test]
fn large_figures_keep_the_columns() {
    use elbo::report::console::figure;
    for (value, decimals, width, text) in [
        (-105.694, 2, 10, "-105.69"),
        (-1_234_567.891, 2, 10, "-1234567.9"),
        (-123_456_789.1, 2, 10, "-123456789"),
        (-1.234e12, 2, 10, "-1.23e12"),
        (12345.67, 2, 7, "12345.7"),
        (-1.234e12, 2, 7, "-1.2e12"),
        (1e10, 0, 9, "1.00e10"),
        (f64::NAN, 2, 7, "NaN"),
    ] {
        assert_eq!(figure(value, decimals, width), text);
    }
    let home = Home::new();
    let huge = "--likelihood gaussian --variance 1e-14";
    let ended = home.ok(&format!("{TRAIN} {huge} --run runs/huge"));
    let rows: Vec<&str> = ended.stdout.lines().skip(1).take(3).collect();
    assert!(rows.iter().all(|row| row.chars().count() == rows[0].len()), "{rows:#?}");
    assert!(rows[1].contains("e1"), "{rows:#?}");
    let table = home.ok("runs").stdout;
    assert!(table.lines().nth(1).unwrap().contains("e1"), "{table}");
    assert!(ended.line("test ELBO -").contains("e1"));
    let svg = fs::read_to_string(home.at("runs/huge/training.svg")).unwrap();
    let ticks = svg.lines().filter(|line| line.contains("text-anchor=\"end\""));
    let ticks: Vec<&str> = ticks.map(|l| l.split(['>', '<']).nth(2).unwrap()).collect();
    assert!(ticks.iter().any(|tick| tick.contains("e1")), "{ticks:?}");
    assert!(ticks.iter().all(|tick| tick.chars().count() <= 7), "{ticks:?}");
}

/// The list says what each figure is of, and which end a run has.
#[test]
fn runs_say_what_their_figures_are_of() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --run runs/a-test"));
    let nine = TRAIN.replace("--epochs 2", "--epochs 9");
    home.ok(&format!("{nine} --run runs/b-steps --steps 6"));
    let title =
        |args: &str| home.ok(&format!("runs {args}")).stdout.lines().next().unwrap().to_string();
    assert!(title("").contains("  test ELBO  "), "{}", title(""));
    home.ok(&format!("{TRAIN} --run runs/c-valid --valid 0.1 --steps 1000"));
    assert!(title("runs/c-valid").contains("  valid ELBO  "), "{}", title("runs/c-valid"));
    home.ok("import runs/a-test/model.safetensors --data data --run runs/d-imported");
    let table = home.ok("runs --sort run").stdout;
    let lines: Vec<&str> = table.lines().collect();
    let title: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(title[5..], ["epochs", "steps", "ELBO", "best", "of", "device", "state"], "{table}");
    for (row, words) in [
        (lines[1], ["2/2  ", " 8 ", "  test  ", "finished"]),
        (lines[2], [" 2  ", "  6/6  ", "  test  ", "finished"]),
        (lines[3], ["2/2  ", " 8 ", "  valid  ", "finished"]),
        (lines[4], ["d-imported", "30-16-3-16-30", "relu   ", "imported"]),
    ] {
        for word in words {
            assert!(row.contains(word), "{word:?} in {table}");
        }
    }
    assert!(!lines[4].contains('/') && !lines[4].contains("ELBO"), "{table}");
    let all: Value = serde_json::from_str(&home.ok("runs --json --sort run").stdout).unwrap();
    assert_eq!(
        (&all[3]["state"], &all[2]["last"]["validation"]),
        (&json!("imported"), &json!(true))
    );
    // A summary calls the best figure by what it is of.
    let [test, valid] =
        ["a-test", "c-valid"].map(|run| home.json(&format!("runs/{run}/summary.json")));
    assert!(test["best_test_elbo"].is_f64() && test.get("best_valid_elbo").is_none());
    assert!(valid["best_valid_elbo"].is_f64() && valid.get("best_test_elbo").is_none());
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

#[test]
fn a_device_that_is_not_there_is_refused() {
    let home = Home::with_run();
    let train = format!("train --data data {SIZES} --run new");
    for which in ["nonsense", "4711", "-1"] {
        for command in [&train[..], "sample run --out a.png", "reconstruct run --out a.png"] {
            let words = [&format!("--device {which}:")[..], "there are:", "cpu"];
            home.refuses(&format!("{command} --device={which}"), &words);
        }
    }
    home.refuses(&format!("{train} --device="), &["--device"]);
    // A number beyond the indices that stands in the adapter's name, as in RTX 4090.
    let listed = home.ok("devices").stdout;
    let name = listed.lines().next().unwrap_or_default().trim_start_matches(char::is_numeric);
    let numbers = name.split(|c: char| !c.is_ascii_digit());
    match numbers.filter_map(|n| n.parse::<usize>().ok()).find(|&n| n > 9) {
        Some(n) => assert!(
            home.ok(&format!("train --data data {SIZES} --run by-number --device {n}"))
                .stderr
                .contains(name.trim())
        ),
        None => {
            assert!(!name.contains("llvmpipe"), "lavapipe's name has its LLVM's version: {listed}")
        }
    }
    assert!(home.ok(&format!("{train} --device CPU")).stderr.contains("device: CPU, "));
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
    home.ok(
        "train --data large --device cpu --hidden 2 --latent 1 --batch 10 --epochs 1 --run run",
    );
    let ended = home.run("sample run --device llvmpipe --count 10000 --out a.png");
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

#[test]
fn a_run_that_diverges_says_where() {
    let home = Home::new();
    let ended = home.run(&format!("{TRAIN} --run new/run --lr 1e30"));
    ended.assert_error(1, &["step 2:", "encoder.heads", "linear.forward", "--lr", "no checkpoint"]);
    assert!(!home.at("new").exists(), "nothing is left of a run without an epoch");

    // An epoch is one step here. The sums over many training images overflow long before the one test
    // image does: the figures leave room for a factor of 5 either way.
    home.data("tall", 5000, 1);
    let long = "train --data tall --device cpu --hidden none --latent 2 --batch 5000 --epochs 50";
    let ended = home.run(&format!("{long} --run kept --lr 1e17"));
    let words = ["step ", " of train/", "written by", "kept/model.safetensors keeps"];
    ended.assert_error(1, &words);
    let epochs = home.metrics("kept").len();
    assert!((1..50).contains(&epochs));
    assert!(ended.stderr.contains(&format!("error: step {}: ", epochs + 1)), "{ended:?}");
    assert_eq!(home.json("kept/summary.json")["finished"], false);
    home.ok("sample kept --device cpu");
}

#[test]
fn a_preset_is_compared_only_when_it_is_itself() {
    let home = Home::new();
    let ended =
        home.ok("train --preset pytorch-example --data data --device cpu --run run --epochs 1");
    ended.line("grey pixels, not binarized");
    ended.line("target is not compared");
    assert_eq!(home.json("run/summary.json").get("target"), None);
    let config = home.json("run/config.json");
    assert_eq!((&config["binarization"], &config["batch"]), (&json!("none"), &json!(128)));
    let ended = home.ok(
        "train --preset pytorch-example --binarization fixed --data data --device cpu --run own",
    );
    ended.line("fixed binarization");
    ended.line("target is not compared");
}

#[test]
fn output_is_plain_where_there_is_no_terminal() {
    let home = Home::new();
    let run = "a\nb\x1b[31m";
    for code in [0, 2] {
        let mut command = home.command(TRAIN);
        let ended: Ended = command.args(["--run", run]).output().unwrap().into();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.contains(r"a\nb\u{1b}[31m:"), "{text:?}");
        if code == 0 {
            let starts: Vec<&str> = ended.stderr.lines().map(|l| &l[..6.min(l.len())]).collect();
            assert_eq!((starts.len(), starts[0]), (2, "device"), "{ended:?}");
            assert_eq!(ended.stdout.lines().count(), 6, "{ended:?}");
        }
    }
}

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

#[test]
fn help_names_every_option_and_its_default() {
    let home = Home::new();
    let help = home.ok("--help").stdout;
    for word in ["train", "sample", "reconstruct", "devices"] {
        assert!(help.contains(&format!("\n  {word} ")), "{word}");
    }
    // Word by word, since lines are wrapped to the terminal.
    let words = |args: &str| {
        let help = home.ok(args).stdout;
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let train = words("train --help");
    let mut rest = &train[..];
    for (option, default) in [
        ("--preset <PRESET>", "none"),
        ("--data <PATH>", "mnist"),
        ("--size <HxW>", "as they are"),
        ("--valid <SHARE>", "none"),
        ("--seed <SEED>", "0"),
        ("--run <DIR>", "runs/<date-time>"),
        ("--device <WHICH>", "auto"),
        ("--figures-every <N>", "none"),
        ("--binarization <BINARIZATION>", "dynamic"),
        ("--hidden <WIDTHS>", "400"),
        ("--decoder-hidden <WIDTHS>", "--hidden reversed"),
        ("--latent <Z>", "20"),
        ("--activation <ACTIVATION>", "relu"),
        ("--likelihood <LIKELIHOOD>", "bernoulli"),
        ("--variance <S>", "learned"),
        ("--init <INIT>", "pytorch"),
        ("--objective <OBJECTIVE>", "elbo"),
        ("--samples <K>", "1"),
        ("--gradient <GRADIENT>", "reparameterized"),
        ("--kl <KL>", "analytic"),
        ("--beta <BETA>", "1"),
        ("--warm-up <EPOCHS>", "0"),
        ("--free-bits <NATS>", "0"),
        ("--epochs <EPOCHS>", "10"),
        ("--steps <STEPS>", "no limit"),
        ("--batch <B>", "128"),
        ("--lr <RATE>", "0.001"),
        ("--lr-schedule <SCHEDULE>", "constant"),
        ("--schedule-stages <N>", "8"),
        ("--adam-beta1 <BETA1>", "0.9"),
        ("--adam-beta2 <BETA2>", "0.999"),
        ("--adam-epsilon <EPSILON>", "1e-8"),
    ] {
        // In this order, so that each default is the option's own.
        let (_, about) = rest.split_once(option).unwrap_or_else(|| panic!("no {option}"));
        let (_, about) = about.split_once("[default: ").unwrap_or_else(|| panic!("{option}"));
        assert!(about.starts_with(&format!("{default}]")), "{option}: {about}");
        rest = about;
    }
    for (command, count) in [("sample", 100), ("reconstruct", 50)] {
        let help = words(&format!("{command} --help"));
        for word in ["<RUN>", "--count", "--seed", "--out <FILE>", "--device"] {
            assert!(help.contains(word), "{command}: {word}");
        }
        assert!(help.contains(&format!("[default: {count}")), "{help}");
    }
}

#[test]
fn devices_lists_what_there_is() {
    let home = Home::new();
    let ended = home.ok("devices");
    let heads: Vec<&str> = ended.stdout.lines().filter(|l| !l.starts_with(' ')).collect();
    assert!(heads.len() >= 2 && heads[0].starts_with("0 "), "no adapter: {ended:?}");
    assert_eq!(ended.stdout.matches("<- auto").count(), 1, "{ended:?}");
    assert!(heads[heads.len() - 1].starts_with("cpu "), "{ended:?}");
    assert_eq!(ended.stderr, "", "no noise of drivers");
    for word in ["driver ", "binding up to ", "invocations"] {
        ended.line(word);
    }
}

/// The same run on an adapter gives the same figures, up to rounding.
#[test]
fn gpu_and_cpu_agree() {
    let home = Home::new();
    let train = format!("train --data data {SIZES}");
    let gpu = home.run(&format!("{train} --run gpu --device gpu"));
    assert_eq!(gpu.code, Some(0), "{}", gpu.stderr);
    let lines: Vec<&str> = gpu.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("device: "), "{gpu:?}");
    assert!(lines[0].ends_with("the CPU (--device cpu)"), "{gpu:?}");
    assert_ne!(home.json("gpu/summary.json")["device"]["kind"], "cpu");
    home.assert_model("gpu");

    home.ok(&format!("{train} --run cpu --device cpu"));
    let [on_gpu, on_cpu] = ["gpu", "cpu"].map(|run| home.metrics(run));
    for (on_gpu, on_cpu) in on_gpu.iter().zip(&on_cpu) {
        for set in ["train", "test"] {
            let difference =
                on_gpu[set]["elbo"].as_f64().unwrap() - on_cpu[set]["elbo"].as_f64().unwrap();
            assert!(difference.abs() < 0.1, "{set}: {difference}");
        }
    }
    // A model goes from one device to the other.
    for command in ["sample", "reconstruct"] {
        home.ok(&format!("{command} cpu --device gpu --out gpu.png"));
        home.ok(&format!("{command} cpu --device cpu --out cpu.png"));
        let pixels = |name: &str| image::open(home.at(name)).unwrap().into_luma8().into_raw();
        let (a, b) = (pixels("gpu.png"), pixels("cpu.png"));
        assert_eq!(a.len(), b.len());
        assert!(a.iter().zip(&b).all(|(a, b)| a.abs_diff(*b) <= 1), "{command}");
    }
}

/// A machine without any Vulkan driver.
#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_the_cpu_is_taken() {
    let home = Home::new();
    let bare =
        |args: &str| -> Ended { home.command(args).envs(NO_ADAPTER).output().unwrap().into() };
    let train = format!("train --data data {SIZES}");
    let before = tree(home.path());
    for which in ["gpu", "0", "llvmpipe"] {
        let ended = bare(&format!("{train} --run {which} --device {which}"));
        ended.assert_error(2, &["--device", which]);
        assert!(tree(home.path()) == before);
    }
    bare(&format!("{train} --device gpu")).assert_error(2, &["no GPU adapter", "apt-get install"]);

    let ended = bare(&format!("{train} --run auto --device auto"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let first = ended.stderr.lines().next().unwrap();
    assert!(
        first.starts_with("device: CPU, ") && first.ends_with("no hardware GPU found"),
        "{first}"
    );
    assert_eq!(home.json("auto/summary.json")["device"]["kind"], "cpu");

    let ended = bare("devices");
    assert_eq!((ended.code, ended.stdout.matches("<- auto").count()), (Some(0), 1));
    assert!(ended.line("<- auto").starts_with("cpu "));
    assert!(ended.line("no GPU adapter found").contains("apt-get install"));
}
