//! From a WGSL file to what the host must know about it: imports are resolved, naga validates, and the
//! bindings, their access, element type and shape are read back, so that Rust restates none of it.

use std::fmt;

use naga::compact::{KeepUnused, compact};
use naga::valid::{Capabilities, GlobalUse, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Handle, Module, StorageAccess, TypeInner};

use super::DType;

/// The library files that `#import` can name, each with its text.
pub type Library = [(&'static str, &'static str)];

/// Names in an `#import` and the library files they stand for: how variants of a kernel differ.
pub type Imports = [(&'static str, &'static str)];

/// A shader that cannot be used, and why. Always a defect of a shader file, never of user input.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ShaderError {
    #[error("{file}.wgsl:{line}: #import {name}: there is no shaders/lib/{name}.wgsl")]
    UnknownImport { file: String, line: usize, name: String },
    #[error("{file}.wgsl:{line}: #import {name} is repeated")]
    RepeatedImport { file: String, line: usize, name: String },
    #[error("{file}.wgsl:{line}: #import {chain} is a cycle")]
    CyclicImport { file: String, line: usize, chain: String },
    #[error("{file}.wgsl: {message}")]
    Invalid { file: String, message: String },
    #[error("{file}.wgsl has no entry point {entry}")]
    NoEntryPoint { file: String, entry: String },
    #[error("{file}.wgsl: binding {binding}: {message}")]
    Binding { file: String, binding: String, message: String },
}

/// What an entry point does with a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// BoundTensor as `read`.
    Read,
    /// BoundTensor as `read_write`, only written.
    Write,
    /// BoundTensor as `read_write`, read and written.
    Update,
}

impl Access {
    pub fn writes(self) -> bool {
        self != Access::Read
    }
}

/// One factor of a dimension: a number or the name of an override.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    Number(usize),
    Name(String),
    /// The override's parts of so many, the last of which may be short; no size follows from it.
    Parts(String, usize),
}

impl Factor {
    /// Its value, where `known` knows the override.
    pub fn value(&self, known: impl Fn(&str) -> Option<usize>) -> Option<usize> {
        match self {
            Factor::Number(n) => Some(*n),
            Factor::Name(name) => known(name),
            Factor::Parts(name, size) => Some(known(name)?.div_ceil(*size)),
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Factor::Number(n) => write!(f, "{n}"),
            Factor::Name(name) => f.write_str(name),
            Factor::Parts(name, size) => write!(f, "{name}/{size}"),
        }
    }
}

/// A dimension: the product of its factors.
pub type DimExpr = Vec<Factor>;

/// A binding as reflected from the shader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub name: String,
    pub index: u32,
    pub access: Access,
    pub dtype: DType,
    /// Shape in terms of the overrides, from the doc comment; `flat` accepts any rank of as many elements.
    pub dims: Vec<DimExpr>,
    pub flat: bool,
}

/// Everything the host needs to know about one entry point.
#[derive(Debug, Clone, PartialEq)]
pub struct Reflection {
    /// WGSL with the imports appended; line numbers of the kernel's own file are unchanged.
    pub source: String,
    /// In the order of their binding numbers.
    pub bindings: Vec<Binding>,
    /// Overrides that the entry point uses, in the file's order.
    pub overrides: Vec<Override>,
}

/// A pipeline-overridable constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    pub name: String,
    /// u32, else f32.
    pub integer: bool,
    pub default: Default,
}

/// The value of an override that the host does not set.
#[derive(Debug, Clone, PartialEq)]
pub enum Default {
    /// There is none: the host must set it.
    Required,
    Value(f64),
}

