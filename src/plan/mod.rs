//! A step as a list of kernels over named tensors: recorded and checked once, run many times by any device.

pub mod case;
pub mod fuse;
pub mod kernel;
pub mod record;
pub mod shader;
pub mod variant;

use std::collections::BTreeMap;
use std::fmt;

pub use case::Case;
pub(crate) use kernel::formula;
pub use kernel::{Buffer, Call, Cost, Formula, Kernel, Parts};
pub use record::Recorder;
pub use shader::{Access, ShaderError};
use shader::{Default, DimExpr, Factor};
pub use variant::Variant;

/// What the elements of a tensor are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DType {
    F32,
    U32,
    /// Bytes; a shader reads them four to a `u32` word.
    U8,
}

impl DType {
    pub fn size_bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::U8 => 1,
        }
    }
}

/// A tensor's declaration: row-major, the last dimension contiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub dims: Vec<usize>,
    pub dtype: DType,
    /// The tensor that holds its elements, and the first of them there; `None` if it has its own.
    pub part_of: Option<(TensorId, usize)>,
    /// Whether no kernel uses it any more since the plan was fused: no device holds its elements.
    pub dropped: bool,
}

impl Tensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn size_bytes(&self) -> usize {
        self.len() * self.dtype.size_bytes()
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.name, self.dims)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Elements between the beginnings of two parts of a tensor: of these many F32, so that a device can bind
/// each part alone (WebGPU: 256 bytes).
pub const PART_ALIGNMENT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanId(pub usize);

/// A dispatch that does not fit its kernel. Found when the plan is recorded, before anything runs.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Shader(#[from] ShaderError),
    #[error("{kernel}: no tensor is given for the binding {binding}")]
    MissingBinding { kernel: String, binding: String },
    #[error("{kernel}: there is no binding {binding}; there are {known}")]
    UnknownBinding { kernel: String, binding: String, known: String },
    #[error("{kernel}: the binding {binding} is given twice")]
    RepeatedBinding { kernel: String, binding: String },
    #[error("{kernel}: binding {binding} expects {expected}, got {tensor} of {got}")]
    Mismatch {
        kernel: Box<str>,
        binding: Box<str>,
        expected: Box<str>,
        tensor: Box<str>,
        got: Box<str>,
    },
    #[error("{kernel}: the tensor {tensor} is bound twice, as {first} and as {second}")]
    Aliased { kernel: String, tensor: String, first: String, second: String },
    #[error("{kernel}: the constant {name} {problem}")]
    Constant { kernel: String, name: String, problem: String },
    #[error("{kernel}: the grid {grid:?} exceeds 65535 workgroups in a dimension, or is empty")]
    Grid { kernel: String, grid: [usize; 3] },
}

/// The values of a kernel's overrides: its dimensions, inferred from the tensors, and its constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants(BTreeMap<String, f64>);

impl Constants {
    /// A dimension or integer constant.
    ///
    /// # Panics
    /// If the kernel declares no override of that name: a defect of the kernel's declaration.
    pub fn dim(&self, name: &str) -> usize {
        self.value(name) as usize
    }

    /// A constant's value. Panics as [`Constants::dim`] does.
    pub fn value(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(value) => value,
            None => panic!("no override {name}; there are {:?}", self.0.keys()),
        }
    }

    /// A constant's value, if the kernel has it.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// `(name, value)` in the form that pipeline creation takes.
    pub fn pairs(&self) -> Vec<(&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }
}

/// A tensor at a binding.
#[derive(Debug, Clone, PartialEq)]
pub struct BoundTensor {
    pub name: String,
    pub index: u32,
    pub access: Access,
    pub tensor: TensorId,
}

/// One kernel with its tensors and constants.
#[derive(Debug, Clone)]
pub struct Dispatch {
    pub kernel: &'static Kernel,
    pub bindings: Vec<BoundTensor>,
    pub constants: Constants,
    /// The constants that were given when it was recorded; all others are defaults or follow from shapes.
    pub given: Vec<(String, f64)>,
}

/// Kernels in the order they run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub dispatches: Vec<Dispatch>,
}

