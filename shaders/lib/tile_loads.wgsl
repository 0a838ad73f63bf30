// Parts of both matrices in workgroup memory, TILE_K of the inner dimension at a time. The tile declares
// TILE_K, INVOCATIONS, and its vectors of 4 rows and of 4 columns, LEFT_VECTORS and RIGHT_VECTORS: an invocation
// loads one or two of the left matrix, and one, two or four of the right.
#import operands

// Both are stored with the inner dimension first, and its rows lie one vector apart from a power of two, so
// that lanes that store down a column meet different banks. Only whole vectors are stored: a store to one
// component may touch its neighbours, and then two invocations would race.
var<workgroup> lefts: array<vec4<f32>, TILE_K * (LEFT_VECTORS + 1u)>;
var<workgroup> rights: array<vec4<f32>, TILE_K * (RIGHT_VECTORS + 1u)>;

const LEFT_ROUNDS = TILE_K * LEFT_VECTORS / INVOCATIONS;
const RIGHT_ROUNDS = TILE_K * RIGHT_VECTORS / INVOCATIONS;
const_assert TILE_K * LEFT_VECTORS == LEFT_ROUNDS * INVOCATIONS;
const_assert LEFT_ROUNDS == 1u || LEFT_ROUNDS == 2u;
const_assert TILE_K * RIGHT_VECTORS == RIGHT_ROUNDS * INVOCATIONS;
const_assert RIGHT_ROUNDS == 1u || RIGHT_ROUNDS == 2u || RIGHT_ROUNDS == 4u;

/// What an invocation loads of both matrices for one part of the inner dimension. Where it has fewer rounds, the
/// others repeat them, which no compiler loads twice.
struct Loaded {
    left0: vec4<f32>,
    left1: vec4<f32>,
    right0: vec4<f32>,
    right1: vec4<f32>,
    right2: vec4<f32>,
    right3: vec4<f32>,
}

/// Where an invocation loads in a round: x in the inner dimension, y the vector. Neighbours load neighbours.
fn place_in_tile(lane: u32, round: u32, vectors: u32, along_inner: bool) -> vec2<u32> {
    let e = lane + round * INVOCATIONS;
    return select(vec2<u32>(e / vectors, e % vectors), vec2<u32>(e % TILE_K, e / TILE_K), along_inner);
}

fn left_place(lane: u32, round: u32) -> vec2<u32> {
    return place_in_tile(lane, round % LEFT_ROUNDS, LEFT_VECTORS, LEFT_ALONG_INNER);
}

fn right_place(lane: u32, round: u32) -> vec2<u32> {
    return place_in_tile(lane, round % RIGHT_ROUNDS, RIGHT_VECTORS, RIGHT_ALONG_INNER);
}

/// From k0 on; beyond the edges, also the last k, the last comes again.
fn loaded(first_row: u32, first_column: u32, k0: u32, lane: u32) -> Loaded {
    let l0 = left_place(lane, 0u);
    let l1 = left_place(lane, 1u);
    let r0 = right_place(lane, 0u);
    let r1 = right_place(lane, 1u);
    let r2 = right_place(lane, 2u);
    let r3 = right_place(lane, 3u);
    return Loaded(
        left_vector(first_row + 4u * l0.y, k0 + l0.x),
        left_vector(first_row + 4u * l1.y, k0 + l1.x),
        right_vector(k0 + r0.x, first_column + 4u * r0.y),
        right_vector(k0 + r1.x, first_column + 4u * r1.y),
        right_vector(k0 + r2.x, first_column + 4u * r2.y),
        right_vector(k0 + r3.x, first_column + 4u * r3.y));
}

/// Stores what was loaded from k0 on, zeros beyond the last k. A barrier must come before and after.
fn store_tile(own: Loaded, k0: u32, lane: u32) {
    store_left(own.left0, k0, left_place(lane, 0u));
    if LEFT_ROUNDS > 1u { store_left(own.left1, k0, left_place(lane, 1u)); }
    store_right(own.right0, k0, right_place(lane, 0u));
    if RIGHT_ROUNDS > 1u { store_right(own.right1, k0, right_place(lane, 1u)); }
    if RIGHT_ROUNDS > 2u {
        store_right(own.right2, k0, right_place(lane, 2u));
        store_right(own.right3, k0, right_place(lane, 3u));
    }
}

fn store_left(v: vec4<f32>, k0: u32, at: vec2<u32>) {
    lefts[at.x * (LEFT_VECTORS + 1u) + at.y] = inside(k0 + at.x, v);
}

fn store_right(v: vec4<f32>, k0: u32, at: vec2<u32>) {
    rights[at.x * (RIGHT_VECTORS + 1u) + at.y] = inside(k0 + at.x, v);
}

/// Both, one after the other: all loads come before the first store, which waits for them.
fn load_tile(first_row: u32, first_column: u32, k0: u32, lane: u32) {
    store_tile(loaded(first_row, first_column, k0, lane), k0, lane);
}
