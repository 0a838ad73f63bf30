// Importance weights of samples from q; sample k of image b is row b*K + k.
//   log_weight  log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x)
//             = log p(x|z_k) + 1/2 sum over units of eps_k^2 + l - z_k^2
// because z = mu + L eps with e^(l/2) on the diagonal of L and 0 above it, and both densities have the same factor of 2 pi.
// l is clamped as in posterior.wgsl.
//   normalize   L_K = logsumexp_k log w_k - log K, and each row's weight in the mean of L_K over the
//               images, softmax_k(log w) / B
// The exponentials are of log w minus its maximum over k, so that they cannot overflow.
// Grid: log_weight: a workgroup a row, normalize: a workgroup an image; lane 0 owns log_w and bound, a
// lane its rows of weight. Sums in tree order.
#import reduce
#import log_variance

/// images of the minibatch
override B: u32;
/// samples an image
override K: u32;
/// latent units
override Z: u32;
/// heads of q
override H: u32;
override WORKGROUP: u32 = 64u;

/// (B*K) log p(x|z), nats
@group(0) @binding(0) var<storage, read> log_px: array<f32>;
/// (B, H) [mu | l], and what else q has
@group(0) @binding(1) var<storage, read> heads: array<f32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read> eps: array<f32>;
/// (B*K, Z)
@group(0) @binding(3) var<storage, read> z: array<f32>;
/// (B*K) nats
@group(0) @binding(4) var<storage, read_write> log_w: array<f32>;

/// (B*K) nats
@group(0) @binding(0) var<storage, read> log_weights: array<f32>;
/// (B*K)
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
/// (B) nats
@group(0) @binding(2) var<storage, read_write> bound: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn log_weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var part = 0.0;
    if row < B * K {
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let e = eps[row * Z + unit];
            let v = z[row * Z + unit];
            let l = clamp_log_variance(heads[row / K * H + Z + unit]);
            part += e * e + l - v * v;
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B * K { log_w[row] = log_px[row] + 0.5 * total; }
}

@compute @workgroup_size(WORKGROUP)
fn normalize(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = group.x + group.y * groups.x;
    var part = -3.4028234e38;
    if image < B {
        for (var k = lane; k < K; k += WORKGROUP) {
            let v = log_weights[image * K + k];
            if v > part { part = v; }
        }
    }
    let largest = workgroup_max(part, lane);
    part = 0.0;
    if image < B {
        for (var k = lane; k < K; k += WORKGROUP) { part += exp(log_weights[image * K + k] - largest); }
    }
    let total = workgroup_sum(part, lane);
    if image >= B { return; }
    for (var k = lane; k < K; k += WORKGROUP) {
        weight[image * K + k] = exp(log_weights[image * K + k] - largest) / (total * f32(B));
    }
    if lane == 0u { bound[image] = largest + (log(total) - log(f32(K))); }
}
