// The product of patches and weights: see lib/product, lib/patches and lib/slabs.
//   sum over ky, kx, i of image[p STRIDE + ky - PADDING, q STRIDE + kx - PADDING, i] weight[o, ky, kx, i]
// Its rows are images and places, its columns channels o. The kernel declares R, H, W, I, P, Q, O, KERNEL, STRIDE,
// PADDING and SLAB, the tensor weight (O, KERNEL*KERNEL*I), fn image, fn left_scale, and the destination: fn store.
#import patches
#import product
#import slabs

fn rows() -> u32 { return rows_of_slab(R * P * Q); }
fn columns() -> u32 { return O; }
fn inner() -> u32 { return KERNEL * KERNEL * I; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return patch_element(first_row + row, k); }

const RIGHT_ALONG_INNER = true;
fn right(k: u32, column: u32) -> f32 { return weight[column * KERNEL * KERNEL * I + k]; }
