// A transposed convolution of images with their channels last: what a convolution's backward pass does to its output.
//   y[y, x, i] = f(b[i] + sum over o, ky, kx of x[p, q, o] W[o, ky, kx, i]), where p STRIDE + ky - PADDING = y, and so in x
// Its input has channels o, its output channels i. See lib/transposed_correlation.
// Who owns what: a workgroup owns a tile of y, rows of pixels of one phase by columns of channels.
// Sums run over rows and columns of the kernel and over the input's channels, in the order of lib/product.
// Grid: x over tiles of pixels, y over tiles of channels, z over phases, and slabs of pixels.
#import activation
#import transposed_correlation

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
/// of this layer
override ACTIVATION: u32 = 0u;
/// rows of the product in a layer of the grid
override SLAB: u32 = 131072u;

/// (R, P*Q*O)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (I)
@group(0) @binding(2) var<storage, read> bias: array<f32>;
/// (R, H*W*I)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn place(e: u32) -> f32 { return x[e]; }
fn left_scale() -> f32 { return 1.0; }

fn store_pixel(e: u32, channel: u32, v: f32) {
    y[e] = activate(ACTIVATION, v + bias[channel]);
}

@compute @workgroup_size(INVOCATIONS)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    enter_phase(group.z);
    product(group, lane);
}
