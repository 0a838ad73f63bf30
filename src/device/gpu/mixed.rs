//! Mixed precision on an adapter: which cooperative matrices it has, and whether they compute what they
//! should.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wgpu::{CooperativeScalarType, Features};

use super::GpuDevice;
use crate::device::cpu::CpuDevice;
use crate::device::{DeviceError, Executor};
use crate::kernels::linear;
use crate::kernels::product::PRODUCT;
use crate::numeric::Precision;
use crate::numeric::bounded::Bounded;
use crate::plan::{Access, DType, Plan, Program, TensorId};
use crate::plan::{Kernel, Variant};

/// What the shaders use of wgpu.
pub(super) const FEATURES: Features =
    Features::SHADER_F16.union(Features::EXPERIMENTAL_COOPERATIVE_MATRIX).union(Features::SUBGROUP);
/// Bytes of workgroup memory that they need at most.
const WORKGROUP_MEMORY: u32 = 32 << 10;
/// The bounds of `Bounded` are first order; what they leave out fits in this factor.
const SAFETY: f64 = 2.0;

impl GpuDevice {
    /// The same device for products of this precision: for mixed precision the adapter is opened anew, and
    /// the variants are used whose results are right.
    ///
    /// # Errors
    /// The adapter has none, or the results of all of them are wrong.
    pub fn in_precision(&self, precision: Precision) -> Result<GpuDevice, DeviceError> {
        let now = match self.cooperative.is_empty() {
            true => Precision::F32,
            false => Precision::Mixed,
        };
        match precision {
            _ if precision == now => Ok(self.clone()),
            Precision::F32 => Ok(GpuDevice { cooperative: Vec::new(), ..self.clone() }),
            Precision::Mixed => self.mixed(),
        }
    }

    fn mixed(&self) -> Result<GpuDevice, DeviceError> {
        let refuse = |problem: String| {
            let adapter = self.description.name.clone();
            Err(DeviceError::Precision { adapter, problem })
        };
        let candidates = candidates(&self.adapter);
        if candidates.is_empty() {
            let (there_is, needed) = (there_is(&self.adapter), needed());
            return refuse(format!("{there_is}; needed are, of f16 with sums in f32, {needed}"));
        }
        let opened = GpuDevice::open_with(&self.adapter, FEATURES)?;
        let device = GpuDevice {
            checked: self.checked,
            tuning: self.tuning.clone(),
            variants: self.variants.clone(),
            cooperative: candidates.iter().map(|variant| variant.name).collect(),
            ..opened
        };
        let mut right = Vec::new();
        let mut wrong = None;
        for variant in candidates {
            let load = |program| -> Result<Box<dyn Executor>, DeviceError> {
                Ok(Box::new(device.load_guarded(program, 0, variant.name)?))
            };
            match test(&load)? {
                Ok(()) => right.push(variant.name),
                Err(problem) => wrong = Some(format!("{}, {problem}", variant.name)),
            }
        }
        match wrong {
            Some(wrong) if right.is_empty() => {
                refuse(format!("its cooperative matrices compute wrongly: {wrong}"))
            }
            _ => Ok(GpuDevice { cooperative: right, ..device }),
        }
    }
}

/// The variants that an adapter should be able to run, by what it says of itself.
fn candidates(adapter: &wgpu::Adapter) -> Vec<&'static Variant> {
    let info = adapter.get_info();
    let memory = adapter.limits().max_compute_workgroup_storage_size;
    if !adapter.features().contains(FEATURES) || memory < WORKGROUP_MEMORY {
        return Vec::new();
    }
    let all = adapter.cooperative_matrix_properties();
    let has = |side: u32| {
        all.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [side; 3]
                && p.ab_type == CooperativeScalarType::F16
                && p.cr_type == CooperativeScalarType::F32
        })
    };
    // Where subgroups may have several sizes, the test says which one it is.
    let sizes = info.subgroup_min_size..=info.subgroup_max_size;
    PRODUCT
        .iter()
        .filter(|v| v.cooperative.is_some_and(has))
        .filter(|v| v.subgroup.is_some_and(|size| sizes.contains(&size)))
        .collect()
}

/// What a variant needs, for people.
fn needed() -> String {
    let all = PRODUCT.iter().filter_map(|v| v.cooperative.zip(v.subgroup));
    let texts: Vec<_> =
        all.map(|(side, size)| format!("{side}x{side} in subgroups of {size}")).collect();
    texts.join(" or ")
}

/// What there is of it.
fn there_is(adapter: &wgpu::Adapter) -> String {
    let info = adapter.get_info();
    let all = adapter.cooperative_matrix_properties();
    if all.is_empty() || !adapter.features().contains(FEATURES) {
        return "it has no cooperative matrices".to_string();
    }
    let list: Vec<String> = all
        .iter()
        .map(|p| {
            let (ab, cr) = (p.ab_type, p.cr_type);
            format!("{}x{}x{} of {ab:?} with sums in {cr:?}", p.m_size, p.n_size, p.k_size)
        })
        .collect();
    let (min, max) = (info.subgroup_min_size, info.subgroup_max_size);
    format!("its cooperative matrices are {}, in subgroups of {min} to {max}", list.join(", "))
}

