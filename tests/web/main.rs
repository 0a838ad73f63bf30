//! Plans as documents, and the browser that runs them: WebGPU in a headless Chromium, by the project's own executor.
#![cfg(unix)] // the browser's pipe

mod documents;
mod forged;
#[path = "../harness/mod.rs"]
mod harness;
mod kernels;
mod page;
mod problems;
mod settings;
mod steps;
