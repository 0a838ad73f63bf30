//! The crate as another program uses it: the examples, and what is refused.

use std::ops::ControlFlow;

use elbo::device::gpu::GpuDevice;
use elbo::{
    Architecture, Binarization, Dataset, Device, Error, Images, Observer, Part, Settings, State,
    Trainer, Vae,
};

use crate::harness;

#[path = "../../examples/evaluate.rs"]
mod evaluate;
#[path = "../../examples/export.rs"]
mod export;
#[path = "../../examples/generate.rs"]
mod generate;
#[path = "../../examples/own_data.rs"]
mod own_data;
#[path = "../../examples/train.rs"]
mod train;
#[path = "../../examples/watch.rs"]
mod watch;

/// One test, alone in its process: the examples work in the current folder.
#[test]
fn the_examples_run() {
    if !harness::is_alone(module_path!(), "the_examples_run") {
        return;
    }
    for entry in std::fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 40, "{}: {lines} lines", path.display());
    }
    let home = tempfile::tempdir().unwrap();
    std::env::set_current_dir(home.path()).unwrap();
    evaluate::main().expect_err("there is no run yet");
    train::main().unwrap();
    let again = train::main().unwrap_err().to_string();
    assert!(again.contains("runs/example: it exists already"), "{again}");
    evaluate::main().unwrap();
    generate::main().unwrap();
    own_data::main().unwrap();
    export::main().unwrap();
    watch::main().unwrap();
    for file in [
        "watched.safetensors",
        "vae.safetensors",
        "encoder.onnx",
        "decoder.onnx",
        "bars.safetensors",
    ] {
        assert!(std::fs::metadata(file).unwrap().len() > 1000, "{file}");
    }
}

fn data(n: usize, height: usize, width: usize) -> Dataset {
    let pixel = |i: usize| if (i % (height * width) + i / 50).is_multiple_of(3) { 255 } else { 0 };
    let images = |n: usize| {
        Images::new(height, width, (0..n * height * width).map(pixel).collect()).unwrap()
    };
    Dataset::new("stripes", images(n), images(20)).unwrap()
}

fn small(data: &Dataset) -> Settings {
    let settings = Settings::of(data);
    Settings {
        architecture: Architecture {
            hidden: vec![8].into(),
            decoder_hidden: vec![8].into(),
            latent: 2,
            ..settings.architecture.clone()
        },
        epochs: 5,
        batch: 10,
        ..settings
    }
}

#[track_caller]
fn refused<T>(result: Result<T, impl Into<Error>>, words: &[&str]) {
    let Err(error) = result else { panic!("it is not refused: {words:?}") };
    let error: Error = error.into();
    let message = error.to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
}

#[test]
fn wrong_sizes_are_errors() {
    refused(Images::new(3, 3, vec![0; 10]), &["10 bytes", "3x3"]);
    refused(Images::new(3, 3, Vec::new()), &["0 bytes"]);
    refused(Images::new(0, 3, vec![0; 3]), &["0x3"]);
    refused(Images::new(usize::MAX, 2, vec![0; 3]), &["3 bytes"]);
    let good = data(50, 3, 4);
    refused(Dataset::new("two", good.train.clone(), data(9, 4, 3).test), &["4x3", "3x4"]);

    let (device, settings) = (Device::cpu().unwrap(), small(&good));
    refused(Trainer::new(&device, &data(50, 4, 3), &settings).map(|_| ()), &["4x3", "3x4"]);
    let mut forged = good.clone();
    forged.train.n_images = 1000;
    refused(Trainer::new(&device, &forged, &settings).map(|_| ()), &["stripes: 1000 images"]);
    let mut none = settings.clone();
    none.architecture.latent = 0;
    refused(Trainer::new(&device, &good, &none).map(|_| ()), &["at least one unit"]);
    let wide = Settings { batch: 51, ..settings.clone() };
    refused(Trainer::new(&device, &good, &wide).map(|_| ()), &["51", "50 training images"]);
    refused(Device::open("no such device").map(|_| ()), &["no such device"]);
    refused(Vae::open("/nonexistent"), &["not a run folder"]);

    let vae = Trainer::new(&device, &good, &settings)
        .unwrap()
        .train(|_| ControlFlow::Continue(()))
        .unwrap();
    refused(vae.encode(&device, &data(50, 4, 3).test), &["4x3", "3x4"]);
    refused(vae.evaluate(&device, &forged.train, 3), &["1000 images"]);
    refused(vae.evaluate(&device, &good.test, 0), &["samples"]);
    refused(vae.decode(&device, &[0.0; 3]), &["got 3 numbers", "of 2 numbers"]);
    refused(vae.save_onnx(Part::Encoder, "/nonexistent/a.onnx"), &["/nonexistent/a.onnx"]);
    assert!(vae.decode(&device, &[]).unwrap().is_empty());
    assert!(vae.sample(&device, 0, 0).unwrap().is_empty());
}

