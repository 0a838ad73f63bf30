//! Images in colour, over HTTP.

use std::fs;

use serde_json::{Value, json};

use crate::client::numbers;
use crate::harness::program::Home;

const HEIGHT: usize = 5;
const WIDTH: usize = 6;

#[test]
fn answers_in_colour() {
    let home = Home::empty();
    fs::create_dir(home.at("data")).expect("a folder");
    for i in 0..40_u8 {
        let pixel = |x: u32, y: u32| image::Rgb([(40 * x) as u8 + i, (50 * y) as u8, 6 * i]);
        let picture = image::RgbImage::from_fn(WIDTH as u32, HEIGHT as u32, pixel);
        picture.save(home.at(&format!("data/{i:02}.png"))).expect("a picture");
    }
    home.ok(
        "train --data data --device cpu --hidden 16 --latent 2 --batch 20 --epochs 3 --run run",
    );
    let server = home.serve_with("explore run --no-open --device cpu --samples 3");
    let model = server.model();
    assert_eq!(
        [&model["height"], &model["width"], &model["channels"]],
        [&json!(HEIGHT), &json!(WIDTH), &json!(3)]
    );
    // A test image is one of the pictures, and the encoder sees it as it is.
    let test = server.json("/infer", &json!({ "test": 0 }));
    let image = numbers(&test["image"]);
    assert_eq!(image.len(), HEIGHT * WIDTH * 3);
    let i = image[0];
    for (p, pixel) in image.chunks_exact(3).enumerate() {
        let (x, y) = ((p % WIDTH) as f64, (p / WIDTH) as f64);
        assert_eq!(pixel, [40.0 * x + i, 50.0 * y, 6.0 * i], "{p}");
    }
    assert_eq!(test["x"], test["image"]);
    let drawn = server.json("/infer", &json!({ "image": test["image"] }));
    assert_eq!((&drawn["x"], &drawn["label"]), (&test["image"], &Value::Null));
    // One level a pixel is not enough.
    let grey = json!({ "image": vec![0; HEIGHT * WIDTH] }).to_string();
    let refused = server.ask("POST", "/infer", &grey);
    assert_eq!(refused.status, 400);
    let reason = refused.json()["error"].to_string();
    assert!(reason.contains("5x6x3 = 90 levels, got 30"), "{reason}");
    // The map's tiles are what is decoded at their middles.
    let map = server.ask("GET", "/map.png", "");
    let map = image::load_from_memory(&map.body).expect("a PNG");
    assert_eq!(map.color(), image::ColorType::Rgb8);
    let (map, tiles) = (map.into_rgb8(), model["tiles"].as_u64().expect("tiles") as usize);
    let extent = model["extent"].as_f64().expect("a number");
    for (column, row) in [(0, 0), (2, tiles - 1)] {
        let middle = |i: usize| extent * ((2 * i + 1) as f64 / tiles as f64 - 1.0);
        let z = [middle(column), -middle(row)];
        let decoded = numbers(&server.json("/decode", &json!({ "z": z }))["image"]);
        for (p, expected) in decoded.chunks_exact(3).enumerate() {
            let (x, y) = (column * WIDTH + p % WIDTH, row * HEIGHT + p / WIDTH);
            for (got, expected) in map.get_pixel(x as u32, y as u32).0.iter().zip(expected) {
                assert!((f64::from(*got) - expected).abs() <= 1.0, "{column}, {row}: {p}");
            }
        }
    }
}
