//! What a device loads: tensors, what some of them always hold, and the plans over them.

use std::fmt;

use super::PlanError;
use super::dispatch::{Dispatch, check_aliases};
use super::kernel::Kernel;

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

/// Kernels in the order they run.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub dispatches: Vec<Dispatch>,
}

/// Tensors and the plans over them: what a device loads.
#[derive(Debug, Clone, Default)]
pub struct Program {
    tensors: Vec<Tensor>,
    plans: Vec<Plan>,
    constants: Vec<(TensorId, Vec<u8>)>,
}

impl Program {
    pub fn new() -> Self {
        Default::default()
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

    /// Says that a tensor is a part of another, from an element of it on, as a document has it.
    pub(super) fn set_part(&mut self, part: TensorId, whole: TensorId, first: usize) {
        self.tensors[part.0].part_of = Some((whole, first));
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
