// A fully connected layer and its gradients.
//   forward          y = f(x W^T + b)
//   backward_input   d_x = (d_y W) * f'(x)       f the activation that made x, f' from its value
//   backward_weight  d_W = d_y^T x,  d_b = sum over rows of d_y
// Every d_ is with respect to pre-activations, so f' is applied once, where d_x is written.
// All three are one tiled product: a workgroup owns a TILE_M x TILE_N tile of the output and walks the
// inner dimension TILE_K at a time through workgroup memory; an invocation owns 4 x 4 outputs.
// Sums run over the inner dimension in ascending order.
// Grid: x over tiles of columns, y over tiles of rows.
#import activation

/// rows: images times samples
override R: u32;
/// inputs of the layer
override I: u32;
/// outputs of the layer
override O: u32;
/// forward: of this layer; backward_input: of the layer that made x
override ACTIVATION: u32 = 0u;
override WORKGROUP_X: u32 = 8u;
override WORKGROUP_Y: u32 = 8u;
const TILE_K = 16u;
override TILE_M: u32 = 4u * WORKGROUP_Y;
override TILE_N: u32 = 4u * WORKGROUP_X;
override WORKGROUP: u32 = WORKGROUP_X * WORKGROUP_Y;

/// (R, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (O)
@group(0) @binding(2) var<storage, read> bias: array<f32>;
/// (R, O)
@group(0) @binding(3) var<storage, read> d_y: array<f32>;
/// (R, O)
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
/// (R, I)
@group(0) @binding(5) var<storage, read_write> d_x: array<f32>;
/// (O, I)
@group(0) @binding(6) var<storage, read_write> d_weight: array<f32>;
/// (O)
@group(0) @binding(7) var<storage, read_write> d_bias: array<f32>;

// Rows of a tile lie one vector apart from a power of two, so that lanes that store down a column of it
// meet different banks. Only whole vectors are stored: a store to one component may touch its
// neighbours, and then two invocations would race.
var<workgroup> left: array<vec4<f32>, TILE_K * (WORKGROUP_Y + 1u)>;
var<workgroup> right: array<vec4<f32>, TILE_K * (WORKGROUP_X + 1u)>;

struct Tile {
    r0: vec4<f32>,
    r1: vec4<f32>,
    r2: vec4<f32>,
    r3: vec4<f32>,
}

/// sum + left tile^T * right tile, both tiles stored with the inner dimension first.
fn multiply_tiles(sum: Tile, at: vec2<u32>) -> Tile {
    var t = sum;
    for (var k = 0u; k < TILE_K; k += 2u) {
        let a0 = left[k * (WORKGROUP_Y + 1u) + at.y];
        let b0 = right[k * (WORKGROUP_X + 1u) + at.x];
        t.r0 += a0.x * b0;
        t.r1 += a0.y * b0;
        t.r2 += a0.z * b0;
        t.r3 += a0.w * b0;
        let a1 = left[(k + 1u) * (WORKGROUP_Y + 1u) + at.y];
        let b1 = right[(k + 1u) * (WORKGROUP_X + 1u) + at.x];
        t.r0 += a1.x * b1;
        t.r1 += a1.y * b1;
        t.r2 += a1.z * b1;
        t.r3 += a1.w * b1;
    }
    return t;
}

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = group.y * TILE_M;
    let first_column = group.x * TILE_N;
    var t = Tile();
    for (var k0 = 0u; k0 < I; k0 += TILE_K) {
        for (var e = lane; e < TILE_K * WORKGROUP_Y; e += WORKGROUP) {
            let k = k0 + e % TILE_K;
            let row = first_row + 4u * (e / TILE_K);
            var v = vec4<f32>();
            if k < I {
                if row < R { v.x = x[row * I + k]; }
                if row + 1u < R { v.y = x[(row + 1u) * I + k]; }
                if row + 2u < R { v.z = x[(row + 2u) * I + k]; }
                if row + 3u < R { v.w = x[(row + 3u) * I + k]; }
            }
            left[(e % TILE_K) * (WORKGROUP_Y + 1u) + e / TILE_K] = v;
        }
        for (var e = lane; e < TILE_K * WORKGROUP_X; e += WORKGROUP) {
            let k = k0 + e % TILE_K;
            let row = first_column + 4u * (e / TILE_K);
            var v = vec4<f32>();
            if k < I {
                if row < O { v.x = weight[row * I + k]; }
                if row + 1u < O { v.y = weight[(row + 1u) * I + k]; }
                if row + 2u < O { v.z = weight[(row + 2u) * I + k]; }
                if row + 3u < O { v.w = weight[(row + 3u) * I + k]; }
            }
            right[(e % TILE_K) * (WORKGROUP_X + 1u) + e / TILE_K] = v;
        }
        workgroupBarrier();
        t = multiply_tiles(t, at.xy);
        workgroupBarrier();
    }
    let row = first_row + 4u * at.y;
    let column = first_column + 4u * at.x;
    store_y(row, column, t.r0);
    store_y(row + 1u, column, t.r1);
    store_y(row + 2u, column, t.r2);
    store_y(row + 3u, column, t.r3);
}

