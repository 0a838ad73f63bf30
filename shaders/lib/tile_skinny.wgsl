// A tile of 4 x 32 by SLICES slices of 8 invocations, for products of few rows and a long inner dimension. An
// invocation sums 4 rows of 4 neighbouring columns over every SLICESth k, straight from the matrices: none
// waits for another until all have their sums. These are added through workgroup memory: slice s + SLICES / 2
// to slice s, then in the order of s; and the first invocations get one row of 4 columns each.
const SLICES = 32u;
const HALF = SLICES / 2u;
const INVOCATIONS = SLICES * GROUPS_X;
const FRAGMENT_ROWS = 1u;
const COLUMN_STEP = 1u;
/// Of the finished tile: vectors of 4 columns, and rows. See lib/row_parts_memory.
const GROUPS_X = 8u;
const GROUPS_Y = 4u;
const ROWS_HELD = 1u;
const TILE_ROWS = GROUPS_Y;
const TILE_COLUMNS = 4u * GROUPS_X;
/// Vectors of the tile, and from one slice's to the next's: lanes that store down the slices meet different
/// banks.
const TILE = GROUPS_X * GROUPS_Y;
const SLICE_STRIDE = TILE + 1u;

var<workgroup> sums: array<vec4<f32>, HALF * SLICE_STRIDE>;

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element; of those
/// that have none, a row beyond the last.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * GROUPS_Y;
    let first_column = group.y * 4u * GROUPS_X;
    // Neighbours load neighbours.
    let slice = select(lane / GROUPS_X, lane % SLICES, RIGHT_ALONG_INNER);
    let x = select(lane % GROUPS_X, lane / SLICES, RIGHT_ALONG_INNER);
    // Beyond the edge the last row or column is computed again: a result that nobody stores.
    let row = min(first_row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows() - 1u));
    let column = min(first_column + 4u * x + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(columns() - 1u));
    var sum0: vec4<f32>;
    var sum1: vec4<f32>;
    var sum2: vec4<f32>;
    var sum3: vec4<f32>;
    for (var k = slice; k < inner(); k += SLICES) {
        let a = vec4<f32>(left(row.x, k), left(row.y, k), left(row.z, k), left(row.w, k));
        let b = vec4<f32>(right(k, column.x), right(k, column.y), right(k, column.z), right(k, column.w));
        sum0 += a.x * b;
        sum1 += a.y * b;
        sum2 += a.z * b;
        sum3 += a.w * b;
    }
    let at = slice % HALF * SLICE_STRIDE + x;
    if slice >= HALF {
        sums[at] = sum0;
        sums[at + GROUPS_X] = sum1;
        sums[at + 2u * GROUPS_X] = sum2;
        sums[at + 3u * GROUPS_X] = sum3;
    }
    workgroupBarrier();
    if slice < HALF {
        sums[at] += sum0;
        sums[at + GROUPS_X] += sum1;
        sums[at + 2u * GROUPS_X] += sum2;
        sums[at + 3u * GROUPS_X] += sum3;
    }
    workgroupBarrier();
    if lane < TILE {
        for (var s = 0u; s < HALF; s++) { (*t)[0] += sums[s * SLICE_STRIDE + lane]; }
    }
    let own_row = select(rows(), first_row + lane / GROUPS_X, lane < TILE);
    return vec2<u32>(own_row, first_column + 4u * (lane % GROUPS_X));
}
