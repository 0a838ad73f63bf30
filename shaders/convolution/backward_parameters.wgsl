// The gradients of a convolution's parameters, stored for an optimizer.
//   d_W[o, ky, kx, i] = sum over images, p, q of d_y[p, q, o] x[p STRIDE + ky - PADDING, q STRIDE + kx - PADDING, i]
//   d_b[o] = sum over images, p, q of d_y[p, q, o]
// The bias is one more element of the patches that is always 1: the last column of the product is d_b.
// Who owns what: a workgroup owns a tile of the gradients.
// Sums run over images and places, in the order of lib/product.
// Grid: x over tiles of output channels, y over tiles of the kernel's elements and bias.
#import mean_scale
#import patches
#import product

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

/// (R, H*W*I)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (R, P*Q*O)
@group(0) @binding(1) var<storage, read> d_y: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;
/// (O)
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;

fn image(e: u32) -> f32 { return x[e]; }

fn rows() -> u32 { return O; }
fn columns() -> u32 { return KERNEL * KERNEL * I + 1u; }
fn inner() -> u32 { return R * P * Q; }

const LEFT_ALONG_INNER = false;
fn left(row: u32, k: u32) -> f32 { return d_y[k * O + row]; }
fn left_scale() -> f32 { return mean_scale(R); }

const RIGHT_ALONG_INNER = false;
fn right(k: u32, column: u32) -> f32 {
    let last = KERNEL * KERNEL * I;
    return select(patch_element(k, min(column, last - 1u)), 1.0, column == last);
}

fn store(row: u32, column: u32, g: f32) {
    let last = KERNEL * KERNEL * I;
    if column < last {
        d_weight[row * last + column] = g;
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
