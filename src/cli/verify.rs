//! `elbo verify`

use super::Failure;
use super::options::DeviceOption;
use crate::report::console::say;
use crate::verify;

/// Check every estimator of log p(x), and training, on a model whose answers are known
///
/// The linear-Gaussian model z ~ N(0, I), x = W z + b + N(0, s I) has its density, its posterior and the
/// maximum of its likelihood (probabilistic PCA) in closed form. Each row compares what the device
/// obtains with that; `allowed` is 4.5 standard errors where draws are averaged, else what single
/// precision or the end of training leaves. Exit code 1 if any row fails.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    device: DeviceOption,
}

pub fn run(args: Args) -> Result<u8, Failure> {
    let device = args.device.open()?;
    let rows = verify::run(&device).map_err(Failure::run)?;
    say(format_args!(
        "{:>7} {:<53} {:>11} {:>11} {:>9}",
        "D, Z", "check", "expected", "obtained", "allowed"
    ));
    for row in &rows {
        let (d, z) = row.size;
        say(format_args!(
            "{:>7} {:<53} {:>11.5} {:>11.5} {:>9.1e}  {}",
            format!("{d}, {z}"),
            row.check,
            row.expected,
            row.obtained,
            row.allowed,
            if row.passed() { "ok" } else { "FAILED" }
        ));
    }
    let failed = rows.iter().filter(|row| !row.passed()).count();
    match failed {
        0 => {
            say(format_args!("all {} rows hold", rows.len()));
            Ok(0)
        }
        _ => Err(Failure::run(format!("{failed} of {} rows failed", rows.len()))),
    }
}
