// Sums of samples weighted by e^log_w, of as many runs as it takes: sample k of image b is row b*K + k.
//   m' = max(m, max_k log_w), t' = t e^(m - m') + sum_k e^(log_w - m')
//   sums' = sums e^(m - m') + sum_k e^(log_w - m') values
// so that sums / t is the mean of all values so far by normalised weights. No exponential overflows. At first m is the
// least number that there is, t and sums are zero.
// Grid: a workgroup an image; a lane owns its columns of sums, lane 0 m and t. Sums in tree order, of sums in k's.
#import reduce

/// images
override B: u32;
/// samples an image
override K: u32;
/// values of an image
override D: u32;
override WORKGROUP: u32 = 64u;

/// (B*K) nats
@group(0) @binding(0) var<storage, read> log_w: array<f32>;
/// (B*K, D)
@group(0) @binding(1) var<storage, read> values: array<f32>;
/// (B, 2) [m | t]
@group(0) @binding(2) var<storage, read_write> largest: array<f32>;
/// (B, D)
@group(0) @binding(3) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn weighted_mean(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = min(group.x + group.y * groups.x, B - 1u);
    let is_image = group.x + group.y * groups.x < B;
    let before = largest[image * 2u];
    let before_total = largest[image * 2u + 1u];
    storageBarrier(); // all have read what lane 0 is to write
    var part = before;
    for (var k = lane; k < K; k += WORKGROUP) { part = max(part, log_w[image * K + k]); }
    let now = workgroup_max(part, lane);
    part = 0.0;
    for (var k = lane; k < K; k += WORKGROUP) { part += exp(log_w[image * K + k] - now); }
    let total = workgroup_sum(part, lane);
    if !is_image { return; }
    let scale = exp(before - now);
    for (var d = lane; d < D; d += WORKGROUP) {
        var sum = sums[image * D + d] * scale;
        for (var k = 0u; k < K; k += 1u) {
            sum += exp(log_w[image * K + k] - now) * values[(image * K + k) * D + d];
        }
        sums[image * D + d] = sum;
    }
    if lane == 0u {
        largest[image * 2u] = now;
        largest[image * 2u + 1u] = before_total * scale + total;
    }
}