/// Replaces the `#import name` lines by blank ones and appends the named library files, each once; a name
/// in `imports` stands for another. What a library file enables stands in front.
///
/// # Errors
/// An unknown, repeated or cyclic import, with its line.
pub fn resolve_imports(
    library: &[(&str, &str)],
    imports: &Imports,
    file: &str,
    source: &str,
) -> Result<String, ShaderError> {
    let mut appended = Vec::new();
    let mut path = vec![file.to_string()];
    let mut text = own_text(library, imports, &mut path, &mut appended, source)?;
    // WGSL wants these before everything else: they go in front of the first line, to move no other.
    let mut enabled = String::new();
    for name in &appended {
        let body = lookup(library, name).expect("own_text appends only names it found");
        text.push('\n');
        for line in body.lines().filter(|line| import_of(line).is_none()) {
            if line.starts_with("enable ") {
                enabled.push_str(line);
                continue;
            }
            text.push_str(line);
            text.push('\n');
        }
    }
    Ok(enabled + &text)
}

fn lookup<'a>(library: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    library.iter().find(|(n, _)| *n == name).map(|(_, body)| *body)
}

fn import_of(line: &str) -> Option<&str> {
    line.strip_prefix("#import ").map(str::trim)
}

fn own_text(
    library: &[(&str, &str)],
    imports: &Imports,
    path: &mut Vec<String>,
    appended: &mut Vec<String>,
    source: &str,
) -> Result<String, ShaderError> {
    let file = path.last().expect("the path begins with the file").clone();
    let mut seen: Vec<&str> = Vec::new();
    let mut text = String::with_capacity(source.len());
    for (i, line) in source.lines().enumerate() {
        let Some(name) = import_of(line) else {
            text.push_str(line);
            text.push('\n');
            continue;
        };
        text.push('\n');
        let name = imports.iter().find(|(n, _)| *n == name).map_or(name, |(_, file)| file);
        let name_owned = name.to_string();
        let body = lookup(library, name).ok_or_else(|| ShaderError::UnknownImport {
            file: file.clone(),
            line: i + 1,
            name: name_owned.clone(),
        })?;
        if seen.contains(&name) {
            return Err(ShaderError::RepeatedImport { file, line: i + 1, name: name_owned });
        }
        seen.push(name);
        if path.contains(&name_owned) {
            path.push(name_owned);
            return Err(ShaderError::CyclicImport { file, line: i + 1, chain: path.join(" -> ") });
        }
        path.push(name_owned.clone());
        own_text(library, imports, path, appended, body)?;
        path.pop();
        if !appended.contains(&name_owned) {
            appended.push(name_owned);
        }
    }
    Ok(text)
}

/// What a shader may use beyond WebGPU: some variants do.
const CAPABILITIES: Capabilities = Capabilities::SUBGROUP
    .union(Capabilities::SHADER_FLOAT16)
    .union(Capabilities::COOPERATIVE_MATRIX);

/// Parses and validates a whole WGSL file with its imports resolved.
///
/// # Errors
/// The import or naga's own message, with the line in the kernel's file.
pub fn validate(
    library: &Library,
    imports: &Imports,
    file: &str,
    source: &str,
) -> Result<(String, Module, ModuleInfo), ShaderError> {
    let text = resolve_imports(library, imports, file, source)?;
    let invalid = |message| ShaderError::Invalid { file: file.to_string(), message };
    let options =
        naga::front::wgsl::Options { parse_doc_comments: true, capabilities: CAPABILITIES };
    let module = naga::front::wgsl::Frontend::new_with_options(options)
        .parse(&text)
        .map_err(|e| invalid(e.emit_to_string_with_path(&text, &format!("{file}.wgsl"))))?;
    let info = Validator::new(ValidationFlags::all(), CAPABILITIES)
        .validate(&module)
        .map_err(|e| invalid(e.emit_to_string_with_path(&text, &format!("{file}.wgsl"))))?;
    Ok((text, module, info))
}

