//! A program as a document, for a host that is not this one: JSON, and the WGSL of its kernels beside it. docs/plans.md
//! says what is in it.
//!
//! What is written has one variant of each kernel, which the writer chooses. What is read back is the same
//! program: the reader records every dispatch anew, with all the checks that recording has, and holds the rest of
//! the document to what that gives.

mod read;
mod write;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use read::{Read, read};
pub use write::{needed, pool, write};

/// What a document's `format` is.
pub const FORMAT: &str = "elbo plan";
/// What that of a pool of modules is.
pub const POOL_FORMAT: &str = "elbo modules";
/// The version of both that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The longest text of a document or a pool that is read, in bytes.
pub const LONGEST: usize = 64 << 20;

/// What a device may be asked for beyond WebGPU's default limits: their names and defaults there.
pub const LIMITS: [(&str, u64); 3] = [
    ("maxStorageBuffersPerShaderStage", 8),
    ("maxStorageBufferBindingSize", 128 << 20),
    ("maxBufferSize", 256 << 20),
];

/// A program, written.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The text in JSON.
    pub plan: String,
    /// The WGSL that it names, by SHA-256 in hexadecimal digits.
    pub modules: BTreeMap<String, String>,
}

/// A document that cannot be written or read: where in it, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct DocumentError {
    /// As in `plans[0], "train", dispatch 3`.
    pub place: String,
    pub problem: String,
}

impl DocumentError {
    pub fn new(place: impl Into<String>, problem: impl Into<String>) -> Self {
        DocumentError { place: place.into(), problem: problem.into() }
    }
}

/// The document as its JSON has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    format: String,
    version: u32,
    /// What wrote it.
    by: String,
    limits: BTreeMap<String, u64>,
    tensors: Vec<TensorText>,
    constants: Vec<ConstantText>,
    modules: Vec<String>,
    plans: Vec<PlanText>,
    host: Value,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TensorText {
    name: String,
    dims: Vec<usize>,
    dtype: Element,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    part_of: Option<(usize, usize)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Element {
    F32,
    U32,
    U8,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantText {
    tensor: usize,
    base64: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanText {
    name: String,
    dispatches: Vec<DispatchText>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DispatchText {
    kernel: String,
    variant: String,
    module: usize,
    entry: String,
    overrides: BTreeMap<String, Number>,
    bindings: Vec<BindingText>,
    grid: [u32; 3],
    flops: u64,
    bytes: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BindingText {
    binding: u32,
    name: String,
    access: AccessText,
    tensor: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AccessText {
    Read,
    Write,
    Update,
}

/// A number that is written without a decimal point where it is whole.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = self.0 as i64;
        if (whole as f64).to_bits() == self.0.to_bits() && whole.unsigned_abs() < 1 << 53 {
            serializer.serialize_i64(whole)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// The pool of modules as its JSON has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolText {
    format: String,
    version: u32,
    modules: BTreeMap<String, String>,
}

/// What is read first of either: all else depends on it.
#[derive(Debug, Deserialize)]
struct Head {
    format: String,
    version: u32,
}

/// Where a dispatch is.
fn place_of(plan: usize, name: &str, dispatch: usize) -> String {
    format!("plans[{plan}], {name:?}, dispatch {dispatch}")
}
