//! PyTorch's own files: the zip archive that torch.save writes since 1.6, of which the tensors are read and nothing is run
//! (<https://docs.pytorch.org/docs/stable/notes/serialization.html>).
//!
//! `NAME/data.pkl` is a pickle of what was saved, in which a tensor is a view of a storage, `NAME/data/KEY`.

mod pickle;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};

use safetensors::Dtype;
use zip::ZipArchive;

use pickle::{Pickle, Tensor, Value};

/// Most bytes of a pickle: some 40,000 tensors.
const MAX_PICKLE: u64 = 1 << 23;
/// Most dimensions of a tensor.
const MAX_RANK: usize = 8;
/// Tensors may share a storage, and files of an archive their bytes; both come to at most so many times the archive.
const MAX_SHARED: usize = 16;

/// What a checkpoint with more than the parameters calls them, first the usual.
const STATE_DICTS: [&str; 4] = ["model_state_dict", "state_dict", "model", "module"];

/// A tensor of a file, row-major, in little-endian bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Cow<'a, [u8]>,
}

/// The tensors of a state dict.
#[derive(Debug, PartialEq)]
pub struct StateDict {
    pub tensors: Vec<(String, Saved<'static>)>,
    /// What the file calls it, where it holds more.
    pub name: Option<String>,
}

/// Whether the bytes are a zip archive, as torch.save writes one.
pub fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// Whether they are what torch.save wrote before 1.6: a pickle that begins with a number of its own.
pub fn is_old(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")
}

/// Reads the tensors of an archive.
///
/// # Errors
/// It is not whole, or holds anything but tensors by their names: what, and what to do.
pub fn read(bytes: &[u8]) -> Result<StateDict, String> {
    let mut archive = Archive::open(bytes)?;
    let text = archive.file("data.pkl", MAX_PICKLE)?;
    let pickle = pickle::read(&text)?;
    let (name, views) = state_dict(&pickle)?;
    let mut tensors = Vec::with_capacity(views.len());
    for (name, view) in views {
        let saved = archive.tensor(view).map_err(|problem| format!("{name}: {problem}"))?;
        tensors.push((name.to_string(), saved));
    }
    Ok(StateDict { tensors, name })
}

/// An archive, and what was read of it.
struct Archive<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that all files are in.
    root: String,
    /// Most bytes of a storage, of which torch.save compresses none.
    most: u64,
    /// Bytes that storages and tensors may still take.
    left: usize,
    storages: HashMap<String, Vec<u8>>,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| format!("not a whole PyTorch archive: {error}"))?;
        let names: Vec<Cow<str>> = archive.file_names().filter_map(Result::ok).collect();
        if names.iter().any(|name| name.split('/').nth(1) == Some("code")) {
            return Err("it is a TorchScript module, which is a program: in Python, \
                 torch.save(torch.jit.load(FILE).state_dict(), NEW) saves its tensors alone"
                .to_string());
        }
        let mut roots = names.iter().filter_map(|name| {
            let root = name.strip_suffix("/data.pkl")?;
            (!root.contains('/')).then_some(root)
        });
        let (Some(root), None) = (roots.next(), roots.next()) else {
            return Err("an archive, but not one of torch.save: it has no data.pkl".to_string());
        };
        let root = root.to_string();
        let most = bytes.len() as u64;
        let left = bytes.len().saturating_mul(MAX_SHARED);
        let mut archive = Archive { archive, root, most, left, storages: HashMap::new() };
        match archive.file("byteorder", 16) {
            Ok(order) if order != b"little" => {
                Err("it was saved on a machine whose numbers begin with their highest byte"
                    .to_string())
            }
            // Files of before 2.1 do not say.
            _ => Ok(archive),
        }
    }

    /// A file of the archive.
    fn file(&mut self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let shown = name.escape_debug();
        let mut file = self
            .archive
            .by_name(&format!("{}/{name}", self.root))
            .map_err(|error| format!("not a whole PyTorch archive: {shown}: {error}"))?;
        if file.size() > most {
            let size = file.size();
            return Err(format!("{shown} has {size} bytes, {most} at most can be"));
        }
        let mut bytes = Vec::new();
        // The size is a claim: what comes is counted.
        let read = file.by_ref().take(most + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("not a whole PyTorch archive: {shown}: {error}"))?;
        match bytes.len() as u64 > most {
            false => Ok(bytes),
            true => Err(format!("{shown} has more than {most} bytes")),
        }
    }

    /// Takes memory.
    fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            format!(
                "with it the tensors come to more than {MAX_SHARED} times the file that they share"
            )
        })?;
        Ok(())
    }

    fn tensor(&mut self, view: &Tensor) -> Result<Saved<'static>, String> {
        let Tensor { storage, shape, .. } = view;
        let size = bytes_of(storage.dtype);
        if !self.storages.contains_key(&storage.key) {
            let most = storage.elements.saturating_mul(size as u64).min(self.most);
            let read = self.file(&format!("data/{}", storage.key), most)?;
            self.take(read.len())?;
            self.storages.insert(storage.key.clone(), read);
        }
        let bytes = &self.storages[&storage.key];
        if bytes.len() as u64 != storage.elements.saturating_mul(size as u64) {
            return Err(format!(
                "its storage has {} bytes, which are not the {} elements that it should have",
                bytes.len(),
                storage.elements
            ));
        }
        let places = places(view, bytes.len() / size)?;
        let data: Vec<u8> = match places {
            Places::Run(first, count) => bytes[first * size..(first + count) * size].to_vec(),
            Places::Each(places) => {
                places.iter().flat_map(|&at| &bytes[at * size..(at + 1) * size]).copied().collect()
            }
        };
        self.take(data.len())?;
        let shape = shape.iter().map(|&n| n as usize).collect();
        Ok(Saved { dtype: storage.dtype, shape, data: data.into() })
    }
}

