//! The pictures of a run and its TensorBoard events: what is drawn is what the model does, and readers of
//! their own make sense of every file.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use elbo::data::{Images, Labels};
use elbo::evaluate::{Model, Posteriors};
use elbo::generate;
use elbo::report::latent;
use elbo::report::tiles::{Group, Tiles};
use elbo::vae::{Architecture, Binarization, Likelihood, Prior};
use roxmltree::{Document, Node};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness;

const HREF: (&str, &str) = ("http://www.w3.org/1999/xlink", "href");
const TRAIN: &str = "train --data data --device cpu --hidden 16 --batch 50 --run run --epochs 3";

/// A folder to work in, with data of 6x5 pixels in `data`: 200 training and 60 test images, labelled.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Home(tempfile::tempdir().unwrap());
        fs::create_dir(home.at("data")).unwrap();
        for (name, n) in [("train", 200), ("t10k", 60)] {
            let mut images: Vec<u8> =
                [0x803, n, 6, 5].iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
            let pixel = |i: u32, p: u32| if (p + i % 3) % 5 < 2 { 230 } else { (i % 40) as u8 };
            images.extend((0..n).flat_map(|i| (0..30).map(move |p| pixel(i, p))));
            let mut labels: Vec<u8> =
                [0x801, n].iter().flat_map(|word| word.to_be_bytes()).collect();
            labels.extend((0..n).map(|i| 2 * (i % 3) as u8));
            let data = home.at("data");
            fs::write(data.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
            fs::write(data.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
        }
        home
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elbo"));
        command.current_dir(self.0.path()).args(args.split_whitespace());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn ok(&self, args: &str) -> String {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        assert!(status.success(), "{args}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn svg(&self, name: &str) -> String {
        let text = fs::read_to_string(self.at("run").join(name)).unwrap();
        assert!(Document::parse(&text).is_ok(), "{name}: {:?}", Document::parse(&text));
        text
    }

    fn last(&self) -> Value {
        let text = fs::read_to_string(self.at("run/metrics.jsonl")).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// Names of the files of the run that are pictures.
    fn pictures(&self) -> Vec<String> {
        let entries = fs::read_dir(self.at("run")).unwrap();
        let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|n| n.ends_with(".svg") || n.ends_with(".png")).collect();
        names.sort();
        names
    }
}

fn elements<'a>(document: &'a Document, name: &str) -> Vec<Node<'a, 'a>> {
    document.descendants().filter(|node| node.has_tag_name(name)).collect()
}

fn words(document: &Document) -> Vec<String> {
    elements(document, "text").iter().map(|t| t.text().unwrap_or_default().to_string()).collect()
}

fn attribute(node: &Node, name: &str) -> f64 {
    node.attribute(name).unwrap().parse().unwrap()
}

/// The pictures within a picture, as (width, height) in pixels.
fn embedded(document: &Document) -> Vec<(u32, u32)> {
    let images = elements(document, "image");
    let size = |node: &Node| {
        let href = node.attribute(HREF).unwrap();
        let png = STANDARD.decode(href.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        let image = image::load_from_memory_with_format(&png, image::ImageFormat::Png).unwrap();
        (image.width(), image.height())
    };
    images.iter().map(size).collect()
}

/// What the document's pictures are, as they stand in it.
fn embedded_bytes(document: &Document) -> Vec<String> {
    let href = |node: Node| node.attribute(HREF).unwrap().to_string();
    elements(document, "image").into_iter().map(href).collect()
}

fn minus(value: f64) -> String {
    format!("{value:.2}").replace('-', "−")
}

#[test]
fn every_picture_is_labelled() {
    let home = Home::new();
    for (latent, own) in [
        (1, ["interpolation", "traversals"]),
        (2, ["manifold", "scatter"]),
        (3, ["interpolation", "traversals"]),
    ] {
        let _ = fs::remove_dir_all(home.at("run"));
        home.ok(&format!("{TRAIN} --latent {latent}"));
        let mut names = vec!["reconstructions.png".to_string(), "samples.png".to_string()];
        let always = ["reconstructions", "samples", "training", "units"];
        names.extend(own.iter().chain(&always).map(|name| format!("{name}.svg")));
        names.sort();
        assert_eq!(home.pictures(), names);
        for name in names.iter().filter(|name| name.ends_with(".svg")) {
            let text = home.svg(name);
            let document = Document::parse(&text).unwrap();
            let all = words(&document).join(" ");
            let network = format!("30-16-{latent}-16-30 relu");
            for word in ["data", &network, "dynamic binarization", "after epoch 3", "CPU, "] {
                assert!(all.contains(word), "{name}: no {word:?} in {all}");
            }
            let background = elements(&document, "rect")[0];
            assert_eq!(background.attribute("fill"), Some("white"), "{name}");
            assert_eq!(background.attribute("width"), Some("100%"), "{name}");
            for node in document.descendants().filter(Node::is_text) {
                let stroke = node.parent().unwrap();
                for at in ["x", "y"] {
                    let place = stroke.attribute(at).map_or(1.0, |v| v.parse::<f64>().unwrap());
                    assert!((0.0..1000.0).contains(&place), "{name}: {node:?}");
                }
            }
        }
        // Drawn again from what the folder holds, they are the same.
        let before: Vec<Vec<u8>> =
            names.iter().map(|n| fs::read(home.at("run").join(n)).unwrap()).collect();
        for name in &names {
            fs::remove_file(home.at("run").join(name)).unwrap();
        }
        let said = home.ok("figures run --device cpu");
        for (name, before) in names.iter().zip(before) {
            assert!(fs::read(home.at("run").join(name)).unwrap() == before, "{name}");
            assert!(said.contains(&format!("run/{name}\n")), "{said}");
        }
    }
}

#[test]
fn the_training_curve_has_every_epoch_and_the_last_figures() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --objective iwae --samples 5"));
    let text = home.svg("training.svg");
    let document = Document::parse(&text).unwrap();
    let lines = elements(&document, "polyline");
    assert_eq!(lines.len(), 8, "test and training of ELBO, L_5, reconstruction and KL");
    for line in lines {
        assert_eq!(line.attribute("points").unwrap().split(' ').count(), 3);
    }
    let (last, words) = (home.last(), words(&document));
    for (label, figure) in [
        ("ELBO", "elbo"),
        ("bound L_5", "bound"),
        ("reconstruction", "reconstruction"),
        ("KL", "kl"),
    ] {
        let value = minus(last["test"][figure].as_f64().unwrap());
        for word in [label, &value] {
            assert!(words.iter().any(|w| w == word), "no {word} in {words:?}");
        }
    }
    for word in ["epoch", "test set", "1", "2", "3"] {
        assert!(words.iter().any(|w| w == word), "no {word} in {words:?}");
    }
    assert!(words[0].contains("nats per image"));
}

/// Figures of validation images are not called those of the test set.
#[test]
fn validation_images_are_named() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --valid 0.25"));
    let text = home.svg("training.svg");
    let words = words(&Document::parse(&text).unwrap());
    assert!(words.iter().any(|w| w == "validation set") && words.iter().all(|w| w != "test set"));
}

