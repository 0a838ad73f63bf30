//! The fusion pass: rewrites a recorded plan so that fewer and fatter kernels compute the same.
//!
//! A [`Fusion`] is data. A [`Pattern`] names the kernels that it replaces, with a variable for each tensor:
//! parts that bind the same variable must bind the same tensor. The replacing kernel binds the variables by
//! its own bindings' names. A pattern is applied where all of this holds:
//! - the parts' tensors and constants agree with the pattern, and its guard;
//! - a tensor that the replacing kernel does not bind is used by nothing else, and is dropped;
//! - a constant that the replacing kernel does not have is at its default in the parts;
//! - no other dispatch would see the parts' reads or writes in another order.

use std::collections::BTreeSet;

use super::shader::Default;
use super::{Dispatch, Kernel, Plan, PlanError, Program, TensorId};

/// A rewriting of recorded plans.
pub struct Fusion {
    /// Its name, by which it is switched off.
    pub name: &'static str,
    /// What it saves, in one line for tables.
    pub summary: &'static str,
    pub rewrite: Rewrite,
}

/// How a [`Fusion`] finds and replaces dispatches.
pub enum Rewrite {
    /// A fixed number of dispatches becomes one.
    Pattern(Pattern),
    /// Any number of dispatches becomes one. Returns whether it changed the plan.
    Merge(fn(&mut Program, &mut Plan) -> Result<bool, PlanError>),
}

/// Dispatches that one kernel replaces.
pub struct Pattern {
    /// In the order in which they are recorded.
    pub parts: &'static [Part],
    /// What replaces them; its bindings are the pattern's variables.
    pub kernel: &'static Kernel,
    /// The constants that it takes over from the parts that have them, which must agree.
    pub constants: &'static [&'static str],
    /// A variable that the replacing kernel writes in another shape.
    pub reshaped: Option<Reshaped>,
    /// What else must hold of the dispatches found, in the order of `parts`.
    pub when: fn(&[&Dispatch]) -> bool,
}

/// A tensor that a [`Pattern`] writes in another shape. Every kernel that reads it must accept that shape.
pub struct Reshaped {
    pub variable: &'static str,
    /// Its dimensions, from the last part that binds it.
    pub dims: fn(&Dispatch) -> Vec<usize>,
}

/// One of the dispatches that a [`Pattern`] replaces.
pub struct Part {
    pub kernel: &'static Kernel,
    /// The variable of each of its bindings.
    pub tensors: &'static [(&'static str, &'static str)],
}