fn store_y(row: u32, column: u32, v: vec4<f32>) {
    if row >= R { return; }
    for (var j = 0u; j < min(4u, O - min(column, O)); j++) {
        y[row * O + column + j] = activate(ACTIVATION, v[j] + bias[column + j]);
    }
}

@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = group.y * TILE_M;
    let first_column = group.x * TILE_N;
    var t = Tile();
    for (var k0 = 0u; k0 < O; k0 += TILE_K) {
        for (var e = lane; e < TILE_K * WORKGROUP_Y; e += WORKGROUP) {
            let k = k0 + e % TILE_K;
            let row = first_row + 4u * (e / TILE_K);
            var v = vec4<f32>();
            if k < O {
                if row < R { v.x = d_y[row * O + k]; }
                if row + 1u < R { v.y = d_y[(row + 1u) * O + k]; }
                if row + 2u < R { v.z = d_y[(row + 2u) * O + k]; }
                if row + 3u < R { v.w = d_y[(row + 3u) * O + k]; }
            }
            left[(e % TILE_K) * (WORKGROUP_Y + 1u) + e / TILE_K] = v;
        }
        for (var e = lane; e < TILE_K * WORKGROUP_X; e += WORKGROUP) {
            let k = k0 + e / WORKGROUP_X;
            let column = first_column + 4u * (e % WORKGROUP_X);
            var v = vec4<f32>();
            if k < O {
                if column < I { v.x = weight[k * I + column]; }
                if column + 1u < I { v.y = weight[k * I + column + 1u]; }
                if column + 2u < I { v.z = weight[k * I + column + 2u]; }
                if column + 3u < I { v.w = weight[k * I + column + 3u]; }
            }
            right[e / WORKGROUP_X * (WORKGROUP_X + 1u) + e % WORKGROUP_X] = v;
        }
        workgroupBarrier();
        t = multiply_tiles(t, at.xy);
        workgroupBarrier();
    }
    let row = first_row + 4u * at.y;
    let column = first_column + 4u * at.x;
    store_d_x(row, column, t.r0);
    store_d_x(row + 1u, column, t.r1);
    store_d_x(row + 2u, column, t.r2);
    store_d_x(row + 3u, column, t.r3);
}

fn store_d_x(row: u32, column: u32, v: vec4<f32>) {
    if row >= R { return; }
    for (var j = 0u; j < min(4u, I - min(column, I)); j++) {
        let e = row * I + column + j;
        d_x[e] = v[j] * activation_gradient(ACTIVATION, x[e]);
    }
}

// The bias is one more column of the weight whose input is always 1: column I of the product is d_b.
@compute @workgroup_size(WORKGROUP_X, WORKGROUP_Y)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first_row = group.y * TILE_M;
    let first_column = group.x * TILE_N;
    var t = Tile();
    for (var k0 = 0u; k0 < R; k0 += TILE_K) {
        for (var e = lane; e < TILE_K * WORKGROUP_Y; e += WORKGROUP) {
            let k = k0 + e / WORKGROUP_Y;
            let column = first_row + 4u * (e % WORKGROUP_Y);
            var v = vec4<f32>();
            if k < R {
                if column < O { v.x = d_y[k * O + column]; }
                if column + 1u < O { v.y = d_y[k * O + column + 1u]; }
                if column + 2u < O { v.z = d_y[k * O + column + 2u]; }
                if column + 3u < O { v.w = d_y[k * O + column + 3u]; }
            }
            left[e / WORKGROUP_Y * (WORKGROUP_Y + 1u) + e % WORKGROUP_Y] = v;
        }
        for (var e = lane; e < TILE_K * WORKGROUP_X; e += WORKGROUP) {
            let k = k0 + e / WORKGROUP_X;
            let column = first_column + 4u * (e % WORKGROUP_X);
            var v = vec4<f32>();
            if k < R {
                if column < I { v.x = x[k * I + column]; } else if column == I { v.x = 1.0; }
                if column + 1u < I { v.y = x[k * I + column + 1u]; } else if column + 1u == I { v.y = 1.0; }
                if column + 2u < I { v.z = x[k * I + column + 2u]; } else if column + 2u == I { v.z = 1.0; }
                if column + 3u < I { v.w = x[k * I + column + 3u]; } else if column + 3u == I { v.w = 1.0; }
            }
            right[e / WORKGROUP_X * (WORKGROUP_X + 1u) + e % WORKGROUP_X] = v;
        }
        workgroupBarrier();
        t = multiply_tiles(t, at.xy);
        workgroupBarrier();
    }
    let row = first_row + 4u * at.y;
    let column = first_column + 4u * at.x;
    store_d_weight(row, column, t.r0);
    store_d_weight(row + 1u, column, t.r1);
    store_d_weight(row + 2u, column, t.r2);
    store_d_weight(row + 3u, column, t.r3);
}

fn store_d_weight(row: u32, column: u32, v: vec4<f32>) {
    if row >= O { return; }
    for (var j = 0u; j < 4u; j++) {
        if column + j < I {
            d_weight[row * I + column + j] = v[j];
        } else if column + j == I {
            d_bias[row] = v[j];
        }
    }
}
