//! Models that are told the class of an image, by the library.

use std::ops::ControlFlow;
use std::sync::Arc;

use elbo::data::{Dataset, Images, Labels};
use elbo::evaluate::{Evaluation, Model, Request, evaluate};
use elbo::vae::Architecture;
use elbo::{Binarization, Device, Settings, Trainer, Vae};

use crate::harness;

const NAMES: [&str; 3] = ["bars", "blank", "full"];

/// 4x3 images of a class: bars, blank or full, with a pixel that is another.
fn images(n: usize, names: &[&str]) -> Images {
    let pixel = |image: usize, p: usize| {
        let bright = match names[image % 3] {
            "bars" => p.is_multiple_of(3),
            "blank" => false,
            _ => true,
        };
        255 * u8::from(bright != (p == image * image % 12))
    };
    let pixels = (0..n * 12).map(|i| pixel(i / 12, i % 12)).collect();
    let names: Arc<[String]> = names.iter().map(|name| name.to_string()).collect();
    let labels = Labels { classes: (0..n).map(|i| (i % 3) as u16).collect(), names };
    Images { labels: Some(labels), ..Images::new(4, 3, pixels).expect("images") }
}

fn dataset() -> Dataset {
    Dataset::new("patterns", images(120, &NAMES), images(30, &NAMES)).expect("a data set")
}

fn settings(dataset: &Dataset) -> Settings {
    let settings = Settings::of(dataset);
    let architecture = Architecture {
        hidden: vec![12].into(),
        decoder_hidden: vec![12].into(),
        latent: 2,
        classes: dataset.train.classes(),
        ..settings.architecture.clone()
    };
    Settings { architecture, epochs: 60, batch: 20, learning_rate: 0.01, ..settings }
}

fn trained(device: &Device) -> Vae {
    let dataset = dataset();
    let mut trainer = Trainer::new(device, &dataset, &settings(&dataset)).expect("a trainer");
    trainer.train(|_| ControlFlow::Continue(())).expect("it trains")
}

#[test]
fn the_library_draws_decodes_and_encodes_as_a_class() {
    let device = Device::Cpu(harness::cpu());
    let vae = trained(&device);
    assert_eq!(vae.architecture().classes, NAMES);
    let right = |image: &[f32], class: &str| {
        let bright = |p: usize| match class {
            "bars" => p.is_multiple_of(3),
            "blank" => false,
            _ => true,
        };
        image.iter().enumerate().filter(|(p, v)| (**v > 0.5) == bright(*p)).count()
    };
    for class in NAMES {
        for image in vae.sample_class(&device, class, 3, 7).expect("draws") {
            assert!(right(&image, class) >= 10, "{class}: {image:?}");
        }
        let decoded = vae.decode_class(&device, &[0.0; 4], class).expect("decodes");
        assert_eq!(decoded.len(), 2);
        assert!(right(&decoded[0], class) >= 10, "{class}: {decoded:?}");
    }
    // A number stands for the name; without a class there are as many of each.
    let seeded = |class| vae.sample_class(&device, class, 2, 7).expect("draws");
    assert_eq!(seeded("1"), seeded("blank"));
    let all = vae.sample(&device, 7, 1).expect("draws");
    let classes = ["bars", "bars", "bars", "blank", "blank", "full", "full"];
    assert!(all.iter().zip(classes).all(|(image, class)| right(image, class) >= 10), "{all:?}");
    assert_eq!(vae.sample_class(&device, "full", 0, 1).expect("none").len(), 0);

    let refused = |result: Result<Vec<Vec<f32>>, elbo::Error>, words: &[&str]| {
        let message = result.expect_err("it is refused").to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    refused(vae.sample_class(&device, "3", 1, 0), &["`class` 3", "0 to 2", "bars, blank, full"]);
    refused(vae.decode(&device, &[0.0; 2]), &["`z`", "Vae::decode_class"]);
    refused(vae.decode_class(&device, &[0.0; 3], "bars"), &["codes of 2 numbers"]);

    // Images are told by the names of their classes.
    let own = images(30, &NAMES);
    let Some(labels) = own.labels.clone() else { panic!("they have labels") };
    let names: Arc<[String]> = ["full", "bars", "other", "blank"].map(String::from).into();
    let classes = labels.classes.iter().map(|&class| [1, 3, 0][usize::from(class)]).collect();
    let other = Images { labels: Some(Labels { classes, names }), ..own.clone() };
    let elbo = |images: &Images| vae.evaluate(&device, images, 20).expect("evaluates").elbo().value;
    assert_eq!(elbo(&own), elbo(&other));
    let codes = |images: &Images| vae.encode(&device, images).expect("codes").mean;
    assert_eq!(codes(&own), codes(&other));
    // Under a wrong class they are less likely.
    let wrong = Labels { classes: labels.classes.iter().map(|c| (c + 1) % 3).collect(), ..labels };
    assert!(elbo(&Images { labels: Some(wrong), ..own.clone() }) < elbo(&own) - 5.0);
    let bare = Images { labels: None, ..own.clone() };
    let error = vae.encode(&device, &bare).map(|_| ()).expect_err("no labels").to_string();
    assert!(error.contains("`architecture.classes`") && error.contains("have none"), "{error}");
    let error = vae.evaluate(&device, &images(30, &["bars", "blank", "new"]), 3).map(|_| ());
    let error = error.expect_err("another class").to_string();
    assert!(error.contains("image 2 of the images is of class \"new\""), "{error}");
}

/// In any chunks, of any window, on any device.
#[test]
fn estimates_under_classes_do_not_depend_on_the_work() {
    let vae = trained(&Device::Cpu(harness::cpu()));
    let test = images(23, &NAMES);
    let home = tempfile::tempdir().expect("a folder");
    vae.save(home.path().join("run")).expect("saved");
    let (folder, settings) =
        elbo::checkpoint::RunFolder::open(&home.path().join("run")).expect("a run");
    let parameters = folder.read_model(&settings.architecture).expect("a model");
    let figures = |device: &Device, rows, resident| -> Evaluation {
        let model = Model {
            architecture: &settings.architecture,
            parameters: &parameters,
            binarization: Binarization::Fixed,
            seed: 4,
        };
        let request = Request { images: 23, ks: vec![1, 40], rows, resident };
        evaluate(device, model, &test, &request, &mut |_| ControlFlow::Continue(()))
            .expect("figures")
    };
    let whole = figures(&Device::Cpu(harness::cpu()), None, None);
    for device in harness::devices() {
        for (rows, resident) in
            [(Some(1), None), (Some(120), None), (Some(120), Some(0)), (None, Some(0))]
        {
            let other = figures(&device, rows, resident);
            for (a, b) in whole.images.iter().zip(&other.images) {
                assert!((a.elbo() - b.elbo()).abs() < 2e-4, "{rows:?} {resident:?}: {a:?} {b:?}");
                assert!(
                    (a.prior[1] - b.prior[1]).abs() < 2e-4,
                    "{rows:?} {resident:?}: {a:?} {b:?}"
                );
            }
        }
    }
}
