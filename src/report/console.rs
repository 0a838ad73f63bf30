//! The progress of a run: a bar on a terminal, plain lines elsewhere, and a table row an epoch.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::train::{EpochReport, Settings};

/// Between plain progress lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Prints one line on stdout. A closed pipe or a full disk behind it must not end a run.
pub fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{}", one_line(&line.to_string()));
}

/// Prints one line on stderr, as [`say`] does.
pub fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", one_line(&line.to_string()));
}

/// Line breaks and escape codes, such as a file's name or content may hold, made harmless.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Shows steps as they finish. Progress goes to stderr, the table to stdout.
pub struct Console {
    bar: Option<ProgressBar>,
    batch: usize,
    total: u64,
    /// Steps finished before this process.
    first: u64,
    epochs: u32,
    /// K of the column L_K, if it is shown.
    bound: Option<usize>,
    epoch: u32,
    begin: Instant,
    last_line: Instant,
    header: bool,
}

impl Console {
    /// For a run of `total` steps, of which `first` are finished.
    pub fn new(settings: &Settings, total: u64, first: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            let template = "{prefix} {wide_bar} step {pos}/{len}  {msg}  ETA {eta}";
            bar.set_style(
                ProgressStyle::with_template(template)
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.set_position(first);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Console {
            bar,
            batch: settings.batch,
            total,
            first,
            epochs: settings.epochs,
            bound: settings.bound_samples(),
            epoch: 0,
            begin: now,
            last_line: now,
            header: false,
        }
    }

    pub fn epoch_begins(&mut self, epoch: u32) {
        self.epoch = epoch;
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
        }
    }

    /// `step` steps are finished.
    pub fn step(&mut self, step: u64) {
        let images = (step - self.first) * self.batch as u64;
        let rate = images as f64 / self.begin.elapsed().as_secs_f64().max(1e-9);
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(format!("{rate:.0} images/s"));
            }
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                self.last_line = Instant::now();
                let left = (self.total - step) as f64 * self.batch as f64 / rate;
                note(format_args!(
                    "epoch {}/{}  step {step}/{}  {rate:.0} images/s  ETA {left:.0} s",
                    self.epoch, self.epochs, self.total
                ));
            }
            None => {}
        }
    }

    pub fn evaluating(&mut self) {
        if let Some(bar) = &self.bar {
            bar.set_message("evaluating");
        }
    }

    /// Prints one row of the table, and its head before the first.
    pub fn row(&mut self, report: &EpochReport) {
        if !self.header {
            self.header = true;
            let watched = if report.validation { "valid" } else { "test" };
            let bounds = self.bound.map_or(String::new(), |k| {
                format!(" {:>12} {:>11}", format!("train L_{k}"), format!("{watched} L_{k}"))
            });
            self.print(&format!("nats per image, {}", report.binarization.label()));
            self.print(&format!(
                "{:>5} {:>7} {:>11} {:>10}{bounds} {:>15} {:>7} {:>9} {:>8}",
                "epoch",
                "step",
                "train ELBO",
                format!("{watched} ELBO"),
                "reconstruction",
                "KL",
                "images/s",
                "seconds"
            ));
        }
        let bounds = match (report.train.bound, report.test.bound) {
            (Some(train), Some(test)) => format!(" {train:>12.2} {test:>11.2}"),
            _ => String::new(),
        };
        self.print(&format!(
            "{:>5} {:>7} {:>11.2} {:>10.2}{bounds} {:>15.2} {:>7.2} {:>9.0} {:>8.1}",
            report.epoch,
            report.step,
            report.train.elbo,
            report.test.elbo,
            report.test.reconstruction,
            report.test.kl,
            report.images_per_second,
            report.seconds
        ));
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn print(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }
}
