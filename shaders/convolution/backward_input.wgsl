// Back through a convolution to its input.
//   d_x[y, x, i] = f'(x) sum over o, ky, kx of d_y[p, q, o] W[o, ky, kx, i], where p STRIDE + ky - PADDING = y, and so in x
// f is the activation that made x; every d_ is with respect to pre-activations. See lib/transposed_correlation.
// Who owns what: a workgroup owns a tile of d_x, rows of pixels of one phase by columns of channels.
// Sums run over rows and columns of the kernel and over the output's channels, in the order of lib/product.
// Grid: x over tiles of pixels, y over tiles of channels, z over phases, and slabs of pixels.
#import activation
#import mean_scale
#import transposed_correlation

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
/// of the layer that made x
override ACTIVATION: u32 = 0u;
/// rows of the product in a layer of the grid
override SLAB: u32 = 131072u;

/// (R, H*W*I)
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (O, KERNEL*KERNEL*I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (R, P*Q*O)
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
/// (R, H*W*I)
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

fn place(e: u32) -> f32 { return d_y[e]; }
fn left_scale() -> f32 { return mean_scale(R); }

fn store_pixel(e: u32, channel: u32, v: f32) {
    d_x[e] = v * activation_gradient(ACTIVATION, x[e]);
}

@compute @workgroup_size(INVOCATIONS)
fn backward_input(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    enter_phase(group.z);
    product(group, lane);
}