/// The bars of the units against the figures of `elbo eval`, which come about in another way.
#[test]
fn bars_are_the_kl_of_the_units() {
    let home = Home::new();
    home.ok(&format!("{TRAIN}0 --latent 5"));
    let text = home.svg("units.svg");
    let document = Document::parse(&text).unwrap();
    let eval = home.ok("eval run --samples 1 --json --device cpu");
    let eval: Value = serde_json::from_str(&eval).unwrap();
    let mut expected: Vec<(f64, String, bool)> = eval["kl_per_unit"]
        .as_array()
        .unwrap()
        .iter()
        .map(|u| (u["value"].as_f64().unwrap(), u["unit"].to_string(), u["active"] == true))
        .collect();
    expected.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert!(expected[0].0 > 1.1 * expected[4].0, "units to tell apart: {expected:?}");

    let rects = elements(&document, "rect");
    let bars: Vec<&Node> =
        rects.iter().filter(|r| attribute_or(r, "height", 0.0) != 10.0).collect();
    let bars = &bars[1..bars.len() - 1]; // background and frame
    assert_eq!(bars.len(), 5);
    let words = words(&document);
    let numbers: Vec<&String> = words.iter().filter(|w| w.len() == 1).collect();
    for (i, (kl, unit, active)) in expected.iter().enumerate() {
        let ratio = attribute(bars[i], "height") / attribute(bars[0], "height");
        assert!((ratio - kl / expected[0].0).abs() < 0.001, "{i}: {ratio}");
        let colour = if *active { "#0072b2" } else { "#bbbbbb" };
        assert_eq!(bars[i].attribute("fill"), Some(colour));
        assert_eq!(numbers[i], unit);
    }
    let active = expected.iter().filter(|(.., active)| *active).count();
    assert!(words.contains(&format!("{active} active")), "{words:?}");
    let kl = home.last()["test"]["kl"].as_f64().unwrap();
    assert!(words.contains(&format!("sum {kl:.2}")), "{kl} in {words:?}");
}

