//! A model that was trained elsewhere: its tensors, and the network that their names and shapes tell.

use std::collections::{BTreeSet, HashMap};

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use super::names::{Names, Place};
use super::trained::Trained;
use super::weights::{ARCHITECTURE, Tensor, by_rank, fit, rename, unknown};
use crate::nn::Layers;
use crate::vae::Architecture;

/// What wrappers put before every name of a state dict.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// What the heads of an encoder are called beside `mu` and `log_variance`.
const HEADS: [(&str, &str); 5] = [
    ("fc_mu", "mu"),
    ("fc_var", "log_variance"),
    ("fc_logvar", "log_variance"),
    ("logvar", "log_variance"),
    ("log_var", "log_variance"),
];

/// The tensors of a file under one of the known names, with what they tell.
pub struct Imported {
    pub names: Names,
    pub tensors: HashMap<String, Tensor>,
    /// `None` of a network with layers of other kinds, whose sizes the tensors do not tell.
    pub widths: Option<Widths>,
    /// Z
    pub latent: usize,
    /// Types that were converted to F32, if any.
    pub converted: BTreeSet<String>,
    /// What the metadata of this program's own files say, if it is true of the tensors.
    pub architecture: Option<Architecture>,
    /// How the model was trained, from the same metadata.
    pub trained: Trained,
}

/// Sizes of the layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths {
    /// D
    pub pixels: usize,
    pub hidden: Vec<usize>,
    /// Z
    pub latent: usize,
    /// From the latent side.
    pub decoder_hidden: Vec<usize>,
}

impl Imported {
    /// # Errors
    /// Not a safetensors file, a tensor of no floating-point type, or names that are not known.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| not_safetensors(bytes, &e))?;
        let statistics = file.names().into_iter().filter_map(|n| n.strip_suffix(".running_mean"));
        if let Some(module) = statistics.min() {
            return Err(format!(
                "{module} is a batch normalisation, which elbo has not: its norm is a group normalisation, \
                 nn.GroupNorm, which computes the same in training and evaluation"
            ));
        }
        let (mut tensors, mut converted) = (HashMap::new(), BTreeSet::new());
        for (name, view) in file.iter() {
            if view.dtype() != Dtype::F32 {
                converted.insert(format!("{:?}", view.dtype()));
            }
            let shape = view.shape().to_vec();
            tensors.insert(name.to_string(), Tensor { shape, values: values(name, &view)? });
        }
        for wrapper in WRAPPERS {
            if tensors.keys().all(|name| name.starts_with(wrapper)) {
                rename(&mut tensors, |name| name[wrapper.len()..].to_string())?;
            }
        }
        let names = identify(&mut tensors)?;
        // Convolutions and normalisations.
        let other = |(name, t): (&String, &Tensor)| {
            names == Names::Sequential && name.ends_with(".weight") && t.shape.len() != 2
        };
        let widths = match tensors.iter().any(other) {
            true => None,
            false => Some(Widths::of(names, &tensors)?),
        };
        let mu = format!("{}.weight", names.layer(Place::Mu));
        let latent = tensors.get(&mu).and_then(|tensor| tensor.shape.first()).copied().unwrap_or(0);
        let metadata = SafeTensors::read_metadata(bytes).ok();
        let metadata = metadata.and_then(|(_, m)| m.metadata().clone()).unwrap_or_default();
        let architecture = metadata
            .get(ARCHITECTURE)
            .and_then(|text| serde_json::from_str(text).ok())
            .filter(|a: &Architecture| match &widths {
                _ if a.check().is_err() => false,
                Some(widths) if widths.are_those_of(a) => true,
                _ => fit(a, names, &tensors).is_ok(),
            });
        let trained = match architecture {
            Some(_) => Trained::read(&metadata),
            None => Trained::default(),
        };
        Ok(Imported { names, tensors, widths, latent, converted, architecture, trained })
    }

    /// The log variance of a Gaussian likelihood, if there is one.
    pub fn variance(&self) -> Option<&Tensor> {
        self.tensors.get(self.names.observation_log_variance())
    }
}

