//! A file of images named `file.npz`.

#![no_main]

mod file;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| file::load("file.npz", bytes));
