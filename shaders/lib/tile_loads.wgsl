// Parts of both matrices in workgroup memory, TILE_K of the inner dimension at a time. The tile declares
// TILE_K, INVOCATIONS, and its vectors of 4 rows and of 4 columns, LEFT_VECTORS and RIGHT_VECTORS.
#import operands

// Both are stored with the inner dimension first, and its rows lie one vector apart from a power of two, so
// that lanes that store down a column meet different banks. Only whole vectors are stored: a store to one
// component may touch its neighbours, and then two invocations would race.
var<workgroup> lefts: array<vec4<f32>, TILE_K * (LEFT_VECTORS + 1u)>;
var<workgroup> rights: array<vec4<f32>, TILE_K * (RIGHT_VECTORS + 1u)>;

/// Where invocations `e` of a round load: x in the inner dimension, y the vector. Neighbours load neighbours.
fn place_in_tile(e: u32, vectors: u32, along_inner: bool) -> vec2<u32> {
    return select(vec2<u32>(e / vectors, e % vectors), vec2<u32>(e % TILE_K, e / TILE_K), along_inner);
}

/// Loads from k0 on, zeros beyond the edges. A barrier must come before and after.
fn load_tile(first_row: u32, first_column: u32, k0: u32, lane: u32) {
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
}
