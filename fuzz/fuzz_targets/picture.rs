//! A folder with two pictures: one of the fuzzer's bytes as PNG and as JPEG, by what they begin with.

#![no_main]

mod file;

use elbo::data::{Options, load};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for name in ["a.png", "b.png"] {
        file::write(name, bytes);
    }
    let options = Options { size: Some((4, 4)), ..Options::default() };
    if let Err(error) = load(file::folder(), options) {
        let message = error.to_string();
        assert!(!message.contains(char::is_control), "{message:?}");
    }
});
