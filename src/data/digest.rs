//! What tells one data set from another.

use sha2::{Digest, Sha256};

use super::Dataset;

impl Dataset {
    /// SHA-256 of the images of all sets, their numbers and sizes: all of the data that training and
    /// evaluation see. Names and labels are no part of it.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for images in
            [Some(&self.train), Some(&self.test), self.valid.as_ref()].into_iter().flatten()
        {
            for size in [images.n_images, images.height, images.width] {
                hash.update((size as u64).to_le_bytes());
            }
            // Grey images have the digest that they had when there were no others.
            if images.channels > 1 {
                hash.update((images.channels as u64).to_le_bytes());
            }
            if images.pixels.table().is_some() {
                hash.update(b"table");
            }
            hash.update(&*images.pixels);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
