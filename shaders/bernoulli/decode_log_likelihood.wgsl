// The decoder's last layer and the Bernoulli log-likelihood of its logits, which are stored nowhere: what
// bernoulli.decode computes, without the gradient.
//   eta = h W^T + b
//   log p(x|z) in parts of 32 pixels: sum of x eta - softplus(eta); sample k of image b is row b*K + k
// Numerics as in bernoulli.decode.
// Who owns what: a workgroup owns its parts of log_px.
// Grid: x over tiles of rows, y over tiles of pixels.
#import product_sums

/// images
override BATCH: u32;
/// samples an image
override K: u32;
/// pixels
override D: u32;
/// inputs of the layer
override I: u32;

/// (BATCH*K, I) the layer's input
@group(0) @binding(0) var<storage, read> h: array<f32>;
/// (D, I)
@group(0) @binding(1) var<storage, read> weight: array<f32>;
/// (D)
@group(0) @binding(2) var<storage, read> bias: array<f32>;
/// (BATCH, D) pixels in [0, 1]
@group(0) @binding(3) var<storage, read> x: array<f32>;
/// (BATCH*K, D/32) nats
@group(0) @binding(4) var<storage, read_write> log_px: array<f32>;

fn rows() -> u32 { return BATCH * K; }
fn columns() -> u32 { return D; }
fn inner() -> u32 { return I; }

const LEFT_ALONG_INNER = true;
fn left(row: u32, k: u32) -> f32 { return h[row * I + k]; }
fn left_scale() -> f32 { return 1.0; }

const RIGHT_ALONG_INNER = true;
fn right(k: u32, column: u32) -> f32 { return weight[column * I + k]; }

struct Fetched {
    bias: f32,
    pixel: f32,
}

fn fetch(row: u32, column: u32) -> Fetched {
    return Fetched(bias[column], x[row / K * D + column]);
}

fn score(_row: u32, _column: u32, v: f32, fetched: Fetched) -> vec2<f32> {
    let eta = v + fetched.bias;
    let pixel = fetched.pixel;
    return vec2<f32>(pixel * eta - select(eta, 0.0, eta < 0.0), 1.0 + exp(-abs(eta)));
}

fn finish_row(row: u32, part: u32, score: vec2<f32>) {
    log_px[row * ((D + PART - 1u) / PART) + part] = score.x - log(score.y);
}

@compute @workgroup_size(INVOCATIONS)
fn decode_log_likelihood(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    product_and_sums(group, lane);
}
