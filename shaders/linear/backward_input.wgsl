// Back through a fully connected layer to its input.
//   d_x = (d_y W) * f'(x), f the activation that made x, f' from its value
// Every d_ is with respect to pre-activations, so f' is applied once, where d_x is stored: see lib/product.
// Who owns what: a workgroup owns a tile of d_x.
// Sums run over the layer's outputs, in the order of lib/product.
// Grid: x over tiles of rows, y over tiles of columns.
#import activation
#import mean_scale
#import product_fetch

/// rows: images times samples
override R: u32;
/// inputs of the layer
override I: u32;
/// outputs of the layer
override O: u32;
/// of the layer that made x
override ACTIVATION: u32 = 0u;

/// (R, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (R, O)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
/// (R, I)
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

fn rows() -> u32 { return R; }
fn columns() -> u32 { return I; }
fn inner() -> u32 { return O; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return d_y[row * O + k]; }
fn left_scale() -> f32 { return mean_scale(R); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 { return weight[k * I + column]; }

alias Fetched = f32;
fn fetch(row: u32, column: u32) -> f32 { return x[row * I + column]; }

fn store(row: u32, column: u32, v: f32, input: f32) {
    d_x[row * I + column] = v * activation_gradient(ACTIVATION, input);
}

@compute @workgroup_size(INVOCATIONS)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_fetch(group, lane);
}
