//! The program as its users meet it, its benchmark, and its documentation.

mod bench;
mod cli;
#[path = "../harness/mod.rs"]
mod harness;
mod library;
mod pages;
mod readme;
