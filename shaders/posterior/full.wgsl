// q(z|x) = N(mu, L L^T), L lower triangular: e^(l/2) on its diagonal, C below it. heads = [mu | l | C], C row by row, so that
// the entry in row i and column j < i is head 2 Z + i (i - 1) / 2 + j.
//   full_sample   z_k = mu + L eps_k, eps_k ~ N(0, I): the noise of posterior.sample
//   full_kl       KL(q || N(0, I)) = 1/2 sum over units of mu^2 + e^l - 1 - l and the squares of their rows of C
//   full_kl_of_units   the mean over the minibatch of each unit's part of it: what its q given the units before it costs
//   full_backward      d_mu = sum_k d_z - w mu,  d_l = sum_k 1/2 d_z e^(l/2) eps - w/2 (e^l - 1),
//                      d_C_ij = sum_k d_z_i eps_j - w C_ij;  w = beta / B, the weight of one image's KL
//   full_backward_free_bits  the same with w = 0 in the rows of units whose part is below FREE_BITS
//   full_backward_sampled    where the KL is log q(z|x) - log p(z) at the samples, u_k beta times the row's weight: the same
//                      with w = 0 of d_z - u_k z, and d_l also gets sum_k u_k / 2
//   full_path          that without the score of q, for full_backward with KL = 0: g_k = d_z - u_k z + u_k s, L^T s = eps
//                      (sticking the landing), or that times B weight_k, the normalized importance weight (doubly
//                      reparameterized)
//   full_marginals     [mu | ln (e^l + the squares of the row of C)], each unit by itself
// Row b*K + k of z is sample k of image b. l is clamped to [-30, 20]; beyond, its gradient is zero.
// Grid: full_sample: x over blocks of units, y over rows of z; full_kl, full_kl_of_units, full_path: a workgroup an
// image, a unit, a row; the others: x over heads or units, y over images. Sums over columns, k, units or images in ascending
// or tree order; L^T s = eps from its last row up.
#import clock
#import log_variance
#import normal
#import philox
#import rates
#import reduce
#import unit_normal

/// images of the minibatch
override B: u32;
/// images of the data set
override N: u32;
/// samples an image
override K: u32;
/// latent units
override Z: u32;
/// heads, 2 Z + Z (Z - 1) / 2
override H: u32;
/// which stream of noise
override STREAM: u32;
/// 1 to sample, 0 to take the mean
override NOISE: f32 = 1.0;
/// nats of a unit's KL that cost nothing
override FREE_BITS: f32;
/// 0 where what arrives at the samples has the KL's gradient
override KL: f32 = 1.0;
/// 1 sticking the landing, 2 doubly reparameterized
override ESTIMATOR: u32;
override WORKGROUP: u32 = 64u;

/// (B, H) [mu | l | C]
@group(0) @binding(0) var<storage, read> heads: array<f32>;
/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read_write> eps: array<f32>;
/// (B*K, Z)
@group(0) @binding(3) var<storage, read_write> z: array<f32>;

/// (B) nats
@group(0) @binding(1) var<storage, read_write> kl: array<f32>;
/// (Z) nats
@group(0) @binding(1) var<storage, read_write> kl_units: array<f32>;
/// (B, 2*Z) [mean | log variance] of each unit
@group(0) @binding(1) var<storage, read_write> marginals: array<f32>;

/// (B*K, Z)
@group(0) @binding(1) var<storage, read> noise: array<f32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read> d_z: array<f32>;
/// (B, H) [d_mu | d_l | d_C]
@group(0) @binding(3) var<storage, read_write> d_heads: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(4) var<storage, read> rates: array<f32>;
/// (Z) nats
@group(0) @binding(5) var<storage, read> unit_kl: array<f32>;
/// (B*K) of the row in the objective
@group(0) @binding(5) var<storage, read> weight: array<f32>;
/// (B*K, Z)
@group(0) @binding(6) var<storage, read> samples: array<f32>;
/// (B*K, Z)
@group(0) @binding(7) var<storage, read_write> g: array<f32>;

/// The noise of as many units as there are lanes.
var<workgroup> block: array<f32, WORKGROUP>;
/// What is left of a row of noise; Z is 1024 at most.
var<workgroup> left: array<f32, 1024>;

fn mean(image: u32, unit: u32) -> f32 { return heads[image * H + unit]; }

fn log_variance(image: u32, unit: u32) -> f32 {
    return clamp_log_variance(heads[image * H + Z + unit]);
}

/// Where a unit's row of C begins among the heads of all images.
fn row_of(image: u32, unit: u32) -> u32 { return image * H + 2u * Z + unit * (unit - 1u) / 2u; }

/// The row of C that its element `e` lies in: the i with i (i - 1) / 2 <= e < (i + 1) i / 2. From one below the rounded root.
fn unit_of(e: u32) -> u32 {
    var i = u32(0.5 * (1.0 + sqrt(1.0 + 8.0 * f32(e)))) - 1u;
    while (i + 1u) * i / 2u <= e { i += 1u; }
    return i;
}

/// The sum of the squares of a unit's row of C.
fn squares(image: u32, unit: u32) -> f32 {
    var sum = 0.0;
    for (var j = 0u; j < unit; j++) {
        let c = heads[row_of(image, unit) + j];
        sum += c * c;
    }
    return sum;
}

/// Twice a unit's part of the KL.
fn part_of(image: u32, unit: u32) -> f32 {
    let mu = mean(image, unit);
    let l = log_variance(image, unit);
    return mu * mu + squares(image, unit) + (exp(l) - 1.0 - l);
}

fn draw(row: u32, unit: u32) -> f32 {
    return NOISE * unit_normal(clock[POSITION] + row / K, clock[SAMPLE] + row % K, unit);
}