/// Counts the steps, ends at one of them, and keeps the state.
#[derive(Default)]
struct Counts {
    steps: Vec<u64>,
    end: Option<u64>,
    kept: Option<State>,
}

impl Observer for Counts {
    fn step(&mut self, step: u64) -> bool {
        self.steps.push(step);
        self.end.is_some_and(|end| step >= end)
    }

    fn checkpoint(&mut self, state: &State) -> Result<(), String> {
        self.kept = Some(state.clone());
        Ok(())
    }
}

#[test]
fn a_trainer_that_is_watched_goes_on_bit_for_bit() {
    let (device, data) = (Device::cpu().unwrap(), data(50, 3, 4));
    let settings = small(&data);
    let trainer = || Trainer::new(&device, &data, &settings).unwrap();
    let whole = trainer().train(|_| ControlFlow::Continue(())).unwrap();
    let mut counts = Counts { end: Some(12), ..Counts::default() };
    let begun = trainer().train_watched(&mut counts).unwrap();
    assert_ne!(begun, whole);
    let state = counts.kept.take().unwrap();
    assert!((12..25).contains(&state.step()), "{}", state.step());
    let mut rest = Counts::default();
    assert_eq!(trainer().go_on(state, &mut rest).unwrap(), whole);
    let steps = [counts.steps, rest.steps].concat();
    assert!(steps.is_sorted() && steps.last() == Some(&25), "{steps:?}");
}

#[test]
fn parameters_come_from_a_file_of_them() {
    let (device, data) = (Device::cpu().unwrap(), data(50, 3, 4));
    let settings = small(&data);
    let mut trainer = Trainer::new(&device, &data, &settings).unwrap();
    let vae = trainer.train(|_| ControlFlow::Continue(())).unwrap();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("vae.safetensors");
    vae.save_safetensors(&file).unwrap();
    assert_eq!(Vae::from_safetensors(&file, vae.settings().clone()).unwrap(), vae);
    let named = vae.parameters();
    let (name, shape, values) = &named[0];
    assert_eq!((&name[..], &shape[..], values.len()), ("fc1.weight", &[8, 12][..], 96));
    let all: usize = named.iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum();
    assert_eq!(all, 12 * 8 + 8 + 2 * (8 * 2 + 2) + 2 * 8 + 8 + 8 * 12 + 12);

    let mut other = settings.clone();
    other.architecture.latent = 3;
    refused(Vae::from_safetensors(&file, other), &["vae.safetensors", "fc2", "2", "3"]);
    refused(Vae::from_safetensors(home.path(), settings), &["cannot read"]);
}

