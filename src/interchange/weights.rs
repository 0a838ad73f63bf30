//! A model's parameters as a safetensors file: F32 tensors, weights (outputs, inputs) as PyTorch keeps them.
//!
//! A layer is f(W x + b), f the activation for hidden layers only. Pixels are in rows from the top, in
//! [0, 1]; ln σ² is clamped to [-30, 20] before use. The heads of the encoder are one matrix in the
//! program and layers of their own in a file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use super::names::{Names, Place};
use super::trained::Trained;
use crate::nn::graph::Order;
use crate::nn::{Layer, Module};
use crate::plan::Program;
use crate::vae::{Architecture, Family, Network};

/// The key of the metadata that holds the architecture as JSON.
pub const ARCHITECTURE: &str = "architecture";
/// The key of a safetensors header that holds the metadata.
const METADATA: &str = "__metadata__";

/// A tensor of a file: its name, its shape, and its rows in a parameter of the network.
pub struct Stored {
    pub name: String,
    pub shape: Vec<usize>,
    /// Its place in [`crate::vae::Network::parameters`].
    pub parameter: usize,
    /// Elements of the parameter that it is.
    pub range: Range<usize>,
    /// Where they are in another order in the file.
    pub order: Option<Order>,
    /// The file's value over the parameter's; a power of two.
    pub scale: f32,
}

impl Stored {
    /// Its elements in the network's parameters, in the file's order, before they are scaled for the file.
    pub fn of<'a>(&self, parameters: &'a [Vec<f32>]) -> Cow<'a, [f32]> {
        let elements = &parameters[self.parameter][self.range.clone()];
        match &self.order {
            None => Cow::Borrowed(elements),
            Some(order) => order.places().into_iter().map(|place| elements[place]).collect(),
        }
    }

    /// Writes the file's elements to the parameter's.
    fn read(&self, values: &[f32], parameter: &mut [f32]) {
        let elements = &mut parameter[self.range.clone()];
        match &self.order {
            None => elements.iter_mut().zip(values).for_each(|(to, from)| *to = from / self.scale),
            Some(order) => {
                for (place, value) in order.places().into_iter().zip(values) {
                    elements[place] = value / self.scale;
                }
            }
        }
    }
}

/// The tensors of a network under the names of a module that fit it.
pub fn stored(architecture: &Architecture, names: Names) -> Vec<Stored> {
    let network = Network::declare(&mut Program::new(), architecture);
    let mut all = Vec::new();
    let mut first = 0; // of the layer's parameters among the network's
    for (layer, places) in network.layers().zip(places(architecture)) {
        for (place, tensors) in places.into_iter().zip(layer.stored()) {
            let scale = match place {
                Place::LogVariance => names.log_variance_scale(),
                _ => 1.0,
            };
            all.extend(tensors.into_iter().map(|tensor| Stored {
                name: format!("{}.{}", names.layer(place), tensor.name),
                shape: tensor.shape,
                parameter: first + tensor.parameter,
                range: tensor.range,
                order: tensor.order,
                scale,
            }));
        }
        first += layer.parameters().len();
    }
    let of_posterior = architecture.posterior.parameters(architecture.latent);
    let of_posterior = of_posterior.into_iter().map(|own| (own.name, own.dims));
    let of_prior = architecture.prior.module().parameters(architecture.pixels());
    let of_prior = of_prior.into_iter().map(|own| (own.name.to_string(), own.dims));
    for (name, dims) in of_posterior.chain(of_prior) {
        all.push(Stored {
            name,
            range: 0..dims.iter().product(),
            shape: dims,
            parameter: first,
            order: None,
            scale: 1.0,
        });
        first += 1;
    }
    let own = architecture.likelihood.module().parameters(architecture.shape());
    for (i, own) in own.into_iter().enumerate() {
        all.push(Stored {
            name: names.of_likelihood(&own),
            range: 0..own.dims.iter().product(),
            shape: own.dims,
            parameter: first + i,
            order: None,
            scale: 1.0,
        });
    }
    all
}

/// Where the modules of each of a network's layers are, in the order of the layers.
pub fn places(architecture: &Architecture) -> Vec<Vec<Place>> {
    let network = Network::declare(&mut Program::new(), architecture);
    let (encoder, decoder) = (network.encoder(None), network.decoder(None, 1));
    let heads = encoder.iter().rposition(|layer| !layer.takes_class());
    let heads = heads.expect("an encoder has heads");
    let mut of_encoder = of_stack(&encoder[..heads], Place::Encoder, Place::EncoderEmbedding);
    let more: &[Place] = match architecture.posterior {
        Family::Diagonal => &[],
        Family::Full => &[Place::Lower],
        Family::Planar { .. } => &[Place::FlowShift, Place::FlowDirection, Place::FlowOffset],
        Family::Iaf { .. } => &[Place::FlowContext],
    };
    of_encoder.push([&[Place::Mu, Place::LogVariance], more].concat());
    of_encoder.extend(encoder[heads + 1..].iter().map(|_| vec![Place::EncoderEmbedding]));
    let mut of_decoder = of_stack(&decoder, Place::Decoder, Place::DecoderEmbedding);
    let mut all = of_decoder.iter_mut().flatten();
    let output = all.rfind(|place| **place != Place::DecoderEmbedding);
    let output = output.expect("a decoder has an output");
    if let Place::Decoder(hidden) = *output {
        *output = Place::Output { hidden, likelihood: architecture.likelihood };
    }
    [of_encoder, of_decoder].concat()
}

