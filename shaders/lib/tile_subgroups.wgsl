// A tile of 16 x 32 in the registers of one subgroup of exactly 8 invocations, which is the workgroup.
// An invocation holds columns lane, lane + 8, lane + 16, lane + 24 of all 16 rows. It reads two elements of
// the left matrix for each k, and every invocation gets them by a shuffle: no memory is shared.
const INVOCATIONS = 8u;
const FRAGMENT_ROWS = 16u;
const COLUMN_STEP = 8u;
const ROWS_HELD = 8u;
const TILE_ROWS = 16u;
const TILE_COLUMNS = 32u;

/// Place in the subgroup: WGSL does not promise that it is the place in the workgroup.
fn subgroup_lane() -> u32 { return subgroupExclusiveAdd(1u); }

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, _lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let lane = subgroup_lane();
    let first_row = group.x * 16u;
    let column = group.y * 32u + lane;
    // Beyond the edge the last row or column is computed again: a result that nobody stores.
    let row0 = min(first_row + lane, rows() - 1u);
    let row1 = min(first_row + 8u + lane, rows() - 1u);
    let column0 = min(column, columns() - 1u);
    let column1 = min(column + 8u, columns() - 1u);
    let column2 = min(column + 16u, columns() - 1u);
    let column3 = min(column + 24u, columns() - 1u);
    for (var k = 0u; k < inner(); k++) {
        let a0 = left(row0, k);
        let a1 = left(row1, k);
        let b = vec4<f32>(right(k, column0), right(k, column1), right(k, column2), right(k, column3));
        for (var r = 0u; r < 8u; r++) {
            (*t)[r] += subgroupShuffle(a0, r) * b;
            (*t)[r + 8u] += subgroupShuffle(a1, r) * b;
        }
    }
    return vec2<u32>(first_row, column);
}