impl Reflection {
    /// Reads bindings and overrides of one entry point of a file.
    ///
    /// # Errors
    /// An invalid file, a missing entry point, or a binding without a shape in its doc comment.
    pub fn new(
        library: &Library,
        file: &str,
        source: &str,
        entry: &str,
        imports: &Imports,
    ) -> Result<Self, ShaderError> {
        let (text, module, info) = validate(library, imports, file, source)?;
        let index = module.entry_points.iter().position(|e| e.name == entry).ok_or_else(|| {
            ShaderError::NoEntryPoint { file: file.to_string(), entry: entry.to_string() }
        })?;
        let usage = info.get_entry_point(index);
        let mut bindings = Vec::new();
        for (handle, variable) in module.global_variables.iter() {
            let (AddressSpace::Storage { access }, Some(at)) = (variable.space, variable.binding)
            else {
                continue;
            };
            let used = usage[handle];
            if used.is_empty() {
                continue;
            }
            let name = variable.name.clone().unwrap_or_default();
            let fail = |message: String| ShaderError::Binding {
                file: file.to_string(),
                binding: name.clone(),
                message,
            };
            let access = if !access.contains(StorageAccess::STORE) {
                Access::Read
            } else if !used.contains(GlobalUse::WRITE) {
                return Err(fail(format!("{entry} never writes it: declare it read")));
            } else if used.contains(GlobalUse::READ) {
                Access::Update
            } else {
                Access::Write
            };
            let (shape, rest) = doc_shape(&module, handle).ok_or_else(|| {
                fail("the line above it must give its shape, as in `/// (B, D) pixels`".to_string())
            })?;
            let dtype = element_type(&module, variable.ty, &rest)
                .ok_or_else(|| fail("must be an array of f32 or u32".to_string()))?;
            let (flat, dims) = parse_shape(&shape).map_err(&fail)?;
            bindings.push(Binding { name, index: at.binding, access, dtype, dims, flat });
        }
        bindings.sort_by_key(|b| b.index);
        // What the entry point does not reach is dropped: its overrides are not asked for.
        let mut module = module;
        module.entry_points.retain(|e| e.name == entry);
        compact(&mut module, KeepUnused::No);
        let overrides = module
            .overrides
            .iter()
            .filter_map(|(_, o)| {
                let integer =
                    matches!(module.types[o.ty].inner, TypeInner::Scalar(naga::Scalar::U32));
                let default = initial_value(&module, o.init);
                Some(Override { name: o.name.clone()?, integer, default })
            })
            .collect();
        Ok(Reflection { source: text, bindings, overrides })
    }
}

impl Reflection {
    /// Whether an override is a dimension of a binding.
    pub fn has_dim(&self, name: &str) -> bool {
        let mut factors = self.bindings.iter().flat_map(|b| b.dims.iter().flatten());
        factors.any(|factor| *factor == Factor::Name(name.to_string()))
    }
}

fn doc_shape(module: &Module, handle: Handle<naga::GlobalVariable>) -> Option<(String, String)> {
    let docs = module.doc_comments.as_ref()?.global_variables.get(&handle)?;
    let line = docs.first()?.trim_start_matches('/').trim();
    let (shape, rest) = line.strip_prefix('(')?.split_once(')')?;
    Some((shape.to_string(), rest.to_string()))
}

fn element_type(module: &Module, ty: Handle<naga::Type>, rest: &str) -> Option<DType> {
    let TypeInner::Array { base, .. } = module.types[ty].inner else { return None };
    let (TypeInner::Scalar(scalar) | TypeInner::Vector { scalar, .. }) = module.types[base].inner
    else {
        return None;
    };
    let bytes = rest.split_whitespace().next() == Some("u8");
    match scalar {
        naga::Scalar::F32 => Some(DType::F32),
        naga::Scalar::U32 if bytes => Some(DType::U8),
        naga::Scalar::U32 => Some(DType::U32),
        _ => None,
    }
}

