//! TensorBoard's event files, read by a reader of our own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::program::Home;

const TRAIN: &str = "train --data data --device cpu --hidden 16 --batch 50 --run run --epochs 3";

fn event_file(home: &Home) -> PathBuf {
    let named = |path: &PathBuf| path.to_str().unwrap().contains("/events.out.tfevents.");
    let entries = fs::read_dir(home.at("run")).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(named).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// An event as `event.proto` has it, read without the crates that wrote it.
#[derive(Debug, Default)]
struct Event {
    wall_time: f64,
    step: u64,
    version: Option<String>,
    scalars: Vec<(String, f32)>,
    /// (tag, height, width, colour space, PNG)
    images: Vec<(String, [u64; 3], Vec<u8>)>,
    /// Of the hparams plugin.
    settings: BTreeMap<String, Value>,
}

/// CRC-32C bit by bit, masked.
/// A run that was begun without events has those of all its epochs once it is asked for them.
#[test]
fn events_that_are_asked_for_late_are_of_all_epochs() {
    let home = Home::new();
    home.ok(&TRAIN.replace("--epochs 3", "--epochs 2"));
    home.ok("train --resume run --device cpu --epochs 4 --tensorboard");
    let steps: Vec<u64> = events(&event_file(&home))[1..].iter().map(|event| event.step).collect();
    assert_eq!(steps, [0, 4, 8, 12, 16]);
}

fn masked_checksum(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(n) => panic!("{n} in the place of bytes"),
        }
    }
}

/// The fields of a protocol buffer, by their tags.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (&byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                all.push((key >> 3, Field::Number(varint(&mut bytes))));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (field, rest) = bytes.split_at(length);
        all.push((key >> 3, Field::Bytes(field)));
        bytes = rest;
    }
    all
}

fn text(field: &Field) -> String {
    String::from_utf8(field.bytes().to_vec()).unwrap()
}

/// What a summary's metadata hold for the hparams plugin.
fn settings(metadata: &[u8]) -> BTreeMap<String, Value> {
    let only = |bytes, tag| {
        let all = fields(bytes);
        assert_eq!((all.len(), all[0].0), (1, tag));
        all.into_iter().next().unwrap().1
    };
    let plugin = fields(only(metadata, 1).bytes());
    assert_eq!((plugin[0].0, text(&plugin[0].1)), (1, "hparams".to_string()));
    assert_eq!(plugin[1].0, 2);
    let mut all = BTreeMap::new();
    for (tag, field) in fields(only(plugin[1].1.bytes(), 3).bytes()) {
        match tag {
            1 => {
                let entry = fields(field.bytes());
                let value = fields(entry[1].1.bytes());
                let value = match &value[0] {
                    (2, bytes) => json!(f64::from_le_bytes(bytes.bytes().try_into().unwrap())),
                    (3, field) => json!(text(field)),
                    (4, Field::Number(truth)) => json!(*truth == 1),
                    (tag, _) => panic!("field {tag} of a value"),
                };
                assert!(all.insert(text(&entry[0].1), value).is_none());
            }
            5 => {
                let begin = f64::from_le_bytes(field.bytes().try_into().unwrap());
                assert!(begin > 1.7e9);
            }
            tag => panic!("field {tag} of a session"),
        }
    }
    all
}

fn event(bytes: &[u8]) -> Event {
    let mut event = Event::default();
    for (tag, field) in fields(bytes) {
        match (tag, field) {
            (1, Field::Bytes(time)) => {
                event.wall_time = f64::from_le_bytes(time.try_into().unwrap());
            }
            (2, Field::Number(step)) => event.step = step,
            (3, Field::Bytes(text)) => {
                event.version = Some(String::from_utf8(text.to_vec()).unwrap());
            }
            (5, Field::Bytes(summary)) => {
                for (tag, value) in fields(summary) {
                    assert_eq!(tag, 1);
                    let value = fields(value.bytes());
                    let tag = text(&value[0].1);
                    assert_eq!((value.len(), value[0].0), (2, 1));
                    let content = value[1].1.bytes();
                    match value[1].0 {
                        2 => event
                            .scalars
                            .push((tag, f32::from_le_bytes(content.try_into().unwrap()))),
                        4 => {
                            let mut sizes = [0; 3];
                            let mut png = Vec::new();
                            for (tag, field) in fields(content) {
                                match field {
                                    Field::Number(n) => sizes[tag as usize - 1] = n,
                                    Field::Bytes(bytes) => png = bytes.to_vec(),
                                }
                            }
                            event.images.push((tag, sizes, png));
                        }
                        9 => {
                            assert_eq!(tag, "_hparams_/session_start_info");
                            event.settings = settings(content);
                        }
                        other => panic!("field {other} of a value"),
                    }
                }
            }
            (tag, _) => panic!("field {tag} of an event"),
        }
    }
    event
}

fn events(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).unwrap();
    let mut rest = &bytes[..];
    let mut events = Vec::new();
    while !rest.is_empty() {
        let (head, after) = rest.split_at(12);
        let length = u64::from_le_bytes(head[..8].try_into().unwrap()) as usize;
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(word(&head[8..]), masked_checksum(&head[..8]), "checksum of a length");
        let (data, after) = after.split_at(length);
        let (checksum, after) = after.split_at(4);
        assert_eq!(word(checksum), masked_checksum(data), "checksum of a record");
        events.push(event(data));
        rest = after;
    }
    events
}

