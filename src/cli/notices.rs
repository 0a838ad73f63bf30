//! `elbo notices`

use super::Failure;
use crate::report::console::print;

/// Written by scripts/notices.py, and held to Cargo.lock by a test.
const NOTICES: &str = include_str!("../../assets/notices.txt");

/// Print the licences of the crates and the data that the program is made of, to be handed on with it
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_: Args) -> Result<u8, Failure> {
    print(NOTICES);
    Ok(0)
}