/// Tensors and the plans over them: what a device loads.
#[derive(Debug, Clone, std::default::Default)]
pub struct Program {
    tensors: Vec<Tensor>,
    plans: Vec<Plan>,
    constants: Vec<(TensorId, Vec<u8>)>,
}

impl Program {
    pub fn new() -> Self {
        std::default::Default::default()
    }

    /// Declares a tensor. Its content is zero until it is written.
    pub fn tensor(&mut self, name: impl Into<String>, dims: &[usize], dtype: DType) -> TensorId {
        let tensor =
            Tensor { name: name.into(), dims: dims.to_vec(), dtype, part_of: None, dropped: false };
        self.tensors.push(tensor);
        TensorId(self.tensors.len() - 1)
    }

    /// Says what a tensor always holds, all of it, little-endian: a device that loads the program writes it.
    pub fn constant(&mut self, tensor: TensorId, bytes: Vec<u8>) {
        self.constants.push((tensor, bytes));
    }

    /// Tensors that no plan writes, and what they are to hold.
    pub fn constants(&self) -> &[(TensorId, Vec<u8>)] {
        &self.constants
    }

    /// Declares a tensor (N) that holds these of F32, each a part of it from now on, and only padding
    /// besides: a kernel that binds it has all of them at one binding. See [`Program::place`].
    ///
    /// # Errors
    /// A dispatch of `plan`, which uses them, would have two of them at once and write one: what is a single
    /// buffer to the device cannot be bound so.
    ///
    /// # Panics
    /// If one is not of F32 or is already a part.
    pub fn pack(
        &mut self,
        name: impl Into<String>,
        parts: &[TensorId],
        plan: &Plan,
    ) -> Result<TensorId, PlanError> {
        let whole = TensorId(self.tensors.len());
        let mut len = 0;
        for &part in parts {
            let tensor = &mut self.tensors[part.0];
            assert!(tensor.dtype == DType::F32 && tensor.part_of.is_none(), "{tensor}");
            tensor.part_of = Some((whole, len));
            len = (len + tensor.len()).next_multiple_of(PART_ALIGNMENT);
        }
        self.tensor(name, &[len], DType::F32);
        plan.dispatches.iter().try_for_each(|d| check_aliases(self, d.kernel, &d.bindings))?;
        Ok(whole)
    }

    /// The tensor that holds this one's elements, itself unless it is a part, and the first of them there.
    pub fn place(&self, id: TensorId) -> (TensorId, usize) {
        self.get(id).part_of.unwrap_or((id, 0))
    }

    /// The tensors that a tensor holds; itself, if none.
    pub fn parts_of(&self, whole: TensorId) -> Vec<TensorId> {
        let ids = (0..self.tensors.len()).map(TensorId);
        let parts: Vec<TensorId> =
            ids.filter(|&id| id != whole && self.place(id).0 == whole).collect();
        if parts.is_empty() { vec![whole] } else { parts }
    }

    /// The tensors that are no parts of others: what takes memory.
    pub fn stored(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(|tensor| tensor.part_of.is_none() && !tensor.dropped)
    }

    /// Says that no plan uses a tensor any more. Its name is free for another.
    pub(crate) fn drop(&mut self, id: TensorId) {
        let tensor = &mut self.tensors[id.0];
        tensor.dropped = true;
        tensor.name += " (dropped)";
    }

    pub fn add(&mut self, plan: Plan) -> PlanId {
        self.plans.push(plan);
        PlanId(self.plans.len() - 1)
    }

    pub fn get(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    pub fn plan(&self, id: PlanId) -> &Plan {
        &self.plans[id.0]
    }

    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    pub fn plans(&self) -> &[Plan] {
        &self.plans
    }
}

impl Plan {
    pub fn new(name: impl Into<String>) -> Self {
        Plan { name: name.into(), dispatches: Vec::new() }
    }

