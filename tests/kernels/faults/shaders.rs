//! Faults of shaders: wrong texts in place of right ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use elbo::device::gpu::GpuDevice;
use elbo::kernels::REGISTRY;
use elbo::kernels::{LIBRARY, resolve_imports};
use elbo::plan::Program;
use elbo::plan::{Case, Formula, Kernel, Parts, Variant};

use super::mutations::{self, Faults};
use crate::harness::{self, GUARD};

/// A variant of a kernel with one text in place of another, in its own file or in the library.
fn mutated(
    kernel: &'static Kernel,
    variant: &'static Variant,
    from: &str,
    to: &str,
) -> &'static Kernel {
    let source = resolve_imports(kernel.file, kernel.source, variant.imports).unwrap();
    let Parts { file, entry, summary, grid, cases, cost, .. } = **kernel;
    let of = &kernel.formula;
    let formula = Formula { f32: of.f32, f64: of.f64, bounded: of.bounded };
    let source = source.replace(from, to).leak();
    let parts = Parts { file, source, entry, summary, grid, formula, cases, cost };
    let mutant = Kernel::new(LIBRARY, parts, std::slice::from_ref(variant));
    let mutant: &'static Kernel = Box::leak(Box::new(mutant));
    if let Err(e) = mutant.reflection() {
        panic!("{kernel}: {from:?} -> {to:?} is no shader: {e}");
    }
    mutant
}

/// The program with every dispatch run by this kernel, bindings and constants as they were.
fn run_by(kernel: &'static Kernel, program: &Program) -> Program {
    let mut changed = Program::new();
    for tensor in program.tensors() {
        changed.tensor(tensor.name.clone(), &tensor.dims, tensor.dtype);
    }
    for plan in program.plans() {
        let mut plan = plan.clone();
        plan.dispatches.iter_mut().for_each(|dispatch| dispatch.kernel = kernel);
        changed.add(plan);
    }
    changed
}

/// A variant of a kernel and the cases that are to tell its mutants from it.
struct Suite<'a> {
    device: &'a GpuDevice,
    kernel: &'static Kernel,
    variant: &'static Variant,
    /// With their seeds: small ones first, then whatever has caught a fault before the others.
    cases: Vec<(u64, Case)>,
    /// Seeds of the cases that the kernel without a fault has passed.
    passed: BTreeSet<u64>,
}

impl<'a> Suite<'a> {
    fn new(device: &'a GpuDevice, kernel: &'static Kernel, variant: &'static Variant) -> Self {
        let mut cases: Vec<(u64, Case)> = (0..).zip((kernel.cases)()).collect();
        cases.sort_by_key(|(_, case)| case.dims.iter().map(|(_, size)| size).product::<usize>());
        Suite { device, kernel, variant, cases, passed: BTreeSet::new() }
    }

    /// What a case says of a kernel in the place of this one.
    fn check(&self, (seed, case): &(u64, Case), run: &'static Kernel) -> Result<f64, String> {
        harness::check(self.kernel, case, *seed, &|program| {
            let program = run_by(run, &program);
            Ok(Box::new(self.device.load_guarded(program, GUARD, self.variant.name)?))
        })
    }

    /// Whether a case tells the mutant from the kernel, which passes it.
    fn catches(&mut self, mutant: &'static Kernel) -> bool {
        let caught = |case| self.check(case, mutant).err().map(|message| (case.0, message));
        let Some((seed, message)) = self.cases.iter().find_map(caught) else { return false };
        // By its results, not because the driver refused it.
        assert!(message.starts_with(&format!("{} [", self.kernel)), "{mutant}: {message}");
        let at = self.cases.iter().position(|case| case.0 == seed).expect("one of them");
        if self.passed.insert(seed) {
            self.check(&self.cases[at], self.kernel).unwrap();
        }
        self.cases[..=at].rotate_right(1);
        true
    }
}

/// The variants to plant a fault in: those that hold the text, or one of them where all do.
fn variants_with(kernel: &'static Kernel, text: &str) -> Vec<&'static Variant> {
    let holds = |variant: &&Variant| {
        resolve_imports(kernel.file, kernel.source, variant.imports).unwrap().contains(text)
    };
    let holding: Vec<&Variant> = kernel.variants.iter().filter(holds).collect();
    assert!(!holding.is_empty(), "{kernel}: {text:?} is not in its source");
    match holding.len() == kernel.variants.len() {
        true => vec![&kernel.variants[0]],
        false => holding,
    }
}

/// The kernel of a name like "linear.forward".
fn kernel(name: &str) -> &'static Kernel {
    let found = REGISTRY.iter().find(|kernel| kernel.to_string() == name);
    found.unwrap_or_else(|| panic!("there is no kernel {name}"))
}

#[test]
fn every_fault_of_a_shader_is_caught() {
    // Checked: a fault may make an index wrong.
    let device = harness::gpu().checked();
    let mut suites: BTreeMap<(String, &str), Suite> = BTreeMap::new();
    let mut survivors = Vec::new();
    for Faults { file, kernels, mutations } in mutations::all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shaders/{file}.wgsl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        for name in *kernels {
            let kernel = kernel(name);
            for (from, to) in *mutations {
                assert!(text.contains(from), "{from:?} is not in {file}");
                let variants = variants_with(kernel, from);
                for variant in variants.into_iter().filter(|v| device.can_run(v)) {
                    let suite = suites
                        .entry((name.to_string(), variant.name))
                        .or_insert_with(|| Suite::new(&device, kernel, variant));
                    if !suite.catches(mutated(kernel, variant, from, to)) {
                        survivors.push(format!("{name}, {}: {from:?} -> {to:?}", variant.name));
                    }
                }
            }
        }
    }
    let n = survivors.len();
    assert!(n == 0, "no case of theirs catches these {n}:\n{}", survivors.join("\n"));
}

/// In its own file, whatever there is in those that it imports.
#[test]
fn every_kernel_has_faults() {
    for kernel in REGISTRY {
        let name = kernel.to_string();
        let mut of_file = mutations::all().filter(|faults| faults.file == kernel.file);
        let has = of_file.any(|f| f.kernels.contains(&name.as_str()) && !f.mutations.is_empty());
        assert!(has, "no fault of {kernel}");
    }
}
