//! `elbo completions` and `elbo man`

use std::fs;
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Failure, no_command};
use crate::checkpoint::{check_writable, write_whole};
use crate::report::console::{print, say};

/// Print a shell's completions of commands and options
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo completions bash > ~/.local/share/bash-completion/completions/elbo
  elbo completions zsh > ~/.zfunc/_elbo
  elbo completions fish > ~/.config/fish/completions/elbo.fish")]
pub struct CompletionsArgs {
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual page of a command, or write all of them
#[derive(clap::Args)]
#[command(after_long_help = "Examples:
  elbo man train | man -l -
  elbo man --out ~/.local/share/man/man1")]
pub struct ManArgs {
    /// A command of elbo [default: elbo itself]
    #[arg(conflicts_with = "out")]
    command: Option<String>,
    /// Write elbo.1 and a page for each command, elbo-train.1 and so on, to this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub fn completions(args: CompletionsArgs) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "elbo", &mut text);
    print(&String::from_utf8_lossy(&text));
    Ok(0)
}

pub fn man(args: ManArgs) -> Result<u8, Failure> {
    let pages = pages();
    if let Some(folder) = args.out {
        fs::create_dir_all(&folder).map_err(|e| {
            Failure::input(format!("{}: cannot make the folder: {e}", folder.display()))
        })?;
        for page in &pages {
            let path = folder.join(format!("{}.1", name(page)));
            check_writable(&path).map_err(Failure::input)?;
            write_whole(&path, render(page)?.as_bytes()).map_err(Failure::run)?;
        }
        let (n, folder) = (pages.len(), folder.display());
        say(format_args!("{folder}: {n} pages; man -l {folder}/elbo.1 shows the first"));
        return Ok(0);
    }
    let wanted = args.command.map_or("elbo".to_string(), |command| format!("elbo-{command}"));
    let page = pages.iter().find(|page| name(page) == wanted);
    let page =
        page.ok_or_else(|| Failure::input(no_command(wanted.trim_start_matches("elbo-"))))?;
    print(&render(page)?);
    Ok(0)
}

/// The program and each of its commands.
fn pages() -> Vec<Command> {
    let mut program = Cli::command();
    program.build();
    let commands = program.get_subcommands().filter(|command| command.get_name() != "help");
    let commands: Vec<Command> = commands.cloned().collect();
    std::iter::once(program).chain(commands).collect()
}

/// What a page is called: elbo, elbo-train and so on.
fn name(page: &Command) -> &str {
    page.get_display_name().unwrap_or(page.get_name())
}

fn render(page: &Command) -> Result<String, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).render(&mut text).map_err(Failure::run)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