#[test]
fn a_model_is_the_same_after_it_was_saved() {
    let (device, data) = (Device::cpu().unwrap(), data(50, 3, 4));
    let settings = small(&data);
    assert_eq!(settings.binarization, Binarization::Fixed, "all black or white");
    let mut epochs = 0;
    let vae = Trainer::new(&device, &data, &settings)
        .unwrap()
        .train(|report| {
            epochs = report.epoch;
            if epochs == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(epochs, 3, "it ends when it is told to");
    // What was asked for is the end of the third epoch, not a step of the fourth.
    let three = Settings { epochs: 3, ..settings };
    let mut trainer = Trainer::new(&device, &data, &three).unwrap();
    let other = trainer.train(|_| ControlFlow::Continue(())).unwrap();
    assert_eq!(vae.sample(&device, 4, 1).unwrap(), other.sample(&device, 4, 1).unwrap());

    let home = tempfile::tempdir().unwrap();
    vae.save(home.path().join("run")).unwrap();
    let read = Vae::open(home.path().join("run")).unwrap();
    assert_eq!(read, vae);
    refused(vae.save(home.path().join("run")), &["it exists already"]);
    // Whoever tests it elsewhere is told that the images are not there, or are others; they are not MNIST.
    let settings = read.settings();
    assert_eq!((&settings.data[..], &settings.data_sha256), ("stripes", &Some(data.digest())));
    let summary = std::fs::read(home.path().join("run/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!((&summary["saved"], &summary["finished"]), (&true.into(), &true.into()));
    let elbo = |args: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_elbo"));
        program.current_dir(home.path()).args(args).output().unwrap()
    };
    let listed = elbo(&["runs", "."]).stdout;
    assert!(String::from_utf8(listed).unwrap().contains("saved"), "no run that was interrupted");
    let eval = elbo(&["eval", "run", "--samples", "2", "--device", "cpu"]);
    let said = String::from_utf8(eval.stderr).unwrap();
    assert!(said.contains("stripes: no such file") && said.contains("--data PATH"), "{said}");
    std::fs::create_dir(home.path().join("set")).unwrap();
    for (name, images) in
        [("train-images-idx3-ubyte", &data.train), ("t10k-images-idx3-ubyte", &data.test)]
    {
        let sizes = [0x803, images.n_images as u32, 3, 4];
        let head: Vec<u8> = sizes.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        std::fs::write(home.path().join("set").join(name), [&head, &images.pixels[..]].concat())
            .unwrap();
    }
    let eval =
        elbo(&["eval", "run", "--data", "set", "--samples", "2", "--device", "cpu", "--json"]);
    let eval: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
    assert_eq!(eval["other_data"], false, "{eval}");
    // A trainer at its end has no steps left, and no figures.
    let mut trainer = Trainer::new(&device, &data, &three).unwrap();
    trainer.train(|_| ControlFlow::Continue(())).unwrap();
    refused(trainer.train(|_| ControlFlow::Continue(())), &["`steps`", "make a new one"]);
    // Of a set that is on the disk the model says where, and a default is not taken for what was meant.
    let loaded =
        elbo::data::open(home.path().join("set").to_str().unwrap(), Default::default()).unwrap();
    let place = std::fs::canonicalize(home.path().join("set")).unwrap();
    assert_eq!(Settings::of(&loaded).data, place.to_str().unwrap());
    let other = Settings { architecture: three.architecture.clone(), ..Settings::default() };
    let other = Settings { batch: 10, epochs: 1, ..other };
    let own = Trainer::new(&device, &loaded, &other).unwrap().train(|_| ControlFlow::Continue(()));
    assert_eq!(own.unwrap().settings().data, place.to_str().unwrap());

    // Decoding the means of the posteriors is the reconstruction.
    let posteriors = vae.encode(&device, &data.test).unwrap();
    let z: Vec<f32> = posteriors.mean.iter().map(|&v| v as f32).collect();
    assert_eq!(z.len(), 20 * 2);
    let decoded = vae.decode(&device, &z).unwrap();
    assert!(decoded.len() == 20 && decoded.iter().flatten().all(|p| (0.0..=1.0).contains(p)));
    let evaluation = vae.evaluate(&device, &data.test, 50).unwrap();
    let (elbo, log_px) = (evaluation.elbo().value, evaluation.log_likelihood().value);
    assert!(elbo < log_px && log_px < 0.0, "{elbo} {log_px}");
}

/// A fuzzer's find: what is wrong with a configuration is told with words of its own.
#[test]
fn an_error_is_one_line_whatever_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"{"architecture": {"image": [1, 1], "likelihood": "b\r\noulli"}}"#;
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let Err(error) = elbo::checkpoint::RunFolder::open(folder.path()) else { panic!("it opens") };
    let message = error.to_string();
    assert!(message.contains(r"unknown variant `b\r\noulli`"), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

/// What a program may do in a loop compiles once.
#[test]
fn a_second_call_compiles_nothing() {
    let data = data(50, 3, 4);
    let cpu = Device::cpu().unwrap();
    let mut trainer = Trainer::new(&cpu, &data, &small(&data)).unwrap();
    let vae = trainer.train(|_| ControlFlow::Break(())).unwrap();
    let adapters = elbo::device::gpu::Adapters::enumerate();
    let gpu = GpuDevice::open(adapters.best().unwrap()).unwrap();
    let device = Device::Gpu(Box::new(gpu.clone()));
    let drawn = vae.sample(&device, 5, 1).unwrap();
    let decoded = vae.decode(&device, &[0.5; 4]).unwrap();
    let once = gpu.pipelines_compiled();
    assert!(once > 0);
    assert_eq!(vae.sample(&device, 5, 1).unwrap(), drawn);
    assert_eq!(vae.decode(&device, &[0.5; 4]).unwrap(), decoded);
    assert_ne!(vae.sample(&device, 5, 2).unwrap(), drawn);
    assert_eq!(gpu.pipelines_compiled(), once);
    // Other sizes are other pipelines.
    vae.sample(&device, 6, 1).unwrap();
    assert!(gpu.pipelines_compiled() > once);
}
