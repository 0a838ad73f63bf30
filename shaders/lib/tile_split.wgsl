// A tile of 16 x 32 by SLICES slices of 4 x 8 invocations, for products with few tiles and a long inner
// dimension: each slice sums over SLICE_K of every TILE_K, so that a workgroup walks it in few steps with many
// loads in flight. What the slices have is added through workgroup memory, in the order of the slices, and
// each invocation gets one row of 4 neighbouring columns.
#import tile_loads

const SLICES = 4u;
const SLICE_K = 16u;
const TILE_K = SLICES * SLICE_K;
/// Vectors of 4 rows, and of 4 columns, of the tile; a slice has an invocation for each pair.
const LEFT_VECTORS = 4u;
const RIGHT_VECTORS = 8u;
const SLICE_INVOCATIONS = LEFT_VECTORS * RIGHT_VECTORS;
const INVOCATIONS = SLICES * SLICE_INVOCATIONS;
const TILE_ROWS = 4u * LEFT_VECTORS;
const TILE_COLUMNS = 4u * RIGHT_VECTORS;
const FRAGMENT_ROWS = 1u;
const COLUMN_STEP = 1u;
/// Of the finished tile, which has as many vectors of 4 columns as there are invocations: see
/// lib/row_parts_memory.
const GROUPS_X = RIGHT_VECTORS;
const GROUPS_Y = 4u * LEFT_VECTORS;
const ROWS_HELD = 1u;

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * 4u * LEFT_VECTORS;
    let first_column = group.y * 4u * RIGHT_VECTORS;
    let slice = lane / SLICE_INVOCATIONS;
    let x = lane % RIGHT_VECTORS;
    let y = lane % SLICE_INVOCATIONS / RIGHT_VECTORS;
    var part0: vec4<f32>;
    var part1: vec4<f32>;
    var part2: vec4<f32>;
    var part3: vec4<f32>;
    for (var k0 = 0u; k0 < inner(); k0 += TILE_K) {
        load_tile(first_row, first_column, k0, lane);
        workgroupBarrier();
        for (var i = 0u; i < SLICE_K; i++) {
            let k = slice * SLICE_K + i;
            let b = rights[k * (RIGHT_VECTORS + 1u) + x];
            let a = lefts[k * (LEFT_VECTORS + 1u) + y];
            part0 += a.x * b;
            part1 += a.y * b;
            part2 += a.z * b;
            part3 += a.w * b;
        }
        workgroupBarrier();
    }
    // The slices' parts take the place of the right matrix: SLICES * INVOCATIONS vectors, which are fewer.
    let at = slice * INVOCATIONS + 4u * y * RIGHT_VECTORS + x;
    rights[at] = part0;
    rights[at + RIGHT_VECTORS] = part1;
    rights[at + 2u * RIGHT_VECTORS] = part2;
    rights[at + 3u * RIGHT_VECTORS] = part3;
    workgroupBarrier();
    for (var s = 0u; s < SLICES; s++) { (*t)[0] += rights[s * INVOCATIONS + lane]; }
    return vec2<u32>(first_row + lane / GROUPS_X, first_column + 4u * (lane % GROUPS_X));
}
