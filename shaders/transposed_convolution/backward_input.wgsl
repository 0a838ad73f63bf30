// Back through a transposed convolution to its input: a convolution of the gradient.
//   d_x[p, q, o] = f'(x) sum over ky, kx, i of d_y[p STRIDE + ky - PADDING, q STRIDE + kx - PADDING, i] W[o, ky, kx, i]
// f is the activation that made x; every d_ is with respect to pre-activations. See lib/correlation.
// Who owns what: a workgroup owns a tile of d_x, rows of places by columns of channels.
// Sums run over rows, columns and channels of the kernel, in the order of lib/product.
// Grid: x over tiles of places, y over tiles of channels, z over slabs of places.
#import activation
#import correlation
#import mean_scale

/// images times samples
override R: u32;
/// height of the output
override H: u32;
/// width of the output
override W: u32;
/// channels of the output
override I: u32;
/// height of the input
override P: u32;
/// width of the input
override Q: u32;
/// channels of the input
override O: u32;
/// height and width of the convolution's kernel
override KERNEL: u32;
/// pixels of the output from place to place
override STRIDE: u32;
/// zeros beyond each edge of the output
override PADDING: u32;
/// of the layer that made x
override ACTIVATION: u32 = 0u;
/// rows of the product in a layer of the grid
override SLAB: u32 = 131072u;

/// (R, P*Q*O)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (R, H*W*I)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
/// (R, P*Q*O)
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

fn image(e: u32) -> f32 { return d_y[e]; }
fn left_scale() -> f32 { return mean_scale(R); }

fn store(row: u32, column: u32, v: f32) {
    let e = (first_row + row) * O + column;
    d_x[e] = v * activation_gradient(ACTIVATION, x[e]);
}

@compute @workgroup_size(INVOCATIONS)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    first_row = group.z * SLAB;
    product(group, lane);
}
