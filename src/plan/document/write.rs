//! A program into a document.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    AccessText, BindingText, ConstantText, DispatchText, Document, DocumentError, Element, FORMAT,
    LIMITS, Number, POOL_FORMAT, PlanText, PoolText, TensorText, Text, VERSION, place_of,
};
use crate::plan::{Access, DType, Dispatch, Program, TensorId, Variant};

/// Writes a program, with the variant of each kernel that `variant_of` gives and with what a host must know
/// besides.
///
/// # Errors
/// A variant that needs what WebGPU does not have; a shader that is invalid.
pub fn write(
    program: &Program,
    variant_of: &dyn Fn(&Dispatch) -> &'static Variant,
    host: Value,
) -> Result<Document, DocumentError> {
    let mut names = BTreeMap::new();
    let mut numbers: Vec<Option<usize>> = Vec::new();
    let mut kept = 0;
    for tensor in program.tensors() {
        numbers.push((!tensor.dropped).then_some(kept));
        if tensor.dropped {
            continue;
        }
        kept += 1;
    }
    let number = |id: TensorId| numbers[id.0].expect("a dropped tensor is in no plan");
    let tensors = program.tensors().iter().filter(|tensor| !tensor.dropped);
    let tensors = tensors.map(|tensor| TensorText {
        // What is recorded twice has scratch tensors of one name: the second of them is "name (2)".
        name: match names.entry(tensor.name.as_str()).and_modify(|n| *n += 1).or_insert(1) {
            1 => tensor.name.clone(),
            n => format!("{} ({n})", tensor.name),
        },
        dims: tensor.dims.clone(),
        dtype: tensor.dtype.into(),
        part_of: tensor.part_of.map(|(whole, first)| (number(whole), first)),
    });
    let kept = |(id, _): &&(TensorId, Vec<u8>)| !program.get(*id).dropped;
    let constants = program
        .constants()
        .iter()
        .filter(kept)
        .map(|(id, bytes)| ConstantText { tensor: number(*id), base64: STANDARD.encode(bytes) });
    let mut modules = Modules::default();
    let mut plans = Vec::new();
    for (i, plan) in program.plans().iter().enumerate() {
        let mut dispatches = Vec::new();
        for (j, dispatch) in plan.dispatches.iter().enumerate() {
            let place = || place_of(i, &plan.name, j);
            let (kernel, variant) = (dispatch.kernel, variant_of(dispatch));
            if variant.subgroup.is_some() || variant.cooperative.is_some() {
                let problem = format!("WebGPU has not what the variant {} needs", variant.name);
                return Err(DocumentError::new(place(), problem));
            }
            let reflection = kernel.reflection_of(variant);
            let reflection = reflection.map_err(|e| DocumentError::new(place(), e.to_string()))?;
            let cost = (kernel.cost)(&dispatch.constants);
            let overrides = dispatch.constants.pairs().into_iter();
            dispatches.push(DispatchText {
                kernel: kernel.to_string(),
                variant: variant.name.to_string(),
                module: modules.place(&reflection.source),
                entry: kernel.entry.to_string(),
                overrides: overrides.map(|(name, v)| (name.to_string(), Number(v))).collect(),
                bindings: bindings(dispatch, number),
                grid: dispatch.grid(variant),
                flops: cost.flops,
                bytes: cost.bytes,
            });
        }
        plans.push(PlanText { name: plan.name.clone(), dispatches });
    }
    let text = Text {
        format: FORMAT.to_string(),
        version: VERSION,
        by: format!("elbo {}", env!("CARGO_PKG_VERSION")),
        limits: needed(program),
        tensors: tensors.collect(),
        constants: constants.collect(),
        modules: modules.order,
        plans,
        host,
    };
    let plan =
        serde_json::to_string(&text).map_err(|e| DocumentError::new("JSON", e.to_string()))?;
    Ok(Document { plan, modules: modules.texts })
}

/// The bindings of a dispatch, whose tensors have other numbers in the document.
pub(super) fn bindings(
    dispatch: &Dispatch,
    number: impl Fn(TensorId) -> usize,
) -> Vec<BindingText> {
    let of = dispatch.bindings.iter().map(|bound| BindingText {
        binding: bound.index,
        name: bound.name.clone(),
        access: bound.access.into(),
        tensor: number(bound.tensor),
    });
    of.collect()
}

/// The limits of [`LIMITS`] that a program needs more of than WebGPU's defaults.
pub fn needed(program: &Program) -> BTreeMap<String, u64> {
    let dispatches = program.plans().iter().flat_map(|plan| &plan.dispatches);
    let buffers = dispatches.map(|d| d.bindings.len() as u64).max().unwrap_or(0);
    let largest = program.stored().map(|tensor| tensor.size_bytes() as u64).max().unwrap_or(0);
    let all = LIMITS.into_iter().zip([buffers, largest, largest]);
    let beyond = all.filter(|((_, default), needed)| needed > default);
    beyond.map(|((name, _), needed)| (name.to_string(), needed)).collect()
}

/// The modules of all of these, each once, as a text in JSON.
pub fn pool<'a>(documents: impl IntoIterator<Item = &'a Document>) -> String {
    let all = documents.into_iter().flat_map(|document| document.modules.clone());
    let (format, version) = (POOL_FORMAT.to_string(), VERSION);
    let pool = PoolText { format, version, modules: all.collect() };
    serde_json::to_string(&pool).expect("names and texts")
}

/// Modules in the order in which a document names them.
#[derive(Default)]
struct Modules {
    order: Vec<String>,
    texts: BTreeMap<String, String>,
}

impl Modules {
    fn place(&mut self, source: &str) -> usize {
        let hash = hash(source);
        self.texts.entry(hash.clone()).or_insert_with(|| source.to_string());
        self.order.iter().position(|known| *known == hash).unwrap_or_else(|| {
            self.order.push(hash);
            self.order.len() - 1
        })
    }
}

/// SHA-256 in hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(text.as_bytes()) {
        write!(digits, "{byte:02x}").expect("a string takes all");
    }
    digits
}

impl From<DType> for Element {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Element::F32,
            DType::U32 => Element::U32,
            DType::U8 => Element::U8,
        }
    }
}

impl From<Access> for AccessText {
    fn from(access: Access) -> Self {
        match access {
            Access::Read => AccessText::Read,
            Access::Write => AccessText::Write,
            Access::Update => AccessText::Update,
        }
    }
}
