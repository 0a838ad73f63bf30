// A tile by cooperative matrices of SIDE x SIDE, their elements in f16 and the sums in f32. The file that
// imports it declares SIDE, the aliases LeftMatrix, RightMatrix and SumMatrix, and SUBGROUP, the size that
// the adapter's subgroups must have: how many there are in the workgroup says who multiplies what. Where it
// is another, every result is a NaN.
// Four subgroups own 2 x 2 matrices each of a tile of 4 x 4. Nobody can look into a matrix, so the operands
// come from workgroup memory and the sums go back there; from then on an invocation owns FRAGMENT_ROWS rows
// of 4 neighbouring columns, as in lib/tile_memory.
enable f16;
enable wgpu_cooperative_matrix;

const SUBGROUPS = 4u;
const INVOCATIONS = SUBGROUPS * SUBGROUP;
const TILE = 4u * SIDE;
const TILE_K = 2u * SIDE;
const COLUMN_STEP = 1u;
const ROWS_HELD = 2u;
const TILE_ROWS = TILE;
const TILE_COLUMNS = TILE;
const GROUPS_X = TILE / 4u;
const GROUPS_Y = INVOCATIONS / GROUPS_X;
const FRAGMENT_ROWS = TILE / GROUPS_Y;
/// Elements of either matrix that an invocation loads.
const ROUNDS = TILE * TILE_K / INVOCATIONS;
const_assert ROUNDS * INVOCATIONS == TILE * TILE_K && ROUNDS % 4u == 0u;

// Rows lie 16 bytes apart from a power of two, so that they begin in different banks and where a matrix may
// be loaded from: drivers ask for multiples of 16 bytes. All sizes are such multiples too.
const LEFT_STRIDE = TILE_K + 8u;
const RIGHT_STRIDE = TILE + 8u;
const SUM_STRIDE = TILE + 4u;
var<workgroup> lefts: array<f16, TILE * LEFT_STRIDE>;
var<workgroup> rights: array<f16, TILE_K * RIGHT_STRIDE>;
var<workgroup> sums: array<f32, TILE * SUM_STRIDE>;
var<workgroup> numbered: array<atomic<u32>, 4>;

/// A number for each subgroup of the workgroup. WGSL does not promise which invocations are one.
fn subgroup_number(lane: u32) -> u32 {
    if lane == 0u { atomicStore(&numbered[0], 0u); }
    workgroupBarrier();
    var number = 0u;
    if subgroupExclusiveAdd(1u) == 0u { number = atomicAdd(&numbered[0], 1u); }
    number = subgroupBroadcastFirst(number);
    workgroupBarrier();
    return number;
}

/// The nearest number of f16; a NaN beyond the largest. An infinity would be lost in a ReLU.
fn to_half(v: f32) -> f16 {
    let bits = bitcast<u32>(v);
    return f16(bitcast<f32>(select(bits, bits | 0x7fc00000u, abs(v) > 65504.0)));
}

/// Where an invocation loads in a round: x across the inner dimension, y in it. Neighbours load neighbours.
fn place_in_tile(lane: u32, round: u32, along_inner: bool) -> vec2<u32> {
    let e = lane + round * INVOCATIONS;
    return select(vec2<u32>(e % TILE, e / TILE), vec2<u32>(e / TILE_K, e % TILE_K), along_inner);
}

/// Loads from k0 on, zeros beyond the last k; beyond the edges the last row or column comes again. A barrier must
/// come before and after. Four rounds of both matrices are loaded before the first store, which waits for them.
fn load_tile(first_row: u32, first_column: u32, k0: u32, lane: u32) {
    for (var round = 0u; round < ROUNDS; round += 4u) {
        let a = vec4<f32>(
            left_at(first_row, k0, lane, round),
            left_at(first_row, k0, lane, round + 1u),
            left_at(first_row, k0, lane, round + 2u),
            left_at(first_row, k0, lane, round + 3u));
        let b = vec4<f32>(
            right_at(first_column, k0, lane, round),
            right_at(first_column, k0, lane, round + 1u),
            right_at(first_column, k0, lane, round + 2u),
            right_at(first_column, k0, lane, round + 3u));
        keep(k0, lane, round, a.x, b.x);
        keep(k0, lane, round + 1u, a.y, b.y);
        keep(k0, lane, round + 2u, a.z, b.z);
        keep(k0, lane, round + 3u, a.w, b.w);
    }
}