fn parse_shape(text: &str) -> Result<(bool, Vec<DimExpr>), String> {
    let (flat, text) = match text.strip_prefix("..") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let dims = text
        .split(',')
        .map(|dim| {
            dim.split('*')
                .map(|factor| {
                    let factor = factor.trim();
                    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
                    let parts = factor.split_once('/').map(|(name, n)| (name, n.parse()));
                    if let Ok(number) = factor.parse() {
                        Ok(Factor::Number(number))
                    } else if let Some((name, Ok(size @ 1..))) = parts
                        && !name.is_empty()
                        && name.chars().all(is_name)
                    {
                        Ok(Factor::Parts(name.to_string(), size))
                    } else if !factor.is_empty() && factor.chars().all(is_name) {
                        Ok(Factor::Name(factor.to_string()))
                    } else {
                        Err(format!("cannot read the dimension {dim:?} of its shape ({text})"))
                    }
                })
                .collect()
        })
        .collect::<Result<Vec<DimExpr>, String>>()?;
    Ok((flat, dims))
}

/// Reads an override's initializer: a literal.
fn initial_value(module: &Module, init: Option<Handle<naga::Expression>>) -> Default {
    use naga::{Expression, Literal, UnaryOperator};
    let literal = |at| match module.global_expressions[at] {
        Expression::Literal(Literal::F32(v)) => Some(f64::from(v)),
        Expression::Literal(Literal::U32(v)) => Some(f64::from(v)),
        _ => None,
    };
    let value = init.and_then(|at| match module.global_expressions[at] {
        Expression::Unary { op: UnaryOperator::Negate, expr } => literal(expr).map(|v| -v),
        _ => literal(at),
    });
    value.map_or(Default::Required, Default::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Imports that the built-in library has no example of.
    const LIBRARY: &[(&str, &str)] = &[
        ("base", "fn base() {}\n"),
        ("left", "#import base\nfn left() {}\n"),
        ("right", "// right\n#import base\n#import left\nfn right() {}\n"),
        ("self", "#import self\n"),
        ("chicken", "fn chicken() {}\n#import egg\n"),
        ("egg", "#import chicken\n"),
        ("broken", "\n\n#import missing\n"),
        ("twice", "#import base\n#import base\n"),
    ];

    fn resolve(source: &str) -> Result<String, String> {
        resolve_imports(LIBRARY, &[("stand_in", "left")], "kernel", source)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn each_library_file_is_appended_once_and_lines_keep_their_numbers() {
        let text = resolve("#import left\nfn own() {}\n#import right\n").unwrap();
        assert!(text.starts_with("\nfn own() {}\n\n"), "{text}");
        for name in ["own", "base", "left", "right"] {
            assert_eq!(text.matches(&format!("fn {name}()")).count(), 1, "{name}: {text}");
        }
        assert!(!text.contains("#import"), "{text}");
    }

    #[test]
    fn a_name_can_stand_for_a_file() {
        let text = resolve("#import stand_in\n#import base\n").unwrap();
        assert_eq!(text, resolve("#import left\n#import base\n").unwrap());
        // The file is the same under both names.
        let message = "kernel.wgsl:2: #import left is repeated";
        assert_eq!(resolve("#import stand_in\n#import left\n").unwrap_err(), message);
    }

    #[test]
    fn unknown_repeated_and_cyclic_imports_are_errors() {
        for (source, message) in [
            (
                "\n#import nothing\n",
                "kernel.wgsl:2: #import nothing: there is no shaders/lib/nothing.wgsl",
            ),
            (
                "#import broken\n",
                "broken.wgsl:3: #import missing: there is no shaders/lib/missing.wgsl",
            ),
            ("#import base\n\n#import base\n", "kernel.wgsl:3: #import base is repeated"),
            ("#import twice\n", "twice.wgsl:2: #import base is repeated"),
            ("#import self\n", "self.wgsl:1: #import kernel -> self -> self is a cycle"),
            ("#import egg\n", "chicken.wgsl:2: #import kernel -> egg -> chicken -> egg is a cycle"),
        ] {
            assert_eq!(resolve(source).unwrap_err(), message);
        }
    }
}
