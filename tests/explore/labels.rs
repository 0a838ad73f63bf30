//! The page's questions to a model that is told classes, over HTTP.

use std::fs;

use serde_json::json;

use crate::client::numbers;
use crate::harness::program::Home;

#[test]
fn answers_under_each_class() {
    let home = Home::new();
    for (name, n) in [("train-labels-idx1-ubyte", 200_u32), ("t10k-labels-idx1-ubyte", 50)] {
        let mut bytes: Vec<u8> = [0x801, n].iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend((0..n).map(|i| (i % 3) as u8));
        fs::write(home.at("data").join(name), bytes).expect("a file");
    }
    home.ok(
        "train --data data --device cpu --hidden 16 --latent 2 --batch 30 --epochs 30 --lr 0.01 --condition labels \
         --run run",
    );
    let server = home.serve_with("explore run --no-open --device cpu --samples 50");
    let model = server.model();
    assert_eq!(model["classes"], json!(["0", "1", "2"]));

    // The decoded image is one of the class: pixel p is bright where (p + class) % 5 < 2.
    for class in 0..3 {
        for (path, question) in [
            ("/decode", json!({ "z": [0.0, 0.0], "class": class })),
            ("/sample", json!({ "seed": 4, "class": class })),
        ] {
            let image = numbers(&server.json(path, &question)["image"]);
            let right = |(p, level): (usize, &f64)| (*level > 127.0) == ((p + class) % 5 < 2);
            assert!(image.iter().enumerate().all(right), "{path} {class}: {image:?}");
        }
    }
    // A test image is judged under its own class, or under another, under which it is less likely.
    let figure = |answer: &serde_json::Value| answer["elbo"]["value"].as_f64().expect("a number");
    let own = server.json("/infer", &json!({ "test": 4 }));
    assert_eq!((&own["class"], &own["label"]), (&json!(1), &json!("1")));
    let other = server.json("/infer", &json!({ "test": 4, "class": 2 }));
    assert_eq!(other["class"], 2);
    assert!(figure(&own) > figure(&other) + 5.0, "{own} {other}");
    let by_class = numbers(&own["by_class"]);
    assert!(
        by_class.len() == 3 && by_class[1] > by_class[0].max(by_class[2]) + 5.0,
        "{by_class:?}"
    );
    assert_eq!(by_class[1], own["importance_weighted"]["value"].as_f64().expect("a number"));
    assert_eq!(own["by_class"], other["by_class"]);
    let drawn = server.json("/infer", &json!({ "image": own["image"], "class": 1 }));
    assert_eq!((&drawn["class"], &drawn["label"]), (&json!(1), &json!(null)));
    // Each class has its map.
    let map = |path: &str| server.ask("GET", path, "");
    assert_eq!(map("/map.png").body, map("/map/0.png").body);
    assert_ne!(map("/map/1.png").body, map("/map/0.png").body);

    for (path, question, words) in [
        ("/decode", json!({ "z": [0.0, 0.0] }), "class is missing"),
        ("/sample", json!({ "seed": 1, "class": 3 }), "class must be from 0 to 2, got 3"),
        ("/sample", json!({ "seed": 1, "class": "1" }), "class must be a number"),
        ("/infer", json!({ "test": 1, "class": -1 }), "class must be a number"),
        ("/infer", json!({ "image": own["image"] }), "class is missing"),
        ("/infer", json!({ "class": 1 }), "not the JSON wanted"),
        ("/decode", json!({ "z": [0.0], "class": 1 }), "z must have 2 numbers"),
    ] {
        let refused = server.ask("POST", path, &question.to_string());
        assert_eq!(refused.status, 400, "{path}");
        let reason = refused.json()["error"].to_string();
        assert!(reason.contains(words), "{path}: {reason}");
    }
    assert_eq!(map("/map/3.png").status, 400);
    assert_eq!(map("/map/x.png").status, 404);
}
