//! `elbo sample` and `elbo reconstruct`

use std::path::{Path, PathBuf};

use super::Failure;
use super::fields::in_flags;
use super::options::{DeviceOption, seed};
use super::trained::{DataOption, ModelOption, Trained};
use crate::checkpoint::{RECONSTRUCTIONS, RunFolder, SAMPLES, check_writable, write_whole};
use crate::generate::{self, GenerateError};
use crate::image_shape::ImageShape;
use crate::report::console::say;
use crate::report::figures::{Layout, grid};

/// Pairs that are shown where nobody says how many.
const PAIRS: usize = 50;

/// Draw images from the prior of a trained model, as a PNG grid
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

/// Show test images beside their reconstructions at the posterior mean, as a PNG grid of pairs
#[derive(clap::Args)]
pub struct ReconstructArgs {
    #[command(flatten)]
    common: Common,
    /// Test images to show, from the first on, 10000 at most [default: 50, or all if there are fewer]
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
    /// Where to write the PNG [default: the run's own picture, made anew]
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
    let out = out_file(args.common.out, folder, SAMPLES)?;
    let device = args.common.device.open()?;
    let seed = args.common.seed.unwrap_or(settings.seed);
    let images = generate::sample_of(&device, a, parameters, (count, &classes), seed);
    write_grid(&images.map_err(failure)?, a.shape(), layout, &out)
}

pub fn reconstruct(args: ReconstructArgs) -> Result<u8, Failure> {
    args.count.map_or(Ok(()), check_count)?;
    let trained = Trained::open(&args.common.run, &args.common.model)?;
    let Trained { folder, settings, parameters, .. } = &trained;
    let architecture = &settings.architecture;
    let out = out_file(args.common.out, folder, RECONSTRUCTIONS)?;
    let dataset = trained.data(&args.data)?;
    let there = dataset.test.n_images;
    let count = match args.count {
        Some(count) if count > there => {
            return Err(Failure::input(format!(
                "--count {count}: there are {there} test images in {}, give {there} or less",
                dataset.name
            )));
        }
        count => count.unwrap_or(PAIRS.min(there)),
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
    write_grid(&images, architecture.shape(), Layout::Pairs, &out)
}

fn check_out(out: &Path) -> Result<(), Failure> {
    // A pipe or a device has no extension.
    if out.extension().is_some_and(|e| !e.eq_ignore_ascii_case("png")) {
        return Err(Failure::input(format!(
            "--out {}: the picture is a PNG, name it FILE.png",
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
    check_out(&out)?;
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

fn failure(error: GenerateError) -> Failure {
    match error {
        GenerateError::Plan(_) | GenerateError::Config(_) => Failure::input(error),
        GenerateError::Device(device) => Failure::device(&device, &device),
    }
}
