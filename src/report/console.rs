//! The progress of a run: a bar on a terminal, plain lines elsewhere, and a table row an epoch.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text::one_line;
use crate::train::{EpochReport, Figures, Settings};
use crate::vae::Architecture;

/// Between plain progress lines where there is no terminal.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Why what was printed on stdout is lost, if it is.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints one line on stdout. A closed pipe or a full disk behind it must not end a run: see [`lost`].
pub fn say(line: impl Display) {
    print(&(one_line(&line.to_string()) + "\n"));
}

/// Prints text on stdout, as [`say`] does.
pub fn print(text: &str) {
    let mut stdout = io::stdout();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        LOST.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(error);
    }
}

/// Why something that was printed on stdout is lost. That a reader has gone away is no loss: it has what it
/// wanted.
pub fn lost() -> Option<io::Error> {
    let lost = LOST.lock().unwrap_or_else(|e| e.into_inner()).take();
    lost.filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
}

/// Whether results, warnings and errors alone are printed.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on prints results, warnings and errors alone.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether it is printed too how work is done.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// From now on prints how work is done, too.
pub fn be_verbose() {
    VERBOSE.store(true, Ordering::Relaxed);
}

/// Prints one line on stderr on how work is done, if somebody wants that.
pub fn detail(line: impl Display) {
    if VERBOSE.load(Ordering::Relaxed) {
        note(line);
    }
}

/// Whether progress is shown as a bar.
pub fn has_bar() -> bool {
    !QUIET.load(Ordering::Relaxed) && io::stderr().is_terminal()
}

/// Prints one line on stderr, as [`say`] does, unless nobody wants more than results; a warning in any case.
pub fn note(line: impl Display) {
    let line = line.to_string();
    if !QUIET.load(Ordering::Relaxed) || line.starts_with("warning: ") {
        complain(line);
    }
}

/// Prints one line on stderr, as [`say`] does.
pub fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", one_line(&line.to_string()));
}

/// A number of at most `width` letters: with these decimals, with fewer, or in scientific form.
pub fn figure(value: f64, decimals: usize, width: usize) -> String {
    let plain = (0..=decimals).rev().map(|decimals| format!("{value:.decimals$}"));
    let short = (0..=2).rev().map(|decimals| format!("{value:.decimals$e}"));
    let fits = |text: &String| text.len() <= width;
    plain.chain(short).find(fits).unwrap_or_else(|| format!("{value:.0e}"))
}

/// Shows steps as they finish. Progress goes to stderr, the table to stdout.
pub struct Console {
    bar: Option<ProgressBar>,
    batch: usize,
    total: u64,
    /// Steps finished before this process.
    first: u64,
    epochs: u32,
    /// What is modelled, which says whether bits per dimension are shown.
    architecture: Architecture,
    /// What the cells are, if images are rows of a table.
    cells: Option<&'static str>,
    /// K of the column L_K, if it is shown.
    bound: Option<usize>,
    epoch: u32,
    /// The training figures of the open epoch, once they are known.
    so_far: Option<Figures>,
    begin: Instant,
    last_line: Instant,
    header: bool,
}

impl Console {
    /// For a run of `total` steps, of which `first` are finished.
    pub fn new(settings: &Settings, total: u64, first: u64) -> Self {
        let domain = settings.architecture.likelihood.module().domain();
        let bar = has_bar().then(|| {
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
            cells: settings.table.as_ref().map(|_| domain.cells()),
            architecture: settings.architecture.clone(),
            bound: settings.bound_samples(),
            epoch: 0,
            so_far: None,
            begin: now,
            last_line: now,
            header: false,
        }
    }

    pub fn epoch_begins(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.so_far = None;
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
        }
    }

    /// The averages over the open epoch's steps so far.
    pub fn so_far(&mut self, train: &Figures) {
        self.so_far = Some(*train);
    }

    /// What is ascended, on average over the open epoch, or nothing.
    fn running(&self) -> String {
        match (self.so_far, self.bound) {
            (Some(Figures { bound: Some(bound), .. }), Some(k)) => {
                format!("train L_{k} {}  ", figure(bound, 2, 11))
            }
            (Some(train), _) => format!("train ELBO {}  ", figure(train.elbo, 2, 11)),
            (None, _) => String::new(),
        }
    }

    /// `step` steps are finished.
    pub fn step(&mut self, step: u64) {
        let images = (step - self.first) * self.batch as u64;
        let rate = images as f64 / self.begin.elapsed().as_secs_f64().max(1e-9);
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(format!("{}{rate:.0} images/s", self.running()));
            }
            None if self.last_line.elapsed() >= PLAIN_EVERY => {
                self.last_line = Instant::now();
                let left = (self.total - step) as f64 * self.batch as f64 / rate;
                note(format_args!(
                    "epoch {}/{}  step {step}/{}  {}{rate:.0} images/s  ETA {left:.0} s",
                    self.epoch,
                    self.epochs,
                    self.total,
                    self.running()
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
        let EpochReport { train, test, .. } = report;
        let set = report.set();
        // Title, width, value.
        let mut columns: Vec<(String, usize, String)> = Vec::new();
        let mut column = |title: &str, width: usize, value: String| {
            columns.push((title.to_string(), width, value));
        };
        let letters = |count: u64| count.to_string().len();
        column("epoch", letters(self.epochs.into()).max(5), report.epoch.to_string());
        column("step", letters(self.total).max(7), report.step.to_string());
        column("train ELBO", 11, figure(train.elbo, 2, 11));
        column(&format!("{set} ELBO"), 10, figure(test.elbo, 2, 10));
        let (likelihood, pixels) = (self.architecture.likelihood, self.architecture.pixels());
        if let Some(bits) = likelihood.bits_per_dimension(test.elbo, pixels) {
            column("bits/dim", 8, figure(bits, 3, 8));
        }
        if let (Some(k), Some(of_train), Some(of_test)) = (self.bound, train.bound, test.bound) {
            column(&format!("train L_{k}"), 12, figure(of_train, 2, 12));
            column(&format!("{set} L_{k}"), 11, figure(of_test, 2, 11));
        }
        column("reconstruction", 15, figure(test.reconstruction, 2, 11));
        column("KL", 7, figure(test.kl, 2, 7));
        column(
            if self.cells.is_some() { "rows/s" } else { "images/s" },
            9,
            figure(report.images_per_second, 0, 9),
        );
        column("seconds", 8, figure(report.seconds, 1, 8));
        let line = |cell: fn(&(String, usize, String)) -> &String| {
            let cells = columns.iter().map(|column| format!("{:>1$}", cell(column), column.1));
            cells.collect::<Vec<_>>().join(" ")
        };
        if !self.header {
            self.header = true;
            self.print(&match self.cells {
                Some(cells) => format!("nats per row, of {cells}"),
                None => format!("nats per image, {}", report.binarization.label()),
            });
            self.print(&line(|(title, ..)| title));
        }
        self.print(&line(|(.., value)| value));
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
