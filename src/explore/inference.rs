//! The programs of an [`super::model::Explorer`] on their device: a decoder, and an image with encoder and estimators.

use super::model::{ExploreError, Figure, Inferred};
use crate::data;
use crate::device::Device;
use crate::evaluate::{Bounds, Estimate, Posteriors};
use crate::loaded::{LoadedModel, Model, rows_of};
use crate::vae::decode::DecodeProgram;
use crate::vae::estimate::{Chunks, EstimateProgram};
use crate::vae::posterior::Reader;
use crate::vae::step::Content;

/// A decoder of `rows` codes.
pub(super) struct Decoder(pub(super) LoadedModel<DecodeProgram>);

impl Decoder {
    pub(super) fn load(device: &Device, model: Model, rows: usize) -> Result<Self, ExploreError> {
        let program = DecodeProgram::record(model.architecture, rows)?;
        Ok(Decoder(LoadedModel::load(device, program, model.parameters, model.seed)?))
    }

    pub(super) fn decode(&mut self, z: &[f32], class: u32) -> Result<Vec<u8>, ExploreError> {
        let latent = self.0.program.network.architecture.latent;
        levels(&self.0.decode(z, &vec![class; z.len() / latent])?)
    }
}

/// An image, encoder and estimators.
pub(super) struct Inference {
    pub(super) loaded: LoadedModel<EstimateProgram>,
    reader: Reader,
    samples: usize,
    /// How many classes the network is told.
    classes: usize,
    /// Whether the KL to the prior has a closed form.
    closed_kl: bool,
}

/// Classes under which an image is judged one after the other, at most.
const JUDGED: usize = 20;

impl Inference {
    pub(super) fn load(
        device: &Device,
        model: Model,
        images: usize,
        samples: usize,
    ) -> Result<Self, ExploreError> {
        let chunks = Chunks::new(rows_of(device), 1, samples);
        let content = Content::Bytes(model.binarization);
        // The device holds the one image that is asked about, but draws as if it held all.
        let window = Some(1);
        let program = EstimateProgram::record(model.architecture, content, images, window, chunks)?;
        let loaded = LoadedModel::load(device, program, model.parameters, model.seed)?;
        let reader = Reader::of(model.architecture, model.parameters);
        let classes = model.architecture.classes.len();
        let closed_kl = model.architecture.has_closed_kl();
        Ok(Inference { loaded, reader, samples, classes, closed_kl })
    }

    /// [`Inference::infer`], and log p(x|y) under every class y where there are few.
    pub(super) fn judge(
        &mut self,
        pixels: &[u8],
        place: usize,
        class: u32,
        decoder: &mut Decoder,
    ) -> Result<Inferred, ExploreError> {
        let mut by_class = Vec::new();
        if self.classes <= JUDGED {
            for other in 0..self.classes as u32 {
                self.encode(pixels, place, other)?;
                by_class.push(self.importance_weighted()?.value);
            }
        }
        let inferred = self.infer(pixels, place, class, decoder)?;
        let class = (self.classes > 0).then_some(class);
        Ok(Inferred { class, by_class, ..inferred })
    }

    /// Encodes an image under a class: heads.
    fn encode(
        &mut self,
        pixels: &[u8],
        place: usize,
        class: u32,
    ) -> Result<Vec<f32>, ExploreError> {
        let loaded = &mut self.loaded;
        loaded.executor.write_bytes(loaded.program.data, pixels)?;
        if let Some(labels) = loaded.program.labels {
            loaded.executor.write_bytes(labels, &data::bytes_of(&[class as u16]))?;
        }
        loaded.begin_at(place)?;
        Ok(loaded.encode()?)
    }

    /// L_K of what was encoded.
    fn importance_weighted(&mut self) -> Result<Figure, ExploreError> {
        let EstimateProgram { chunks, importance, log_w, .. } = self.loaded.program;
        let runs = self.samples.div_ceil(chunks.samples) as u64;
        self.loaded.executor.run_all(importance, runs)?;
        Ok(log_mean(&finite(&self.loaded.read(log_w)?[..self.samples])?))
    }

    /// `place` is that of the image among the test images, on which its noise depends.
    fn infer(
        &mut self,
        pixels: &[u8],
        place: usize,
        class: u32,
        decoder: &mut Decoder,
    ) -> Result<Inferred, ExploreError> {
        let heads = self.encode(pixels, place, class)?;
        let loaded = &mut self.loaded;
        let EstimateProgram { chunks, x, importance, log_px, log_w, .. } = loaded.program;
        let EstimateProgram { prior, prior_log_px, .. } = loaded.program;
        let runs = self.samples.div_ceil(chunks.samples) as u64;
        let drawn = |values: Vec<f32>| finite(&values[..self.samples]);
        let x = levels(&loaded.read(x)?)?;
        loaded.executor.run_all(importance, runs)?;
        let log_px = drawn(loaded.read(log_px)?)?;
        let log_w = drawn(loaded.read(log_w)?)?;
        loaded.begin_at(place)?;
        loaded.executor.run_all(prior, runs)?;
        let prior = drawn(loaded.read(prior_log_px)?)?;

        let mut posterior = Posteriors::of(&self.reader);
        posterior.extend(&heads);
        let kl: Vec<f64> = posterior.units().iter().map(|unit| unit.kl.value).collect();
        let reconstruction = Estimate::of(log_px.iter().copied());
        let middle = self.reader.density(&heads).at(&vec![0.0; self.reader.latent]);
        let middle: Vec<f32> = middle.iter().map(|&v| v as f32).collect();
        let elbo = match self.closed_kl {
            true => Figure {
                value: reconstruction.value - posterior.kl(0),
                standard_error: reconstruction.standard_error,
                effective_size: None,
            },
            // The KL is sampled too.
            false => {
                let Estimate { value, standard_error } = Estimate::of(log_w.iter().copied());
                Figure { value, standard_error, effective_size: None }
            }
        };
        Ok(Inferred {
            x,
            reconstruction: decoder.decode(&middle, class)?,
            class: None,
            by_class: Vec::new(),
            simple_monte_carlo: log_mean(&prior),
            elbo,
            importance_weighted: log_mean(&log_w),
            mu: posterior.mean.clone(),
            sigma: posterior.log_variance.iter().map(|l| (0.5 * l).exp()).collect(),
            kl,
        })
    }
}

/// log (1/K) sum exp v. With w = e^v its error is that of the mean of w over the mean itself:
/// Var(w) / (K mean(w)^2) = (1/S - 1/K) K/(K-1), S the effective size.
fn log_mean(draws: &[f64]) -> Figure {
    let mut bounds = Bounds::new(&[draws.len()]);
    draws.iter().for_each(|&v| bounds.push(v));
    let (k, size) = (draws.len() as f64, bounds.effective_size());
    let variance = || (1.0 / size - 1.0 / k).max(0.0) * k / (k - 1.0);
    Figure {
        value: bounds.values()[0],
        standard_error: (draws.len() > 1).then(|| variance().sqrt()),
        effective_size: Some(size),
    }
}

fn finite(values: &[f32]) -> Result<Vec<f64>, ExploreError> {
    let finite = |&v: &f32| v.is_finite().then_some(f64::from(v));
    values.iter().map(finite).collect::<Option<_>>().ok_or(ExploreError::Overflow)
}

fn levels(values: &[f32]) -> Result<Vec<u8>, ExploreError> {
    let level = |&v: &f32| match v.is_nan() {
        true => Err(ExploreError::Overflow),
        false => Ok((v.clamp(0.0, 1.0) * 255.0).round() as u8),
    };
    values.iter().map(level).collect()
}
