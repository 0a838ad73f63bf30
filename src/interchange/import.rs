//! A model that was trained elsewhere: its tensors, from a safetensors file or PyTorch's own, and the network that their names
//! and shapes tell.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::names::{Names, Place};
use super::pytorch::{self, Saved, StateDict};
use super::trained::Trained;
use super::weights::{ARCHITECTURE, Tensor, by_rank, fit, listed, rename, unknown};
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
    /// What the file calls the tensors together, where it holds more than them.
    pub within: Option<String>,
}

/// Another name for tensors: for one, or for all of a module, whose names begin with it and a dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    pub from: String,
    /// Nothing takes the module's name away.
    pub to: String,
}

impl Rename {
    /// What a tensor of this name is called then, if it is meant.
    fn apply(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(&self.from)?;
        match (rest, rest.strip_prefix('.')) {
            ("", _) => Some(self.to.clone()),
            (_, Some(inner)) if self.to.is_empty() => Some(inner.to_string()),
            (rest, Some(_)) => Some(format!("{}{rest}", self.to)),
            _ => None,
        }
    }
}

/// What a file holds, whatever wrote it.
struct File<'a> {
    tensors: Vec<(String, Saved<'a>)>,
    metadata: HashMap<String, String>,
    within: Option<String>,
}

impl<'a> File<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        if pytorch::is_archive(bytes) {
            let StateDict { tensors, name } = pytorch::read(bytes)?;
            return Ok(File { tensors, metadata: HashMap::new(), within: name });
        }
        if pytorch::is_old(bytes) {
            return Err("PyTorch's format of before 1.6, which is a pickle alone: in Python, \
                        torch.save(torch.load(FILE, weights_only=True), NEW) writes today's"
                .to_string());
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| {
            format!("not a whole safetensors file, nor what torch.save writes: {error}")
        })?;
        let saved = |view: &safetensors::tensor::TensorView<'a>| Saved {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            data: Cow::Borrowed(view.data()),
        };
        let tensors = file.iter().map(|(name, view)| (name.to_string(), saved(&view))).collect();
        let metadata = SafeTensors::read_metadata(bytes).ok();
        let metadata = metadata.and_then(|(_, m)| m.metadata().clone()).unwrap_or_default();
        Ok(File { tensors, metadata, within: None })
    }
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
    /// A safetensors file, or what torch.save writes of a state dict, whose tensors get other names first by `renames`.
    ///
    /// # Errors
    /// Neither of both, a tensor of no floating-point type, or names that are not known.
    pub fn read(bytes: &[u8], renames: &[Rename]) -> Result<Self, String> {
        let File { tensors: saved, metadata, within } = File::read(bytes)?;
        let names = saved.iter().map(|(name, _)| name.as_str());
        let statistics = names.filter_map(|name| name.strip_suffix(".running_mean"));
        if let Some(module) = statistics.min() {
            return Err(format!(
                "{module} is a batch normalisation, which elbo has not: its norm is a group normalisation, \
                 nn.GroupNorm, which computes the same in training and evaluation"
            ));
        }
        let (mut tensors, mut converted) = (HashMap::new(), BTreeSet::new());
        for (name, saved) in saved {
            if saved.dtype != Dtype::F32 {
                converted.insert(format!("{:?}", saved.dtype));
            }
            let values = values(&name, &saved)?;
            tensors.insert(name, Tensor { shape: saved.shape, values });
        }
        for renaming in renames {
            if !tensors.keys().any(|name| renaming.apply(name).is_some()) {
                let names = tensors.keys().map(String::as_str).collect();
                return Err(format!(
                    "no tensor is called {0}, and no name begins with {0}. to be renamed; there are {1}",
                    renaming.from.escape_debug(),
                    listed(names)
                ));
            }
            rename(&mut tensors, |name| renaming.apply(name).unwrap_or(name.to_string()))?;
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
        Ok(Imported { names, tensors, widths, latent, converted, architecture, trained, within })
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
                None => pythaes(name).unwrap_or(name.to_string()),
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

/// The sequential name of a tensor that pythae's default networks have: `encoder.layers.0.0`, which is the module in front of its
/// activation, `encoder.embedding`, `encoder.log_var`, `decoder.layers.0.0`.
fn pythaes(name: &str) -> Option<String> {
    for (theirs, ours) in [("encoder.embedding", "mu"), ("encoder.log_var", "log_variance")] {
        if let Some(kind) = name.strip_prefix(theirs).filter(|kind| kind.starts_with('.')) {
            return Some(format!("{ours}{kind}"));
        }
    }
    let (stack, rest) = name.split_once(".layers.")?;
    let mut parts = rest.split('.');
    match (stack, parts.next(), parts.next(), parts.next(), parts.next()) {
        ("encoder" | "decoder", Some(layer), Some("0"), Some(kind), None) => {
            Some(format!("{stack}.{layer}.{kind}"))
        }
        _ => None,
    }
}

/// A tensor's elements in single precision.
fn values(name: &str, saved: &Saved) -> Result<Vec<f32>, String> {
    let data = &saved.data[..];
    match saved.dtype {
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
