//! Trained models on data that they were not trained on.

use std::fs;

use crate::harness::program::{Home, idx};
use crate::small::TRAIN;

/// Of other images nothing is held out: a line for each, in their order; the run's own, at another place, are parted as they were.
#[test]
fn all_of_other_images_are_taken() {
    let home = Home::empty();
    let one = |name: &str, n| fs::write(home.at(name), idx(n, 6, 5)).unwrap();
    one("own.idx3-ubyte", 60);
    one("other.idx3-ubyte", 36);
    home.ok(&TRAIN
        .replace("--data data", "--data own.idx3-ubyte")
        .replace("--batch 50", "--batch 10 --run run"));
    let lines = |name: &str| {
        let text = fs::read_to_string(home.at(name)).unwrap();
        text.lines().skip(1).map(str::to_string).collect::<Vec<String>>()
    };
    let eval = "eval run --samples 3 --device cpu --per-image";
    home.ok(&format!("{eval} own.csv"));
    assert_eq!(lines("own.csv").len(), 10);
    fs::rename(home.at("own.idx3-ubyte"), home.at("moved.idx3-ubyte")).unwrap();
    home.ok(&format!("{eval} moved.csv --data moved.idx3-ubyte"));
    assert_eq!(lines("moved.csv"), lines("own.csv"));
    let ended = home.ok(&format!("{eval} other.csv --data other.idx3-ubyte"));
    assert_eq!(lines("other.csv").len(), 36, "{ended:?}");
    assert!(ended.stderr.contains("these are not the images that the run was trained on"));
    // What is scored bears the name of its file alone.
    let score = "score run --samples 3 --refine-steps 0 --reference 0 --device cpu";
    home.ok(&format!("{score} --data other.idx3-ubyte --out scores.csv"));
    let scores = lines("scores.csv");
    assert_eq!(scores.len(), 36);
    assert!(
        scores.iter().all(|line| line.split(',').any(|cell| cell == "other.idx3-ubyte")),
        "{scores:?}"
    );
}