    /// Records a kernel over tensors given by binding name, with constants that no tensor's shape implies.
    ///
    /// # Errors
    /// Any binding without a tensor or of another element type, rank or dimension, a tensor bound
    /// twice, a constant that is missing or unknown, a grid beyond WebGPU's limit.
    pub fn dispatch(
        &mut self,
        program: &Program,
        kernel: &'static Kernel,
        tensors: &[(&str, TensorId)],
        constants: &[(&str, f64)],
    ) -> Result<(), PlanError> {
        self.dispatches.push(Dispatch::new(program, kernel, tensors, constants)?);
        Ok(())
    }
}

impl Dispatch {
    /// Whether a variant of its kernel has no more workgroups than WebGPU allows. The first has: the plan was
    /// checked.
    pub fn fits(&self, variant: &Variant) -> bool {
        let grid = self.kernel.grid_of(variant, &self.constants);
        grid.iter().all(|n| (1..=65_535).contains(n))
    }

    /// Workgroups in x, y, z of a variant of its kernel that fits.
    pub fn grid(&self, variant: &Variant) -> [u32; 3] {
        self.kernel.grid_of(variant, &self.constants).map(|n| n as u32)
    }

    /// The tensor at a binding.
    pub fn tensor(&self, binding: &str) -> Option<TensorId> {
        self.bindings.iter().find(|b| b.name == binding).map(|b| b.tensor)
    }

    /// Whether it binds a tensor.
    pub fn uses(&self, tensor: TensorId) -> bool {
        self.bindings.iter().any(|b| b.tensor == tensor)
    }

    /// The same with another tensor in the place of one, checked anew.
    ///
    /// # Errors
    /// As [`Plan::dispatch`].
    pub fn with(
        &self,
        program: &Program,
        old: TensorId,
        new: TensorId,
    ) -> Result<Dispatch, PlanError> {
        let tensors: Vec<(&str, TensorId)> = self
            .bindings
            .iter()
            .map(|b| (b.name.as_str(), if b.tensor == old { new } else { b.tensor }))
            .collect();
        let given: Vec<(&str, f64)> =
            self.given.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        Dispatch::new(program, self.kernel, &tensors, &given)
    }