/// The places of layers one after the other: their modules that have parameters are numbered, but for embeddings.
fn of_stack(
    layers: &[Arc<dyn Layer>],
    place: fn(usize) -> Place,
    embedding: Place,
) -> Vec<Vec<Place>> {
    let mut numbers = 0..;
    let of_layer = |layer: &Arc<dyn Layer>| match layer.takes_class() {
        true => vec![embedding],
        false => numbers.by_ref().take(layer.stored().len()).map(place).collect(),
    };
    layers.iter().map(of_layer).collect()
}

/// A safetensors file of the parameters, which are in the order of [`crate::vae::Network::parameters`], with
/// the architecture and what else is known of the training in its metadata.
///
/// # Errors
/// The library refuses.
pub fn encode(
    architecture: &Architecture,
    names: Names,
    parameters: &[Vec<f32>],
    trained: &Trained,
) -> Result<Vec<u8>, String> {
    let stored = written(architecture, names);
    let bytes: Vec<Vec<u8>> = stored
        .iter()
        .map(|s| s.of(parameters).iter().flat_map(|v| (v * s.scale).to_le_bytes()).collect())
        .collect();
    let mut views = Vec::new();
    for (s, bytes) in stored.iter().zip(&bytes) {
        let view =
            TensorView::new(Dtype::F32, s.shape.clone(), bytes).map_err(|e| e.to_string())?;
        views.push((s.name.as_str(), view));
    }
    let mut metadata = trained.metadata();
    let about = serde_json::to_string(architecture).map_err(|e| e.to_string())?;
    metadata.insert(ARCHITECTURE.to_string(), about);
    let file = serialize(views, None).map_err(|e| e.to_string())?;
    with_metadata(&file, metadata)
}

/// [`stored`] as a file has them: modules that stand one after the other have the numbers that PyTorch gives them.
pub fn written(architecture: &Architecture, names: Names) -> Vec<Stored> {
    let mut stored = stored(architecture, names);
    if names == Names::Sequential {
        let numbers = modules(architecture);
        for s in &mut stored {
            s.name = renumbered(&s.name, |stack, rank| numbers[stack].get(rank).copied());
        }
    }
    stored
}

/// A safetensors file with metadata. The crate would write them in no fixed order; equal models are to be
/// equal files.
fn with_metadata(file: &[u8], metadata: BTreeMap<String, String>) -> Result<Vec<u8>, String> {
    let (length, _) = SafeTensors::read_metadata(file).map_err(|e| e.to_string())?;
    let (header, data) = file[8..].split_at(length);
    let mut header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| e.to_string())?;
    let metadata = metadata.into_iter().map(|(key, text)| (key, text.into())).collect();
    header.insert(METADATA.to_string(), serde_json::Value::Object(metadata));
    let mut header = serde_json::to_vec(&header).map_err(|e| e.to_string())?;
    // The tensors begin at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok([&(header.len() as u64).to_le_bytes(), &header[..], data].concat())
}

/// The parameters of a network from a file of F32 tensors under any of the known names.
///
/// # Errors
/// A tensor that is missing, of another shape, not finite or too many: which, expected, got.
pub fn decode(architecture: &Architecture, bytes: &[u8]) -> Result<Vec<Vec<f32>>, String> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| format!("not a safetensors file: {e}"))?;
    let mut tensors = HashMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} should be F32, it is {:?}", view.dtype()));
        }
        let values = bytemuck::pod_collect_to_vec(view.data());
        tensors.insert(name.to_string(), Tensor { shape: view.shape().to_vec(), values });
    }
    let names: Vec<&str> = tensors.keys().map(String::as_str).collect();
    let names = Names::of_tensors(&names).ok_or_else(|| unknown(names))?;
    if names == Names::Sequential {
        by_rank(&mut tensors)?;
    }
    fit(architecture, names, &tensors)
}

/// The stacks of nn.Sequential that modules are numbered in.
const STACKS: [&str; 2] = ["encoder", "decoder"];

