//! A trained model, and what can be done with it.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::Path;

use crate::checkpoint::{CheckpointError, RunFolder, SUMMARY, Saved, write_whole};
use crate::config_error::ConfigError;
use crate::data::Images;
use crate::device::Device;
use crate::error::Error;
use crate::evaluate::{self, Evaluation, Model, Posteriors, Request};
use crate::generate;
use crate::interchange::onnx::{self, Part};
use crate::interchange::{Names, Trained, weights};
use crate::read;
use crate::train::{self, EpochReport, Observer, Settings, State, Trainer};
use crate::vae::Architecture;

/// A trained variational autoencoder: its settings and its parameters.
///
/// It comes from [`Trainer::train`] or, by [`Vae::open`], from the folder of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Vae {
    settings: Settings,
    /// In the order of [`crate::vae::Network::parameters`], of the shapes that the settings say.
    parameters: Vec<Vec<f32>>,
}

impl Vae {
    /// The model of a run folder, as the program or [`Vae::save`] writes one.
    ///
    /// # Errors
    /// Not a run folder, no model in it yet, or files that are not whole.
    pub fn open(run: impl AsRef<Path>) -> Result<Vae, Error> {
        let (folder, settings) = RunFolder::open(run.as_ref())?;
        let parameters = folder.read_model(&settings.architecture)?;
        Ok(Vae { settings, parameters })
    }

    /// The model of a safetensors file, as [`Vae::save_safetensors`], `elbo export --pytorch` or a PyTorch module of these layers
    /// writes one. `settings` say of what network, and what it was trained with.
    ///
    /// # Errors
    /// The file cannot be read, or its tensors are not those of the network: which, expected, got.
    pub fn from_safetensors(file: impl AsRef<Path>, settings: Settings) -> Result<Vae, Error> {
        settings.check()?;
        let path = file.as_ref();
        let invalid = |message| CheckpointError::Invalid { path: path.to_path_buf(), message };
        let bytes = read::safetensors(path).map_err(|e| invalid(format!("cannot read: {e}")))?;
        let parameters = weights::decode(&settings.architecture, &bytes).map_err(invalid)?;
        Ok(Vae { settings, parameters })
    }

    /// Each parameter tensor under the name that [`Vae::save_safetensors`] gives it, with its shape and its elements.
    pub fn parameters(&self) -> Vec<(String, Vec<usize>, Cow<'_, [f32]>)> {
        let a = self.architecture();
        let all = weights::stored(a, Names::of(a)).into_iter();
        all.map(|tensor| {
            let elements = tensor.of(&self.parameters);
            (tensor.name, tensor.shape, elements)
        })
        .collect()
    }

    /// Writes a run folder, for [`Vae::open`] and for the commands of `elbo`, which look for the images
    /// that [`Settings::data`] names, and say so where they are others than those it was trained on.
    ///
    /// # Errors
    /// Something is there already, or it cannot be written.
    pub fn save(&self, run: impl AsRef<Path>) -> Result<(), Error> {
        let folder = RunFolder::create(run.as_ref(), &self.settings)?;
        let write = || {
            folder.write_model(&self.settings, &self.parameters)?;
            folder.write_json(SUMMARY, &Saved::new(&self.settings, &self.parameters))
        };
        Ok(write().inspect_err(|_| folder.discard())?)
    }

