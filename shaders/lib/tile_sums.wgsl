// The products of the part of the inner dimension that is in workgroup memory: see lib/tile_loads.

/// Adds those of the invocation in column x and row y of a workgroup to its fragment.
fn add_part(x: u32, y: u32, t: ptr<function, Fragment>) {
    for (var k = 0u; k < TILE_K; k++) {
        let b = rights[k * (RIGHT_VECTORS + 1u) + x];
        for (var v = 0u; v < ROW_VECTORS; v++) {
            let a = lefts[k * (LEFT_VECTORS + 1u) + y * ROW_VECTORS + v];
            (*t)[4u * v] += a.x * b;
            (*t)[4u * v + 1u] += a.y * b;
            (*t)[4u * v + 2u] += a.z * b;
            (*t)[4u * v + 3u] += a.w * b;
        }
    }
}
