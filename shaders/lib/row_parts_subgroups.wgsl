// The sums of lib/product_sums over a subgroup, in the order of its invocations.

alias Parts = array<vec2<f32>, FRAGMENT_ROWS>;

fn finish_rows(group: vec3<u32>, _lane: u32, parts: ptr<function, Parts>) {
    let lane = subgroup_lane();
    for (var first = 0u; first < FRAGMENT_ROWS; first += 8u) {
        // Each invocation keeps the total of one row, so that a logarithm is taken for 8 rows at once.
        var own = vec2<f32>();
        for (var r = 0u; r < 8u; r++) {
            var total = vec2<f32>(0.0, 1.0);
            for (var i = 0u; i < 8u; i++) {
                total.x += subgroupShuffle((*parts)[first + r].x, i);
                total.y *= subgroupShuffle((*parts)[first + r].y, i);
            }
            own = select(own, total, lane == r);
        }
        let row = group.x * 16u + first + lane;
        if row < rows() { finish_row(row, group.y, own); }
    }
}
