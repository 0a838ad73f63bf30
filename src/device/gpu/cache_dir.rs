//! Files in the user's cache folder: written atomically, safe to delete.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::GpuDevice;
use crate::versions::versions;

/// The program's own, where this user has a cache folder.
pub fn folder_of_user() -> Option<PathBuf> {
    dirs::cache_dir().map(|dir| dir.join("elbo"))
}

/// Adapter, driver and versions: what is kept holds for no other.
pub fn identity(gpu: &GpuDevice) -> String {
    let d = &gpu.description;
    let versions = versions();
    let version = |name| versions.get(name).copied().unwrap_or("unknown");
    let (elbo, wgpu) = (version("elbo"), version("wgpu"));
    format!("{}, {}, {}, elbo {elbo}, wgpu {wgpu}", d.name, d.backend, d.driver)
}

/// Writes a file whole or not at all, and the folders it is in.
pub fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
