// The approximate posterior q(z|x) = N(mu, diag e^l), l = log variance, heads = [mu | l].
//   sample    z_k = mu + e^(l/2) eps_k,  eps_k ~ N(0, I) from Philox   (reparameterization)
//   gaussian_kl  KL(q || N(0, I)) = 1/2 sum over units of mu^2 + e^l - 1 - l
//   kl_of_units  the mean over the minibatch of each unit's part of that KL
//   backward  d_mu = sum_k d_z - w mu,  d_l = sum_k 1/2 d_z e^(l/2) eps - w/2 (e^l - 1)
//             w = beta / B, the weight of one image's KL in the objective
//   backward_free_bits  the same with w = 0 for units whose mean KL is below FREE_BITS
//   backward_sampled    where the KL is log q(z|x) - log p(z) at the samples, u_k beta times the row's weight:
//     reparameterized         g_k = d_z - u_k z,  d_l also gets sum_k u_k / 2
//     sticking the landing    g_k = d_z - u_k z + u_k eps e^(-l/2), without the score of q
//     doubly reparameterized  the same times B weight_k, the normalized importance weight
//     d_mu = sum_k g_k,  d_l = sum_k 1/2 g_k e^(l/2) eps
// Row b*K + k of z is sample k of image b. l is clamped to [-30, 20]; beyond, its gradient is zero.
// Grid: sample: x over groups of four units, y over rows of z. gaussian_kl: a workgroup a row. kl_of_units: a workgroup
// a unit. The others: x over units, y over images. Sums over k, units or images in ascending or tree order.
#import clock
#import log_variance
#import normal
#import philox
#import rates
#import reduce

/// images of the minibatch
override B: u32;
/// images of the data set
override N: u32;
/// samples an image
override K: u32;
/// latent units
override Z: u32;
/// which stream of noise
override STREAM: u32;
/// 1 to sample, 0 to take the mean
override NOISE: f32 = 1.0;
/// nats of a unit's KL that cost nothing
override FREE_BITS: f32;
/// 0 reparameterized, 1 sticking the landing, 2 doubly reparameterized
override ESTIMATOR: u32;
override WORKGROUP: u32 = 64u;

/// (B, 2*Z) [mu | l]
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

/// (B*K, Z)
@group(0) @binding(1) var<storage, read> noise: array<f32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read> d_z: array<f32>;
/// (B, 2*Z) [d_mu | d_l]
@group(0) @binding(3) var<storage, read_write> d_heads: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(4) var<storage, read> rates: array<f32>;
/// (Z) nats
@group(0) @binding(5) var<storage, read> unit_kl: array<f32>;
/// (B*K) of the row in the objective
@group(0) @binding(5) var<storage, read> weight: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn sample(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    let row = id.y;
    if quad * 4u >= Z || row >= B * K { return; }
    let image = row / K;
    let place = clock[POSITION] + image;
    let bits = philox(
        counter_of(clock[EPOCH] + place / N, place % N, clock[SAMPLE] + row % K, STREAM, quad),
        vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]),
    );
    let e = NOISE * normal4(bits);
    for (var j = 0u; j < min(4u, Z - quad * 4u); j++) {
        let unit = quad * 4u + j;
        let mu = heads[image * 2u * Z + unit];
        let l = clamp_log_variance(heads[image * 2u * Z + Z + unit]);
        eps[row * Z + unit] = e[j];
        z[row * Z + unit] = mu + exp(0.5 * l) * e[j];
    }
}

@compute @workgroup_size(WORKGROUP)
fn gaussian_kl(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var part = 0.0;
    if row < B {
        for (var unit = lane; unit < Z; unit += WORKGROUP) {
            let mu = heads[row * 2u * Z + unit];
            let l = clamp_log_variance(heads[row * 2u * Z + Z + unit]);
            part += mu * mu + (exp(l) - 1.0 - l);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && row < B { kl[row] = 0.5 * total; }
}

@compute @workgroup_size(WORKGROUP)
fn kl_of_units(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let unit = group.x + group.y * groups.x;
    var part = 0.0;
    if unit < Z {
        for (var image = lane; image < B; image += WORKGROUP) {
            let mu = heads[image * 2u * Z + unit];
            let l = clamp_log_variance(heads[image * 2u * Z + Z + unit]);
            part += mu * mu + (exp(l) - 1.0 - l);
        }
    }
    let total = workgroup_sum(part, lane);
    if lane == 0u && unit < Z { kl_units[unit] = 0.5 * total / f32(B); }
}

@compute @workgroup_size(WORKGROUP)
fn backward(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= Z || id.y >= B { return; }
    backward_of(id.x, id.y, rates[KL_WEIGHT] / f32(B));
}

@compute @workgroup_size(WORKGROUP)
fn backward_free_bits(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= Z || id.y >= B { return; }
    backward_of(id.x, id.y, select(rates[KL_WEIGHT] / f32(B), 0.0, unit_kl[id.x] < FREE_BITS));
}

fn backward_of(unit: u32, image: u32, kl_weight: f32) {
    let mu = heads[image * 2u * Z + unit];
    let raw = heads[image * 2u * Z + Z + unit];
    let l = clamp_log_variance(raw);
    var sum = 0.0;
    var sum_noise = 0.0;
    for (var k = 0u; k < K; k++) {
        let e = (image * K + k) * Z + unit;
        sum += d_z[e];
        sum_noise += d_z[e] * noise[e];
    }
    let inside = select(0.0, 1.0, l == raw);
    d_heads[image * 2u * Z + unit] = sum - kl_weight * mu;
    d_heads[image * 2u * Z + Z + unit] =
        inside * (0.5 * exp(0.5 * l) * sum_noise - 0.5 * kl_weight * (exp(l) - 1.0));
}

@compute @workgroup_size(WORKGROUP)
fn backward_sampled(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let image = id.y;
    if unit >= Z || image >= B { return; }
    let mu = heads[image * 2u * Z + unit];
    let raw = heads[image * 2u * Z + Z + unit];
    let l = clamp_log_variance(raw);
    let sigma = exp(0.5 * l);
    var sum = 0.0;
    var sum_noise = 0.0;
    var direct = 0.0;
    for (var k = 0u; k < K; k++) {
        let row = image * K + k;
        let eps_k = noise[row * Z + unit];
        let w = weight[row];
        let u = rates[KL_WEIGHT] * w;
        var g = d_z[row * Z + unit] - u * (mu + sigma * eps_k);
        if ESTIMATOR == 0u {
            direct += u;
        } else {
            g += u * (eps_k / sigma);
        }
        if ESTIMATOR == 2u { g *= f32(B) * w; }
        sum += g;
        sum_noise += g * eps_k;
    }
    let inside = select(0.0, 1.0, l == raw);
    d_heads[image * 2u * Z + unit] = sum;
    d_heads[image * 2u * Z + Z + unit] = inside * (0.5 * sigma * sum_noise + 0.5 * direct);
}