@compute @workgroup_size(WORKGROUP)
fn full_sample(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.y;
    let unit = group.x * WORKGROUP + lane;
    if row >= B * K { return; }
    let image = row / K;
    var sum = 0.0;
    for (var first = 0u; first <= group.x * WORKGROUP; first += WORKGROUP) {
        workgroupBarrier();
        block[lane] = draw(row, first + lane);
        workgroupBarrier();
        if unit < Z {
            for (var j = first; j < min(unit, first + WORKGROUP); j++) {
                sum += heads[row_of(image, unit) + j] * block[j - first];
            }
        }
    }
    if unit >= Z { return; }
    // the last block was the unit's own
    eps[row * Z + unit] = block[lane];
    z[row * Z + unit] = mean(image, unit) + (sum + exp(0.5 * log_variance(image, unit)) * block[lane]);
}

@compute @workgroup_size(WORKGROUP)
fn full_kl(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = group.x + group.y * groups.x;
    var part = 0.0;
    if image < B {
        for (var unit = lane; unit < Z; unit += WORKGROUP) { part += part_of(image, unit); }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && image < B { kl[image] = 0.5 * total; }
}

@compute @workgroup_size(WORKGROUP)
fn full_kl_of_units(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let unit = group.x + group.y * groups.x;
    var part = 0.0;
    if unit < Z {
        for (var image = lane; image < B; image += WORKGROUP) { part += part_of(image, unit); }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && unit < Z { kl_units[unit] = 0.5 * total / f32(B); }
}

@compute @workgroup_size(WORKGROUP)
fn full_marginals(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let image = id.y;
    if unit >= Z || image >= B { return; }
    let variance = exp(log_variance(image, unit)) + squares(image, unit);
    marginals[image * 2u * Z + unit] = mean(image, unit);
    marginals[image * 2u * Z + Z + unit] = log(variance);
}

/// The unit whose row of [mu | l | C] a head is in.
fn unit_of_head(head: u32) -> u32 {
    if head < 2u * Z { return head % Z; }
    return unit_of(head - 2u * Z);
}

/// The unit by whose noise a head moves the unit of its row.
fn column_of(head: u32) -> u32 {
    if head < 2u * Z { return head % Z; }
    let unit = unit_of_head(head);
    return head - 2u * Z - unit * (unit - 1u) / 2u;
}

/// At l, from that at e^(l/2) eps; zero beyond the bounds of l.
fn at_log_variance(raw: f32, through: f32, kl: f32) -> f32 {
    let l = clamp_log_variance(raw);
    return select(0.0, 1.0, l == raw) * (0.5 * exp(0.5 * l) * through + kl);
}

/// The gradient at a head, of a KL of this weight.
fn at_head(head: u32, image: u32, kl_weight: f32) -> f32 {
    let value = heads[image * H + head];
    let unit = unit_of_head(head);
    let column = column_of(head);
    var sum = 0.0;
    for (var k = 0u; k < K; k++) {
        let row = (image * K + k) * Z;
        sum += d_z[row + unit] * select(noise[row + column], 1.0, head < Z);
    }
    if head < Z || head >= 2u * Z { return sum - kl_weight * value; }
    return at_log_variance(value, sum, -0.5 * kl_weight * (exp(clamp_log_variance(value)) - 1.0));
}

@compute @workgroup_size(WORKGROUP)
fn full_backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= H || id.y >= B { return; }
    d_heads[id.y * H + id.x] = at_head(id.x, id.y, KL * rates[KL_WEIGHT] / f32(B));
}

@compute @workgroup_size(WORKGROUP)
fn full_backward_free_bits(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= H || id.y >= B { return; }
    let free = unit_kl[unit_of_head(id.x)] < FREE_BITS;
    d_heads[id.y * H + id.x] = at_head(id.x, id.y, select(rates[KL_WEIGHT] / f32(B), 0.0, free));
}

@compute @workgroup_size(WORKGROUP)
fn full_backward_sampled(@builtin(global_invocation_id) id: vec3<u32>) {
    let head = id.x;
    let image = id.y;
    if head >= H || image >= B { return; }
    let unit = unit_of_head(head);
    let column = column_of(head);
    var sum = 0.0;
    var direct = 0.0;
    for (var k = 0u; k < K; k++) {
        let row = image * K + k;
        let u = rates[KL_WEIGHT] * weight[row];
        let g = d_z[row * Z + unit] - u * samples[row * Z + unit];
        sum += g * select(noise[row * Z + column], 1.0, head < Z);
        direct += u;
    }
    if head >= Z && head < 2u * Z { sum = at_log_variance(heads[image * H + head], sum, 0.5 * direct); }
    d_heads[image * H + head] = sum;
}

@compute @workgroup_size(WORKGROUP)
fn full_path(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= B * K { return; }
    let image = row / K;
    // A lane owns its units. What is left of a unit, divided by its entry of the diagonal, is s.
    for (var unit = lane; unit < Z; unit += WORKGROUP) { left[unit] = noise[row * Z + unit]; }
    for (var i = Z - 1u; i > 0u; i--) {
        workgroupBarrier();
        let s = left[i] / exp(0.5 * log_variance(image, i));
        for (var j = lane; j < i; j += WORKGROUP) { left[j] -= heads[row_of(image, i) + j] * s; }
    }
    let w = weight[row];
    let u = rates[KL_WEIGHT] * w;
    for (var unit = lane; unit < Z; unit += WORKGROUP) {
        let e = row * Z + unit;
        let s = left[unit] / exp(0.5 * log_variance(image, unit));
        let at = d_z[e] - u * samples[e] + u * s;
        g[e] = at * select(1.0, f32(B) * w, ESTIMATOR == 2u);
    }
}
