//! What lies at the edge of an operand is loaded for elements beyond it, and must show in its own row and column only.

use elbo::device::Executor;
use elbo::kernels::linear;
use elbo::plan::Case;

use crate::harness;

/// Rows, inputs and outputs; tiles end inside each of them.
const SIZES: [usize; 3] = [3, 21, 7];

/// The elements of y that are NaN when one of an operand is.
fn nans(variant: &str, operand: &str, element: usize) -> Vec<usize> {
    let [r, i, o] = SIZES;
    let case = Case::new(&[("R", r), ("I", i), ("O", o)]);
    let prepared = harness::prepare(&linear::FORWARD, &case, 0).expect("a case");
    let id = |name: &str| {
        let named = |(id, ..): &&(_, _, _)| prepared.program.get(*id).name == name;
        prepared.tensors.iter().find(named).expect("a tensor").0
    };
    let gpu = harness::gpu();
    let mut gpu = gpu.load_guarded(prepared.program.clone(), 0, variant).expect("loads");
    let gpu: &mut dyn Executor = &mut gpu;
    for (tensor, _, bytes) in &prepared.tensors {
        let mut bytes = bytes.clone();
        if *tensor == id(operand) {
            bytes[4 * element..4 * element + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        gpu.write_bytes(*tensor, &bytes).expect("writes");
    }
    gpu.run_dispatch(prepared.plan, 0).expect("runs");
    let y = gpu.read_f32(id("y")).expect("reads");
    (0..y.len()).filter(|e| y[*e].is_nan()).collect()
}

#[test]
fn a_nan_at_the_edge_stays_in_its_row_or_column() {
    let [r, i, o] = SIZES;
    for variant in harness::variants(&harness::gpu(), &linear::FORWARD) {
        // The last element and the first: what comes again beyond the edge, and what a zero there must not meet.
        for k in [i - 1, 0] {
            let row: Vec<usize> = ((r - 1) * o..r * o).collect();
            assert_eq!(nans(variant.name, "x", (r - 1) * i + k), row, "{}", variant.name);
            let column: Vec<usize> = (0..r).map(|row| row * o + o - 1).collect();
            assert_eq!(nans(variant.name, "weight", (o - 1) * i + k), column, "{}", variant.name);
        }
    }
}
