// A fully connected layer.
//   y = f(x W^T + b)
// A product whose elements get bias and activation where they are stored, see lib/product.
// Who owns what: a workgroup owns a tile of y.
// Sums run over the layer's inputs, in the order of lib/product.
// Grid: x over tiles of rows, y over tiles of columns.
#import activation
#import product_fetch

/// rows: images times samples
override R: u32;
/// inputs of the layer
override I: u32;
/// outputs of the layer
override O: u32;
/// of this layer
override ACTIVATION: u32 = 0u;

/// (R, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (O)
@group(0) @binding(2) var<storage, read> bias: array<f32>;
/// (R, O)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn rows() -> u32 { return R; }
fn columns() -> u32 { return O; }
fn inner() -> u32 { return I; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return x[row * I + k]; }
fn left_scale() -> f32 { return 1.0; }

const RIGHT_ALONG_INNER = true;
fn right(k: u32, column: u32) -> f32 { return weight[column * I + k]; }

alias Fetched = f32;
fn fetch(_row: u32, column: u32) -> f32 { return bias[column]; }

fn store(row: u32, column: u32, v: f32, column_bias: f32) {
    y[row * O + column] = activate(ACTIVATION, v + column_bias);
}

@compute @workgroup_size(INVOCATIONS)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_fetch(group, lane);
}
