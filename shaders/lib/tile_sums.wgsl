// The products of the part of the inner dimension that is in workgroup memory, see lib/tile_loads, by GROUPS_X x GROUPS_Y
// invocations that own 4 * ROW_VECTORS rows of 4 neighbouring columns each.

const INVOCATIONS = GROUPS_X * GROUPS_Y;
const FRAGMENT_ROWS = 4u * ROW_VECTORS;
const COLUMN_STEP = 1u;
/// Vectors of 4 rows, and of 4 columns, of the tile.
const LEFT_VECTORS = GROUPS_Y * ROW_VECTORS;
const RIGHT_VECTORS = GROUPS_X;
const TILE_ROWS = 4u * LEFT_VECTORS;
const TILE_COLUMNS = 4u * RIGHT_VECTORS;

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
