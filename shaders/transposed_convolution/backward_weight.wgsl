// The gradient of a transposed convolution's weight, stored for an optimizer.
//   d_W[o, ky, kx, i] = sum over images, p, q of x[p, q, o] d_y[p STRIDE + ky - PADDING, q STRIDE + kx - PADDING, i]
// The bias adds to every pixel: its gradient is a sum of its own, see sum_rows.
// Who owns what: a workgroup owns a tile of the gradient. The patches of d_y are the left operand: it is d_y that has
// to be brought into the range of f16.
// Sums run over images and places, in the order of lib/product.
// Grid: x over tiles of the kernel's elements, y over tiles of input channels.
#import mean_scale
#import patches
#import product

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

/// (R, P*Q*O)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (R, H*W*I)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;

fn image(e: u32) -> f32 { return d_y[e]; }

fn rows() -> u32 { return KERNEL * KERNEL * I; }
fn columns() -> u32 { return O; }
fn inner() -> u32 { return R * P * Q; }

const LEFT_ALONG_INNER = false;
fn left(row: u32, k: u32) -> f32 { return patch_element(k, row); }
fn left_scale() -> f32 { return mean_scale(R); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 { return x[k * O + column]; }

fn store(row: u32, column: u32, g: f32) {
    d_weight[column * KERNEL * KERNEL * I + row] = g;
}

@compute @workgroup_size(INVOCATIONS)
fn backward_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product(group, lane);
}
