//! The command line: one file per command.

// The help's placeholders in angle brackets are clap's, not HTML.
#![allow(rustdoc::invalid_html_tags)]

mod bench;
mod completions;
mod curve;
mod devices;
mod evaluate;
mod explore;
mod export;
mod figures;
mod generate;
mod import;
mod options;
mod preset;
mod resume;
mod runs;
mod settings;
mod train;
mod verify;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::report::console::note;

/// Train variational autoencoders with hand-written WGSL kernels, on any GPU or on the CPU.
#[derive(Parser)]
#[command(name = "elbo", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Train(Box<settings::Args>),
    Sample(generate::SampleArgs),
    Reconstruct(generate::ReconstructArgs),
    Figures(figures::Args),
    Eval(evaluate::Args),
    Curve(curve::Args),
    Explore(explore::Args),
    Runs(runs::Args),
    Verify(verify::Args),
    Bench(bench::Args),
    Devices(devices::Args),
    Import(import::Args),
    Export(export::Args),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// A command that did not succeed: one line, and the exit code.
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The run itself failed: the device, the numbers, the disk.
    fn run(error: impl std::fmt::Display) -> Self {
        Failure { message: error.to_string(), code: 1 }
    }

    /// The input was wrong.
    fn input(error: impl std::fmt::Display) -> Self {
        Failure { message: error.to_string(), code: 2 }
    }
}

/// The options of a command that stand on the command line, without their dashes.
fn given(matches: &ArgMatches, command: &str) -> Vec<String> {
    let (cli, matches) = (Cli::command(), matches.subcommand_matches(command));
    let (Some(command), Some(matches)) = (cli.find_subcommand(command), matches) else {
        return Vec::new();
    };
    let given =
        |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let options = command.get_arguments().filter(given);
    options.filter_map(|arg| arg.get_long().map(str::to_string)).collect()
}

/// A flag that Ctrl-C raises; the second one ends the program at once.
fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Failure::run(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok(stop)
}

/// Parses the arguments and runs the command. Returns the exit code: 0, 1 if the run failed, 2 if the
/// input was wrong, 130 after Ctrl-C.
pub fn main() -> u8 {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    let result = match cli.command {
        Command::Train(args) => train::run(*args, &given(&matches, "train")),
        Command::Sample(args) => generate::sample(args),
        Command::Reconstruct(args) => generate::reconstruct(args),
        Command::Figures(args) => figures::run(args),
        Command::Eval(args) => evaluate::run(args),
        Command::Curve(args) => curve::run(args),
        Command::Explore(args) => explore::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => completions::man(args),
    };
    result.unwrap_or_else(|failure| {
        note(format_args!("error: {}", failure.message));
        failure.code
    })
}
