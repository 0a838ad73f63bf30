//! The browser as a third device of the registry's cases: Tint compiles what naga compiles for the others.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use elbo::kernels::REGISTRY;
use elbo::plan::{Case, Kernel};

use crate::harness::browser::Browser;
use crate::harness::{check, prepare};

/// Operations and bytes of a case, at most: SwiftShader computes about 0.1 GFLOP a second.
const COST: u64 = 100_000;

/// The largest of a kernel's cases that are small enough, or else the smallest.
fn chosen(kernel: &'static Kernel) -> Case {
    let cost = |case: &Case| {
        let prepared = prepare(kernel, case, 1).unwrap_or_else(|e| panic!("{e}"));
        let dispatch = &prepared.program.plan(prepared.plan).dispatches[0];
        let cost = (kernel.cost)(&dispatch.constants);
        cost.flops + cost.bytes
    };
    let mut cases: Vec<(u64, Case)> =
        (kernel.cases)().into_iter().map(|case| (cost(&case), case)).collect();
    cases.sort_by_key(|(cost, _)| *cost);
    let small = cases.iter().filter(|(cost, _)| *cost <= COST).count();
    cases.swap_remove(small.saturating_sub(1)).1
}

#[test]
fn every_kernel_is_the_reference_in_the_browser() {
    let begin = Instant::now();
    let browser = Rc::new(Browser::new());
    let mut worst = (0.0, String::new());
    for kernel in REGISTRY.iter().copied() {
        let since = Instant::now();
        let load = |program| -> Result<Box<dyn crate::harness::Tested>, _> {
            Ok(Box::new(browser.load(program)?))
        };
        let case = chosen(kernel);
        let ratio = check(kernel, &case, 1, &load).unwrap_or_else(|e| panic!("{e}"));
        if ratio > worst.0 {
            worst = (ratio, kernel.to_string());
        }
        if since.elapsed().as_secs_f64() > 1.0 {
            println!("{kernel} took {:.1?}: {:?} {:?}", since.elapsed(), case.dims, case.constants);
        }
    }
    println!(
        "{} kernels in {:.1?}, the worst at {worst:?} of its bound",
        REGISTRY.len(),
        begin.elapsed()
    );
    assert_eq!(browser.tab.borrow_mut().complaints(), Vec::<String>::new());
}

/// Every shader that asks for no subgroups, in the variants that no case above has too.
#[test]
fn the_browser_compiles_every_shader() {
    let browser = Browser::new();
    let mut modules = BTreeMap::new();
    for kernel in REGISTRY {
        for variant in kernel.variants {
            if variant.subgroup.is_none() && variant.cooperative.is_none() {
                let reflection = kernel.reflection_of(variant).expect("a shader");
                let name = format!("{}.wgsl, {}", kernel.file, variant.name);
                modules.insert(name, reflection.source.clone());
            }
        }
    }
    browser.site.put("/all.json", serde_json::to_string(&modules).expect("texts"));
    let said = browser.ok("const said = [];
         const { device } = tools.opened;
         for (const [name, code] of Object.entries(await tools.json('/all.json'))) {
             device.pushErrorScope('validation');
             const module = device.createShaderModule({ code });
             const { messages } = await module.getCompilationInfo();
             said.push(...messages.map((m) => `${name}:${m.lineNum}: ${m.type}: ${m.message}`));
             await device.popErrorScope();
         }
         return said");
    assert!(modules.len() > 60, "{} shaders", modules.len());
    println!("{} shaders", modules.len());
    assert_eq!(said, serde_json::json!([]));
}
