//! Drawn and reconstructed images as pictures, arrays and folders.

use std::fs;

use crate::harness::program::{Home, idx};

/// A `.npy` file's shape, as it is written there, and its bytes behind the header.
fn npy(bytes: &[u8]) -> (String, &[u8]) {
    assert!(bytes.starts_with(b"\x93NUMPY\x01\x00"));
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once("'shape': ").unwrap().1.split_once(", }").unwrap().0;
    (shape.to_string(), &bytes[end..])
}

fn names(home: &Home, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(home.at(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn images_are_one_picture_an_array_or_a_picture_each() {
    let home = Home::new();
    home.ok("train --data data --device cpu --hidden 8 --epochs 1 --batch 20 --run run");
    let ended = home.ok("sample run --count 1100 --device cpu --out all.npy");
    let said = "all.npy: 1100 images as the decoder expects them, E[x|z], z from the prior";
    assert_eq!(ended.stdout.trim_end(), said);
    let array = fs::read(home.at("all.npy")).unwrap();
    let (shape, levels) = npy(&array);
    assert_eq!((&*shape, levels.len()), ("(1100, 6, 5)", 1100 * 30));

    // The same codes, whatever is made of them and however many there are.
    fs::create_dir(home.at("there")).unwrap();
    for folder in ["new/", "there"] {
        let ended = home.ok(&format!("sample run --count 7 --device cpu --out {folder}"));
        assert!(ended.stdout.starts_with(&format!("{folder}: 7 images as the decoder")));
    }
    assert_eq!(names(&home, "new"), (1..=7).map(|i| format!("{i:04}.png")).collect::<Vec<_>>());
    assert_eq!(names(&home, "there"), names(&home, "new"));
    for (i, name) in names(&home, "new").iter().enumerate() {
        let picture = image::open(home.at("new").join(name)).unwrap().into_luma8();
        assert_eq!((picture.width(), picture.height()), (5, 6));
        assert!(picture.as_raw()[..] == levels[30 * i..][..30], "{name}");
    }
    let drawn = home.ok("sample run --count 400 --values drawn --device cpu --out drawn.npy");
    assert!(drawn.stdout.contains("400 images drawn, x ~ p(x|z), z from the prior"));
    let array = fs::read(home.at("drawn.npy")).unwrap();
    let (_, drawn) = npy(&array);
    // Bernoulli draws are black and white, about their expectation.
    assert!(drawn.iter().all(|&v| v == 0 || v == 255) && drawn.len() == 400 * 30);
    let sum = |levels: &[u8]| levels.iter().map(|&v| f64::from(v)).sum::<f64>();
    let (expected, got) = (sum(&levels[..400 * 30]), sum(drawn));
    assert!((got / expected - 1.0).abs() < 0.05, "{got} for {expected}");
    home.ok("sample run --count 9 --values drawn --device cpu --out drawn.png");

    home.refuses(
        "sample run --device cpu --out there",
        &["there: it is a folder with files in it"],
    );
    home.refuses("sample run --count 10001 --out a.png", &["1 to 10000", "FILE.npy", "FOLDER/"]);
    let most = "sample run --count 10000001 --device cpu --out a.npy";
    home.refuses(most, &["from 1 to 10000000"]);
    home.refuses("sample run --values mean --out a.png", &["--values", "expected, drawn"]);

    // Reconstructions, of images of any part.
    home.ok("reconstruct run --device cpu --out test.npy");
    assert_eq!(npy(&fs::read(home.at("test.npy")).unwrap()).0, "(50, 6, 5)");
    let ended = home.ok("reconstruct run --split all --device cpu --out all.npy");
    let said = "250 images as the decoder expects them, E[x|z] at the mean of q(z|x)";
    assert!(ended.stdout.contains(said), "{ended:?}");
    let all = fs::read(home.at("all.npy")).unwrap();
    assert_eq!(npy(&all).0, "(250, 6, 5)");
    home.ok("reconstruct run --split train --count 3 --device cpu --out three/");
    let third = image::open(home.at("three/0003.png")).unwrap().into_luma8();
    assert!(third.as_raw()[..] == npy(&all).1[60..90]);
    let words = ["--count 201: there are 200 train images"];
    home.refuses("reconstruct run --split train --count 201 --out a.npy", &words);
    // One image, of which none can be held out.
    fs::write(home.at("one-images-idx3-ubyte"), idx(1, 6, 5)).unwrap();
    let one = "reconstruct run --data one-images-idx3-ubyte --split all --device cpu --out one.npy";
    home.ok(one);
    assert_eq!(npy(&fs::read(home.at("one.npy")).unwrap()).0, "(1, 6, 5)");
}

/// A folder is there with all of its pictures or not at all.
#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_filled_is_not_there() {
    let home = Home::new();
    home.ok("train --data data --device cpu --hidden 8 --epochs 1 --batch 20 --run run");
    let before = crate::harness::program::tree(home.path());
    let ended = home.cramped(0, "sample run --device cpu --count 4 --out folder/");
    ended.assert_error(1, &["folder/0001.png: cannot write"]);
    assert!(crate::harness::program::tree(home.path()) == before);
    // Nor where somebody ends it.
    let child = home.spawn("sample run --device cpu --count 2000000 --out folder/");
    let begun = || {
        let is_folder = |name: &String| name.starts_with(".elbo-") && home.at(name).is_dir();
        names(&home, ".").iter().any(is_folder)
    };
    assert!(crate::harness::program::soon(begun));
    crate::harness::program::signal(&child, "INT");
    let ended = crate::harness::program::end(child);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(ended.stderr.contains("nothing was written"), "{ended:?}");
    assert!(crate::harness::program::tree(home.path()) == before);
}

#[test]
fn rows_of_a_table_are_an_array_too() {
    let home = Home::empty();
    let line = |i: u32| format!("{},{}\n", 100 + i * 37 % 101, 2000 + i * 53 % 89);
    let rows: String = (0..60).map(line).collect();
    fs::write(home.at("t.csv"), format!("height,weight\n{rows}")).unwrap();
    home.ok("train --data t.csv --device cpu --hidden 8 --latent 2 --epochs 3 --run run");
    for (command, n) in [("sample run --count 33", 33), ("reconstruct run --data t.csv", 60)] {
        let ended = home.ok(&format!("{command} --device cpu --out rows.npy"));
        assert!(ended.stdout.contains(&format!("rows.npy: {n} ")), "{ended:?}");
        let array = fs::read(home.at("rows.npy")).unwrap();
        let (shape, bytes) = npy(&array);
        assert_eq!(shape, format!("({n}, 2)"));
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(bytes);
        // In the columns' own units, the numbers that the CSV has.
        home.ok(&format!("{command} --device cpu --out rows.csv"));
        let text = fs::read_to_string(home.at("rows.csv")).unwrap();
        let cells = text.lines().skip(1).flat_map(|line| line.split(','));
        let cells: Vec<f32> = cells.map(|cell| cell.parse().unwrap()).collect();
        assert_eq!(values, cells);
        assert!(values.chunks_exact(2).all(|row| row[0] < 500.0 && row[1] > 1500.0));
    }
    home.refuses("sample run --device cpu --out folder/", &["the table is a CSV", "FILE.npy"]);
}

/// The pictures of an animated GIF, as grey levels, and its size.
fn frames(bytes: &[u8]) -> ((u32, u32), Vec<Vec<u8>>) {
    use image::{AnimationDecoder, ImageDecoder};
    let decoder = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(bytes)).unwrap();
    let size = decoder.dimensions();
    let frames = decoder.into_frames().collect_frames().unwrap();
    let levels = |frame: image::Frame| {
        image::DynamicImage::from(frame.into_buffer()).into_luma8().into_raw()
    };
    (size, frames.into_iter().map(levels).collect())
}

#[test]
fn a_walk_goes_through_draws_or_images_and_comes_back() {
    let home = Home::new();
    home.ok("train --data data --device cpu --hidden 8 --latent 3 --epochs 1 --batch 20 --run run");
    home.ok("sample run --count 3 --device cpu --out stops.npy");
    let ended = home.ok("walk run --stops 3 --frames 4 --device cpu --out walk.npy");
    let said = "walk.npy: 12 steps between 3 draws from the prior and back";
    assert_eq!(ended.stdout.trim_end(), said);
    let (stops, walk) =
        (fs::read(home.at("stops.npy")).unwrap(), fs::read(home.at("walk.npy")).unwrap());
    let ((_, stops), (shape, walk)) = (npy(&stops), npy(&walk));
    assert_eq!(shape, "(12, 6, 5)");
    let image = |of: &[u8], i: usize| of[30 * i..][..30].to_vec();
    for stop in 0..3 {
        for (a, b) in image(walk, 4 * stop).iter().zip(image(stops, stop)) {
            assert!(a.abs_diff(b) <= 1, "stop {stop}");
        }
    }
    // The same steps, enlarged.
    home.ok("walk run --stops 3 --frames 4 --rate 10 --device cpu --out walk.gif");
    let ((width, height), shown) = frames(&fs::read(home.at("walk.gif")).unwrap());
    assert_eq!((width, height, shown.len()), (5 * 37, 6 * 37, 12));
    for (i, frame) in shown.iter().enumerate() {
        for (pixel, level) in image(walk, i).into_iter().enumerate() {
            let (row, column) = (pixel / 5 * 37 + 18, pixel % 5 * 37 + 18);
            assert_eq!(frame[row * 185 + column], level, "frame {i}, pixel {pixel}");
        }
    }
    home.ok("walk run --stops 2 --frames 3 --device cpu --out steps/");
    assert_eq!(names(&home, "steps").len(), 6);

    // Between images it is at their reconstructions.
    home.ok("reconstruct run --device cpu --out test.npy");
    let ended = home.ok("walk run --images 7,0,31 --frames 5 --device cpu --out between.npy");
    assert!(ended.stdout.contains("15 steps between 3 posterior means and back"), "{ended:?}");
    let (test, walk) =
        (fs::read(home.at("test.npy")).unwrap(), fs::read(home.at("between.npy")).unwrap());
    let ((_, test), (_, walk)) = (npy(&test), npy(&walk));
    for (stop, of) in [(0, 7), (5, 0), (10, 31)] {
        for (a, b) in image(walk, stop).iter().zip(image(test, of)) {
            assert!(a.abs_diff(b) <= 1, "stop {stop}");
        }
    }
    home.refuses("walk run --out a.jpg", &["--out a.jpg", "FILE.png"]);
    home.refuses(
        "walk run --images 50,1 --out a.gif",
        &["--images 50", "50 test images", "0 to 49"],
    );
    home.refuses("walk run --images 5 --out a.gif", &["name two at least"]);
    home.refuses("walk run --stops 1 --out a.gif", &["--stops", "1 is not in"]);
    home.refuses("walk run --stops 1000 --out a.gif", &["20000 steps, 10000 at most"]);
    home.refuses("walk run --rate 0 --out a.gif", &["--rate", "0 is not in"]);
}
