//! `elbo encode`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Failure;
use super::generate::failure;
use super::options::{DeviceOption, seed, values};
use super::stop::Stop;
use super::trained::{DataOption, ModelOption, Taken, Trained};
use crate::checkpoint::{check_writable, write_whole};
use crate::data::{Labels, Records};
use crate::generate::{self, Codes};
use crate::interchange::arrays::{Elements, npy, npz};
use crate::loaded::Model;
use crate::report::codes::csv_of_codes;
use crate::report::console::{note, say};
use crate::report::progress::Progress;

/// Write the codes of images, or of rows of a table: mean and standard deviation of each latent unit
///
/// FILE.npz holds mean (N, Z) and std (N, Z), what each latent unit has by itself under q(z|x), both float32, and where
/// the data have classes label (N), int64, the places of the classes in class_names. FILE.npy holds the means alone.
/// FILE.csv has a line for each record: its number, its class, mean_0, mean_1 and so on, std_0, std_1 and so on.
///
/// Records come in the order in which they are stored, pictures in the order of their paths. Where pixels are
/// binarized at random, these are as in evaluation, the same each time.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo encode runs/a --out codes.npz
  elbo encode runs/a --data new-pictures --out codes.csv
  elbo encode runs/a --split test --best --out codes.npy")]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// The file to write: FILE.npz, FILE.npy or FILE.csv
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Which records: of the run's own data as they were parted for it
    #[arg(long, value_name = "PART", default_value_t, value_parser = values::<Records>())]
    split: Records,
    /// Seed of binarization [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    data: DataOption,
    #[command(flatten)]
    device: DeviceOption,
}

/// What the file is to be.
#[derive(Clone, Copy)]
enum Format {
    Npz,
    Npy,
    Csv,
}

impl Format {
    /// By the name of the file.
    fn of(path: &Path) -> Result<Format, Failure> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match &*extension {
            "npz" => Ok(Format::Npz),
            "npy" => Ok(Format::Npy),
            "csv" => Ok(Format::Csv),
            _ => Err(Failure::input(format!(
                "--out {}: codes are written as FILE.npz, FILE.npy or FILE.csv",
                path.display()
            ))),
        }
    }
}

/// The classes of all records, where each has one.
struct Classes {
    /// (N)
    numbers: Vec<i64>,
    names: Vec<String>,
}

impl Classes {
    fn of(records: &Taken) -> Option<Classes> {
        let mut numbers = Vec::new();
        let mut names = Vec::new();
        for (_, images) in &records.sets {
            // The parts of a data set share the names.
            let Labels { classes, names: own } = images.labels.as_ref()?;
            names = own.to_vec();
            numbers.extend(classes.iter().map(|&class| i64::from(class)));
        }
        (numbers.len() == records.count()).then_some(Classes { numbers, names })
    }

    fn name(&self, record: usize) -> &str {
        &self.names[self.numbers[record] as usize]
    }
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let format = Format::of(&args.out)?;
    check_writable(&args.out).map_err(Failure::input)?;
    let trained = Trained::open(&args.run, &args.model)?;
    let records = trained.records(&args.data, args.split)?;
    let is_table = trained.settings.table.is_some();
    let device = args.device.open()?;
    let model = Model {
        architecture: &trained.settings.architecture,
        parameters: &trained.parameters,
        binarization: trained.settings.binarization,
        seed: args.seed.unwrap_or(trained.settings.seed),
    };
    let all = records.count();
    let what = if is_table { "rows" } else { "images" };
    let stop = Stop::listen()?;
    let mut progress = Progress::new(format!("{all} {what}"));
    let mut codes = Codes::of(model);
    for (_, images) in &records.sets {
        let whole = generate::encode(&device, model, images, &mut |heads| {
            codes.extend(heads);
            progress.set(codes.records() as f64 / all as f64);
            match stop.asked() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        if whole.map_err(failure)?.is_break() {
            drop(progress);
            note("interrupted; nothing was written");
            return Ok(stop.code());
        }
    }
    drop(progress);
    if let Some(record) = codes.overflowing() {
        let what = if is_table { "row" } else { "image" };
        return Err(Failure::run(format!("{what} {record}: the encoder's numbers overflow")));
    }

    let classes = Classes::of(&records);
    let shape = [codes.records(), codes.latent];
    let (bytes, holds) = match format {
        Format::Npy => (npy(&shape, Elements::F32(&codes.mean)), "the means (N, Z)"),
        Format::Csv => {
            let names = classes.as_ref().map(|classes| -> Vec<&str> {
                (0..codes.records()).map(|record| classes.name(record)).collect()
            });
            let first = if is_table { "row" } else { "image" };
            let text = csv_of_codes(first, &codes, names.as_deref());
            (
                text.into_bytes(),
                if classes.is_some() { "label, means, stds" } else { "means, stds" },
            )
        }
        Format::Npz => {
            let mut arrays = vec![
                ("mean", &shape[..], Elements::F32(&codes.mean)),
                ("std", &shape[..], Elements::F32(&codes.std)),
            ];
            let sizes = classes.as_ref().map(|c| [[c.numbers.len()], [c.names.len()]]);
            if let (Some(classes), Some([n, names])) = (&classes, &sizes) {
                arrays.push(("label", n, Elements::I64(&classes.numbers)));
                arrays.push(("class_names", names, Elements::Text(&classes.names)));
            }
            let bytes = npz(&arrays).map_err(Failure::run)?;
            let holds = match classes.is_some() {
                true => "mean (N, Z), std (N, Z), label (N), class_names",
                false => "mean (N, Z), std (N, Z)",
            };
            (bytes, holds)
        }
    };
    write_whole(&args.out, &bytes).map_err(Failure::run)?;
    let of_parts: Vec<String> = match &records.sets[..] {
        [_] => Vec::new(),
        parts => parts.iter().map(|(part, set)| format!("{} {part}", set.n_images)).collect(),
    };
    let of_parts = match of_parts.is_empty() {
        true => String::new(),
        false => format!(" ({})", of_parts.join(", then ")),
    };
    say(format_args!(
        "{}: {holds} of {all} {what}{of_parts}, {} latent units",
        args.out.display(),
        codes.latent
    ));
    Ok(0)
}
