//! A file of images named `file.npy`.

#![no_main]

mod file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file::load("file.npy", bytes));