/// Whether products are right, by the formulas in double precision, with a bound on each element: in all
/// three orders that operands lie in memory in, of sizes that are no multiple of a tile's, none equal to
/// another, so that neither a transposed operand nor a swapped tile passes. Operands are numbers that f16
/// has, so that nothing but the sums is rounded and a sum in f16 is found; and then any numbers. Each
/// product runs several times, to the same bits: a race need not show at once.
///
/// # Errors
/// The inner one: which product is wrong, and how. The outer one: the device failed.
pub fn test(
    load: &dyn Fn(Program) -> Result<Box<dyn Executor>, DeviceError>,
) -> Result<Result<(), String>, DeviceError> {
    const RUNS: usize = 4;
    let cpu = CpuDevice::new(None)?.in_precision(Precision::Mixed);
    for kernel in [&linear::FORWARD, &linear::BACKWARD_INPUT, &linear::UPDATE] {
        for (sizes, exact) in
            [([37, 45, 71], true), ([300, 170, 201], true), ([65, 130, 19], false)]
        {
            let (program, inputs) = product(kernel, sizes, exact);
            let plan = crate::plan::PlanId(0);
            let mut oracle = cpu.load::<Bounded>(program.clone())?;
            for (i, values) in inputs.iter().enumerate() {
                oracle.write_bytes(TensorId(i), bytemuck::cast_slice(values))?;
            }
            oracle.run_dispatch(plan, 0)?;
            let mut device = load(program.clone())?;
            let mut first: Vec<Vec<f32>> = Vec::new();
            for _ in 0..RUNS {
                for (i, values) in inputs.iter().enumerate() {
                    device.write_f32(TensorId(i), values)?;
                }
                device.run_dispatch(plan, 0)?;
                let mut results = Vec::new();
                for i in 0..inputs.len() {
                    results.push(device.read_f32(TensorId(i))?);
                }
                for (i, got) in results.iter().enumerate() {
                    let tensor = &program.tensors()[i];
                    if let Err(wrong) = right(oracle.floats_mut(TensorId(i)), got) {
                        return Ok(Err(format!("{kernel}: {tensor}: {wrong}")));
                    }
                    let bits = |v: &[f32]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    if first.get(i).is_some_and(|first| bits(first) != bits(got)) {
                        return Ok(Err(format!("{kernel}: {tensor}: two runs differ")));
                    }
                }
                first = results;
            }
        }
    }
    Ok(Ok(()))
}

/// A program of one layer's kernel, and what its tensors begin with.
fn product(
    kernel: &'static Kernel,
    [r, i, o]: [usize; 3],
    exact: bool,
) -> (Program, Vec<Vec<f32>>) {
    let reflection = kernel.reflection().expect("tests/kernels/shaders.rs");
    let sizes = [("R", r), ("I", i), ("O", o), ("PLANES", 2)];
    let known = |name: &str| sizes.iter().find(|d| d.0 == name).map(|d| d.1);
    let mut rng = ChaCha8Rng::seed_from_u64((r * i * o) as u64);
    let mut program = Program::new();
    let mut tensors = Vec::new();
    let mut inputs = Vec::new();
    for binding in &reflection.bindings {
        let size = |dim: &Vec<_>| {
            dim.iter()
                .map(|f: &crate::plan::shader::Factor| f.value(known).expect("one of these"))
                .product()
        };
        let dims: Vec<usize> = binding.dims.iter().map(size).collect();
        let id = program.tensor(binding.name.clone(), &dims, DType::F32);
        tensors.push((binding.name.as_str(), id));
        let operand = ["x", "weight", "d_y"].contains(&binding.name.as_str());
        let mut number = || match (binding.access, operand) {
            (Access::Write, _) => f32::NAN,
            // eight bits
            (_, true) if exact => f32::from(rng.random_range(-127_i16..=127)) / 64.0,
            (_, true) => 4.0 * rng.random::<f32>() - 2.0,
            // rates and moments, which are positive
            (_, false) => 0.1 + rng.random::<f32>(),
        };
        inputs.push((0..program.get(id).len()).map(|_| number()).collect());
    }
    let mut plan = Plan::new("test of mixed precision");
    plan.dispatch(&program, kernel, &tensors, &[]).expect("shapes as they are declared");
    program.add(plan);
    (program, inputs)
}

fn right(expected: &[Bounded], got: &[f32]) -> Result<(), String> {
    for (i, (e, &g)) in expected.iter().zip(got).enumerate() {
        let allowed = SAFETY * e.error;
        let within = (f64::from(g) - e.value).abs() <= allowed; // which a NaN is not
        if !within {
            return Err(format!("element {i} is {g:e}, expected {:e} ± {allowed:e}", e.value));
        }
    }
    Ok(())
}
