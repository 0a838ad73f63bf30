// The sum or the maximum over a workgroup in a fixed order: a tree in workgroup memory, so that a rerun
// is equal bit for bit. The kernel declares `override WORKGROUP`, a power of two.

var<workgroup> partial_sums: array<f32, WORKGROUP>;

/// Every invocation gives its part, every invocation receives the total. Call from uniform control flow.
fn workgroup_sum(part: f32, lane: u32) -> f32 {
    workgroupBarrier();
    partial_sums[lane] = part;
    workgroupBarrier();
    for (var width = WORKGROUP / 2u; width > 0u; width = width / 2u) {
        if lane < width {
            partial_sums[lane] += partial_sums[lane + width];
        }
        workgroupBarrier();
    }
    return partial_sums[0];
}

/// The same for the largest part.
fn workgroup_max(part: f32, lane: u32) -> f32 {
    workgroupBarrier();
    partial_sums[lane] = part;
    workgroupBarrier();
    for (var width = WORKGROUP / 2u; width > 0u; width = width / 2u) {
        if lane < width {
            let other = partial_sums[lane + width];
            if other > partial_sums[lane] { partial_sums[lane] = other; }
        }
        workgroupBarrier();
    }
    return partial_sums[0];
}
