//! `elbo sample` and `elbo reconstruct`

use std::path::{Path, PathBuf};

use super::Failure;
use super::fields::in_flags;
use super::options::{DeviceOption, seed};
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::{RECONSTRUCTIONS, RunFolder, SAMPLES, check_writable, write_whole};
use crate::data::Table;
use crate::generate::{self, GenerateError};
use crate::image_shape::ImageShape;
use crate::pictures::{RECONSTRUCTED_ROWS, SAMPLED_ROWS};
use crate::report::console::say;
use crate::report::figures::{Layout, grid};
use crate::report::rows::csv_of_rows;

/// Pairs that are shown where nobody says how many.
const PAIRS: usize = 50;

/// Draw images from the prior of a trained model, as a PNG grid; or rows of a table, as CSV
#[derive(clap::Args)]
pub struct SampleArgs {
    #[command(flatten)]
    common: Common,
    /// Images to draw, 10000 at most
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Draw images of this class, by its name or number, from a model that was trained with --condition labels [default:
    /// every class, a row for each]
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
}

/// Show test images beside their reconstructions at the posterior mean, as a PNG grid of pairs; of a table the
/// reconstructed rows, as CSV in the columns' own units
#[derive(clap::Args)]
pub struct ReconstructArgs {
    #[command(flatten)]
    common: Common,
    /// Test images to show, from the first on, 10000 at most [default: 50, or all if there are fewer, and all rows of a
    /// table]
    #[arg(long)]
    count: Option<usize>,
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
    /// Where to write the PNG, or the CSV of a table [default: the run's own, made anew]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn sample(args: SampleArgs) -> Result<u8, Failure> {
    check_count(args.count)?;
    let trained = Trained::open(&args.common.run, &args.common.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    let a = &settings.architecture;
    let count = args.count;
    let class = args.class.map(|class| a.class(&class)).transpose();
    let class = class
        .map_err(|e| Failure::input(format!("--{}", in_flags(&e.to_string()).replace('`', ""))))?;
    let (classes, layout) = match (class, a.classes.len()) {
        (Some(class), _) => (vec![class; count], Layout::Square),
        (None, 0) => (Vec::new(), Layout::Square),
        (None, n) => (generate::by_class(count, n), Layout::Classes(n)),
    };
    let table = settings.table.as_ref();
    let out = out_file(args.common.out, folder, table.map_or(SAMPLES, |_| SAMPLED_ROWS))?;
    let device = args.common.device.open()?;
    let seed = args.common.seed.unwrap_or(settings.seed);
    let images = generate::sample_of(&device, a, parameters, (count, &classes), seed);
    let images = images.map_err(failure)?;
    match table {
        Some(table) => write_rows(table, &images, &out),
        None => write_grid(&images, a.shape(), layout, &out),
    }
}

pub fn reconstruct(args: ReconstructArgs) -> Result<u8, Failure> {
    args.count.map_or(Ok(()), check_count)?;
    let trained = Trained::open(&args.common.run, &args.common.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    let architecture = &settings.architecture;
    let table = settings.table.as_ref();
    let own = table.map_or(RECONSTRUCTIONS, |_| RECONSTRUCTED_ROWS);
    let out = out_file(args.common.out, folder, own)?;
    let dataset = trained.data(&args.data)?;
    let there = dataset.test.n_images;
    let count = match args.count {
        Some(count) if count > there => {
            return Err(Failure::input(format!(
                "--count {count}: there are {there} test images in {}, give {there} or less",
                dataset.name
            )));
        }
        count => count.unwrap_or(if table.is_some() { there } else { PAIRS.min(there) }),
    };
    trained.has_other(&dataset, &args.data);
    let device = args.common.device.open()?;
    let images = generate::reconstruct(
        &device,
        architecture,
        parameters,
        settings.binarization,
        &dataset.test,
        count,
        args.common.seed.unwrap_or(settings.seed),
    )
    .map_err(failure)?;
    match table {
        Some(table) => {
            let reconstructions: Vec<Vec<f32>> = images.into_iter().skip(1).step_by(2).collect();
            write_rows(table, &reconstructions, &out)
        }
        None => write_grid(&images, architecture.shape(), Layout::Pairs, &out),
    }
}

/// `own` is what the run itself calls such a file.
fn check_out(out: &Path, own: &str) -> Result<(), Failure> {
    let (kind, extension, what) = match own.ends_with(".csv") {
        true => ("CSV", "csv", "table"),
        false => ("PNG", "png", "picture"),
    };
    // A pipe or a device has no extension.
    if out.extension().is_some_and(|e| !e.eq_ignore_ascii_case(extension)) {
        return Err(Failure::input(format!(
            "--out {}: the {what} is a {kind}, name it FILE.{extension}",
            out.display()
        )));
    }
    check_writable(out).map_err(Failure::input)
}

/// Where the picture goes: the given file, or one of the run's own.
fn out_file(given: Option<PathBuf>, folder: &RunFolder, own: &str) -> Result<PathBuf, Failure> {
    let out = match given {
        Some(out) => out,
        None => {
            folder.check_own_files().map_err(Failure::input)?;
            folder.file(own)
        }
    };
    check_out(&out, own)?;
    Ok(out)
}

fn check_count(count: usize) -> Result<(), Failure> {
    match count {
        1..=10_000 => Ok(()),
        _ => Err(Failure::input(format!("--count must be from 1 to 10000, got {count}"))),
    }
}

fn write_grid(
    images: &[Vec<f32>],
    shape: ImageShape,
    layout: Layout,
    out: &Path,
) -> Result<u8, Failure> {
    let png = grid(images, shape, layout).map_err(Failure::run)?;
    write_whole(out, &png).map_err(Failure::run)?;
    say(out.display());
    Ok(0)
}

fn write_rows(table: &Table, rows: &[Vec<f32>], out: &Path) -> Result<u8, Failure> {
    write_whole(out, csv_of_rows(table, rows).as_bytes()).map_err(Failure::run)?;
    say(out.display());
    Ok(0)
}

pub fn failure(error: GenerateError) -> Failure {
    match error {
        GenerateError::Plan(_) | GenerateError::Config(_) => Failure::input(error),
        GenerateError::Device(device) => Failure::device(&device, &device),
    }
}
