//! A document into a program.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::write::{bindings, hash, needed};
use super::{
    DispatchText, DocumentError, Element, FORMAT, Head, LIMITS, LONGEST, POOL_FORMAT, PlanText,
    PoolText, TensorText, Text, VERSION, place_of,
};
use crate::plan::kernel::Kernel;
use crate::plan::{DType, Dispatch, PART_ALIGNMENT, Plan, Program, TensorId};

/// The largest tensor, in bytes: shaders index in u32.
const LARGEST: u64 = u32::MAX as u64 - 3;

/// The constants that the size of a grid is divided by.
const DIVISORS: [&str; 3] = ["WORKGROUP", "STRIDE", "SLAB"];

/// What is in a document.
#[derive(Debug)]
pub struct Read {
    /// With a fresh number for each tensor: they are found by their names.
    pub program: Program,
    pub host: Value,
}

/// Reads a document whose modules are in the pool, for a program whose kernels are these. No tensor is allocated.
///
/// # Errors
/// A text that is too long, no JSON, of another version, or not of a program that could have been recorded
/// here: where, and what is wrong.
pub fn read(plan: &str, pool: &str, kernels: &[&'static Kernel]) -> Result<Read, DocumentError> {
    let text: Text = parse("the document", FORMAT, plan)?;
    let pool: PoolText = parse("the modules", POOL_FORMAT, pool)?;
    let mut program = Program::new();
    let mut names = BTreeSet::new();
    for (i, tensor) in text.tensors.iter().enumerate() {
        if !names.insert(tensor.name.as_str()) {
            return Err(wrong(i, tensor, "another tensor has this name"));
        }
        declare(&mut program, i, tensor)?;
    }
    for (i, tensor) in text.tensors.iter().enumerate() {
        if let Some((whole, first)) = tensor.part_of {
            check_part(&text.tensors, i, whole, first)?;
            program.set_part(TensorId(i), TensorId(whole), first);
        }
    }
    for (i, constant) in text.constants.iter().enumerate() {
        let place = format!("constants[{i}]");
        let wrong = |problem: String| DocumentError::new(&*place, problem);
        let Some(tensor) = program.tensors().get(constant.tensor) else {
            return Err(wrong(format!("there is no tensor {}", constant.tensor)));
        };
        let bytes = STANDARD.decode(&constant.base64);
        let bytes = bytes.map_err(|e| wrong(format!("no base64: {e}")))?;
        if bytes.len() != tensor.size_bytes() {
            let (n, size) = (bytes.len(), tensor.size_bytes());
            return Err(wrong(format!("{n} bytes for {tensor}, which has {size}")));
        }
        program.constant(TensorId(constant.tensor), bytes);
    }
    for (i, name) in text.modules.iter().enumerate() {
        let place = || format!("modules[{i}], {name:?}");
        let Some(source) = pool.modules.get(name) else {
            return Err(DocumentError::new(place(), "it is not among the modules"));
        };
        let found = hash(source);
        if found != *name {
            let problem = format!("its text has another SHA-256, {found}");
            return Err(DocumentError::new(place(), problem));
        }
    }
    let modules: Vec<&str> = text.modules.iter().map(|name| &*pool.modules[name]).collect();
    let mut plans = BTreeSet::new();
    for (i, PlanText { name, dispatches }) in text.plans.iter().enumerate() {
        let place = format!("plans[{i}], {name:?}");
        if !plans.insert(name) {
            return Err(DocumentError::new(place, "another plan has this name"));
        }
        if dispatches.is_empty() {
            return Err(DocumentError::new(place, "it has no dispatch"));
        }
        let mut plan = Plan::new(name.clone());
        for (j, dispatch) in dispatches.iter().enumerate() {
            let recorded = record(&program, kernels, &modules, dispatch, &text.by);
            let place = || place_of(i, name, j);
            plan.dispatches.push(recorded.map_err(|e| DocumentError::new(place(), e))?);
        }
        program.add(plan);
    }
    check_limits(&text.limits, &program)?;
    Ok(Read { program, host: text.host })
}

/// A text in JSON of a format, of the version that is read here.
fn parse<T: DeserializeOwned>(what: &str, format: &str, text: &str) -> Result<T, DocumentError> {
    let wrong = |problem: String| Err(DocumentError::new(what, problem));
    if text.len() > LONGEST {
        return wrong(format!("{} bytes are too many; {LONGEST} are read at most", text.len()));
    }
    let head: Head = match serde_json::from_str(text) {
        Ok(head) => head,
        Err(e) => return wrong(e.to_string()),
    };
    if head.format != format {
        return wrong(format!("its format is {:?}; expected {format:?}", head.format));
    }
    if head.version != VERSION {
        return wrong(format!("it is of version {}; this program reads {VERSION}", head.version));
    }
    serde_json::from_str(text).or_else(|e| wrong(e.to_string()))
}

fn wrong(i: usize, tensor: &TensorText, problem: impl Into<String>) -> DocumentError {
    DocumentError::new(format!("tensors[{i}], {:?}", tensor.name), problem)
}

/// The elements of a tensor, if they are not none and not too many.
fn elements(tensor: &TensorText) -> Option<u64> {
    let mut dims = tensor.dims.iter();
    let n = dims.try_fold(1_u64, |n, &dim| n.checked_mul(u64::try_from(dim).ok()?))?;
    let bytes = n.checked_mul(DType::from(tensor.dtype).size_bytes() as u64)?;
    (n > 0 && bytes <= LARGEST).then_some(n)
}

fn declare(program: &mut Program, i: usize, tensor: &TensorText) -> Result<(), DocumentError> {
    if tensor.dims.len() > 8 || elements(tensor).is_none() {
        let problem = format!(
            "its dimensions are {:?}; expected at most eight, none of them 0, and {LARGEST} bytes at most",
            &tensor.dims[..tensor.dims.len().min(9)]
        );
        return Err(wrong(i, tensor, problem));
    }
    program.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype.into());
    Ok(())
}

