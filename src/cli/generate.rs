//! `elbo sample` and `elbo reconstruct`

use std::ops::ControlFlow;
use std::path::PathBuf;

use super::Failure;
use super::fields::in_flags;
use super::options::{DeviceOption, seed, values};
use super::output::{Form, Output, Sink};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::{RECONSTRUCTIONS, SAMPLES};
use crate::data::Records;
use crate::generate::{self, Draws, GenerateError, Shown};
use crate::loaded::Model;
use crate::pictures::{RECONSTRUCTED_ROWS, SAMPLED_ROWS};
use crate::report::console::{note, say};
use crate::report::figures::Layout;
use crate::report::progress::Progress;

/// Pairs that are shown where nobody says how many.
const PAIRS: usize = 50;

/// Draw images, or rows of a table, from a trained model: codes from the prior, and what the decoder makes of them
///
/// FILE.png is one picture of all, FOLDER/ has a picture of each, 0001.png and so on, and FILE.npy is an array of levels, uint8,
/// (N, height, width), in colour (N, height, width, 3). Rows of a table are FILE.csv, or FILE.npy, float32 (N, D), in the columns'
/// own units.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo sample runs/a --count 400 --out samples.png
  elbo sample runs/a --count 5000 --out samples.npy
  elbo sample runs/a --values drawn --count 64 --out drawn/")]
pub struct SampleArgs {
    #[command(flatten)]
    common: Common,
    /// Images to draw, 10000 at most in one picture
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// What is made of each code [default: expected of images, drawn of the rows of a table]
    #[arg(long, value_parser = values::<Shown>())]
    values: Option<Shown>,
    /// Draw images of this class, by its name or number, from a model that was trained with --condition labels [default:
    /// every class, a row for each]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
}

/// Show images beside their reconstructions at the posterior mean, as a PNG grid of pairs; or write the reconstructions
///
/// FILE.png is one picture, each image above what the decoder expects at the mean of q(z|x). FOLDER/ has a picture of each
/// reconstruction, 0001.png and so on, and FILE.npy is an array of their levels, uint8, (N, height, width), in colour
/// (N, height, width, 3). Rows of a table are FILE.csv, or FILE.npy, float32 (N, D), in the columns' own units.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo reconstruct runs/a --count 20 --out pairs.png
  elbo reconstruct runs/a --data new-pictures --split all --out reconstructions.npy")]
pub struct ReconstructArgs {
    #[command(flatten)]
    common: Common,
    /// Images to show, from the first on, 10000 at most in one picture [default: 50 in a picture, else all]
    #[arg(long)]
    count: Option<usize>,
    /// Which images; a table that --data names is taken whole
    #[arg(long, value_name = "PART", default_value_t = Records::Test, value_parser = values::<Records>())]
    split: Records,
    #[command(flatten)]
    data: DataOption,
}

