// A tile by GROUPS_X x GROUPS_Y invocations that walk the inner dimension TILE_K at a time through
// workgroup memory. An invocation owns 4 * ROW_VECTORS rows of 4 neighbouring columns.
#import operands

const INVOCATIONS = GROUPS_X * GROUPS_Y;
const FRAGMENT_ROWS = 4u * ROW_VECTORS;
const COLUMN_STEP = 1u;
const ROWS_HELD = 4u;
const TILE_K = 16u;
/// Vectors of 4 rows, and of 4 columns, of the tile.
const LEFT_VECTORS = GROUPS_Y * ROW_VECTORS;
const RIGHT_VECTORS = GROUPS_X;
const TILE_ROWS = 4u * LEFT_VECTORS;
const TILE_COLUMNS = 4u * RIGHT_VECTORS;

// Both are stored with the inner dimension first, and its rows lie one vector apart from a power of two, so
// that lanes that store down a column meet different banks. Only whole vectors are stored: a store to one
// component may touch its neighbours, and then two invocations would race.
var<workgroup> lefts: array<vec4<f32>, TILE_K * (LEFT_VECTORS + 1u)>;
var<workgroup> rights: array<vec4<f32>, TILE_K * (RIGHT_VECTORS + 1u)>;

/// Where invocations `e` of a round load: x in the inner dimension, y the vector. Neighbours load neighbours.
fn place_in_tile(e: u32, vectors: u32, along_inner: bool) -> vec2<u32> {
    return select(vec2<u32>(e / vectors, e % vectors), vec2<u32>(e % TILE_K, e / TILE_K), along_inner);
}

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * 4u * LEFT_VECTORS;
    let first_column = group.y * 4u * RIGHT_VECTORS;
    let x = lane % GROUPS_X;
    let y = lane / GROUPS_X;
    for (var k0 = 0u; k0 < inner(); k0 += TILE_K) {
        for (var e = lane; e < TILE_K * LEFT_VECTORS; e += INVOCATIONS) {
            let p = place_in_tile(e, LEFT_VECTORS, LEFT_ALONG_INNER);
            let k = k0 + p.x;
            let row = first_row + 4u * p.y;
            lefts[p.x * (LEFT_VECTORS + 1u) + p.y] = vec4<f32>(
                left_or_0(row, k), left_or_0(row + 1u, k), left_or_0(row + 2u, k), left_or_0(row + 3u, k));
        }
        for (var e = lane; e < TILE_K * RIGHT_VECTORS; e += INVOCATIONS) {
            let p = place_in_tile(e, RIGHT_VECTORS, RIGHT_ALONG_INNER);
            let k = k0 + p.x;
            let column = first_column + 4u * p.y;
            rights[p.x * (RIGHT_VECTORS + 1u) + p.y] = vec4<f32>(
                right_or_0(k, column), right_or_0(k, column + 1u),
                right_or_0(k, column + 2u), right_or_0(k, column + 3u));
        }
        workgroupBarrier();
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
        workgroupBarrier();
    }
    return vec2<u32>(first_row + FRAGMENT_ROWS * y, first_column + 4u * x);
}
