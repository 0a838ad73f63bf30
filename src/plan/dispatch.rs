//! One kernel with its tensors and constants, checked when it is recorded.

use std::collections::BTreeMap;

use super::PlanError;
use super::kernel::Kernel;
use super::program::{Program, Tensor, TensorId};
use super::shader::{self, Access, Default, DimExpr, Factor, Reflection};
use super::variant::Variant;

/// The values of a kernel's overrides: its dimensions, inferred from the tensors, and its constants.
#[derive(Debug, Clone, PartialEq)]
pub struct Constants(BTreeMap<String, f64>);

/// What the size of a tile is called among the constants.
const TILE: [&str; 2] = ["TILE_ROWS", "TILE_COLUMNS"];

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

    /// The rows and columns of a tile of the variant whose grid is asked for.
    ///
    /// # Panics
    /// If none is: only a kernel's grid depends on it.
    pub fn tile(&self) -> [usize; 2] {
        TILE.map(|name| self.dim(name))
    }

    /// The same where a variant's grid is asked for.
    pub(super) fn of_tile(&self, tile: [usize; 2]) -> Self {
        let mut all = self.clone();
        all.0.extend(TILE.iter().zip(tile).map(|(name, size)| (name.to_string(), size as f64)));
        all
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
        let bindings = bind(kernel, reflection, tensors)?;
        check_aliases(program, kernel, &bindings)?;
        let mut values = given_constants(kernel, reflection, constants)?;
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
            return Err(wrong_constant(kernel, &missing.name, "is needed and not given"));
        }
        for ((bound, b), shape) in bindings.iter().zip(&reflection.bindings).zip(&shapes) {
            check_shape(kernel, b, program.get(bound.tensor), shape, &values)?;
        }
        let given = constants.iter().map(|(name, value)| (name.to_string(), *value)).collect();
        let dispatch = Dispatch { kernel, bindings, constants: Constants(values), given };
        if !dispatch.fits(&kernel.variants[0]) {
            let grid = kernel.grid_of(&kernel.variants[0], &dispatch.constants);
            return Err(PlanError::Grid { kernel: kernel.to_string(), grid });
        }
        Ok(dispatch)
    }
}

/// The tensors in the order of the shader's bindings; each binding has one.
fn bind(
    kernel: &Kernel,
    reflection: &Reflection,
    tensors: &[(&str, TensorId)],
) -> Result<Vec<BoundTensor>, PlanError> {
    for (i, (name, _)) in tensors.iter().enumerate() {
        let (kernel, binding) = (kernel.to_string(), name.to_string());
        if tensors[..i].iter().any(|(other, _)| other == name) {
            return Err(PlanError::RepeatedBinding { kernel, binding });
        }
        if !reflection.bindings.iter().any(|b| b.name == *name) {
            let known: Vec<&str> = reflection.bindings.iter().map(|b| b.name.as_str()).collect();
            return Err(PlanError::UnknownBinding { kernel, binding, known: known.join(", ") });
        }
    }
    let bound = |b: &shader::Binding| {
        let (name, index, access) = (b.name.clone(), b.index, b.access);
        match tensors.iter().find(|(given, _)| *given == name) {
            Some(&(_, tensor)) => Ok(BoundTensor { name, index, access, tensor }),
            None => Err(PlanError::MissingBinding { kernel: kernel.to_string(), binding: name }),
        }
    };
    reflection.bindings.iter().map(bound).collect()
}

/// The constants by name, each declared by the shader and a value that its type has.
fn given_constants(
    kernel: &Kernel,
    reflection: &Reflection,
    constants: &[(&str, f64)],
) -> Result<BTreeMap<String, f64>, PlanError> {
    let mut values = BTreeMap::new();
    for (name, value) in constants {
        let Some(declared) = reflection.overrides.iter().find(|o| o.name == *name) else {
            return Err(wrong_constant(kernel, name, "is not declared by the shader"));
        };
        let in_u32 = (0.0..=f64::from(u32::MAX)).contains(value) && value.fract() == 0.0;
        if !value.is_finite() || declared.integer && !in_u32 {
            return Err(wrong_constant(kernel, name, &format!("cannot be {value}")));
        }
        if values.insert(name.to_string(), *value).is_some() {
            return Err(wrong_constant(kernel, name, "is given twice"));
        }
    }
    Ok(values)
}

fn wrong_constant(kernel: &Kernel, name: &str, problem: &str) -> PlanError {
    PlanError::Constant {
        kernel: kernel.to_string(),
        name: name.to_string(),
        problem: problem.to_string(),
    }
}

/// That a tensor is what a binding declares, once all sizes are known. `shape` is the tensor's as the binding
/// sees it.
fn check_shape(
    kernel: &Kernel,
    binding: &shader::Binding,
    tensor: &Tensor,
    shape: &[usize],
    values: &BTreeMap<String, f64>,
) -> Result<(), PlanError> {
    let expected: Option<Vec<usize>> =
        binding.dims.iter().map(|dim| evaluate(dim, values)).collect();
    if tensor.dtype == binding.dtype && expected.as_deref() == Some(shape) && !tensor.is_empty() {
        return Ok(());
    }
    let shown = match &expected {
        Some(dims) => format!("{dims:?}"),
        None => binding.dims.iter().map(show).collect::<Vec<_>>().join(", "),
    };
    Err(PlanError::Mismatch {
        kernel: kernel.to_string().into(),
        binding: binding.name.as_str().into(),
        expected: format!("{:?} {shown}", binding.dtype).into(),
        tensor: tensor.name.as_str().into(),
        got: format!("{:?} {:?}", tensor.dtype, tensor.dims).into(),
    })
}

/// That no tensor is bound twice, and that no two parts of one are where one is written.
pub(super) fn check_aliases(
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
                let mut known = 1_usize;
                let mut unknown = Vec::new();
                for factor in dim {
                    match factor.value(|name| values.get(name).map(|v| *v as usize)) {
                        // Constants that were given may be any.
                        Some(value) => known = known.saturating_mul(value),
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
    dim.iter().try_fold(1_usize, |product, factor| product.checked_mul(factor.value(known)?))
}

fn show(dim: &DimExpr) -> String {
    let factors: Vec<String> = dim.iter().map(Factor::to_string).collect();
    factors.join("*")
}
