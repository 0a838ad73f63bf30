//! What the targets share: a file of the fuzzer's bytes, in memory where the system has such a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The folder of this process.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let folder = parent.join(format!("elbo-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the file");
        folder
    })
}

/// Writes the bytes to a file of this name.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("a file of the bytes");
    path
}

/// Loads the bytes as a data set from a file of this name: an error must be one line that begins with a
/// path, and images must be what they say they are.
#[allow(dead_code, reason = "not all targets are data")]
pub fn load(name: &str, bytes: &[u8]) {
    use elbo::data::{Images, Options, load};

    let check = |images: &Images| {
        assert!(images.n_images > 0 && images.n_pixels() > 0);
        assert_eq!(images.pixels.len(), images.n_images * images.n_pixels());
        if let Some(labels) = &images.labels {
            assert_eq!(labels.classes.len(), images.n_images);
            (0..images.n_images).for_each(|i| drop(labels.name(i)));
        }
    };
    match load(&write(name, bytes), Options::default()) {
        Ok(data) => [&data.train, &data.test].map(check),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(message.contains(folder().to_str().expect("a plain path")), "{message}");
            return;
        }
    };
}