fn attribute_or(node: &Node, name: &str, other: f64) -> f64 {
    node.attribute(name).and_then(|v| v.parse().ok()).unwrap_or(other)
}

#[test]
fn inactive_units_are_grey() {
    // Unit 0 is the same for all images, unit 1 is not.
    let mean = (0..40).flat_map(|i| [0.5, f64::from(i % 4)]).collect();
    let posteriors =
        Posteriors { latent: 2, mean, log_variance: vec![0.0; 80], ..Posteriors::default() };
    let text = latent::units(&posteriors.units(), "image", "");
    let document = Document::parse(&text).unwrap();
    let fills: Vec<_> =
        elements(&document, "rect").iter().map(|r| r.attribute("fill").unwrap()).collect();
    let (blue, grey) = ("#0072b2", "#bbbbbb");
    assert_eq!(fills, ["white", blue, grey, blue, grey, "none"], "legend, then bars by KL");
    for word in ["1 active", "1 inactive"] {
        assert!(words(&document).iter().any(|w| w == word));
    }
}

#[test]
fn the_scatter_has_a_dot_for_each_image_in_its_class() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 2"));
    let count = |text: &str, colour: &str| -> usize {
        let document = Document::parse(text).unwrap();
        let paths = elements(&document, "path");
        let dots = paths.iter().filter(|p| {
            p.attribute("stroke") == Some(colour) && p.attribute("stroke-width") == Some("4")
        });
        dots.map(|p| p.attribute("d").unwrap().matches('M').count()).sum()
    };
    let text = home.svg("scatter.svg");
    // Of the classes 0 to 4, the three even ones have images.
    for (colour, n) in
        [("#4477aa", 20), ("#ee7733", 0), ("#228833", 20), ("#ee6677", 0), ("#aa3377", 20)]
    {
        assert_eq!(count(&text, colour), n, "{colour}");
    }
    for (class, n) in [("0", 3), ("4", 3), ("3", 0)] {
        let found = words(&Document::parse(&text).unwrap()).iter().filter(|w| *w == class).count();
        // Legend and cloud, and maybe a tick.
        assert!((found > 0) == (n > 0) && found <= n, "{class}: {found}");
    }

    for set in ["train", "t10k"] {
        fs::remove_file(home.at(&format!("data/{set}-labels-idx1-ubyte"))).unwrap();
    }
    home.ok("figures run --device cpu");
    assert_eq!(count(&home.svg("scatter.svg"), "#0072b2"), 60);
}

/// Classes that lie on one another are still told apart.
#[test]
fn names_of_classes_do_not_cover_each_other() {
    let mean = (0..80).map(|i| [0.0, 0.0, 0.01, 0.0, 0.0, 0.02, 3.0, 3.0][i % 8]).collect();
    let posteriors =
        Posteriors { latent: 2, mean, log_variance: vec![0.0; 80], ..Posteriors::default() };
    let labels = Labels::numbered((0..40).map(|i| i % 4).collect());
    let text = latent::scatter(&posteriors, [0, 1], Some(&labels), ("", "images"));
    let document = Document::parse(&text).unwrap();
    let names = elements(&document, "text");
    let names: Vec<_> =
        names.iter().filter(|t| t.attribute("paint-order") == Some("stroke")).collect();
    assert_eq!(names.len(), 4);
    for (i, a) in names.iter().enumerate() {
        for b in &names[..i] {
            let [dx, dy] = ["x", "y"].map(|at| attribute(a, at) - attribute(b, at));
            assert!(dx.hypot(dy) > 14.0, "{a:?} {b:?}");
        }
    }
}