#[derive(clap::Args)]
struct Common {
    /// The folder of a run
    run: PathBuf,
    /// Seed of the noise, dynamic binarization included [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Where to write: FILE.png, FILE.npy or FOLDER/, which must be new or empty; of a table FILE.csv or FILE.npy
    /// [default: the run's own picture or CSV, made anew]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn sample(args: SampleArgs) -> Result<u8, Failure> {
    let trained = Trained::open(&args.common.run, &args.common.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    let a = &settings.architecture;
    let count = args.count;
    let table = settings.table.as_ref();
    let own = table.map_or(SAMPLES, |_| SAMPLED_ROWS);
    let output = Output::of(args.common.out, folder, own)?;
    output.check_count(count, a.pixels())?;
    let class = args.class.map(|class| a.class(&class)).transpose();
    let class = class
        .map_err(|e| Failure::input(format!("--{}", in_flags(&e.to_string()).replace('`', ""))))?;
    let (classes, layout) = match (class, a.classes.len()) {
        (Some(class), _) => (vec![class; count], Layout::Square),
        (None, 0) => (Vec::new(), Layout::Square),
        (None, n) => (generate::by_class(count, n), Layout::Classes(n)),
    };
    let usual = if table.is_some() { Shown::Drawn } else { Shown::Expected };
    let draws = Draws {
        count,
        classes: &classes,
        shown: args.values.unwrap_or(usual),
        seed: args.common.seed.unwrap_or(settings.seed),
    };
    let device = args.common.device.open()?;
    let stop = Stop::listen()?;
    let mut work = Work::begin(Sink::new(&output, a.shape(), table, count)?, stop, count);
    let drawn =
        generate::draw(&device, a, parameters, draws, &mut |values| work.add(&values, count));
    let what = if table.is_some() { "rows" } else { "images" };
    let made = match draws.shown {
        Shown::Expected => "as the decoder expects them, E[x|z], z from the prior",
        Shown::Drawn => "drawn, x ~ p(x|z), z from the prior",
    };
    work.end(drawn, layout, format_args!("{}: {count} {what} {made}", output.path.display()))
}

pub fn reconstruct(args: ReconstructArgs) -> Result<u8, Failure> {
    let trained = Trained::open(&args.common.run, &args.common.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    let architecture = &settings.architecture;
    let table = settings.table.as_ref();
    let own = table.map_or(RECONSTRUCTIONS, |_| RECONSTRUCTED_ROWS);
    let output = Output::of(args.common.out, folder, own)?;
    if let Some(count) = args.count {
        output.check_count(count, architecture.pixels())?;
    }
    let records = trained.records(&args.data, args.split)?;
    let there = records.count();
    let what = match (args.split, table) {
        (Records::All, Some(_)) => "rows".to_string(),
        (Records::All, None) => "images".to_string(),
        (part, Some(_)) => format!("{part} rows"),
        (part, None) => format!("{part} images"),
    };
    let count = match args.count {
        Some(count) if count > there => {
            return Err(Failure::input(format!(
                "--count {count}: there are {there} {what} in {}, give {there} or less",
                records.name
            )));
        }
        count => count.unwrap_or(match output.form {
            Form::Grid => PAIRS.min(there),
            _ => there,
        }),
    };
    output.check_count(count, architecture.pixels())?;
    let device = args.common.device.open()?;
    let model = Model {
        architecture,
        parameters,
        binarization: settings.binarization,
        seed: args.common.seed.unwrap_or(settings.seed),
    };
    let of_each = if output.form == Form::Grid { 2 } else { 1 };
    // Before there is anything that would be left.
    let stop = Stop::listen()?;
    let sink = Sink::new(&output, architecture.shape(), table, count)?;
    let mut work = Work::begin(sink, stop, of_each * count);
    let mut ended = Ok(ControlFlow::Continue(()));
    let mut left = count;
    for (_, images) in &records.sets {
        let shown = images.first(left);
        left -= shown.n_images;
        ended = generate::reconstruct_each(&device, model, &shown, &mut |[x, mean]| {
            let values = match output.form {
                Form::Grid => interleaved(&x, &mean, architecture.pixels()),
                _ => mean,
            };
            work.add(&values, of_each * count)
        });
        if left == 0 || !matches!(ended, Ok(ControlFlow::Continue(()))) {
            break;
        }
    }
    let made = match output.form {
        Form::Grid => "above what the decoder expects",
        _ => "as the decoder expects them",
    };
    let path = output.path.display();
    let line = format_args!("{path}: {count} {what} {made}, E[x|z] at the mean of q(z|x)");
    work.end(ended, Layout::Pairs, line)
}

/// Each image (D) of one, then that of the other.
fn interleaved(x: &[f32], mean: &[f32], d: usize) -> Vec<f32> {
    x.chunks_exact(d).zip(mean.chunks_exact(d)).flat_map(|(x, mean)| [x, mean].concat()).collect()
}

/// Images on their way to where they are written, until all are there or somebody ends it.
struct Work<'a> {
    sink: Sink<'a>,
    done: usize,
    failed: Option<Failure>,
    stop: Stop,
    progress: Progress,
}

impl<'a> Work<'a> {
    fn begin(sink: Sink<'a>, stop: Stop, count: usize) -> Self {
        let progress = Progress::new(format!("{count} images"));
        Work { sink, done: 0, failed: None, stop, progress }
    }

    /// Takes the next, of `count`.
    fn add(&mut self, values: &[f32], count: usize) -> ControlFlow<()> {
        if let Err(failure) = self.sink.add(values) {
            self.failed = Some(failure);
            return ControlFlow::Break(());
        }
        self.done += self.sink.rows_of(values);
        self.progress.set(self.done as f64 / count as f64);
        match self.stop.asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Writes them and says `line`, if the work was not ended before.
    fn end(
        self,
        ended: Result<ControlFlow<()>, GenerateError>,
        layout: Layout,
        line: std::fmt::Arguments,
    ) -> Result<u8, Failure> {
        drop(self.progress);
        if let Some(failure) = self.failed {
            return Err(failure);
        }
        if ended.map_err(failure)?.is_break() {
            note("interrupted; nothing was written");
            return Ok(self.stop.code());
        }
        self.sink.finish(layout)?;
        say(line);
        Ok(0)
    }
}

pub fn failure(error: GenerateError) -> Failure {
    match error {
        GenerateError::Plan(_) | GenerateError::Config(_) => Failure::input(error),
        GenerateError::Device(device) => Failure::device(&device, &device),
    }
}