/// Where a tensor's elements are in its storage, in row-major order.
enum Places {
    /// From the first on, so many one behind the other.
    Run(usize, usize),
    Each(Vec<usize>),
}

/// # Errors
/// Elements outside of the storage, or one that stands for several.
fn places(view: &Tensor, elements: usize) -> Result<Places, String> {
    let Tensor { offset, shape, strides, .. } = view;
    let wrong = || format!("its shape {shape:?} with strides {strides:?} is none of its storage's");
    if shape.len() != strides.len() || shape.len() > MAX_RANK {
        return Err(wrong());
    }
    let count = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    let count = count.filter(|&count| count <= elements as u64).ok_or_else(wrong)? as usize;
    if count == 0 {
        return Ok(Places::Run(0, 0));
    }
    let last = shape.iter().zip(strides).try_fold(*offset, |last, (&size, &stride)| {
        (size - 1).checked_mul(stride).and_then(|far| last.checked_add(far))
    });
    if last.is_none_or(|last| last >= elements as u64) {
        return Err(wrong());
    }
    // Nothing overflows from here on: each place is at most the last.
    let mut run = 1;
    let is_run = shape.iter().zip(strides).rev().all(|(&size, &stride)| {
        let fits = size == 1 || stride == run;
        run *= size;
        fits
    });
    let first = *offset as usize;
    if is_run {
        return Ok(Places::Run(first, count));
    }
    let mut places = vec![first];
    for (&size, &stride) in shape.iter().zip(strides) {
        let steps = |&at: &usize| (0..size as usize).map(move |step| at + step * stride as usize);
        places = places.iter().flat_map(steps).collect();
    }
    Ok(Places::Each(places))
}

fn bytes_of(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}

/// The tensors by their names, and the name of the dictionary that holds them where it is one of several values.
type Named<'a> = (Option<String>, Vec<(&'a str, &'a Tensor)>);

fn state_dict(pickle: &Pickle) -> Result<Named<'_>, String> {
    let Pickle { values, top } = pickle;
    let of = |id: usize| match &values[id] {
        Value::Dict(pairs) => {
            Some(pairs.iter().map(|&(key, value)| (&values[key], value)).collect::<Vec<_>>())
        }
        _ => None,
    };
    let has_tensors = |pairs: &[(&Value, usize)]| {
        pairs.iter().any(|&(_, value)| matches!(values[value], Value::Tensor(_)))
    };
    let Some(pairs) = of(*top) else {
        return Err(format!(
            "it holds {}, not a state dict: in Python, torch.save(model.state_dict(), FILE)",
            values[*top].kind()
        ));
    };
    let (name, pairs) = match has_tensors(&pairs) {
        true => (None, pairs),
        false => {
            let within = pairs.iter().filter_map(|&(key, value)| match key {
                Value::Text(name) => Some((name, of(value).filter(|pairs| has_tensors(pairs))?)),
                _ => None,
            });
            let mut within: Vec<_> = within.collect();
            let (name, pairs) = within.swap_remove(which(&within)?);
            (Some(name.clone()), pairs)
        }
    };
    let mut tensors = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        match (key, &values[value]) {
            (Value::Text(name), Value::Tensor(tensor)) => tensors.push((name.as_str(), tensor)),
            (Value::Text(name), other) => {
                let (name, kind) = (name.escape_debug(), other.kind());
                return Err(format!("{name} is {kind}, and a state dict is of tensors alone"));
            }
            (other, _) => {
                return Err(format!("a name in its state dict is {}", other.kind()));
            }
        }
    }
    Ok((name, tensors))
}

/// The place of the model's state dict among those of a checkpoint.
fn which<T>(within: &[(&String, T)]) -> Result<usize, String> {
    let place_of = |usual: &&str| within.iter().position(|(name, _)| name == usual);
    match (STATE_DICTS.iter().find_map(place_of), within) {
        (Some(place), _) => Ok(place),
        (None, [_]) => Ok(0),
        (None, []) => Err("it holds no tensors by their names".to_string()),
        (None, _) => {
            let names: Vec<&str> = within.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!(
                "it holds several state dicts, {}: save the one of the model by itself",
                names.join(", ").escape_debug()
            ))
        }
    }
}
