//! Which variant of a kernel runs where none was measured.

use crate::plan::{Dispatch, Variant};

/// The tiles of a product from the largest to the smallest but one, and from how many workgroups on each is likely to be
/// the fastest: a larger tile loads less, and too few of them leave a GPU of about a hundred processors idle. Where
/// none is enough, the smallest is.
const ENOUGH: [(&str, u64); 5] =
    [("large", 120), ("tall", 120), ("wide", 190), ("tiled", 380), ("split", 95)];

/// Their invocations sum 64 elements each, which not every GPU has the registers for.
const LARGEST: [&str; 2] = ["large", "tall"];
/// From how many workgroups on the largest tiles are raced at all: fewer leave most of any GPU idle, and compiling a
/// pipeline takes a tenth of a second.
const WORTH_A_RACE: u64 = 32;

/// Whether a variant may be the fastest at this size.
pub fn may_win(dispatch: &Dispatch, variant: &Variant) -> bool {
    !LARGEST.contains(&variant.name) || workgroups(dispatch, variant) >= WORTH_A_RACE
}

fn workgroups(dispatch: &Dispatch, variant: &Variant) -> u64 {
    dispatch.grid(variant).iter().map(|&n| u64::from(n)).product()
}

/// What is likely to be the fastest of the variants that an adapter `runs`: cooperative matrices where they are asked for;
/// subgroups, without workgroup memory, which a processor that imitates a GPU can only imitate; otherwise the largest
/// tile of which there are [`ENOUGH`], or the first of all.
pub fn default_variant(dispatch: &Dispatch, runs: impl Fn(&Variant) -> bool) -> &'static Variant {
    let variants = dispatch.kernel.variants;
    let usable = || variants.iter().filter(|variant| runs(variant));
    let cooperative = usable().find(|variant| variant.cooperative.is_some());
    let subgroups = usable().find(|variant| variant.subgroup.is_some());
    let of_name = |name: &str| usable().find(|variant| variant.name == name);
    let by_size = || {
        let large = ENOUGH.iter().filter_map(|&(name, enough)| Some((of_name(name)?, enough)));
        let mut large = large.filter(|(variant, enough)| workgroups(dispatch, variant) >= *enough);
        large.next().map(|(variant, _)| variant).or_else(|| of_name("skinny"))
    };
    cooperative.or(subgroups).or_else(by_size).unwrap_or(&variants[0])
}

/// The same for a device that is not known, and of which no more is asked than WebGPU has.
pub fn portable_variant(dispatch: &Dispatch) -> &'static Variant {
    default_variant(dispatch, |variant| {
        variant.subgroup.is_none()
            && variant.cooperative.is_none()
            && !LARGEST.contains(&variant.name)
            && dispatch.fits(variant)
    })
}

/// Whether the GPUs of a vendor have the registers for a variant; where they have not, only a race can choose it.
pub fn has_registers(vendor: u32, variant: &Variant) -> bool {
    const INTEL: u32 = 0x8086;
    vendor != INTEL || !LARGEST.contains(&variant.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::linear;
    use crate::plan::{DType, Plan, Program};

    /// What runs y = f(x W^T + b) of this size.
    fn of(
        rows: usize,
        inputs: usize,
        outputs: usize,
        runs: impl Fn(&Variant) -> bool,
    ) -> &'static str {
        let mut program = Program::new();
        let mut tensor =
            |name: &'static str, dims: &[usize]| (name, program.tensor(name, dims, DType::F32));
        let tensors = [
            tensor("x", &[rows, inputs]),
            tensor("weight", &[outputs, inputs]),
            tensor("bias", &[outputs]),
            tensor("y", &[rows, outputs]),
        ];
        let mut plan = Plan::new("step");
        plan.dispatch(&program, &linear::FORWARD, &tensors, &[]).expect("fits");
        default_variant(&plan.dispatches[0], runs).name
    }

    #[test]
    fn tiles_are_as_large_as_occupies_a_gpu() {
        let plain = |variant: &Variant| variant.subgroup.is_none();
        for (rows, outputs, name) in [
            (1, 1, "skinny"),
            (20, 400, "skinny"),
            (128, 40, "skinny"),
            (128, 400, "split"),
            (512, 400, "split"),
            (512, 784, "tiled"),
            (2048, 400, "wide"),
            (4096, 40, "split"),
            (4096, 200, "tall"),
            (4096, 400, "large"),
            (4096, 784, "large"),
        ] {
            assert_eq!(of(rows, 784, outputs, plain), name, "{rows} x {outputs}");
        }
    }

    #[test]
    fn the_largest_tiles_are_for_those_who_have_the_registers() {
        let [nvidia, intel] = [0x10de, 0x8086]
            .map(|vendor| of(4096, 784, 784, |v| v.subgroup.is_none() && has_registers(vendor, v)));
        assert_eq!([nvidia, intel], ["large", "wide"]);
    }

    #[test]
    fn what_the_adapter_cannot_run_is_not_taken() {
        let without_memory = |variant: &Variant| variant.cooperative.is_none();
        assert_eq!(of(4096, 784, 400, without_memory), "subgroups");
        assert_eq!(of(4096, 784, 400, |v| v.name == "cooperative_16_32"), "cooperative_16_32");
        assert_eq!(of(20, 784, 400, |v| v.name == "tiled" || v.name == "wide"), "tiled");
        assert_eq!(of(20, 784, 400, |_| false), "tiled");
    }
}
