//! The blocks of commands that README.md and docs/guide.md show, run from the first line to the last on data like those that they
//! name, each with less work than it would have. What the pages of `elbo explore` and `elbo web` do is tested in a browser.

use std::fs;
use std::path::Path;

use crate::harness::program::Home;

/// What is added to a command, so that it ends soon; None for one that is not run here.
fn less(command: &str) -> Option<&'static str> {
    Some(match command {
        "train" => "--device cpu --steps 2",
        "eval" => "--device cpu --samples 3 --images 4",
        "gaps" => {
            "--device cpu --samples 3 --images 2 --temperatures 2 --leapfrogs 1 --refine-steps 2"
        }
        "score" => "--device cpu --samples 3 --refine-steps 2 --reference 3",
        "encode" | "sample" | "impute" => "--device cpu",
        "bench" => "--device cpu --only steps --arch 784-16-2 --batch 8 --seconds 0.01",
        "export" | "devices" => "",
        "explore" | "web" => return None,
        other => panic!("elbo {other}: how is it made short?"),
    })
}

/// Folders of pictures in two classes, and a table with cells that are missing.
fn home() -> Home {
    let home = Home::empty();
    for (folder, n) in [("photos", 24), ("more-photos", 8), ("new", 8)] {
        for i in 0..n {
            let class = home.at(&format!("{folder}/{}", ["cats", "dogs"][i % 2]));
            fs::create_dir_all(&class).unwrap();
            let colour = |x: u32, y: u32| {
                let level = |k: u32| ((x * k + y * 3 + 11 * i as u32) % 256) as u8;
                image::Rgb([level(5), level(7), level(2)])
            };
            image::RgbImage::from_fn(40, 34, colour).save(class.join(format!("{i}.png"))).unwrap();
        }
    }
    let row = |i: usize| match i % 5 {
        0 => format!("{i},,{}\n", i * i),
        _ => format!("{i},{},{}\n", 0.5 * i as f64, i * i),
    };
    let table: String = (0..40).map(row).collect();
    fs::write(home.at("measurements.csv"), format!("a,b,c\n{table}")).unwrap();
    home
}

/// Runs the commands of a page's blocks, and returns how many there were of each kind.
fn run(page: &str) -> (usize, usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let (text, home) = (fs::read_to_string(path).unwrap(), home());
    let blocks = text.split("```").skip(1).step_by(2);
    // A block in a language of its own begins with its name.
    let lines = blocks.filter(|block| block.starts_with('\n')).flat_map(str::lines);
    let (mut ran, mut left) = (0, 0);
    for line in lines.filter_map(|line| line.strip_prefix("elbo ")) {
        let line = line.split(" #").next().unwrap().trim();
        match less(line.split(' ').next().unwrap()) {
            Some(more) => {
                home.ok(&format!("{line} {more}"));
                ran += 1;
            }
            None => left += 1,
        }
    }
    (ran, left)
}

#[test]
fn the_commands_of_the_readme_do_what_they_say() {
    assert_eq!(run("README.md"), (11, 2));
}

#[test]
fn the_commands_of_the_guide_do_what_they_say() {
    assert_eq!(run("docs/guide.md"), (9, 0));
}
