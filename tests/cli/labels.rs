//! Models that are told the class of an image, in every command.

use std::fs;

use crate::harness::program::Home;

/// IDX labels, of images whose pattern is that of their number modulo 3, as the harness makes them.
fn labels(n: u32, of: impl Fn(u32) -> u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = [0x801, n].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
    bytes.extend((0..n).map(of));
    bytes
}

/// 200 training and 50 test images with their classes.
fn labelled() -> Home {
    let home = Home::new();
    for (name, n) in [("train-labels-idx1-ubyte", 200), ("t10k-labels-idx1-ubyte", 50)] {
        let labels = labels(n, |i| (i % 3) as u8);
        fs::write(home.at("data").join(name), labels).expect("a file");
    }
    home
}

const TRAIN: &str =
    "train --data data --device cpu --hidden 16 --latent 2 --batch 30 --condition labels";

fn bytes(home: &Home, file: &str) -> Vec<u8> {
    fs::read(home.at(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// The tensors of a safetensors file.
fn tensors(home: &Home, file: &str) -> Vec<u8> {
    let bytes = bytes(home, file);
    let header = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    bytes[8 + header..].to_vec()
}

#[test]
fn classes_in_every_command() {
    let home = labelled();
    let ended = home.ok(&format!("{TRAIN} --epochs 30 --lr 0.01 --run run"));
    assert!(ended.stderr.contains("30-16-2-16-30 relu, told which of 3 classes"), "{ended:?}");
    let config = home.json("run/config.json");
    assert_eq!(config["architecture"]["classes"], serde_json::json!(["0", "1", "2"]));
    for file in ["samples.svg", "manifold.svg", "styles.svg", "scatter.svg"] {
        assert!(home.at("run").join(file).exists(), "{file}");
    }
    for command in ["eval run --samples 20", "eval run --samples 5 --images 7"] {
        let ended = home.ok(&format!("{command} --device cpu"));
        ended.line("log p(x|y) by importance sampling, k = 5");
        ended.line("E_q log p(x|z,y)");
        ended.line("y is the class of an image");
    }
    let json = home.ok("eval run --samples 5 --device cpu --json").stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["classes"], 3);
    for command in [
        "figures run",
        "sample run --count 7 --out all.png",
        "sample run --class 2 --count 4 --out two.png",
        "reconstruct run --count 3 --out r.png",
        "curve run --samples 5 --images 20",
        "runs .",
    ] {
        let device = if command == "runs ." { "" } else { " --device cpu" };
        home.ok(&format!("{command}{device}"));
    }
    let chart = String::from_utf8(bytes(&home, "curve.svg")).expect("UTF-8");
    assert!(chart.contains("log p(x|y), mean of"), "{chart}");

    // An image drawn as one of a class has its pattern: pixel p is bright where (p + class) % 5 < 2.
    let mean = |class: u32| {
        home.ok(&format!("sample run --class {class} --count 1 --out one.png --device cpu"));
        image::open(home.at("one.png")).expect("a PNG").into_luma8()
    };
    for class in 0..3 {
        let picture = mean(class);
        let zoom = (picture.width() - 2) / 5;
        let mut right = 0;
        for p in 0..30 {
            let at = |i: u32| 1 + i * zoom + zoom / 2;
            let level = picture.get_pixel(at(p % 5), at(p / 5)).0[0];
            right += u32::from((level > 127) == ((p + class) % 5 < 2));
        }
        assert_eq!(right, 30, "class {class}");
    }

    // It is worth more than without: what the class tells z need not.
    let without = TRAIN.replace(" --condition labels", "");
    home.ok(&format!("{without} --epochs 30 --lr 0.01 --run without"));
    let elbo = |run: &str| {
        home.json(&format!("{run}/summary.json"))["best_test_elbo"].as_f64().expect("a number")
    };
    assert!(elbo("run") > elbo("without") + 0.5, "{} {}", elbo("run"), elbo("without"));
    home.refuses("curve run without --device cpu", &["log p(x)", "log p(x|y)", "do not compare"]);
    for command in ["bounds", "gaps"] {
        home.refuses(
            &format!("{command} run --device cpu"),
            &["run", "--condition", "bound from below"],
        );
    }
    home.refuses("sample without --class 1 --device cpu", &["--class 1", "--condition"]);
    // A pseudo-input has no class.
    home.refuses(&format!("{TRAIN} --prior vamp"), &["--prior vamp", "no classes", "--condition"]);
    home.refuses("sample run --class 3 --device cpu", &["--class 3", "0 to 2", "0, 1, 2"]);
}

/// Stopped and resumed, and with the images in a window, it is the run that never stopped.
#[test]
fn a_run_with_classes_is_one_run() {
    let home = labelled();
    for (device, options) in
        [("cpu", ""), ("gpu", ""), ("cpu", " --hidden 9,8 --objective iwae --samples 3")]
    {
        let train = format!("{TRAIN}{options} --epochs 3")
            .replace("--device cpu", &format!("--device {device}"));
        let train = if options.is_empty() { train } else { train.replace("--hidden 16 ", "") };
        let run = |name: &str, more: &str| {
            let name = format!("{device}{}{name}", options.len());
            home.ok(&format!("{train}{more} --run {name}"));
            name
        };
        let whole = run("whole", "");
        let again = run("again", "");
        let window = run("window", " --resident-limit 3000");
        let cut = run("cut", " --steps 9");
        home.ok(&format!("train --resume {cut} --steps 20 --resident-limit 3000"));
        let expected = tensors(&home, &format!("{whole}/model.safetensors"));
        for other in [again, window, cut] {
            assert!(tensors(&home, &format!("{other}/model.safetensors")) == expected, "{other}");
        }
    }
}

/// There and back by a file, with what it says of itself and without.
#[test]
fn classes_are_exported_and_imported() {
    let home = labelled();
    home.ok(&format!("{TRAIN} --epochs 2 --run run"));
    let said =
        home.ok("export run --pytorch model.safetensors --onnx encoder.onnx --onnx decoder.onnx");
    assert!(said.stdout.contains("x (N, 30), class (N) to mu"), "{said:?}");
    assert!(said.stdout.contains("z (N, 2), class (N) to"), "{said:?}");
    home.ok("import model.safetensors --data data --run imported");
    let mut silent = bytes(&home, "model.safetensors");
    let at = silent.windows(12).position(|w| w == b"architecture").expect("metadata");
    silent[at..at + 12].copy_from_slice(b"Architecture");
    fs::write(home.at("silent.safetensors"), silent).expect("a file");
    let options = "--size 6x5 --activation relu --likelihood bernoulli --binarization dynamic";
    home.ok(&format!("import silent.safetensors --data data {options} --run guessed"));
    let elbo = |run: &str| {
        let json = home.ok(&format!("eval {run} --samples 5 --device cpu --json")).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json["elbo"]["value"].as_f64().expect("a number")
    };
    assert_eq!([elbo("imported"), elbo("guessed")], [elbo("run"); 2]);
    home.data("bare", 40, 10);
    home.refuses(
        "import silent.safetensors --data bare --run no",
        &["embedding of 3 classes", "have 0", "--data"],
    );
    home.refuses(
        "import model.safetensors --data bare --run no",
        &["--condition labels", "the training images of bare have none"],
    );
    home.refuses("export run --pytorch a.safetensors --names pyro", &["names of Pyro"]);
}

/// Data without classes, with others, with too few.
#[test]
fn labels_that_do_not_fit_are_refused() {
    let home = labelled();
    home.data("bare", 40, 10);
    home.refuses(
        &TRAIN.replace("--data data", "--data bare"),
        &["--condition labels", "no labels", "sub-folders"],
    );
    home.refuses(&TRAIN.replace("labels", "label"), &["--condition", "none, labels"]);
    let write =
        |file: &str, bytes: Vec<u8>| fs::write(home.at("data").join(file), bytes).expect("a file");
    home.ok(&format!("{TRAIN} --epochs 1 --run run"));

    // A class of the test set that was never trained on.
    write("t10k-labels-idx1-ubyte", labels(50, |i| if i == 7 { 4 } else { 1 }));
    home.refuses(TRAIN, &["--condition labels", "image 7 of the test images", "\"4\"", "0, 1, 2"]);
    for command in ["eval", "reconstruct", "figures", "explore --no-open", "curve"] {
        home.refuses(
            &format!("{command} run --device cpu"),
            &["image 7 of the test images", "\"4\""],
        );
    }
    // Fewer classes are no other classes, but other labels are told.
    write("t10k-labels-idx1-ubyte", labels(50, |_| 2));
    let ended = home.ok("eval run --samples 2 --device cpu");
    assert!(ended.stderr.contains("the classes of the images are not those"), "{ended:?}");
    home.refuses("train --resume run --epochs 2", &["their classes are others"]);
    // No classes any more.
    for file in ["t10k-labels-idx1-ubyte", "train-labels-idx1-ubyte"] {
        fs::remove_file(home.at("data").join(file)).expect("a file");
    }
    home.refuses(
        "eval run --device cpu",
        &["--condition labels", "the test images of", "have none"],
    );
    home.refuses(
        "train --resume run --epochs 2",
        &["--condition labels", "the training images of"],
    );
    // One class tells nothing.
    write("train-labels-idx1-ubyte", labels(200, |_| 5));
    home.refuses(TRAIN, &["--condition labels", "two classes", "have one"]);
    // A configuration that somebody changed.
    let config = fs::read_to_string(home.at("run/config.json")).expect("text");
    fs::write(home.at("run/config.json"), config.replace("\"1\"", "\"0\"")).expect("a file");
    home.refuses("sample run --device cpu", &["config.json", "two classes with the name \"0\""]);
}

/// What is told in turn, in the pictures.
#[test]
fn a_grid_has_a_row_for_each_class() {
    let home = labelled();
    home.ok(&format!("{TRAIN} --epochs 1 --run run"));
    home.ok("sample run --count 7 --out seven.png --device cpu");
    let picture = image::open(home.at("seven.png")).expect("a PNG").into_luma8();
    // Rows of 3, 2 and 2 images of 6x5 pixels.
    let (across, down) = ((picture.width() - 1) / 3, (picture.height() - 1) / 3);
    assert_eq!((across - 1) * 6, (down - 1) * 5);
    let is_line = |column: u32, row: u32| {
        let pixels =
            (1..across).map(|x| picture.get_pixel(column * across + x, row * down + down / 2));
        pixels.into_iter().all(|pixel| pixel.0[0] == 96)
    };
    assert_eq!([0, 1, 2].map(|row| is_line(2, row)), [false, true, true]);
}