    /// A kernel over tensors, checked as [`Plan::dispatch`] has it.
    ///
    /// # Errors
    /// As [`Plan::dispatch`].
    pub fn new(
        program: &Program,
        kernel: &'static Kernel,
        tensors: &[(&str, TensorId)],
        constants: &[(&str, f64)],
    ) -> Result<Self, PlanError> {
        let reflection = kernel.reflection()?;
        let label = || kernel.to_string();
        for (i, (name, _)) in tensors.iter().enumerate() {
            if tensors[..i].iter().any(|(other, _)| other == name) {
                return Err(PlanError::RepeatedBinding {
                    kernel: label(),
                    binding: name.to_string(),
                });
            }
            if !reflection.bindings.iter().any(|b| b.name == *name) {
                let known: Vec<&str> =
                    reflection.bindings.iter().map(|b| b.name.as_str()).collect();
                return Err(PlanError::UnknownBinding {
                    kernel: label(),
                    binding: name.to_string(),
                    known: known.join(", "),
                });
            }
        }
        let mut bindings: Vec<BoundTensor> = Vec::new();
        for b in &reflection.bindings {
            let Some((_, id)) = tensors.iter().find(|(name, _)| *name == b.name) else {
                return Err(PlanError::MissingBinding { kernel: label(), binding: b.name.clone() });
            };
            let (name, index, access) = (b.name.clone(), b.index, b.access);
            bindings.push(BoundTensor { name, index, access, tensor: *id });
        }
        check_aliases(program, kernel, &bindings)?;
        let problem = |name: &str, problem: &str| PlanError::Constant {
            kernel: label(),
            name: name.to_string(),
            problem: problem.to_string(),
        };
        let mut values = BTreeMap::new();
        for (name, value) in constants {
            let Some(declared) = reflection.overrides.iter().find(|o| o.name == *name) else {
                return Err(problem(name, "is not declared by the shader"));
            };
            let in_u32 = (0.0..=f64::from(u32::MAX)).contains(value) && value.fract() == 0.0;
            if !value.is_finite() || declared.integer && !in_u32 {
                return Err(problem(name, &format!("cannot be {value}")));
            }
            if values.insert(name.to_string(), *value).is_some() {
                return Err(problem(name, "is given twice"));
            }
        }
        let shapes: Vec<Vec<usize>> = bindings
            .iter()
            .zip(&reflection.bindings)
            .map(|(bound, b)| {
                let tensor = program.get(bound.tensor);
                if b.flat { vec![tensor.len()] } else { tensor.dims.clone() }
            })
            .collect();
        infer_dims(&mut values, &reflection.bindings, &shapes);
        // Sizes that follow from others only once these have their defaults.
        for shader::Override { name, default, .. } in &reflection.overrides {
            if let Default::Value(value) = default {
                values.entry(name.clone()).or_insert(*value);
            }
        }
        infer_dims(&mut values, &reflection.bindings, &shapes);
        if let Some(missing) = reflection.overrides.iter().find(|o| !values.contains_key(&o.name)) {
            return Err(problem(&missing.name, "is needed and not given"));
        }
        for ((bound, b), shape) in bindings.iter().zip(&reflection.bindings).zip(&shapes) {
            let tensor = program.get(bound.tensor);
            let expected =
                b.dims.iter().map(|dim| evaluate(dim, &values)).collect::<Option<Vec<_>>>();
            if tensor.dtype != b.dtype || expected.as_ref() != Some(shape) || tensor.is_empty() {
                let shown = match &expected {
                    Some(dims) => format!("{dims:?}"),
                    None => b.dims.iter().map(show).collect::<Vec<_>>().join(", "),
                };
                return Err(PlanError::Mismatch {
                    kernel: label().into(),
                    binding: b.name.as_str().into(),
                    expected: format!("{:?} {shown}", b.dtype).into(),
                    tensor: tensor.name.as_str().into(),
                    got: format!("{:?} {:?}", tensor.dtype, tensor.dims).into(),
                });
            }
        }
        let given = constants.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let dispatch = Dispatch { kernel, bindings, constants: Constants(values), given };
        if !dispatch.fits(&kernel.variants[0]) {
            let grid = kernel.grid_of(&kernel.variants[0], &dispatch.constants);
            return Err(PlanError::Grid { kernel: label(), grid });
        }
        Ok(dispatch)
    }
}

/// That no tensor is bound twice, and that no two parts of one are where one is written.
fn check_aliases(
    program: &Program,
    kernel: &'static Kernel,
    bindings: &[BoundTensor],
) -> Result<(), PlanError> {
    for (i, second) in bindings.iter().enumerate() {
        let clash = bindings[..i].iter().find(|first| {
            let same = program.place(first.tensor).0 == program.place(second.tensor).0;
            let written = first.access.writes() || second.access.writes();
            first.tensor == second.tensor || same && written
        });
        if let Some(first) = clash {
            return Err(PlanError::Aliased {
                kernel: kernel.to_string(),
                tensor: program.get(program.place(second.tensor).0).name.clone(),
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
    }
    Ok(())
}

/// Solves the shape expressions for the dimensions: each pass fixes those that have one unknown left.
fn infer_dims(
    values: &mut BTreeMap<String, f64>,
    bindings: &[shader::Binding],
    shapes: &[Vec<usize>],
) {
    loop {
        let mut progress = false;
        for (binding, shape) in bindings.iter().zip(shapes) {
            for (dim, &size) in binding.dims.iter().zip(shape) {
                let mut known = 1;
                let mut unknown = Vec::new();
                for factor in dim {
                    match factor.value(|name| values.get(name).map(|v| *v as usize)) {
                        Some(value) => known *= value,
                        None => unknown.push(factor),
                    }
                }
                if let [Factor::Name(name)] = unknown[..]
                    && known > 0
                {
                    values.insert(name.clone(), (size / known) as f64);
                    progress = true;
                }
            }
        }
        if !progress {
            return;
        }
    }
}

fn evaluate(dim: &DimExpr, values: &BTreeMap<String, f64>) -> Option<usize> {
    let known = |name: &str| values.get(name).map(|v| *v as usize);
    dim.iter().try_fold(1, |product, factor| Some(product * factor.value(known)?))
}

fn show(dim: &DimExpr) -> String {
    let factors: Vec<String> = dim.iter().map(Factor::to_string).collect();
    factors.join("*")
}
