//! A kernel: its shader, and what a plan, a device and a test must know about it.

use std::borrow::Cow;
use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::OnceLock;

use super::case::Case;
use super::shader::{Library, Reflection};
use super::variant::{self, Variant};
use super::{Constants, Dispatch, ShaderError, TensorId};
use crate::numeric::parallel::vectorized;
use crate::numeric::{Bounded, Precision, Real};

/// One entry point of a WGSL file and what belongs to it. Bindings, access and shapes are not here:
/// they are read from the shader.
pub struct Kernel {
    parts: Parts,
    /// What its shader imports from.
    library: &'static Library,
    /// One at least; bindings, shapes and constants are the same in all.
    pub variants: &'static [Variant],
    reflections: [OnceLock<Result<Reflection, ShaderError>>; variant::MOST],
}

/// What a [`Kernel`] is declared by.
pub struct Parts {
    /// Path of the file in `shaders/`, without `.wgsl`.
    pub file: &'static str,
    /// Its text.
    pub source: &'static str,
    pub entry: &'static str,
    /// One line for tables.
    pub summary: &'static str,
    /// What a variant's tiles cover in x, y, z: elements of a product, or else workgroups. What depends on the variant
    /// finds the size of its tiles by [`Constants::tile`].
    pub grid: fn(&Constants) -> [usize; 3],
    pub formula: Formula,
    /// What the tests run it on.
    pub cases: fn() -> Vec<Case>,
    pub cost: fn(&Constants) -> Cost,
}

impl Deref for Kernel {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What a kernel computes, as the paper writes it: a plain function of its tensors, at each number type. It is
/// the reference of every device, and knows nothing of how one gets there.
pub struct Formula {
    /// Where no fast form exists, this is what the CPU device runs.
    pub f32: fn(&Call<f32>),
    /// What every device is held to.
    pub f64: fn(&Call<f64>),
    /// The same with a bound on what single precision may do to it.
    pub bounded: fn(&Call<Bounded>),
}

/// `formula!(f)` is `f` at the three number types.
macro_rules! formula {
    ($f:ident) => {
        $crate::plan::Formula {
            f32: $f::<f32>,
            f64: $f::<f64>,
            bounded: $f::<$crate::numeric::Bounded>,
        }
    };
}
pub(crate) use formula;

/// Work that any implementation has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations; an exponential or a logarithm counts as one.
    pub flops: u64,
    /// Bytes that must cross the memory bus at least once.
    pub bytes: u64,
}

impl Kernel {
    pub const fn new(
        library: &'static Library,
        parts: Parts,
        variants: &'static [Variant],
    ) -> Self {
        assert!(!variants.is_empty() && variants.len() <= variant::MOST);
        let reflections = [const { OnceLock::new() }; variant::MOST];
        Kernel { parts, library, variants, reflections }
    }

    /// Bindings and overrides, read from the shader on first use.
    ///
    /// # Errors
    /// The shader is invalid: a defect that `tests/kernels/shaders.rs` catches.
    pub fn reflection(&self) -> Result<&Reflection, ShaderError> {
        self.reflection_of(&self.variants[0])
    }

