//! The command line: one file per command.

#![allow(rustdoc::invalid_html_tags, reason = "the help's placeholders, as in <FILE>, are clap's")]

mod bench;
mod bounds;
mod completions;
mod curve;
mod devices;
#[cfg(test)]
mod documented;
mod encode;
mod evaluate;
mod explore;
mod export;
mod fields;
mod figures;
mod gaps;
mod gaps_file;
mod generate;
mod import;
mod impute;
mod init_from;
mod notices;
mod optimizer;
mod options;
mod output;
mod preset;
mod resume;
mod runs;
mod score;
mod settings;
mod stop;
mod train;
mod train_warnings;
mod trained;
mod verify;
mod walk;
mod watcher;
mod web;

use std::num::NonZeroU16;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::device::DeviceError;
use crate::numeric::parallel;
use crate::report::console::{be_quiet, be_verbose, complain, lost};
use fields::in_flags;

/// With whose data are in the program, as their licence asks.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\n\nThe MNIST images within are by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under CC BY-SA 3.0\n\
     (creativecommons.org/licenses/by-sa/3.0), unchanged but for their compression. `elbo notices` prints all licences."
);

/// Train variational autoencoders with hand-written WGSL kernels, on any GPU or on the CPU.
#[derive(Parser)]
#[command(
    name = "elbo",
    version,
    long_version = LONG_VERSION,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done; 1 the work failed (the device, the numbers, the disk); 2 it was not begun: an \
        option, a file or a folder is not as it must be; 130 ended by Ctrl-C; 143 by SIGTERM"
)]
struct Cli {
    /// Print results, warnings and errors alone: no progress, and nothing of how the work is done
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print how training does its work, too: memory, data on the device, kernels with their variants, fusions
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
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
    Bounds(bounds::Args),
    Gaps(gaps::Args),
    Score(score::Args),
    Impute(impute::Args),
    Curve(curve::Args),
    Walk(walk::Args),
    Encode(encode::Args),
    Explore(explore::Args),
    Web(web::Args),
    Runs(runs::Args),
    Verify(verify::Args),
    Bench(bench::Args),
    Devices(devices::Args),
    Import(import::Args),
    Export(export::Args),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
    Notices(notices::Args),
}

/// A command that did not succeed: one line, with options for fields, and the exit code.
pub struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The work failed once it had begun: the device, the numbers, a disk that filled up.
    fn run(error: impl std::fmt::Display) -> Self {
        Failure { message: in_flags(&error.to_string()), code: 1 }
    }

    /// The work was not begun: an option, a file or a folder is not as it must be.
    fn input(error: impl std::fmt::Display) -> Self {
        Failure { message: in_flags(&error.to_string()), code: 2 }
    }

    /// A device's error: whether it failed, or cannot be had, or is too small for what was asked.
    fn device(error: &DeviceError, message: impl std::fmt::Display) -> Self {
        match error {
            DeviceError::Selection(_)
            | DeviceError::TooLarge { .. }
            | DeviceError::OutOfMemory { .. }
            | DeviceError::Precision { .. } => Failure::input(message),
            DeviceError::Adapter { .. } | DeviceError::Lost { .. } => Failure::run(message),
        }
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

/// In one line that a value or a command is not among those that there are, if that is the error.
fn wrong_value(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return Some("an argument is not valid UTF-8".to_string());
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    if let Some(command) = text(ContextKind::InvalidSubcommand) {
        return Some(no_command(command));
    }
    let Some(ContextValue::Strings(valid)) = error.get(ContextKind::ValidValue) else {
        return None;
    };
    let (argument, value) = (
        text(ContextKind::InvalidArg)?,
        text(ContextKind::InvalidValue).filter(|v| !v.is_empty())?,
    );
    Some(format!("{argument}: there is no {value:?}; there are {}", valid.join(", ")))
}

/// That there is no such command, and which there are.
fn no_command(name: &str) -> String {
    let cli = Cli::command();
    let names: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    format!("there is no command {name:?}; there are {}", names.join(", "))
}

/// Parses the arguments and runs the command. Returns the exit code: 0; 1 if the work failed; 2 if it was not
/// begun, for what was asked or what is there must be another; 130 after Ctrl-C, 143 after SIGTERM.
pub fn main() -> u8 {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => match wrong_value(&error) {
            Some(line) => {
                complain(format_args!("error: {line}"));
                return 2;
            }
            None => error.exit(),
        },
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    stop::outlive_file_limits();
    stop::tell_of_cut_files();
    if cli.quiet {
        be_quiet();
    }
    if cli.verbose {
        be_verbose();
    }
    let threads = matches.subcommand().and_then(|(_, command)| {
        command.try_get_one::<u16>("threads").ok().flatten().copied().and_then(NonZeroU16::new)
    });
    if let Some(threads) = threads {
        parallel::limit_threads(threads.into());
    }
    // What a run is worth is in its folder.
    let is_run = matches!(cli.command, Command::Train(_));
    let result = match cli.command {
        Command::Train(args) => train::run(*args, &given(&matches, "train")),
        Command::Sample(args) => generate::sample(args),
        Command::Reconstruct(args) => generate::reconstruct(args),
        Command::Figures(args) => figures::run(args),
        Command::Eval(args) => evaluate::run(args),
        Command::Bounds(args) => bounds::run(args),
        Command::Gaps(args) => gaps::run(args),
        Command::Score(args) => score::run(args),
        Command::Impute(args) => impute::run(args),
        Command::Curve(args) => curve::run(args),
        Command::Walk(args) => walk::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Explore(args) => explore::run(args),
        Command::Web(args) => web::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Completions(args) => completions::completions(args),
        Command::Man(args) => completions::man(args),
        Command::Notices(args) => notices::run(args),
    };
    let result = match (result, lost()) {
        (Ok(0), Some(error)) if !is_run => {
            Err(Failure::run(format!("cannot write to stdout: {error}")))
        }
        (result, _) => result,
    };
    result.unwrap_or_else(|failure| {
        complain(format_args!("error: {}", failure.message));
        failure.code
    })
}