    /// Writes the parameters as a safetensors file, under PyTorch's names for them.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_safetensors(&self, file: impl AsRef<Path>) -> Result<(), Error> {
        let a = self.architecture();
        write(
            file.as_ref(),
            weights::encode(a, Names::of(a), &self.parameters, &Trained::of(&self.settings)),
        )
    }

    /// Writes the encoder or the decoder as an ONNX model.
    ///
    /// # Errors
    /// It cannot be written, or is larger than the 2 GiB that the format can hold.
    pub fn save_onnx(&self, part: Part, file: impl AsRef<Path>) -> Result<(), Error> {
        write(
            file.as_ref(),
            onnx::encode(self.architecture(), &self.parameters, part).map(|(bytes, _)| bytes),
        )
    }

    /// What it was trained with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The layers and what they model.
    pub fn architecture(&self) -> &Architecture {
        &self.settings.architecture
    }

    /// Draws from the prior: the expected pixels of each, (D), in rows from the top, the channels of a pixel
    /// side by side, in [0, 1]. A GPU compiles the kernels for a count once. Of a model that is told classes they come
    /// class by class, as many of each: see [`generate::by_class`].
    ///
    /// # Errors
    /// The device failed, or there are more than it can compute at once.
    pub fn sample(&self, device: &Device, count: usize, seed: u64) -> Result<Vec<Vec<f32>>, Error> {
        match count {
            0 => Ok(Vec::new()),
            _ => Ok(generate::sample(device, self.architecture(), &self.parameters, count, seed)?),
        }
    }

    /// The same of one class, by its name.
    ///
    /// # Errors
    /// As [`Vae::sample`], or the model is told no such class.
    pub fn sample_class(
        &self,
        device: &Device,
        class: &str,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let classes = vec![self.class(class)?; count];
        let (a, parameters) = (self.architecture(), &self.parameters);
        match count {
            0 => Ok(Vec::new()),
            _ => Ok(generate::sample_of(device, a, parameters, (count, &classes), seed)?),
        }
    }

    /// The posterior q(z|x) of each image, or q(z|x,y) with the class y of its label. Where the settings binarize pixels at
    /// random, so does this, the same way each time.
    ///
    /// # Errors
    /// Images of another size or without the classes that the model is told, the device failed, or sizes beyond what it can
    /// compute.
    pub fn encode(&self, device: &Device, images: &Images) -> Result<Posteriors, Error> {
        self.check(images)?;
        Ok(generate::posteriors(device, self.model(), images, images.n_images)?)
    }

    /// The expected pixels at latent codes `z`, (R, Z) row by row: R images of (D).
    ///
    /// # Errors
    /// No whole number of codes, a model that is told classes, the device failed, or there are more than it can compute at
    /// once.
    pub fn decode(&self, device: &Device, z: &[f32]) -> Result<Vec<Vec<f32>>, Error> {
        match self.architecture().classes.len() {
            0 => self.decode_as(device, z, &[]),
            n => {
                let problem =
                    format!("cannot be decoded by a model that is told one of {n} classes");
                let right = "use `Vae::decode_class`";
                Err(ConfigError::conflict("z", "without a class", problem, right).into())
            }
        }
    }

    /// The same as images of one class, by its name.
    ///
    /// # Errors
    /// As [`Vae::decode`], or the model is told no such class.
    pub fn decode_class(
        &self,
        device: &Device,
        z: &[f32],
        class: &str,
    ) -> Result<Vec<Vec<f32>>, Error> {
        let codes = z.len() / self.architecture().latent;
        self.decode_as(device, z, &vec![self.class(class)?; codes])
    }

    fn decode_as(
        &self,
        device: &Device,
        z: &[f32],
        classes: &[u32],
    ) -> Result<Vec<Vec<f32>>, Error> {
        let latent = self.architecture().latent;
        if !z.len().is_multiple_of(latent) {
            let n = z.len();
            let right = format!("must be whole codes of {latent} numbers");
            return Err(ConfigError::range("z", right, format!("{n} numbers")).into());
        }
        match z.is_empty() {
            true => Ok(Vec::new()),
            false => {
                let (a, parameters) = (self.architecture(), &self.parameters);
                Ok(generate::decode(device, a, parameters, z, classes)?)
            }
        }
    }

    /// The number of a class that the model is told.
    fn class(&self, name: &str) -> Result<u32, ConfigError> {
        self.architecture().class(name)
    }

    /// ELBO and log p(x) of images, or log p(x|y) with the class y of their labels, by `samples` draws from the posterior and as many from the prior of
    /// each image.
    ///
    /// # Errors
    /// No samples, images of another size, the device failed, or the decoder's numbers overflow.
    pub fn evaluate(
        &self,
        device: &Device,
        images: &Images,
        samples: usize,
    ) -> Result<Evaluation, Error> {
        self.check(images)?;
        if !(1..=1_000_000_000).contains(&samples) {
            let right = "must be from 1 to 1000000000";
            return Err(ConfigError::range("samples", right, samples).into());
        }
        let ks = if samples == 1 { vec![1] } else { vec![1, samples] };
        let request = Request { images: images.n_images, ks, rows: None, resident: None };
        let go_on = &mut |_| ControlFlow::Continue(());
        Ok(evaluate::evaluate(device, self.model(), images, &request, go_on)?)
    }

    fn model(&self) -> Model<'_> {
        Model {
            architecture: &self.settings.architecture,
            parameters: &self.parameters,
            binarization: self.settings.binarization,
            seed: self.settings.seed,
        }
    }

    fn check(&self, images: &Images) -> Result<(), ConfigError> {
        images.check("the images")?;
        images.check_shape(self.architecture().shape())?;
        images.classes_among(&self.architecture().classes, "the images").map(drop)
    }
}

