// Parts of both matrices in workgroup memory, TILE_K of the inner dimension at a time. The tile declares
// TILE_K, INVOCATIONS, and its vectors of 4 rows and of 4 columns, LEFT_VECTORS and RIGHT_VECTORS: an invocation
// loads two of the left matrix, and two or four of the right.
#import operands

// Both are stored with the inner dimension first, and its rows lie one vector apart from a power of two, so
// that lanes that store down a column meet different banks. Only whole vectors are stored: a store to one
// component may touch its neighbours, and then two invocations would race.
var<workgroup> lefts: array<vec4<f32>, TILE_K * (LEFT_VECTORS + 1u)>;
var<workgroup> rights: array<vec4<f32>, TILE_K * (RIGHT_VECTORS + 1u)>;

const RIGHT_ROUNDS = TILE_K * RIGHT_VECTORS / INVOCATIONS;
const_assert TILE_K * LEFT_VECTORS == 2u * INVOCATIONS;
const_assert TILE_K * RIGHT_VECTORS == RIGHT_ROUNDS * INVOCATIONS;
const_assert RIGHT_ROUNDS == 2u || RIGHT_ROUNDS == 4u;

/// Where an invocation loads in a round: x in the inner dimension, y the vector. Neighbours load neighbours.
fn place_in_tile(lane: u32, round: u32, vectors: u32, along_inner: bool) -> vec2<u32> {
    let e = lane + round * INVOCATIONS;
    return select(vec2<u32>(e / vectors, e % vectors), vec2<u32>(e % TILE_K, e / TILE_K), along_inner);
}

/// Loads from k0 on, zeros beyond the last k; beyond the edges the last row or column comes again. A barrier must
/// come before and after. All loads come before the first store, which waits for them.
fn load_tile(first_row: u32, first_column: u32, k0: u32, lane: u32) {
    let l0 = place_in_tile(lane, 0u, LEFT_VECTORS, LEFT_ALONG_INNER);
    let l1 = place_in_tile(lane, 1u, LEFT_VECTORS, LEFT_ALONG_INNER);
    let r0 = place_in_tile(lane, 0u, RIGHT_VECTORS, RIGHT_ALONG_INNER);
    let r1 = place_in_tile(lane, 1u, RIGHT_VECTORS, RIGHT_ALONG_INNER);
    let r2 = place_in_tile(lane, 2u % RIGHT_ROUNDS, RIGHT_VECTORS, RIGHT_ALONG_INNER);
    let r3 = place_in_tile(lane, 3u % RIGHT_ROUNDS, RIGHT_VECTORS, RIGHT_ALONG_INNER);
    let left0 = left_vector(first_row + 4u * l0.y, k0 + l0.x);
    let left1 = left_vector(first_row + 4u * l1.y, k0 + l1.x);
    let right0 = right_vector(k0 + r0.x, first_column + 4u * r0.y);
    let right1 = right_vector(k0 + r1.x, first_column + 4u * r1.y);
    // Of two rounds these are the first two again, which no compiler loads twice.
    let right2 = right_vector(k0 + r2.x, first_column + 4u * r2.y);
    let right3 = right_vector(k0 + r3.x, first_column + 4u * r3.y);
    lefts[l0.x * (LEFT_VECTORS + 1u) + l0.y] = inside(k0 + l0.x, left0);
    lefts[l1.x * (LEFT_VECTORS + 1u) + l1.y] = inside(k0 + l1.x, left1);
    rights[r0.x * (RIGHT_VECTORS + 1u) + r0.y] = inside(k0 + r0.x, right0);
    rights[r1.x * (RIGHT_VECTORS + 1u) + r1.y] = inside(k0 + r1.x, right1);
    if RIGHT_ROUNDS == 4u {
        rights[r2.x * (RIGHT_VECTORS + 1u) + r2.y] = inside(k0 + r2.x, right2);
        rights[r3.x * (RIGHT_VECTORS + 1u) + r3.y] = inside(k0 + r3.x, right3);
    }
}
