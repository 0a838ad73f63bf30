// Back through the sampling of one z an image and the KL to the heads, and through their layer to its input.
//   d_mu = d_z - w mu,  d_l = 1/2 d_z e^(l/2) eps - w/2 (e^l - 1),  w = beta / B
//   d_x = ([d_mu | d_l] W) * f'(x), f the activation that made x, f' from its value
// A product whose left matrix is computed where it is loaded, see lib/product: anew for each tile of columns.
// l is clamped to [-30, 20]; beyond, its gradient is zero.
// Who owns what: a workgroup owns a tile of d_x; those of the first tile of columns share d_heads.
// Sums run over the heads, in the order of lib/product.
// Grid: x over tiles of rows, y over tiles of columns.
#import activation
#import log_variance
#import mean_scale
#import product_fetch
#import rates

/// images of the minibatch
override BATCH: u32;
/// latent units
override Z: u32;
/// inputs of the layer
override I: u32;
/// of the layer that made x
override ACTIVATION: u32 = 0u;

/// (BATCH, I) the layer's input
@group(0) @binding(0) var<storage, read> x: array<f32>;
/// (2*Z, I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (BATCH, 2*Z) [mu | l]
@group(0) @binding(2) var<storage, read> heads: array<f32>;
/// (BATCH, Z)
@group(0) @binding(3) var<storage, read> noise: array<f32>;
/// (BATCH, Z)
@group(0) @binding(4) var<storage, read> d_z: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(5) var<storage, read> rates: array<f32>;
/// (BATCH, 2*Z) [d_mu | d_l]
@group(0) @binding(6) var<storage, read_write> d_heads: array<f32>;
/// (BATCH, I)
@group(0) @binding(7) var<storage, read_write> d_x: array<f32>;

fn d_head(image: u32, head: u32) -> f32 {
    let kl_weight = rates[KL_WEIGHT] / f32(BATCH);
    let value = heads[image * 2u * Z + head];
    if head < Z { return d_z[image * Z + head] - kl_weight * value; }
    let e = image * Z + head - Z;
    let l = clamp_log_variance(value);
    let inside = select(0.0, 1.0, l == value);
    return inside * (0.5 * exp(0.5 * l) * (d_z[e] * noise[e]) - 0.5 * kl_weight * (exp(l) - 1.0));
}

fn rows() -> u32 { return BATCH; }
fn columns() -> u32 { return I; }
fn inner() -> u32 { return 2u * Z; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return d_head(row, k); }
fn left_scale() -> f32 { return mean_scale(BATCH); }

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
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_fetch(group, lane);
    if group.y > 0u { return; }
    for (var e = group.x * INVOCATIONS + lane; e < BATCH * 2u * Z; e += groups.x * INVOCATIONS) {
        d_heads[e] = d_head(e / (2u * Z), e % (2u * Z));
    }
}
