//! Faults of shaders: wrong texts in place of right ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use elbo::device::gpu::GpuDevice;
use elbo::kernels::REGISTRY;
use elbo::kernels::{LIBRARY, resolve_imports};
use elbo::plan::Program;
use elbo::plan::{Case, Formula, Kernel, Parts, Variant};

use super::mutations::{self, Faults, Mutation};
use crate::harness::{self, GUARD};

/// A variant of a kernel with one text in place of another, in its own file or in the library.
fn mutated(
    kernel: &'static Kernel,
    variant: &'static Variant,
    (from, to): Mutation,
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

/// A case of a kernel, and what it has done.
struct Trial {
    case: Case,
    seed: u64,
    size: usize,
    /// The faults that it has caught, in any variant.
    caught: Vec<Mutation>,
    /// The variants that have passed it.
    passed: BTreeSet<&'static str>,
}

/// A kernel's cases in the order in which they are tried on its mutants, so that few are run before one catches
/// the next: what has caught the fault in another variant comes first, then what has caught the most, then
/// cases of several tiles, from which tiny ones and those of production size tell less for their time.
struct Suite<'a> {
    device: &'a GpuDevice,
    kernel: &'static Kernel,
    trials: Vec<Trial>,
}

impl<'a> Suite<'a> {
    fn new(device: &'a GpuDevice, kernel: &'static Kernel) -> Self {
        let size = |case: &Case| case.dims.iter().map(|(_, size)| size).product();
        let trial = |(seed, case)| {
            let size = size(&case);
            Trial { case, seed, size, caught: Vec::new(), passed: BTreeSet::new() }
        };
        let trials = (0..).zip((kernel.cases)()).map(trial).collect();
        Suite { device, kernel, trials }
    }

    /// What a case says of a kernel in the place of this one's variant.
    fn check(&self, trial: &Trial, variant: &Variant, run: &'static Kernel) -> Result<f64, String> {
        harness::check(self.kernel, &trial.case, trial.seed, &|program| {
            let program = run_by(run, &program);
            Ok(Box::new(self.device.load_guarded(program, GUARD, variant.name)?))
        })
    }

    /// Whether a case tells a mutant of the variant from the variant, which passes it.
    fn catches(&mut self, variant: &'static Variant, mutation: Mutation) -> bool {
        let mutant = mutated(self.kernel, variant, mutation);
        self.trials.sort_by_key(|trial| {
            let Trial { caught, size, .. } = trial;
            (!caught.contains(&mutation), Reverse(caught.len()), *size > 100_000, Reverse(*size))
        });
        let message = |trial: &Trial| self.check(trial, variant, mutant).err();
        let caught = self.trials.iter().enumerate();
        let Some((at, message)) = caught.filter_map(|(i, t)| Some((i, message(t)?))).next() else {
            return false;
        };
        // By its results, not because the driver refused it.
        assert!(message.starts_with(&format!("{} [", self.kernel)), "{mutant}: {message}");
        if !self.trials[at].passed.contains(variant.name) {
            self.check(&self.trials[at], variant, self.kernel).unwrap();
        }
        self.trials[at].passed.insert(variant.name);
        self.trials[at].caught.push(mutation);
        true
    }

    /// Whether a variant that is said not to use the text fails on what has caught the fault in others.
    fn uses(&self, variant: &'static Variant, mutation: Mutation) -> bool {
        let mutant = mutated(self.kernel, variant, mutation);
        let mut trials = self.trials.iter().filter(|trial| trial.caught.contains(&mutation));
        trials.any(|trial| self.check(trial, variant, mutant).is_err())
    }
}

/// Texts of a shared file, with the variants that have no use for them: a smaller tile has fewer rounds of loads than
/// the file has lines for, or fewer rows.
const UNUSED: &[(&str, &[&str])] = &[
    ("right_vector(k0 + r1.x", &["tall", "large"]),
    ("store_left(own.left1", &["large"]),
    ("store_right(own.right0", &["tall", "large"]),
    ("store_right(own.right3", &["tiled", "wide", "tall", "large"]),
    ("LEFT_ROUNDS > 1u", &["large"]),
    ("RIGHT_ROUNDS > 1u", &["tall", "large"]),
    ("lane + round * INVOCATIONS", &["large"]),
    ("y * ROW_VECTORS + v", &["tiled"]),
    ("store_four(at.x, at.y", &["tall", "large", "subgroups"]),
    ("FRAGMENT_ROWS > 4u", &["tiled", "tall", "large", "split", "skinny", "subgroups"]),
    ("store_four(at.x + 4u", &["tiled", "tall", "large", "split", "skinny", "subgroups"]),
    ("FRAGMENT_ROWS > 8u", &["tiled", "wide", "split", "skinny"]),
    ("r += 4u", &["tiled", "wide", "split", "skinny"]),
    ("store_four(at.x + r,", &["tiled", "wide", "split", "skinny"]),
];

/// The variants that have no use for a text, by name.
fn without_use_for(text: &str) -> &'static [&'static str] {
    UNUSED.iter().find(|(unused, _)| *unused == text).map_or(&[][..], |(_, names)| names)
}

/// The variants to plant a fault in: those that hold the text and use it, or one of them where all do.
fn variants_with(kernel: &'static Kernel, text: &str) -> Vec<&'static Variant> {
    let unused = without_use_for(text);
    let holds = |variant: &&Variant| {
        let text_of = resolve_imports(kernel.file, kernel.source, variant.imports).unwrap();
        text_of.contains(text) && !unused.contains(&variant.name)
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
    let mut suites: BTreeMap<&str, Suite> = BTreeMap::new();
    let mut survivors = Vec::new();
    for Faults { file, kernels, mutations } in mutations::all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shaders/{file}.wgsl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
        for name in *kernels {
            let kernel = kernel(name);
            let suite = suites.entry(*name).or_insert_with(|| Suite::new(&device, kernel));
            for (from, to) in *mutations {
                assert!(text.contains(from), "{from:?} is not in {file}");
                let variants = variants_with(kernel, from);
                for variant in variants.into_iter().filter(|v| device.can_run(v)) {
                    if !suite.catches(variant, (from, to)) {
                        survivors.push(format!("{name}, {}: {from:?} -> {to:?}", variant.name));
                    }
                }
                let unused =
                    kernel.variants.iter().filter(|v| without_use_for(from).contains(&v.name));
                for variant in unused.filter(|v| device.can_run(v)) {
                    assert!(
                        !suite.uses(variant, (from, to)),
                        "{name}, {}: {from:?} is used, and not planted there",
                        variant.name
                    );
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
