// The sums of lib/product_sums over a subgroup, in the order of its invocations.

/// Row `r` of those that are held is summed by all, and its total kept by one invocation, so that a logarithm is
/// taken for 8 rows at once.
fn hold_part(_lane: u32, r: u32, part: vec2<f32>, own: ptr<function, vec2<f32>>) {
    var total = vec2<f32>(0.0, 1.0);
    for (var i = 0u; i < 8u; i++) {
        total.x += subgroupShuffle(part.x, i);
        total.y *= subgroupShuffle(part.y, i);
    }
    *own = select(*own, total, subgroup_lane() == r);
}

/// Of the rows from `first` of each fragment on.
fn finish_parts(group: vec3<u32>, _lane: u32, first: u32, own: vec2<f32>) {
    let row = group.x * 16u + first + subgroup_lane();
    if row < rows() { finish_row(row, group.y, own); }
}