#[test]
fn tensorboard_events_are_the_metrics() {
    // Of RFC 3720, masked: the reader of this file is right about checksums.
    assert_eq!(
        masked_checksum(&[0; 32]),
        0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8)
    );
    let home = Home::new();
    home.ok(&format!("{TRAIN} --tensorboard --objective iwae --samples 3"));
    let events = events(&event_file(&home));
    assert_eq!(events[0].version.as_deref(), Some("brain.Event:2"));
    let metrics = home.metrics("run");
    assert_eq!(events.len(), 2 + metrics.len());
    for (event, epoch) in events[2..].iter().zip(&metrics) {
        assert_eq!(event.step, epoch["step"]);
        assert!(event.wall_time > 1.7e9 && event.wall_time >= events[0].wall_time);
        let mut expected = Vec::new();
        for set in ["train", "test"] {
            for (tag, figure) in [
                ("ELBO", "elbo"),
                ("reconstruction", "reconstruction"),
                ("KL", "kl"),
                ("L_K", "bound"),
            ] {
                let value = epoch[set][figure].as_f64().unwrap() as f32;
                expected.push((format!("{tag}/{set}"), value));
            }
        }
        let speed = epoch["images_per_second"].as_f64().unwrap() as f32;
        expected.push(("speed/images_per_second".to_string(), speed));
        assert_eq!(event.scalars, expected);
        let tags: Vec<&str> = event.images.iter().map(|(tag, ..)| &tag[..]).collect();
        assert_eq!(tags, ["samples", "reconstructions"]);
        for (_, [height, width, colours], png) in &event.images {
            let image = image::load_from_memory_with_format(png, image::ImageFormat::Png).unwrap();
            let size = (u64::from(image.height()), u64::from(image.width()));
            assert_eq!((size, *colours), ((*height, *width), 1));
        }
    }
    let last = &events[4].images;
    assert!(last[0].2 == fs::read(home.at("run/samples.png")).unwrap());
    assert!(last[1].2 == fs::read(home.at("run/reconstructions.png")).unwrap());
}

/// At most about twenty pictures in an event file, unless somebody says how many.
/// A run that goes on shows what it showed before.
#[test]
fn a_resumed_run_goes_on_to_show_itself() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 3 --tensorboard --figures-every 2"));
    let first = event_file(&home);
    home.ok("train --resume run --epochs 6 --device cpu");
    for (epoch, is_there) in [(2, true), (3, true), (4, true), (5, false), (6, true)] {
        let path = home.at(&format!("run/progress/epoch-{epoch:04}-samples.png"));
        assert_eq!(path.exists(), is_there, "epoch {epoch}");
    }
    fs::remove_file(first).unwrap();
    assert!(!events(&event_file(&home)).is_empty());
    // What is asked for then goes before what was asked for at first.
    home.ok("train --resume run --epochs 7 --device cpu --figures-every 7");
    home.ok("train --resume run --epochs 8 --device cpu");
    assert!(home.at("run/progress/epoch-0007-samples.png").exists());
    home.ok("train --resume run --epochs 10 --device cpu");
    assert!(!home.at("run/progress/epoch-0009-samples.png").exists());
}

#[test]
fn the_event_file_of_a_long_run_stays_small() {
    let home = Home::new();
    let pictures = |options: &str| {
        home.ok(&format!("{TRAIN}0 --tensorboard {options}"));
        let all = events(&event_file(&home));
        fs::remove_dir_all(home.at("run")).unwrap();
        all.iter().filter(|e| !e.images.is_empty()).count()
    };
    assert_eq!(pictures(""), 15);
    assert_eq!(pictures("--figures-every 25"), 2);
}

/// Figures of validation images are not called those of the test set.
#[test]
fn validation_images_are_named() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --valid 0.25 --tensorboard"));
    let tags: Vec<String> =
        events(&event_file(&home))[2].scalars.iter().map(|(tag, _)| tag.clone()).collect();
    assert!(tags.contains(&"ELBO/valid".to_string()) && !tags.contains(&"ELBO/test".to_string()));
}

/// The settings are those of config.json, and the figures of steps those of steps.jsonl.
#[test]
fn the_event_file_has_the_settings_and_the_steps() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --latent 3 --warm-up 2 --flip --tensorboard --log-every 3"));
    let events = events(&event_file(&home));
    let settings = &events[1].settings;
    let config = home.json("run/config.json");
    for (name, value) in [
        ("batch", &config["batch"]),
        ("learning_rate", &config["learning_rate"]),
        ("objective", &config["objective"]),
        ("flip", &config["flip"]),
        ("architecture.latent", &config["architecture"]["latent"]),
    ] {
        let same = settings[name] == *value || settings[name].as_f64() == value.as_f64();
        assert!(same && !value.is_null(), "{name}: {} and {value}", settings[name]);
    }
    assert_eq!(settings["architecture.hidden"], json!("[16]"));
    assert!(!settings.keys().any(|name| name.contains("sha256")), "{settings:?}");
    let text = fs::read_to_string(home.at("run/steps.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_of_steps = |e: &&Event| e.scalars.iter().any(|(tag, _)| tag == "ELBO/steps");
    let logged: Vec<&Event> = events.iter().filter(is_of_steps).collect();
    assert_eq!(rows.len(), 4);
    assert_eq!(logged.len(), rows.len());
    for (event, row) in logged.into_iter().zip(&rows) {
        assert_eq!(event.step, row["step"]);
        let expected = [
            ("ELBO/steps", &row["train"]["elbo"]),
            ("reconstruction/steps", &row["train"]["reconstruction"]),
            ("KL/steps", &row["train"]["kl"]),
            ("objective/steps", &row["objective"]),
            ("schedule/learning_rate", &row["learning_rate"]),
            ("schedule/beta", &row["beta"]),
        ];
        let expected = expected.map(|(tag, v)| (tag.to_string(), v.as_f64().unwrap() as f32));
        assert_eq!(event.scalars, expected);
    }
}
