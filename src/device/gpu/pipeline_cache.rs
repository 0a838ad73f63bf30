//! What the driver has compiled, kept for the next process in the user's cache folder. Drivers for desktops
//! mostly keep it themselves, but not all and not always.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

use super::{GpuDevice, cache_dir};
use crate::device::DeviceError;

/// A file beyond this is begun anew, so that what is no longer used does not stay for ever. Bytes.
const MOST: usize = 64 << 20;
/// Of SHA-256, in bytes.
const DIGEST: usize = 32;

/// A pipeline cache of a device and its file, which holds the digest of the device's identity and the data,
/// then the data. Data that is damaged, or of another adapter, driver or version, never gets to the driver.
pub struct Compiled {
    pub cache: wgpu::PipelineCache,
    identity: String,
    path: PathBuf,
    /// What the file begins with, as far as this process knows.
    digest: Mutex<Vec<u8>>,
}

impl Compiled {
    /// With the file's content, or empty. None where the adapter has no such cache.
    pub fn open(gpu: &GpuDevice, folder: &Path) -> Option<Self> {
        if !gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let path = folder.join(wgpu::util::pipeline_cache_key(&gpu.device.adapter_info())?);
        let identity = cache_dir::identity(gpu);
        let file = std::fs::read(&path).unwrap_or_default();
        let data = intact(&identity, &file);
        if let Some(data) = data
            && let Ok(cache) = create(gpu, Some(data))
        {
            let digest = Mutex::new(file[..DIGEST].to_vec());
            return Some(Compiled { cache, identity, path, digest });
        }
        let cache = create(gpu, None).ok()?;
        Some(Compiled { cache, identity, path, digest: Mutex::default() })
    }

    /// Writes what was added since the file was read or written. A file that cannot be written costs the
    /// next process the compilation again, and nothing else.
    pub fn keep(&self) {
        let Some(data) = self.cache.get_data() else { return };
        let new = digest(&self.identity, &data);
        let mut written = self.digest.lock().unwrap_or_else(|e| e.into_inner());
        if *written != new && cache_dir::write(&self.path, &[&new[..], &data].concat()).is_ok() {
            *written = new;
        }
    }
}

/// The data of a file, if it is what a device of this identity wrote.
fn intact<'a>(identity: &str, file: &'a [u8]) -> Option<&'a [u8]> {
    let data = file.get(DIGEST..)?;
    (data.len() <= MOST && digest(identity, data) == file[..DIGEST]).then_some(data)
}

fn create(gpu: &GpuDevice, data: Option<&[u8]>) -> Result<wgpu::PipelineCache, DeviceError> {
    let descriptor =
        wgpu::PipelineCacheDescriptor { label: Some("compiled"), data, fallback: true };
    gpu.scoped("the pipeline cache", || {
        // SAFETY: the data is, byte for byte, what `get_data` returned on this adapter, driver and version of
        // wgpu, or its digest would be another.
        unsafe { gpu.device.create_pipeline_cache(&descriptor) }
    })
}

fn digest(identity: &str, data: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update((identity.len() as u64).to_le_bytes());
    hash.update(identity);
    hash.update(data);
    hash.finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_here_gets_to_the_driver() {
        let written = |data: &[u8]| [&digest("adapter, driver 1", data)[..], data].concat();
        let intact = |file: &[u8]| intact("adapter, driver 1", file).map(<[u8]>::to_vec);
        let file = written(b"compiled");
        assert_eq!(intact(&file).as_deref(), Some(&b"compiled"[..]));
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert_eq!(intact(&changed), None, "byte {at}");
            assert_eq!(intact(&file[..at]), None, "cut at {at}");
        }
        assert_eq!(intact(&[&file[..], b"d"].concat()), None);
        assert_eq!(super::intact("adapter, driver 2", &file), None);
        // Where the identity ends is part of it.
        let moved = [&file[..DIGEST], b"ompiled"].concat();
        assert_eq!(super::intact("adapter, driver 1c", &moved), None);
        assert_eq!(intact(&written(&vec![0; MOST + 1])), None, "too large");
        assert!(intact(&written(&vec![0; MOST])).is_some());
    }
}