/// Words are wider than they are high.
#[test]
fn long_names_do_not_cover_each_other() {
    let mean = (0..80).map(|i| [0.0, 0.0, 0.3, 0.0, -0.3, 0.02, 3.0, 0.0][i % 8]).collect();
    let posteriors =
        Posteriors { latent: 2, mean, log_variance: vec![0.0; 80], ..Posteriors::default() };
    let names = ["Ankle boot", "T-shirt/top", "Sneaker", "Pullover"].map(String::from);
    let labels = Labels { classes: (0..40).map(|i| i % 4).collect(), names: names.into() };
    let text = latent::scatter(&posteriors, [0, 1], Some(&labels), ("", "images"));
    let document = Document::parse(&text).unwrap();
    let names = elements(&document, "text");
    let names: Vec<_> =
        names.iter().filter(|t| t.attribute("paint-order") == Some("stroke")).collect();
    assert_eq!(names.len(), 4);
    let half = |node: &Node| 0.5 * 6.0 * node.text().unwrap().len() as f64;
    for (i, a) in names.iter().enumerate() {
        let x = attribute(a, "x");
        assert!(x - half(a) > 56.0 && x + half(a) < 386.0, "{a:?} is within the frame");
        for b in &names[..i] {
            let [dx, dy] = ["x", "y"].map(|at| (attribute(a, at) - attribute(b, at)).abs());
            assert!(dx > half(a) + half(b) || dy > 10.0, "{a:?} {b:?}");
        }
    }
}

#[test]
fn long_names_of_many_classes_have_room() {
    let names: Vec<String> =
        (0..60).map(|i| format!("class {i} with a <name> that is long")).collect();
    let classes: Vec<u16> = (0..120).map(|i| i % 60).collect();
    let mean = (0..240).map(|i| f64::from(i % 17) - 8.0).collect();
    let posteriors =
        Posteriors { latent: 2, mean, log_variance: vec![0.0; 240], ..Posteriors::default() };
    let labels = Labels { classes, names: names.into() };
    let text = latent::scatter(&posteriors, [0, 1], Some(&labels), ("", "images"));
    let document = Document::parse(&text).unwrap();
    for node in elements(&document, "text") {
        let Some(text) = node.text().filter(|text| text.contains("class")) else { continue };
        assert_eq!(text.chars().count(), 20, "{text}");
        assert!((0.0..400.0).contains(&attribute(&node, "x")), "{node:?}");
        assert!(attribute(&node, "y") < attribute(&document.root_element(), "height"));
    }
}

#[test]
fn strips_have_their_tiles() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 12"));
    // Images of 6x5 are enlarged; 2 pixels lie between two.
    let tiles = |columns: u32, rows: u32, zoom: u32| {
        (columns * (5 * zoom + 2) - 2, rows * (6 * zoom + 2) - 2)
    };
    let text = home.svg("interpolation.svg");
    let document = Document::parse(&text).unwrap();
    assert_eq!(embedded(&document), [tiles(1, 5, 10), tiles(9, 5, 10), tiles(1, 5, 10)]);
    let text = home.svg("traversals.svg");
    let document = Document::parse(&text).unwrap();
    assert_eq!(embedded(&document), [tiles(13, 10, 8)], "the ten largest of twelve");
    let all = words(&document);
    assert_eq!(all.iter().filter(|w| w.starts_with("unit ")).count(), 10);
    assert_eq!(all.iter().filter(|w| w.ends_with(" nats")).count(), 10);
    for word in ["−3", "0", "3"] {
        assert!(all.iter().any(|w| w == word), "{word}");
    }
}

/// The words beside one row do not run into those of the next, however low the rows are.
/// Pictures of images that somebody has chosen.
#[test]
fn chosen_images_are_gone_between_and_from() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 3"));
    let parts = |name: &str| embedded_bytes(&Document::parse(&home.svg(name)).unwrap());
    let usual = (parts("interpolation.svg"), home.svg("traversals.svg"));
    home.ok("figures run --device cpu --images 17,4");
    let chosen = parts("interpolation.svg");
    let traversals = home.svg("traversals.svg");
    assert!(chosen != usual.0 && traversals != usual.1);
    let said = words(&Document::parse(&traversals).unwrap()).join(" ");
    assert!(said.contains("posterior mean of test image 17"), "{said}");
    // One way, from x to x', and back it is another picture.
    home.ok("figures run --device cpu --images 4,17");
    let back = parts("interpolation.svg");
    assert_eq!((&chosen[0], &chosen[2]), (&back[2], &back[0]), "x and x' change places");
    home.ok("figures run --device cpu");
    assert_eq!((parts("interpolation.svg"), home.svg("traversals.svg")), usual);
    let Output { status, stderr, .. } =
        home.command("figures run --device cpu --images 60").output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("--images 60: pictures can be of the first 60 test images"),
        "{stderr}"
    );
}

