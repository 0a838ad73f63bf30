//! `elbo impute`

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::Failure;
use super::evaluate::check_samples;
use super::generate::failure;
use super::options::{DeviceOption, seed};
use super::stop::Stop;
use super::trained::{ModelOption, Trained};
use crate::checkpoint::{check_writable, write_whole};
use crate::data::filled;
use crate::generate;
use crate::loaded::Model;
use crate::report::console::{note, say};
use crate::report::progress::Progress;

/// Fill in the missing cells of a table, as CSV
///
/// A missing cell becomes its expectation given the cells of its row that are there: the mean of E[x|z] over K draws z from
/// q(z|x), each with its importance weight p(x|z) p(z) / q(z|x). Every other cell stays as it is, columns that
/// the run was not trained on too.
#[derive(clap::Args)]
pub struct Args {
    /// The folder of a run
    run: PathBuf,
    /// A table with the run's columns [default: the run's own data]
    data: Option<String>,
    /// The CSV file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Draws of z a row, K
    #[arg(long, value_name = "K", default_value_t = 1000)]
    samples: usize,
    /// Seed of the draws [default: the run's own]
    #[arg(long, value_parser = seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    model: ModelOption,
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    check_samples(args.samples)?;
    check_writable(&args.out).map_err(Failure::input)?;
    let trained = Trained::open(&args.run, &args.model)?;
    let table = trained.table("impute")?;
    let settings = &trained.settings;
    let path = args.data.as_ref().unwrap_or(&settings.data);
    let rows = trained.all_rows(path)?.test;
    let missing = rows.missing();
    let device = args.device.open()?;
    let model = Model {
        architecture: &settings.architecture,
        parameters: &trained.parameters,
        binarization: settings.binarization,
        seed: args.seed.unwrap_or(settings.seed),
    };
    let stop = Stop::listen()?;
    let mut progress =
        Progress::new(format!("{} rows, {} samples each", rows.n_images, args.samples));
    let expected = generate::impute(&device, model, &rows, args.samples, &mut |share| {
        progress.set(share);
        match stop.asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    drop(progress);
    let Some(expected) = expected.map_err(failure)? else {
        note("interrupted; nothing was written");
        return Ok(stop.code());
    };
    if let Some(i) = expected.iter().position(|v| !v.is_finite()) {
        let row = i / rows.n_pixels() + 1;
        return Err(Failure::run(format!("row {row}: the decoder's numbers overflow")));
    }
    let text = filled(Path::new(path), &settings.data_options(), table, &expected);
    write_whole(&args.out, &text.map_err(Failure::input)?).map_err(Failure::run)?;
    note(format_args!("{missing} missing cells of {} rows were filled in", rows.n_images));
    say(args.out.display());
    Ok(0)
}
