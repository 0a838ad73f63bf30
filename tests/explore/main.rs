//! `elbo explore` as its users meet it: over HTTP, and in a browser.
#![cfg(unix)] // signals, and the browser's pipe

mod client;
mod colour;
#[path = "../harness/mod.rs"]
mod harness;
mod http;
mod labels;
mod lost;
mod model;
mod page;

use harness::chromium;