#[test]
fn labels_of_low_rows_do_not_cover_each_other() {
    for (size, lines) in [((16, 16), 6), ((12, 16), 3), ((8, 16), 3)] {
        let rows = vec![vec![vec![0.5; size.0 * size.1]; 13]; 3];
        let groups = [Group { labels: vec!["0".to_string(); 13], rows }];
        let row_labels =
            ["unit 1", "unit 12", "unit 3"].map(|u| [u.to_string(), "1.34 nats".to_string()]);
        let tiles = Tiles { title: "", row_labels: &row_labels, groups: &groups, note: "" };
        let text = tiles.svg(size.into()).unwrap();
        let document = Document::parse(&text).unwrap();
        let labels = elements(&document, "text");
        let labels: Vec<&Node> =
            labels.iter().filter(|t| t.attribute("text-anchor") == Some("end")).collect();
        assert_eq!(labels.len(), lines, "{size:?}");
        for pair in labels.windows(2) {
            assert!(attribute(pair[1], "y") - attribute(pair[0], "y") >= 9.0, "{size:?}: {pair:?}");
        }
        for label in labels {
            assert!(label.text().unwrap().contains("unit") || lines == 6);
            assert!(attribute(label, "x") - 4.9 * label.text().unwrap().len() as f64 > 0.0);
        }
        assert!(words(&document).join(" ").contains("1.34 nats"));
    }
}

/// Which rows are data and which the model's is said beside each.
#[test]
fn reconstructions_are_told_from_data() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 3"));
    let text = home.svg("reconstructions.svg");
    let document = Document::parse(&text).unwrap();
    // 50 pairs, ten in a row.
    assert_eq!(embedded(&document), [(10 * (5 * 9 + 2) - 2, 10 * (6 * 9 + 2) - 2)]);
    let labels: Vec<_> = elements(&document, "text")
        .into_iter()
        .filter(|t| ["data", "reconstruction"].contains(&t.text().unwrap_or_default()))
        .collect();
    assert_eq!(labels.len(), 10);
    let mut last = 0.0;
    for (i, label) in labels.iter().enumerate() {
        assert_eq!(label.text(), Some(["data", "reconstruction"][i % 2]));
        assert!(attribute(label, "y") > last);
        last = attribute(label, "y");
        // A letter is 5.8 pixels wide at most, and the words end at their place.
        assert!(attribute(label, "x") - 5.8 * 14.0 > 0.0, "{label:?}");
    }
    let text = home.svg("samples.svg");
    let document = Document::parse(&text).unwrap();
    assert_eq!(embedded(&document).len(), 1);
    assert!(words(&document).join(" ").contains("100 draws z from N(0, I)"));
}

#[test]
fn the_manifold_is_spaced_by_the_quantiles_of_the_prior() {
    // Of a table of the normal distribution.
    let expected = [-1.382_994_13, -0.674_489_75, -0.210_428_39];
    let got = latent::quantiles(6);
    for (i, expected) in expected.iter().enumerate() {
        assert!(
            (got[i] - expected).abs() < 1e-7 && (got[5 - i] + expected).abs() < 1e-7,
            "{got:?}"
        );
    }
    let codes = latent::manifold_codes(latent::Plane::Quantiles, latent::MANIFOLD);
    assert_eq!(codes.len(), 2 * 400);
    let (first, last) = (&codes[..2], &codes[798..]);
    assert!(first[0] < -1.9 && first[1] > 1.9, "upper left: {first:?}");
    assert!(last[0] > 1.9 && last[1] < -1.9, "lower right: {last:?}");
}

/// A picture is no larger than it is shown, however large the images are.
#[test]
fn large_images_make_no_huge_picture() {
    let images = vec![vec![0.5; 300 * 200]; 400];
    let text = latent::manifold(&images, (300, 200).into(), latent::Plane::Quantiles, "").unwrap();
    let document = Document::parse(&text).unwrap();
    let [(width, height)] = embedded(&document)[..] else { panic!("one picture") };
    assert!(width <= 2000 && (1.45..1.55).contains(&(f64::from(height) / f64::from(width))));
}

