//! A run folder whose `config.json` is the fuzzer's.

#![no_main]

mod file;

use elbo::checkpoint::RunFolder;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    file::write("config.json", bytes);
    match RunFolder::open(file::folder()) {
        Ok((_, settings)) => settings.check().expect("what is opened is checked"),
        Err(error) => {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "{message:?}");
        }
    }
});