/// Which fusions a plan is rewritten by, in their order.
#[derive(Clone)]
pub struct Fusions(Vec<&'static Fusion>);

/// How often each fusion was applied, by name.
pub type Fused = Vec<(&'static str, usize)>;

impl Fusions {
    /// Those of a table.
    pub fn of(table: &[&'static Fusion]) -> Self {
        Fusions(table.to_vec())
    }

    /// None: plans stay as they are recorded.
    pub fn none() -> Self {
        Fusions(Vec::new())
    }

    /// All but the one of this name.
    ///
    /// # Errors
    /// There is none: the names that there are.
    pub fn without(mut self, name: &str) -> Result<Self, String> {
        let known: Vec<&str> = self.0.iter().map(|fusion| fusion.name).collect();
        if !known.contains(&name) {
            return Err(format!("there is no fusion {name:?}; there are {}", known.join(", ")));
        }
        self.0.retain(|fusion| fusion.name != name);
        Ok(self)
    }

    pub fn iter(&self) -> impl Iterator<Item = &'static Fusion> {
        self.0.iter().copied()
    }
}

/// Rewrites a plan that is not yet part of `program`, until no fusion applies.
///
/// # Errors
/// A fusion whose pattern does not fit its kernels: a defect of the fusion.
pub fn fuse(program: &mut Program, plan: &mut Plan, fusions: &Fusions) -> Result<Fused, PlanError> {
    let mut applied = Vec::new();
    for fusion in fusions.iter() {
        let mut times = 0;
        while match &fusion.rewrite {
            Rewrite::Pattern(pattern) => pattern.apply(program, plan)?,
            Rewrite::Merge(merge) => merge(program, plan)?,
        } {
            times += 1;
        }
        applied.push((fusion.name, times));
    }
    Ok(applied)
}

/// A match of a pattern: the index of each part's dispatch, and the tensors of the variables.
struct Match {
    indices: Vec<usize>,
    variables: Vec<(&'static str, TensorId)>,
}

/// What is to be done about a match.
struct Replacement {
    /// The parts' dispatches, in the plan's order; `at` is one of them, and becomes `fused`.
    removed: Vec<usize>,
    at: usize,
    fused: Dispatch,
    dropped: Vec<TensorId>,
    /// The program with the tensor of another shape, and by index the dispatches that read it.
    reshaped: Option<(Program, Vec<(usize, Dispatch)>)>,
}

impl Match {
    fn get(&self, variable: &str) -> Option<TensorId> {
        self.variables.iter().find(|(name, _)| *name == variable).map(|(_, id)| *id)
    }
}

impl Pattern {
    /// Replaces the first match, if there is one that may be replaced.
    fn apply(&self, program: &mut Program, plan: &mut Plan) -> Result<bool, PlanError> {
        let empty = Match { indices: Vec::new(), variables: Vec::new() };
        let Some(replacement) = self.search(program, plan, empty)? else { return Ok(false) };
        let Replacement { removed, at, fused, dropped, reshaped } = replacement;
        if let Some((trial, readers)) = reshaped {
            *program = trial;
            for (index, reader) in readers {
                plan.dispatches[index] = reader;
            }
        }
        for tensor in dropped {
            program.drop(tensor);
        }
        plan.dispatches[at] = fused;
        for index in removed.into_iter().rev().filter(|&index| index != at) {
            plan.dispatches.remove(index);
        }
        Ok(true)
    }

    /// What is to be done about the first match that may be replaced, of all ways to assign dispatches to the
    /// parts, in the plan's order.
    fn search(
        &self,
        program: &Program,
        plan: &Plan,
        so_far: Match,
    ) -> Result<Option<Replacement>, PlanError> {
        let Some(part) = self.parts.get(so_far.indices.len()) else {
            return self.replace(program, plan, &so_far);
        };
        let first = so_far.indices.last().map_or(0, |last| last + 1);
        for (index, dispatch) in plan.dispatches.iter().enumerate().skip(first) {
            if !std::ptr::eq(dispatch.kernel, part.kernel) {
                continue;
            }
            // In a plan of many layers nearly all dispatches fail here, before anything is copied.
            let differs = |(binding, variable): &(&str, &'static str)| {
                so_far.get(variable).is_some_and(|bound| dispatch.tensor(binding) != Some(bound))
            };
            if part.tensors.iter().any(differs) {
                continue;
            }
            let mut variables = so_far.variables.clone();
            let agrees = part.tensors.iter().all(|(binding, variable)| {
                let Some(tensor) = dispatch.tensor(binding) else { return false };
                match variables.iter().find(|(name, _)| name == variable) {
                    Some((_, bound)) => *bound == tensor,
                    None => {
                        variables.push((variable, tensor));
                        true
                    }
                }
            });
            if agrees {
                let indices = so_far.indices.iter().copied().chain([index]).collect();
                let found = self.search(program, plan, Match { indices, variables })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// What takes the place of a match, if it may be replaced.
    fn replace(
        &self,
        program: &Program,
        plan: &Plan,
        found: &Match,
    ) -> Result<Option<Replacement>, PlanError> {
        let parts: Vec<&Dispatch> = found.indices.iter().map(|&i| &plan.dispatches[i]).collect();
        if !(self.when)(&parts) || !self.keeps_constants(&parts)? {
            return Ok(None);
        }
        let Some(constants) = self.constants(&parts) else { return Ok(None) };
        let Some(at) = place_for(program, plan, &found.indices) else { return Ok(None) };

        let bindings = &self.kernel.reflection()?.bindings;
        let bound = |variable: &str| bindings.iter().any(|b| b.name == variable);
        let dropped: Vec<TensorId> = found
            .variables
            .iter()
            .filter(|(name, _)| !bound(name))
            .map(|(_, tensor)| *tensor)
            .collect();
        let others = || {
            let all = plan.dispatches.iter().enumerate();
            all.filter(|(index, _)| !found.indices.contains(index))
        };
        let used = |tensor| {
            let other_plans = program.plans().iter().flat_map(|plan| &plan.dispatches);
            others().map(|(_, dispatch)| dispatch).chain(other_plans).any(|d| d.uses(tensor))
        };
        if dropped.iter().any(|&tensor| used(tensor)) {
            return Ok(None);
        }

        // A tensor of another shape takes the place of the one that the parts write.
        let mut variables = found.variables.clone();
        let mut reshaped = None;
        if let Some(Reshaped { variable, dims }) = self.reshaped {
            let old = found.get(variable).expect("a pattern reshapes one of its variables");
            let writer = parts.iter().rev().find(|d| d.uses(old)).expect("a part binds it");
            let dims = dims(writer);
            if dims != program.get(old).dims {
                let declared = program.get(old).clone();
                let mut trial = program.clone();
                trial.drop(old);
                let new = trial.tensor(declared.name, &dims, declared.dtype);
                let mut readers = Vec::new();
                for (index, dispatch) in others().filter(|(_, dispatch)| dispatch.uses(old)) {
                    // A reader that refuses the shape is the guard.
                    let Ok(reader) = dispatch.with(&trial, old, new) else { return Ok(None) };
                    readers.push((index, reader));
                }
                for (_, tensor) in variables.iter_mut().filter(|(_, tensor)| *tensor == old) {
                    *tensor = new;
                }
                reshaped = Some((trial, readers));
            }
        }
        let tensors: Vec<(&str, TensorId)> =
            variables.into_iter().filter(|(name, _)| bound(name)).collect();
        let constants: Vec<(&str, f64)> =
            constants.iter().map(|(name, value)| (*name, *value)).collect();
        let program = reshaped.as_ref().map_or(program, |(trial, _)| trial);
        let fused = Dispatch::new(program, self.kernel, &tensors, &constants)?;
        Ok(Some(Replacement { removed: found.indices.clone(), at, fused, dropped, reshaped }))
    }

    /// Whether each constant that was given to a part, and that the replacing kernel does not take over, is at
    /// its default or follows from shapes.
    fn keeps_constants(&self, parts: &[&Dispatch]) -> Result<bool, PlanError> {
        for part in parts {
            let overrides = &part.kernel.reflection()?.overrides;
            for (name, value) in &part.given {
                let default = overrides.iter().find(|o| o.name == *name).map(|o| &o.default);
                let kept = self.constants.contains(&name.as_str())
                    || self.kernel.reflection()?.has_dim(name)
                    || default == Some(&Default::Value(*value));
                if !kept {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What the replacing kernel is given; `None` if the parts do not agree.
    fn constants(&self, parts: &[&Dispatch]) -> Option<Vec<(&'static str, f64)>> {
        let mut all = Vec::new();
        for &name in self.constants {
            let mut values = parts.iter().filter_map(|part| part.constants.get(name));
            let first = values.next().expect("a part has each constant of a pattern");
            if values.any(|value| value != first) {
                return None;
            }
            all.push((name, first));
        }
        Some(all)
    }
}

/// The index among the parts' to which all of them can move, the last first; `None` if there is none.
fn place_for(program: &Program, plan: &Plan, parts: &[usize]) -> Option<usize> {
    let can_move = |from: usize, to: usize| {
        let between = from.min(to) + 1..from.max(to);
        between
            .filter(|i| !parts.contains(i))
            .all(|i| !conflict(program, &plan.dispatches[from], &plan.dispatches[i]))
    };
    parts.iter().rev().copied().find(|&at| parts.iter().all(|&part| can_move(part, at)))
}

/// Whether two dispatches must stay in their order: one writes what the other reads or writes.
fn conflict(program: &Program, a: &Dispatch, b: &Dispatch) -> bool {
    a.bindings.iter().any(|first| {
        b.bindings.iter().any(|second| {
            (first.access.writes() || second.access.writes())
                && program.place(first.tensor).0 == program.place(second.tensor).0
        })
    })
}

/// Sorts tensors into two tensors-to-be so that no dispatch has two of one of them while it writes one: a
/// buffer cannot be bound so. `None` if there is no such way. Of each tensor, whether it is in the second.
pub fn two_sides(plan: &Plan, tensors: &[TensorId]) -> Option<Vec<bool>> {
    let apart: BTreeSet<(TensorId, TensorId)> = plan
        .dispatches
        .iter()
        .flat_map(|d| {
            let bound = d.bindings.iter().filter(|b| tensors.contains(&b.tensor));
            let bound: Vec<_> = bound.collect();
            let mut pairs = Vec::new();
            for (i, a) in bound.iter().enumerate() {
                for b in &bound[i + 1..] {
                    if a.access.writes() || b.access.writes() {
                        pairs.extend([(a.tensor, b.tensor), (b.tensor, a.tensor)]);
                    }
                }
            }
            pairs
        })
        .collect();
    let mut sides: Vec<Option<bool>> = vec![None; tensors.len()];
    for start in 0..tensors.len() {
        if sides[start].is_some() {
            continue;
        }
        sides[start] = Some(false);
        let mut open = vec![start];
        while let Some(i) = open.pop() {
            for (j, &other) in tensors.iter().enumerate() {
                if !apart.contains(&(tensors[i], other)) {
                    continue;
                }
                match sides[j] {
                    None => {
                        sides[j] = sides[i].map(|side| !side);
                        open.push(j);
                    }
                    Some(_) if sides[j] == sides[i] => return None,
                    Some(_) => {}
                }
            }
        }
    }
    sides.into_iter().collect()
}