fn left_at(first_row: u32, k0: u32, lane: u32, round: u32) -> f32 {
    let p = place_in_tile(lane, round, LEFT_ALONG_INNER);
    return left(min(first_row + p.x, rows() - 1u), min(k0 + p.y, inner() - 1u));
}

fn right_at(first_column: u32, k0: u32, lane: u32, round: u32) -> f32 {
    let p = place_in_tile(lane, round, RIGHT_ALONG_INNER);
    return right(min(k0 + p.y, inner() - 1u), min(first_column + p.x, columns() - 1u));
}

/// Stores what a round has loaded.
fn keep(k0: u32, lane: u32, round: u32, a: f32, b: f32) {
    let l = place_in_tile(lane, round, LEFT_ALONG_INNER);
    lefts[l.x * LEFT_STRIDE + l.y] = to_half(select(0.0, a, k0 + l.y < inner()) * left_scale());
    let r = place_in_tile(lane, round, RIGHT_ALONG_INNER);
    rights[r.y * RIGHT_STRIDE + r.x] = to_half(select(0.0, b, k0 + r.y < inner()));
}

/// Adds the invocation's part of the tile to `t` and returns row and column of its first element.
fn multiply(group: vec3<u32>, lane: u32, t: ptr<function, Fragment>) -> vec2<u32> {
    let first_row = group.x * TILE;
    let first_column = group.y * TILE;
    let subgroup = subgroup_number(lane);
    // Beyond SUBGROUPS there are none, unless their size is wrong.
    let row = subgroup / 2u % 2u * 2u * SIDE;
    let column = subgroup % 2u * 2u * SIDE;
    var s00 = SumMatrix();
    var s01 = SumMatrix();
    var s10 = SumMatrix();
    var s11 = SumMatrix();
    for (var k0 = 0u; k0 < inner(); k0 += TILE_K) {
        load_tile(first_row, first_column, k0, lane);
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k += SIDE) {
            let a0 = coopLoadT<LeftMatrix>(&lefts[row * LEFT_STRIDE + k], LEFT_STRIDE);
            let a1 = coopLoadT<LeftMatrix>(&lefts[(row + SIDE) * LEFT_STRIDE + k], LEFT_STRIDE);
            let b0 = coopLoadT<RightMatrix>(&rights[k * RIGHT_STRIDE + column], RIGHT_STRIDE);
            let b1 = coopLoadT<RightMatrix>(&rights[k * RIGHT_STRIDE + column + SIDE], RIGHT_STRIDE);
            s00 = coopMultiplyAdd(a0, b0, s00);
            s01 = coopMultiplyAdd(a0, b1, s01);
            s10 = coopMultiplyAdd(a1, b0, s10);
            s11 = coopMultiplyAdd(a1, b1, s11);
        }
        workgroupBarrier();
    }
    coopStoreT(s00, &sums[row * SUM_STRIDE + column], SUM_STRIDE);
    coopStoreT(s01, &sums[row * SUM_STRIDE + column + SIDE], SUM_STRIDE);
    coopStoreT(s10, &sums[(row + SIDE) * SUM_STRIDE + column], SUM_STRIDE);
    coopStoreT(s11, &sums[(row + SIDE) * SUM_STRIDE + column + SIDE], SUM_STRIDE);
    workgroupBarrier();
    let as_wanted = atomicLoad(&numbered[0]) == SUBGROUPS;
    let y = lane / GROUPS_X * FRAGMENT_ROWS;
    let x = lane % GROUPS_X * 4u;
    for (var r = 0u; r < FRAGMENT_ROWS; r++) {
        let e = (y + r) * SUM_STRIDE + x;
        let v = vec4<f32>(sums[e], sums[e + 1u], sums[e + 2u], sums[e + 3u]) / left_scale();
        (*t)[r] += select(vec4<f32>(bitcast<f32>(lane | 0x7fc00000u)), v, as_wanted);
    }
    return vec2<u32>(first_row + y, first_column + x);
}