/// Nor do all the pictures of a run take memory by the gigabyte, of large images or of long strips.
#[test]
fn pictures_of_large_images_are_made_in_little_memory() {
    let home = Home::new();
    let sizes = [(1000_u32, 1000_u32, 2), (1000, 1000, 3), (20_000, 2, 3), (2, 20_000, 2)];
    for (i, (height, width, latent)) in sizes.into_iter().enumerate() {
        let (data, run) = (format!("data{i}"), format!("run{i}"));
        fs::create_dir(home.at(&data)).unwrap();
        for (name, n) in [("train", 6), ("t10k", 6)] {
            let head = [0x803, n, height, width];
            let mut bytes: Vec<u8> = head.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
            bytes.resize(16 + (n * height * width) as usize, 200);
            fs::write(home.at(&data).join(format!("{name}-images-idx3-ubyte")), bytes).unwrap();
        }
        // Two gigabytes of addresses, of which the program's own take some.
        let mut command = Command::new("bash");
        let limit = "ulimit -v 2000000; exec \"$@\"";
        let program = env!("CARGO_BIN_EXE_elbo");
        command.current_dir(home.0.path()).args(["-c", limit, "bash", program]);
        let train = format!(
            "train --data {data} --device cpu --hidden 2 --latent {latent} --batch 1 --steps 1 --run {run}"
        );
        let output = command.args(train.split(' ')).output().unwrap();
        assert!(output.status.success(), "{height}x{width}: {output:?}");
        for entry in fs::read_dir(home.at(&run)).unwrap().flatten() {
            let size = entry.metadata().unwrap().len();
            assert!(size < 50 << 20, "{}: {size} bytes", entry.path().display());
        }
    }
}

/// Posterior means by one plan and decoded by another, against the plan that does both: on each device,
/// over the edge of a batch.
#[test]
fn posterior_means_decode_to_the_reconstructions() {
    let architecture = Architecture {
        image: (4, 3),
        channels: 1,
        hidden: vec![7].into(),
        decoder_hidden: vec![5, 6].into(),
        latent: 3,
        activation: elbo::kernels::activation::Activation::Tanh,
        posterior: Default::default(),
        likelihood: Likelihood::Bernoulli,
        classes: Vec::new(),
        prior: Prior::Normal,
    };
    let sizes = [84, 7, 42, 6, 15, 5, 30, 6, 72, 12];
    let value = |i: usize| ((i * 7919 % 613) as f32 / 306.0 - 1.0) * 0.8;
    let parameters: Vec<Vec<f32>> = sizes
        .iter()
        .enumerate()
        .map(|(tensor, &n)| (0..n).map(|i| value(1000 * tensor + i)).collect())
        .collect();
    let n = 620;
    let pixels: Vec<u8> = (0..12 * n).map(|i| (i * 31 % 256) as u8).collect();
    let test = Images {
        n_images: n,
        height: 4,
        width: 3,
        channels: 1,
        pixels: pixels.into(),
        labels: None,
    };
    let (binarization, seed) = (Binarization::Dynamic, 9);
    for device in harness::devices() {
        let model =
            Model { architecture: &architecture, parameters: &parameters, binarization, seed };
        let posteriors = generate::posteriors(&device, model, &test, n).unwrap();
        assert_eq!(posteriors.images(), n);
        let z: Vec<f32> = posteriors.mean.iter().map(|&v| v as f32).collect();
        let decoded = generate::decode(&device, &architecture, &parameters, &z, &[]).unwrap();
        let pairs = generate::reconstruct(
            &device,
            &architecture,
            &parameters,
            binarization,
            &test,
            n,
            seed,
        )
        .unwrap();
        assert_eq!((decoded.len(), pairs.len()), (n, 2 * n));
        for (i, decoded) in decoded.iter().enumerate() {
            let reconstruction = &pairs[2 * i + 1];
            let worst = decoded.iter().zip(reconstruction).map(|(a, b)| (a - b).abs());
            assert!(worst.fold(0.0, f32::max) < 1e-5, "{:?}: image {i}", device.description());
        }
        // They are not all alike, or any order of them would do.
        assert!(pairs[1].iter().zip(&pairs[3]).any(|(a, b)| (a - b).abs() > 1e-2));
    }
}

