//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    elbo::cli::main().into()
}