    /// The same with the WGSL of this variant.
    ///
    /// # Errors
    /// As [`Kernel::reflection`].
    ///
    /// # Panics
    /// If the variant is another kernel's.
    pub fn reflection_of(&self, variant: &Variant) -> Result<&Reflection, ShaderError> {
        let index = self.variants.iter().position(|v| v.name == variant.name);
        let index = index.unwrap_or_else(|| panic!("{self} has no variant {}", variant.name));
        self.reflections[index]
            .get_or_init(|| {
                let (source, library) = self.text()?;
                Reflection::new(library, self.file, source, self.entry, variant.imports)
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    /// The shader and its library as they were compiled in.
    #[cfg(not(debug_assertions))]
    fn text(&self) -> Result<(&'static str, &'static Library), ShaderError> {
        Ok((self.source, self.library))
    }

    /// The shader and its library as they were compiled in, or, where the environment names a folder by
    /// ELBO_SHADERS, as they are there: so that a change of a shader needs no build.
    #[cfg(debug_assertions)]
    fn text(&self) -> Result<(&'static str, &'static Library), ShaderError> {
        let Some(folder) = std::env::var_os("ELBO_SHADERS") else {
            return Ok((self.source, self.library));
        };
        let read = |file: &str| -> Result<&'static str, ShaderError> {
            let path = std::path::Path::new(&folder).join(format!("{file}.wgsl"));
            let text = std::fs::read_to_string(&path).map_err(|e| ShaderError::Invalid {
                file: file.to_string(),
                message: format!("{}: {e}", path.display()),
            })?;
            Ok(text.leak())
        };
        let files = self.library.iter().map(|(name, _)| Ok((*name, read(&format!("lib/{name}"))?)));
        let library: Vec<_> = files.collect::<Result<_, ShaderError>>()?;
        Ok((read(self.file)?, library.leak()))
    }

    /// Workgroups in x, y, z of a variant.
    pub fn grid_of(&self, variant: &Variant, constants: &Constants) -> [usize; 3] {
        let [width, height] = variant.tile;
        let [x, y, z] = (self.grid)(&constants.of_tile(variant.tile));
        [x.div_ceil(width), y.div_ceil(height), z]
    }
}

/// The file, or the folder of files, and the entry point: linear.forward is in linear/forward.wgsl.
impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.file.split('/').next().unwrap_or(self.file);
        write!(f, "{folder}.{}", self.entry)
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The content of a tensor on the CPU.
#[derive(Debug, Clone)]
pub enum Buffer<T> {
    Float(Vec<T>),
    U32(Vec<u32>),
    U8(Vec<u8>),
    /// These elements of the floats of another.
    Part(TensorId, Range<usize>),
}

/// One call of a kernel on the CPU: its tensors by binding name, and its constants.
pub struct Call<'a, T> {
    pub dispatch: &'a Dispatch,
    /// Every tensor of the program, by [`crate::plan::TensorId`].
    pub buffers: &'a [RefCell<Buffer<T>>],
    /// Of products of matrices.
    pub precision: Precision,
}

impl<T> Call<'_, T> {
    pub fn dim(&self, name: &str) -> usize {
        self.dispatch.constants.dim(name)
    }

    fn cell(&self, binding: &str) -> &RefCell<Buffer<T>> {
        match self.dispatch.bindings.iter().find(|b| b.name == binding) {
            Some(bound) => &self.buffers[bound.tensor.0],
            None => panic!("{} has no binding {binding}", self.dispatch.kernel),
        }
    }

    // A wrong name or element type below is a defect of a kernel, which its cases find at once.

    /// Where the floats of a binding are, and which of them.
    fn floats(&self, binding: &str) -> (&RefCell<Buffer<T>>, Range<usize>) {
        let cell = self.cell(binding);
        match &*cell.borrow() {
            Buffer::Float(v) => (cell, 0..v.len()),
            Buffer::Part(whole, range) => (&self.buffers[whole.0], range.clone()),
            _ => panic!("{binding} does not hold floats"),
        }
    }

    pub fn read(&self, binding: &str) -> Ref<'_, [T]> {
        let (cell, range) = self.floats(binding);
        Ref::map(cell.borrow(), |b| match b {
            Buffer::Float(v) => &v[range],
            _ => panic!("{binding} does not hold floats"),
        })
    }

    pub fn write(&self, binding: &str) -> RefMut<'_, [T]> {
        let (cell, range) = self.floats(binding);
        RefMut::map(cell.borrow_mut(), |b| match b {
            Buffer::Float(v) => &mut v[range],
            _ => panic!("{binding} does not hold floats"),
        })
    }

    pub fn read_u32(&self, binding: &str) -> Ref<'_, [u32]> {
        Ref::map(self.cell(binding).borrow(), |b| match b {
            Buffer::U32(v) => &v[..],
            _ => panic!("{binding} does not hold u32"),
        })
    }

    pub fn write_u32(&self, binding: &str) -> RefMut<'_, [u32]> {
        RefMut::map(self.cell(binding).borrow_mut(), |b| match b {
            Buffer::U32(v) => &mut v[..],
            _ => panic!("{binding} does not hold u32"),
        })
    }

    pub fn read_u8(&self, binding: &str) -> Ref<'_, [u8]> {
        Ref::map(self.cell(binding).borrow(), |b| match b {
            Buffer::U8(v) => &v[..],
            _ => panic!("{binding} does not hold bytes"),
        })
    }
}

impl<T: Real> Call<'_, T> {
    pub fn value(&self, name: &str) -> T {
        // As the shader sees it: an override of type f32 is rounded before it is used.
        T::from_f64(f64::from(self.dispatch.constants.value(name) as f32))
    }

    /// The elements of a matrix as a product takes them. `scale`, a power of two, brings them into the range
    /// of f16; it is taken out of them again.
    pub fn operand<'v>(&self, elements: &'v [T], scale: f64) -> Cow<'v, [T]> {
        match self.precision {
            Precision::F32 => Cow::Borrowed(elements),
            Precision::Mixed => Cow::Owned(vectorized(
                #[inline(always)]
                || elements.iter().map(|v| v.to_half(scale)).collect(),
            )),
        }
    }
}
