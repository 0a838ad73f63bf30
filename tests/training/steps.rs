//! The figures of every Nth step: `--log-every`, and the observer's rows.

use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use elbo::data;
use elbo::device::Device;
use elbo::kernels::rates;
use elbo::train::{self, EpochReport, Observer, Settings, StepReport, Trainer};
use elbo::vae::Objective;
use elbo::vae::objective::{Bound, Kl};
use serde_json::Value;

use crate::harness;
use crate::harness::program::Home;

/// 200 images in batches of 30: an epoch ends inside a batch, and inside a row of four steps.
const TRAIN: &str =
    "train --data data --hidden 16 --latent 3 --batch 30 --device cpu --log-every 4";

/// The rows of a run, but for their speed.
fn rows(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("steps.jsonl")).expect("rows");
    let without_speed = |line: &str| {
        let mut row: Value = serde_json::from_str(line).expect("JSON");
        let speed = row.as_object_mut().and_then(|fields| fields.remove("images_per_second"));
        assert!(speed.and_then(|speed| speed.as_f64()).is_some_and(|speed| speed > 0.0), "{line}");
        row
    };
    text.lines().map(without_speed).collect()
}

struct Rows {
    every: u64,
    rows: Vec<StepReport>,
    epochs: Vec<EpochReport>,
}

impl Observer for Rows {
    fn log_every(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.every)
    }

    fn steps_end(&mut self, report: &StepReport) {
        self.rows.push(report.clone());
    }

    fn epoch_ends(&mut self, report: &EpochReport, _: &[Vec<f32>]) -> Result<(), String> {
        self.epochs.push(report.clone());
        Ok(())
    }
}

/// 100 images of 6x5 pixels, in two epochs of five steps.
fn watched(settings: &Settings, every: u64) -> Rows {
    let home = Home::empty();
    home.data("data", 100, 20);
    let images = data::load(&home.at("data"), Default::default()).expect("the images");
    let settings = Settings {
        architecture: elbo::vae::Architecture {
            image: (6, 5),
            hidden: vec![8].into(),
            decoder_hidden: vec![8].into(),
            latent: 3,
            ..settings.architecture.clone()
        },
        epochs: 2,
        batch: 20,
        ..settings.clone()
    };
    let device = Device::Cpu(harness::cpu());
    let mut watched = Rows { every, rows: Vec::new(), epochs: Vec::new() };
    let mut trainer = Trainer::new(&device, &images, &settings).expect("a trainer");
    // What the device steps by, before each step.
    let mut used = Vec::new();
    for step in 0..10 {
        let pass = trainer.program().train;
        let words = trainer.executor().read_f32(pass.rates).expect("the rates");
        used.push((words[rates::LEARNING_RATE], words[rates::KL_WEIGHT]));
        trainer.advance(step + 1, |_| std::ops::ControlFlow::Continue(())).expect("a step");
    }
    let mut trainer = Trainer::new(&device, &images, &settings).expect("a trainer");
    train::run(&mut trainer, &mut watched).expect("a run");
    for row in &watched.rows {
        let (rate, beta) = used[row.step as usize - 1];
        // The device computes them in single precision.
        let is_near = |value: f64, used: f32| (value - f64::from(used)).abs() <= 1e-6 * value;
        assert!(
            is_near(row.learning_rate, rate) && is_near(row.beta, beta),
            "{row:?} {rate} {beta}"
        );
        assert_eq!(row.epoch, if row.step <= 5 { 1 } else { 2 });
    }
    watched
}

#[test]
fn rows_are_the_averages_of_their_steps() {
    let objective = Objective { beta: 0.5, warm_up: 1, ..Objective::default() };
    let settings = Settings { objective, learning_rate_warm_up: 1.5, ..Settings::default() };
    let each = watched(&settings, 1);
    assert_eq!(
        each.rows.iter().map(|row| row.step).collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b.abs(), "{a} and {b}");
    for every in [2, 5] {
        let rows = watched(&settings, every);
        assert_eq!(
            rows.epochs.iter().map(|e| e.train).collect::<Vec<_>>(),
            each.epochs.iter().map(|e| e.train).collect::<Vec<_>>()
        );
        for (row, steps) in rows.rows.iter().zip(each.rows.chunks(every as usize)) {
            let mean =
                |of: fn(&StepReport) -> f64| steps.iter().map(of).sum::<f64>() / steps.len() as f64;
            near(row.train.elbo, mean(|r| r.train.elbo));
            near(row.train.kl, mean(|r| r.train.kl));
            let last = steps.last().expect("a step");
            assert_eq!(
                (row.step, row.beta, row.learning_rate),
                (last.step, last.beta, last.learning_rate)
            );
            near(
                row.objective.expect("of the ELBO"),
                row.train.reconstruction - row.beta * row.train.kl,
            );
        }
    }
    // Five steps are an epoch here.
    let rows = watched(&settings, 5);
    for (row, epoch) in rows.rows.iter().zip(&rows.epochs) {
        assert_eq!(row.train, epoch.train);
    }
}

#[test]
fn the_objective_is_what_is_ascended() {
    let iwae = Objective { bound: Bound::Iwae, kl: Kl::Sampled, ..Objective::default() };
    let rows = watched(&Settings { objective: iwae, samples: 3, ..Settings::default() }, 5).rows;
    assert!(rows.iter().all(|row| row.objective.is_some() && row.objective == row.train.bound));
    let free = Objective { free_bits: 0.1, ..Objective::default() };
    let rows = watched(&Settings { objective: free, ..Settings::default() }, 5).rows;
    assert!(rows.iter().all(|row| row.objective.is_none()));
}

/// Stopped in the middle of a row, and with rows that are ahead of its checkpoint, a run comes to the rows of one that
/// never stopped.
#[test]
fn rows_go_on_where_a_run_goes_on() {
    let home = Home::new();
    home.ok(&format!("{TRAIN} --epochs 3 --run whole"));
    home.ok(&format!("{TRAIN} --epochs 3 --steps 10 --run run"));
    assert_eq!(rows(&home.at("run")).len(), 2);
    let path = home.at("run/steps.jsonl");
    let text = fs::read_to_string(&path).expect("rows");
    let ahead = text.lines().last().expect("a row").replace("\"step\":8", "\"step\":12");
    fs::write(&path, format!("{text}{ahead}\n{{\"step\":1")).expect("written");
    home.ok("train --resume run --device cpu --steps 100");
    assert_eq!(rows(&home.at("run")), rows(&home.at("whole")));
    assert_eq!(rows(&home.at("run")).len(), 5);
    let digest = |run: &str| home.json(&format!("{run}/summary.json"))["parameters_sha256"].clone();
    assert_eq!(digest("run"), digest("whole"));
    // Whether it is logged changes no bit of a run.
    home.ok(&format!("{} --epochs 3 --run without", TRAIN.replace(" --log-every 4", "")));
    assert!(digest("without") == digest("whole") && !home.at("without/steps.jsonl").exists());
    home.refuses(&TRAIN.replace("every 4", "every 0"), &["--log-every"]);
}