/// The numbers of the modules with parameters in each of [`STACKS`], with activations, flattenings and unflattenings
/// between them.
fn modules(architecture: &Architecture) -> [Vec<usize>; 2] {
    let network = Network::declare(&mut Program::new(), architecture);
    let places = places(architecture);
    let hidden = places.iter().position(|places| places.first() == Some(&Place::Mu));
    let hidden = hidden.expect("an encoder has heads");
    [&network.encoder(None)[..hidden], &network.decoder(None, 1)].map(|layers| {
        let modules = layers.iter().flat_map(|layer| layer.modules()).enumerate();
        let stored = modules.filter(|(_, module)| *module == Module::Stored);
        stored.map(|(number, _)| number).collect()
    })
}

/// The name of a tensor of the i-th module with parameters of a stack, "encoder.2i.weight" or so, by another number.
fn renumbered(name: &str, number: impl Fn(usize, usize) -> Option<usize>) -> String {
    let other = || {
        let (stack, rest) = name.split_once('.')?;
        let (n, kind) = rest.split_once('.')?;
        let stack = STACKS.iter().position(|known| *known == stack)?;
        let other = number(stack, n.parse::<usize>().ok()? / 2)?;
        Some(format!("{}.{other}.{kind}", STACKS[stack]))
    };
    other().unwrap_or_else(|| name.to_string())
}

/// Renames the tensors of nn.Sequential stacks by the rank of their modules: whatever stood between those that have
/// parameters, the i-th is called "encoder.2i".
///
/// # Errors
/// Two would have the same name.
pub fn by_rank(tensors: &mut HashMap<String, Tensor>) -> Result<(), String> {
    for stack in STACKS {
        let number = |name: &str| -> Option<(usize, String)> {
            let (number, kind) = name.strip_prefix(stack)?.strip_prefix('.')?.split_once('.')?;
            Some((number.parse().ok()?, kind.to_string()))
        };
        let numbers: BTreeSet<usize> =
            tensors.keys().filter_map(|name| Some(number(name)?.0)).collect();
        rename(tensors, |name| match number(name) {
            Some((n, kind)) => format!("{stack}.{}.{kind}", 2 * numbers.range(..n).count()),
            None => name.to_string(),
        })?;
    }
    Ok(())
}

/// Gives every tensor another name.
///
/// # Errors
/// Two would have the same.
pub fn rename(
    tensors: &mut HashMap<String, Tensor>,
    to: impl Fn(&str) -> String,
) -> Result<(), String> {
    let mut renamed = HashMap::new();
    for (name, tensor) in tensors.drain() {
        let to = to(&name);
        if renamed.insert(to.clone(), tensor).is_some() {
            return Err(format!("{name} and another tensor would both be {to}"));
        }
    }
    *tensors = renamed;
    Ok(())
}

/// A tensor of a file, as F32.
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The parameters of a network from the tensors that bear a module's names.
///
/// # Errors
/// As [`decode`].
pub fn fit(
    architecture: &Architecture,
    names: Names,
    tensors: &HashMap<String, Tensor>,
) -> Result<Vec<Vec<f32>>, String> {
    if !names.fit(architecture) {
        return Err(format!("its tensors bear {}, which do not fit {architecture}", names.whose()));
    }
    let stored = stored(architecture, names);
    let mut parameters: Vec<Vec<f32>> = Vec::new();
    for s in &stored {
        let tensor = tensors.get(&s.name).ok_or_else(|| {
            let has = listed(tensors.keys().map(String::as_str).collect());
            format!("it has no tensor {}, which {architecture} needs; it has {has}", s.name)
        })?;
        if tensor.shape != s.shape {
            return Err(format!(
                "{} should be {:?} for {architecture}, it is {:?}",
                s.name, s.shape, tensor.shape
            ));
        }
        if let Some(bad) = tensor.values.iter().find(|v| !(*v / s.scale).is_finite()) {
            return Err(format!("{} holds {bad}", s.name));
        }
        if parameters.len() <= s.parameter {
            parameters.resize(s.parameter + 1, Vec::new());
        }
        let parameter = &mut parameters[s.parameter];
        parameter.resize(parameter.len().max(s.range.end), 0.0);
        s.read(&tensor.values, parameter);
    }
    let unknown = |name: &&String| stored.iter().all(|s| s.name != **name);
    match tensors.keys().filter(unknown).min() {
        Some(name) => Err(format!("it has a tensor {name} too many for {architecture}")),
        None => Ok(parameters),
    }
}

/// That no module is known whose parameters have these names.
pub fn unknown(tensors: Vec<&str>) -> String {
    format!(
        "its tensors bear no names that are known: for a VAE expected fc1, fc21, fc22, fc3, fc4 \
         (pytorch/examples), encoder.fc1, encoder.fc21, ... (Pyro), or encoder.0, mu, log_variance, \
         decoder.0, ..., each with .weight and .bias; it has {}",
        listed(tensors)
    )
}

/// The first names of many.
pub fn listed(mut names: Vec<&str>) -> String {
    const SHOWN: usize = 24;
    names.sort_unstable();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "none".to_string(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}