#[test]
fn progress_is_shown_with_the_same_draws() {
    let home = Home::new();
    home.ok(&format!("{TRAIN}0 --figures-every 20"));
    let mut names: Vec<String> = fs::read_dir(home.at("run/progress"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let expected = [20, 30].iter().flat_map(|epoch| {
        ["reconstructions", "samples"].map(|of| format!("epoch-{epoch:04}-{of}.png"))
    });
    assert_eq!(names, expected.collect::<Vec<_>>());
    let read = |name: String| fs::read(home.at("run").join(name)).unwrap();
    for of in ["samples", "reconstructions"] {
        let last = read(format!("progress/epoch-0030-{of}.png"));
        assert!(last == read(format!("{of}.png")), "the last is the run's own picture");
        assert!(last != read(format!("progress/epoch-0020-{of}.png")), "the model has changed");
    }
}

fn soon(mut happens: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(30) {
        if happens() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

#[cfg(unix)]
fn interrupt(child: Child) -> (Option<i32>, String, String) {
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// What stands in the way of a picture does not cost the run.
#[cfg(unix)]
#[test]
fn a_picture_that_cannot_be_written_does_not_lose_the_run() {
    let home = Home::new();
    let long = TRAIN.replace("--epochs 3", "--epochs 1000000 --figures-every 1 --tensorboard");
    let child = home.command(&long).spawn().unwrap();
    let written = || fs::metadata(home.at("run/metrics.jsonl")).map_or(0, |m| m.len());
    assert!(soon(|| home.at("run/progress/epoch-0001-samples.png").exists()));
    // A file in the place of the folder of progress, as soon as one can be put there.
    assert!(soon(|| {
        let _ = fs::remove_dir_all(home.at("run/progress"));
        fs::write(home.at("run/progress"), "mine").is_ok()
    }));
    let then = written();
    let goes_on = soon(|| written() > then + 1000); // two epochs and more
    fs::create_dir(home.at("run/units.svg")).unwrap();
    let (code, stdout, stderr) = interrupt(child);
    assert!(goes_on && code == Some(130), "{stdout}{stderr}");
    let lines: Vec<&str> = stderr.lines().collect();
    let told: Vec<&&str> = lines.iter().filter(|l| l.contains("the run goes on without")).collect();
    assert!(told.len() == 1 && told[0].contains("run/progress"), "{stderr}");
    let last = lines[lines.len() - 1];
    for word in ["error: ", "run/units.svg: cannot write", "elbo figures run"] {
        assert!(last.contains(word), "{stderr}");
    }
    assert!(home.at("run/summary.json").exists());

    let again = home.command("figures run --device cpu").output().unwrap();
    let stderr = String::from_utf8(again.stderr).unwrap();
    assert_eq!(again.status.code(), Some(1), "{stderr}");
    assert!(stderr.lines().last().unwrap().starts_with("error: run/units.svg: cannot write"));
    fs::remove_dir(home.at("run/units.svg")).unwrap();
    home.ok("figures run --device cpu");
    home.svg("units.svg");
}

#[test]
fn figures_of_what_is_no_run_are_refused() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 2"));
    let refused = |words: &[&str]| {
        let Output { status, stderr, .. } =
            home.command("figures run --device cpu").output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(2), "{stderr}");
        let lines: Vec<&str> = stderr.lines().filter(|l| !l.starts_with("device: ")).collect();
        assert_eq!(lines.len(), 1, "{stderr}");
        for word in words {
            assert!(lines[0].contains(word), "{word}: {stderr}");
        }
    };
    let metrics = fs::read(home.at("run/metrics.jsonl")).unwrap();
    fs::write(home.at("run/metrics.jsonl"), [&metrics[..], b"{\"epoch\":"].concat()).unwrap();
    refused(&["error: run/metrics.jsonl: line 4: "]);
    fs::write(home.at("run/metrics.jsonl"), metrics).unwrap();
    fs::write(home.at("run/summary.json"), "[]").unwrap();
    refused(&["error: run/summary.json: not a summary"]);
    fs::remove_file(home.at("run/summary.json")).unwrap();
    home.ok("figures run --device cpu");
    fs::remove_file(home.at("run/model.safetensors")).unwrap();
    refused(&["error: run: no model.safetensors"]);
    fs::remove_dir_all(home.at("run")).unwrap();
    refused(&["error: run: not a run folder"]);
}
