// The gradients of a fully connected layer's parameters, stored for an optimizer.
//   d_W = d_y^T x,  d_b = sum over rows of d_y
// Column I of the product is d_b: see lib/parameter_gradients.
// Who owns what: a workgroup owns a tile of the gradients.
// Sums run over the rows, in the order of lib/product.
// Grid: x over tiles of outputs, y over tiles of inputs and bias.
#import parameter_gradients
#import product

/// rows: images times samples
override R: u32;
/// inputs of the layer
override I: u32;
/// outputs of the layer
override O: u32;

/// (R, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (R, O)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (O, I)
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;
/// (O)
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;

fn store(row: u32, column: u32, g: f32) {
    if column < I {
        d_weight[row * I + column] = g;
    } else {
        d_bias[row] = g;
    }
}

@compute @workgroup_size(INVOCATIONS)
fn backward_parameters(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product(group, lane);
}