/// That a tensor lies within another that is no part itself.
fn check_part(
    tensors: &[TensorText],
    i: usize,
    whole: usize,
    first: usize,
) -> Result<(), DocumentError> {
    let part = &tensors[i];
    let of = tensors.get(whole).filter(|whole| whole.part_of.is_none());
    let Some(of) = of else {
        let problem = format!("it is a part of tensor {whole}, which is none that has parts");
        return Err(wrong(i, part, problem));
    };
    let end = elements(part).and_then(|n| n.checked_add(first as u64));
    let within = end.is_some_and(|end| Some(end) <= elements(of));
    let floats = [part.dtype, of.dtype].iter().all(|dtype| *dtype == Element::F32);
    if !within || !floats || !first.is_multiple_of(PART_ALIGNMENT) {
        let problem = format!(
            "it cannot be the part of {:?} from element {first} on: both are to be f32, and {first} within it and a \
             multiple of {PART_ALIGNMENT}",
            of.name
        );
        return Err(wrong(i, part, problem));
    }
    Ok(())
}

/// Records a dispatch, and holds the document to it.
fn record(
    program: &Program,
    kernels: &[&'static Kernel],
    modules: &[&str],
    text: &DispatchText,
    by: &str,
) -> Result<Dispatch, String> {
    let kernel = kernels.iter().copied().find(|kernel| kernel.to_string() == text.kernel);
    let kernel = kernel.ok_or_else(|| format!("there is no kernel {:?}", text.kernel))?;
    let variant = kernel.variants.iter().find(|variant| variant.name == text.variant);
    let variant = variant.ok_or_else(|| format!("{kernel} has no variant {:?}", text.variant))?;
    let reflection = kernel.reflection_of(variant).map_err(|e| e.to_string())?;
    match modules.get(text.module) {
        None => return Err(format!("there is no module {}", text.module)),
        Some(source) if *source != reflection.source => {
            return Err(format!(
                "module {} is not the shader of {kernel} here; it is by {by}",
                text.module
            ));
        }
        Some(_) => {}
    }
    if text.entry != kernel.entry {
        return Err(format!("{kernel} begins at {}, not at {:?}", kernel.entry, text.entry));
    }
    if let Some(name) =
        DIVISORS.iter().find(|&&n| text.overrides.get(n).is_some_and(|v| v.0 == 0.0))
    {
        return Err(format!("{kernel}: {name} cannot be 0"));
    }
    let mut tensors = Vec::new();
    for bound in &text.bindings {
        if bound.tensor >= program.tensors().len() {
            return Err(format!("{kernel}: there is no tensor {}", bound.tensor));
        }
        tensors.push((bound.name.as_str(), TensorId(bound.tensor)));
    }
    let constants: Vec<(&str, f64)> =
        text.overrides.iter().map(|(name, value)| (name.as_str(), value.0)).collect();
    let recorded =
        Dispatch::new(program, kernel, &tensors, &constants).map_err(|e| e.to_string())?;
    if let Some((name, value)) =
        recorded.constants.pairs().into_iter().find(|(name, _)| !text.overrides.contains_key(*name))
    {
        return Err(format!("{kernel}: the override {name} is missing; it is {value}"));
    }
    if bindings(&recorded, |id| id.0) != text.bindings {
        return Err(format!("{kernel}: its bindings have other numbers or another access"));
    }
    if !recorded.fits(variant) || recorded.grid(variant) != text.grid {
        let grid = kernel.grid_of(variant, &recorded.constants);
        return Err(format!("{kernel}: its grid is {grid:?}, not {:?}", text.grid));
    }
    Ok(recorded)
}

/// That the limits are those that the program needs.
fn check_limits(limits: &BTreeMap<String, u64>, program: &Program) -> Result<(), DocumentError> {
    let needed = needed(program);
    if *limits == needed {
        return Ok(());
    }
    let known = |name: &&String| LIMITS.iter().all(|(known, _)| known != *name);
    let problem = match limits.keys().find(known) {
        Some(name) => format!("{name:?} is no limit that is asked for here"),
        None => format!("it says {limits:?}; the program needs {needed:?}"),
    };
    Err(DocumentError::new("limits", problem))
}

impl From<Element> for DType {
    fn from(element: Element) -> Self {
        match element {
            Element::F32 => DType::F32,
            Element::U32 => DType::U32,
            Element::U8 => DType::U8,
        }
    }
}
