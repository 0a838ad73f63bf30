// One sample of the posterior an image, its KL, and the decoder's first layer.
//   z = mu + e^(l/2) eps,  y = f(z W^T + b);  KL(q || N(0, I)) as in posterior.gaussian_kl
// A product whose left matrix is drawn where it is loaded, see lib/product: a Philox call for each element
// costs less than a dispatch that all others wait for. It is drawn anew for each tile of columns.
// Who owns what: a workgroup owns a tile of y; those of the first tile of columns share eps, z and kl.
// Sums run over the units, in the order of lib/product; the KL's over every LANESth of them, then over these.
// Grid: x over tiles of rows, y over tiles of columns.
#import activation
#import clock
#import log_variance
#import normal
#import philox
#import product_fetch
#import unit_normal

/// images of the minibatch
override BATCH: u32;
/// images of the data set
override N: u32;
/// latent units
override Z: u32;
/// outputs of the layer
override O: u32;
/// which stream of noise
override STREAM: u32;
/// of the layer
override ACTIVATION: u32 = 0u;

/// (BATCH, 2*Z) [mu | l]
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (O, Z)
@group(0) @binding(2) var<storage, read> weight: array<f32>;
/// (O)
@group(0) @binding(3) var<storage, read> bias: array<f32>;
/// (BATCH, Z)
@group(0) @binding(4) var<storage, read_write> eps: array<f32>;
/// (BATCH, Z)
@group(0) @binding(5) var<storage, read_write> z: array<f32>;
/// (BATCH) nats
@group(0) @binding(6) var<storage, read_write> kl: array<f32>;
/// (BATCH, O)
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

fn noise(image: u32, unit: u32) -> f32 {
    return unit_normal(clock[POSITION] + image, clock[SAMPLE], unit);
}

fn mean(image: u32, unit: u32) -> f32 { return heads[image * 2u * Z + unit]; }

fn log_variance(image: u32, unit: u32) -> f32 {
    return clamp_log_variance(heads[image * 2u * Z + Z + unit]);
}

fn latent(image: u32, unit: u32, e: f32) -> f32 {
    return mean(image, unit) + exp(0.5 * log_variance(image, unit)) * e;
}

fn rows() -> u32 { return BATCH; }
fn columns() -> u32 { return O; }
fn inner() -> u32 { return Z; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return latent(row, k, noise(row, k)); }
fn left_scale() -> f32 { return 1.0; }

const RIGHT_ALONG_INNER = true;
fn right(k: u32, column: u32) -> f32 { return weight[column * Z + k]; }

alias Fetched = f32;
fn fetch(_row: u32, column: u32) -> f32 { return bias[column]; }

fn store(row: u32, column: u32, v: f32, column_bias: f32) {
    y[row * O + column] = activate(ACTIVATION, v + column_bias);
}

/// Invocations that share an image's KL.
const LANES = 8u;
const IMAGES = INVOCATIONS / LANES;
var<workgroup> kl_parts: array<f32, INVOCATIONS>;

fn store_draw(image: u32, unit: u32, draw: f32) {
    if unit >= Z { return; }
    eps[image * Z + unit] = draw;
    z[image * Z + unit] = latent(image, unit, draw);
}

@compute @workgroup_size(INVOCATIONS)
fn sample_forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_fetch(group, lane);
    if group.y > 0u { return; }
    let quads = (Z + 3u) / 4u;
    for (var e = group.x * INVOCATIONS + lane; e < BATCH * quads; e += groups.x * INVOCATIONS) {
        let image = e / quads;
        let quad = e % quads;
        let draws = unit_normals(clock[POSITION] + image, clock[SAMPLE], quad);
        store_draw(image, 4u * quad, draws.x);
        store_draw(image, 4u * quad + 1u, draws.y);
        store_draw(image, 4u * quad + 2u, draws.z);
        store_draw(image, 4u * quad + 3u, draws.w);
    }
    for (var first = group.x * IMAGES; first < BATCH; first += groups.x * IMAGES) {
        let image = first + lane / LANES;
        var sum = 0.0;
        for (var unit = lane % LANES; unit < Z; unit += LANES) {
            let mu = mean(min(image, BATCH - 1u), unit);
            let l = log_variance(min(image, BATCH - 1u), unit);
            sum += mu * mu + (exp(l) - 1.0 - l);
        }
        kl_parts[lane] = sum;
        workgroupBarrier();
        if (lane % LANES == 0u) & (image < BATCH) {
            var total = 0.0;
            for (var part = 0u; part < LANES; part++) { total += kl_parts[lane + part]; }
            kl[image] = 0.5 * total;
        }
        workgroupBarrier();
    }
}
