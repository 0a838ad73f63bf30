//! `elbo bench`

use std::path::PathBuf;
use std::time::Instant;

use clap::ValueEnum;

use super::Failure;
use super::options::{DeviceOption, values};
use crate::bench::{self, BenchError, Request, Target, table};
use crate::checkpoint::{check_writable, write_whole};
use crate::device::{DeviceError, Precision};
use crate::loaded::rows_of;
use crate::report::console::print;
use crate::report::progress::Progress;
use crate::vae::Architecture;

/// Measure what a device does in a second: its ceilings, training steps, each kernel of a step, each fusion, bounds on log p(x)
///
/// Ceilings: an empty dispatch, submitted and waited for; the time from one empty dispatch to the next,
/// independent and dependent (the gap); a copy; square matrix products. Steps: images/s of training on MNIST
/// (random bytes if the network has not 784 inputs), with metrics but nothing read back. Kernels: every
/// kernel and shape of the step, on the tensors of a run. FLOPs and bytes are those that any
/// implementation needs, each operation and each tensor of a kernel once. Fusions: steps of a plan that lacks
/// one fusion beside steps of the plan that has it. Bounds: a transition of annealed chains (leapfrogs, the acceptance, the
/// weights), a step towards the best q of each image and a run of importance sampling, each with its kernels.
///
/// Every result is checked in the same run: kernels against their formulas in double precision, steps
/// against three steps in double precision from where the timed ones end. A wrong one has no figure, and
/// the exit code is 1. Device time is by the adapter's timestamps where it has them, else by the wall
/// clock; a step's images/s are always by the wall clock.
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo bench
  elbo bench --device gpu --quick
  elbo bench --only steps --arch 784-400-20 --batch 128,4096 --json -
  elbo bench --arch \"32x32x3-conv 32 4/2-conv 64 4/2-256-20\" --batch 128")]
pub struct Args {
    /// What to measure, comma-separated; shares need the ceilings [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    only: Vec<Part>,
    /// Networks, comma-separated, each as pixels-hidden-latent, or with layers of other kinds as in "28x28-conv 32
    /// 4/2-256-20" [default: 784-400-20,784-200-200-50]
    #[arg(long, value_delimiter = ',', value_name = "NETWORKS", value_parser = bench::network)]
    arch: Vec<Architecture>,
    /// Batch sizes, comma-separated [default: 20,128,512,4096]
    #[arg(long, value_delimiter = ',', value_name = "SIZES")]
    batch: Vec<usize>,
    /// Samples of z an image
    #[arg(long, value_name = "K", default_value_t = 1)]
    samples: usize,
    /// How matrices are multiplied: in mixed precision on a GPU with cooperative matrices (tensor cores),
    /// which are tested before; on the CPU an imitation, no faster
    #[arg(long, value_parser = values::<Precision>(), default_value_t)]
    precision: Precision,
    /// Seconds to measure each step for; a kernel gets a fifth of it [default: 0.5]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    seconds: Option<f64>,
    /// Steps before the timed ones
    #[arg(long, value_name = "STEPS", default_value_t = 20)]
    warm_up: usize,
    /// The first network, batch size 128, matrix products up to 1024, a tenth of a second each
    #[arg(long, conflicts_with_all = ["arch", "batch", "seconds"])]
    quick: bool,
    /// Write all of it as JSON to this file, or to stdout in place of the table: -
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceOption,
}

/// 128 MiB, what WebGPU binds by default, and more than most caches hold twice.
const COPIED: usize = 128 << 20;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Ceilings,
    Kernels,
    Steps,
    Fusions,
    Bounds,
}

impl Args {
    fn request(&self) -> Result<Request, Failure> {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.1 } else { 0.5 });
        if !(0.001..=3600.0).contains(&seconds) {
            return Err(Failure::input(format!(
                "--seconds must be from 0.001 to 3600, got {seconds}"
            )));
        }
        if !(2..=1_000_000).contains(&self.warm_up) {
            return Err(Failure::input(format!(
                "--warm-up must be from 2 to 1000000, got {}",
                self.warm_up
            )));
        }
        let default = |text: &str| bench::network(text).map_err(Failure::run);
        let networks = match (&self.arch[..], self.quick) {
            ([], true) => vec![default("784-400-20")?],
            ([], false) => vec![default("784-400-20")?, default("784-200-200-50")?],
            (given, _) => given.to_vec(),
        };
        let batches = match (&self.batch[..], self.quick) {
            ([], true) => vec![128],
            ([], false) => vec![20, 128, 512, 4096],
            (given, _) => given.to_vec(),
        };
        let asked = |part| self.only.is_empty() || self.only.contains(&part);
        Ok(Request {
            ceilings: asked(Part::Ceilings),
            kernels: asked(Part::Kernels),
            steps: asked(Part::Steps),
            fusions: asked(Part::Fusions),
            bounds: asked(Part::Bounds),
            rows: 0, // the device says
            networks,
            batches,
            samples: self.samples,
            precision: self.precision,
            seconds,
            warm_up: self.warm_up,
            copied: COPIED,
            largest_matmul: if self.quick { 1024 } else { 4096 },
        })
    }
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let mut request = args.request()?;
    let to_stdout = args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    if let Some(path) = args.json.as_deref().filter(|_| !to_stdout) {
        check_writable(path).map_err(Failure::input)?;
    }
    let begin = Instant::now();
    let device = args.device.open()?.in_precision(args.precision).map_err(|error| match error {
        DeviceError::Precision { .. } => Failure::input(error),
        _ => Failure::run(error),
    })?;
    request.rows = rows_of(&device);
    let target = Target::from(device);
    let open = begin.elapsed().as_secs_f64();
    let mut progress = Progress::new("benchmark".to_string());
    let measured = bench::run(&target, &request, &mut |share| progress.set(share));
    drop(progress);
    let mut report = measured.map_err(|e| match e {
        BenchError::Config(e) => Failure::input(e),
        BenchError::Plan(e) => Failure::input(e),
        e => Failure::run(e),
    })?;
    report.open = open;
    let json = serde_json::to_string_pretty(&report).map_err(Failure::run)? + "\n";
    match &args.json {
        Some(_) if to_stdout => print(&json),
        Some(path) => {
            write_whole(path, json.as_bytes()).map_err(Failure::run)?;
            print(&table(&report));
        }
        None => print(&table(&report)),
    }
    match report.wrong().first() {
        None => Ok(0),
        Some(first) => Err(Failure::run(format!("WRONG: {first}"))),
    }
}