impl Widths {
    /// The sizes that the first dimension of each weight tells; [`super::weights::fit`] checks the others.
    fn of(names: Names, tensors: &HashMap<String, Tensor>) -> Result<Widths, String> {
        let name_of = |place| format!("{}.weight", names.layer(place));
        let matrix = |place| {
            let name = name_of(place);
            let tensor = tensors
                .get(&name)
                .ok_or_else(|| format!("it has no tensor {name}, which {} need", names.whose()))?;
            match tensor.shape[..] {
                [outputs, inputs] => Ok((outputs, inputs)),
                _ => Err(format!(
                    "{name} should be a matrix (outputs, inputs) of a fully connected layer, its shape is {:?}",
                    tensor.shape
                )),
            }
        };
        // As many as there are names for, of hidden layers that the tensors have.
        let count = |place: fn(usize) -> Place| match names {
            Names::Example | Names::Pyro => 1,
            Names::Sequential | Names::First => {
                (0..).take_while(|&i| tensors.contains_key(&name_of(place(i)))).count()
            }
        };
        let encoder: Vec<_> = (0..count(Place::Encoder))
            .map(|i| matrix(Place::Encoder(i)))
            .collect::<Result<_, _>>()?;
        let mu = matrix(Place::Mu)?;
        let mut decoder: Vec<_> = (0..count(Place::Decoder))
            .map(|i| matrix(Place::Decoder(i)))
            .collect::<Result<_, _>>()?;
        if names == Names::Sequential {
            matrix(Place::Decoder(0))?;
            decoder.pop(); // gives the pixels
        }
        Ok(Widths {
            pixels: encoder.first().unwrap_or(&mu).1,
            hidden: encoder.iter().map(|(outputs, _)| *outputs).collect(),
            latent: mu.0,
            decoder_hidden: decoder.iter().map(|(outputs, _)| *outputs).collect(),
        })
    }

    fn are_those_of(&self, a: &Architecture) -> bool {
        self.pixels == a.pixels()
            && a.hidden == Layers::from(&self.hidden[..])
            && self.latent == a.latent
            && a.decoder_hidden == Layers::from(&self.decoder_hidden[..])
    }
}

/// Whose names the tensors bear. Variants of the sequential ones are brought to their form.
fn identify(tensors: &mut HashMap<String, Tensor>) -> Result<Names, String> {
    let known = |tensors: &HashMap<String, Tensor>| {
        Names::of_tensors(&tensors.keys().map(String::as_str).collect::<Vec<_>>())
    };
    if known(tensors).is_none() {
        rename(tensors, |name| {
            let (layer, kind) = name.rsplit_once('.').unwrap_or((name, ""));
            match HEADS.iter().find(|(alias, _)| *alias == layer) {
                Some((_, head)) => format!("{head}.{kind}"),
                None => name.to_string(),
            }
        })?;
    }
    let names =
        known(tensors).ok_or_else(|| unknown(tensors.keys().map(String::as_str).collect()))?;
    if names == Names::Sequential {
        // Between the layers there may be more than their activations, such as dropout.
        by_rank(tensors)?;
    }
    Ok(names)
}

/// A tensor's elements in single precision.
fn values(name: &str, view: &TensorView) -> Result<Vec<f32>, String> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(data)),
        Dtype::F16 => Ok(elements(data, |b| f16::from_le_bytes(b).to_f32())),
        Dtype::BF16 => Ok(elements(data, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::F64 => {
            let values = elements(data, f64::from_le_bytes);
            match values.iter().find(|v| v.is_finite() && !(**v as f32).is_finite()) {
                Some(large) => Err(format!("{name} holds {large:e}, which is too large for F32")),
                None => Ok(values.into_iter().map(|v| v as f32).collect()),
            }
        }
        other => Err(format!(
            "{name} is {other:?}; parameters are F32, and F64, F16 and BF16 are converted to it"
        )),
    }
}

fn elements<const N: usize, T>(data: &[u8], of: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|bytes| of(*bytes)).collect()
}

fn not_safetensors(bytes: &[u8], error: &safetensors::SafeTensorError) -> String {
    match bytes {
        [b'P', b'K', 3, 4, ..] | [0x80, 2, 0x8a, ..] => {
            "a PyTorch archive, not a safetensors file: write one by \
             safetensors.torch.save_file(model.state_dict(), FILE)"
                .to_string()
        }
        _ => format!("not a whole safetensors file: {error}"),
    }
}
