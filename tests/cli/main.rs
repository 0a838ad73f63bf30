//! The program as its users meet it, its benchmark, and its documentation.

mod bench;
mod colour;
mod config;
mod data;
mod dependencies;
mod devices;
mod documentation;
mod files;
#[path = "../harness/mod.rs"]
mod harness;
mod help;
mod labels;
mod library;
mod networks;
mod other_data;
mod outputs;
mod pages;
mod posteriors;
mod priors;
mod python;
mod readme;
mod refusals;
mod reliability;
mod run;
mod signals;
mod small;
mod tables;
