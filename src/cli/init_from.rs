//! `elbo train --init-from`: parameters that another run, or another program, has trained.

use std::path::Path;

use super::Failure;
use crate::checkpoint::RunFolder;
use crate::interchange::weights;
use crate::read;
use crate::train::{FirstParameters, Settings, digest};
use crate::vae::Architecture;

/// What stands at a path.
pub enum Source {
    /// A run, whose settings are the defaults of the new one.
    Run(RunFolder, Box<Settings>),
    /// A .safetensors file.
    File(String),
}

impl Source {
    /// # Errors
    /// Neither a run nor a file is there.
    pub fn open(path: &Path) -> Result<Source, Failure> {
        if path.is_file() {
            let path = super::settings::absolute(&path.to_string_lossy());
            return Ok(Source::File(path));
        }
        let (folder, settings) = RunFolder::open(path).map_err(Failure::input)?;
        Ok(Source::Run(folder, Box::new(settings)))
    }

    /// The parameters, in the order of [`crate::vae::Network::parameters`], and where they are from.
    ///
    /// # Errors
    /// They are not those of this network: which, expected, got.
    pub fn parameters(
        &self,
        architecture: &Architecture,
    ) -> Result<(Vec<Vec<f32>>, FirstParameters), Failure> {
        let (path, parameters) = match self {
            Source::Run(folder, _) => {
                let parameters = folder.read_model(architecture).map_err(Failure::input)?;
                (super::settings::absolute(&folder.path().to_string_lossy()), parameters)
            }
            Source::File(path) => {
                let bytes = read::safetensors(Path::new(path));
                let bytes =
                    bytes.map_err(|e| Failure::input(format!("{path}: cannot read: {e}")))?;
                let parameters = weights::decode(architecture, &bytes);
                (path.clone(), parameters.map_err(|e| Failure::input(format!("{path}: {e}")))?)
            }
        };
        let sha256 = digest(&parameters);
        Ok((parameters, FirstParameters { path, sha256 }))
    }
}

/// The parameters that a run began with, for one that has no checkpoint yet.
///
/// # Errors
/// They are no longer there, or are others.
pub fn again(settings: &Settings) -> Result<Option<Vec<Vec<f32>>>, Failure> {
    let Some(first) = &settings.init_from else { return Ok(None) };
    let (parameters, now) =
        Source::open(Path::new(&first.path))?.parameters(&settings.architecture)?;
    if now.sha256 != first.sha256 {
        return Err(Failure::input(format!(
            "{}: its parameters are others than those that the run began with (SHA-256 {}, the run's {})",
            first.path, now.sha256, first.sha256
        )));
    }
    Ok(Some(parameters))
}