fn write(path: &Path, bytes: Result<Vec<u8>, String>) -> Result<(), Error> {
    let invalid = |message| CheckpointError::Invalid { path: path.to_path_buf(), message };
    Ok(write_whole(path, &bytes.map_err(invalid)?)?)
}

impl Trainer {
    /// Trains to the end of the settings' epochs or steps. `each` is called with the figures of every epoch, and may
    /// end the training with it. No file is written: see [`Vae::save`].
    ///
    /// # Errors
    /// All steps are taken already, the device failed, or the numbers overflow: in which step, tensor and kernel.
    pub fn train(
        &mut self,
        each: impl FnMut(&EpochReport) -> ControlFlow<()>,
    ) -> Result<Vae, Error> {
        let (taken, total) = (self.step(), self.steps_total());
        if taken >= total {
            let right = format!(
                "of this trainer must be below the {total} of its settings; make a new one"
            );
            return Err(ConfigError::range("steps", right, taken).into());
        }
        let mut watcher = Watcher { each, ended: None };
        let outcome = train::run(self, &mut watcher)?;
        // What was begun after the epoch that was to be the last is left out.
        Ok(self.trained(watcher.ended.unwrap_or(outcome.parameters)))
    }

    /// The same, watched step by step: `observer` hears of every finished step within a few milliseconds of it, gets the
    /// parameters after every epoch, and a [`State`] from which [`Trainer::go_on`] goes on. The device computes meanwhile.
    ///
    /// # Errors
    /// As [`Trainer::train`]; or the observer's.
    pub fn train_watched(&mut self, observer: &mut dyn Observer) -> Result<Vae, Error> {
        let outcome = train::run(self, observer)?;
        Ok(self.trained(outcome.parameters))
    }

    /// Goes on from a state of a trainer of the same data and settings, on the same device bit for bit as if it had never
    /// stopped.
    ///
    /// # Errors
    /// As [`Trainer::train_watched`].
    pub fn go_on(&mut self, state: State, observer: &mut dyn Observer) -> Result<Vae, Error> {
        let outcome = train::resume(self, state, observer)?;
        Ok(self.trained(outcome.parameters))
    }

    fn trained(&self, parameters: Vec<Vec<f32>>) -> Vae {
        let settings = match self.dataset() {
            Some(dataset) => self.settings().trained_on(dataset),
            None => self.settings().clone(),
        };
        Vae { settings, parameters }
    }
}

struct Watcher<F> {
    each: F,
    /// The parameters after the epoch that was to be the last.
    ended: Option<Vec<Vec<f32>>>,
}

impl<F: FnMut(&EpochReport) -> ControlFlow<()>> Observer for Watcher<F> {
    fn step(&mut self, _step: u64) -> bool {
        self.ended.is_some()
    }

    fn epoch_ends(&mut self, report: &EpochReport, parameters: &[Vec<f32>]) -> Result<(), String> {
        if (self.each)(report).is_break() {
            self.ended = Some(parameters.to_vec());
        }
        Ok(())
    }
}
