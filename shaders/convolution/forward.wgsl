// A convolution of images with their channels last.
//   y[p, q, o] = f(b[o] + sum over ky, kx, i of x[p STRIDE + ky - PADDING, q STRIDE + kx - PADDING, i] W[o, ky, kx, i])
// A product of patches and weights, see lib/correlation, whose elements get bias and activation where they are stored.
// Who owns what: a workgroup owns a tile of y, rows of places by columns of channels.
// Sums run over rows, columns and channels of the kernel, in the order of lib/product.
// Grid: x over tiles of places, y over tiles of channels, z over slabs of places.
#import activation
#import correlation

/// images times samples
override R: u32;
/// height of the input
override H: u32;
/// width of the input
override W: u32;
/// channels of the input
override I: u32;
/// height of the output
override P: u32;
/// width of the output
override Q: u32;
/// channels of the output
override O: u32;
/// height and width of the convolution's kernel
override KERNEL: u32;
/// pixels of the input from place to place
override STRIDE: u32;
/// zeros beyond each edge of the input
override PADDING: u32;
/// of this layer
override ACTIVATION: u32 = 0u;
/// rows of the product in a layer of the grid
override SLAB: u32 = 131072u;

/// (R, H*W*I)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (O)
@group(0) @binding(2) var<storage, read> bias: array<f32>;
/// (R, P*Q*O)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn image(e: u32) -> f32 { return x[e]; }
fn left_scale() -> f32 { return 1.0; }

fn store(row: u32, column: u32, v: f32) {
    y[(first_row + row) * O + column] = activate(ACTIVATION, v + bias[column]);
}

@compute @workgroup_size(INVOCATIONS)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    first_row = group.z * SLAB;
    product(group, lane);
}
