// A prior that is the mean of C Gaussians with diagonal covariances, as the VampPrior is (Tomczak and Welling 2018):
//   p(z) = 1/C sum_c N(z; m_c, diag e^l_c),  components = [m | l]
// Its density is relative to that of N(0, I), h(z) = log p(z) - log N(z; 0, I), so that a factor of 2 pi cancels:
//   a_c(z) = 1/2 sum over units of z^2 - (z - m)^2 e^-l - l,  h = logsumexp_c a_c - log C
//   density    h of each row; a lane keeps the largest a_c so far and the sum of e^a over that, no (rows, C) is stored
//   responsibilities  r_c(z) = u e^(a_c - log C - h), u beta times the row's weight in the objective
//   backward_sample  d_z + u dh/dz = d_z + sum_c r_c (z + (m - z) e^-l)
//   backward_components  d_m = sum over rows of r_c (z - m) e^-l,  d_l = 1/2 sum over rows of r_c ((z - m)^2 e^-l - 1)
//   divergence KL(q || N(0, I)) - mean_k h(z_k), of which the mean is KL(q || p)
//   sample     a component, each as likely, then z = m + e^(l/2) eps; both from Philox
// Row b*K + k is sample k of image b. l is clamped as in posterior.wgsl; beyond, its gradient is zero.
// Grid: density: a workgroup a row. responsibilities: x over components, y over rows. backward_sample: x over units, y over
// rows; backward_components: y over components. divergence: x over images. sample: x over groups of four units, y over rows. An
// invocation owns its element. Sums over rows or components in ascending order, those of density in tree order.
#import clock
#import log_variance
#import normal
#import philox
#import rates
#import reduce

/// rows
override R: u32;
/// images
override B: u32;
/// samples an image
override K: u32;
/// components
override C: u32;
/// latent units
override Z: u32;
/// which stream of noise
override STREAM: u32;
override WORKGROUP: u32 = 64u;

/// (C, 2*Z) [m | l]
@group(0) @binding(0) var<storage, read> components: array<f32>;
/// (R, Z)
@group(0) @binding(1) var<storage, read> z: array<f32>;
/// (R) nats
@group(0) @binding(2) var<storage, read_write> log_ratio: array<f32>;

/// (R) h, nats
@group(0) @binding(2) var<storage, read> ratio: array<f32>;
/// (R) of the row in the objective
@group(0) @binding(3) var<storage, read> weight: array<f32>;
/// (4) learning rate, two corrections of Adam, beta
@group(0) @binding(4) var<storage, read> rates: array<f32>;
/// (R, C)
@group(0) @binding(5) var<storage, read_write> responsibility: array<f32>;

/// (R, C)
@group(0) @binding(2) var<storage, read> shares: array<f32>;
/// (R, Z)
@group(0) @binding(3) var<storage, read> d_z: array<f32>;
/// (R, Z)
@group(0) @binding(4) var<storage, read_write> d_both: array<f32>;
/// (C, 2*Z) [d_m | d_l]
@group(0) @binding(3) var<storage, read_write> d_components: array<f32>;

/// (B) KL(q || N(0, I)), nats
@group(0) @binding(0) var<storage, read> to_normal: array<f32>;
/// (B*K) h, nats
@group(0) @binding(1) var<storage, read> ratios: array<f32>;
/// (B) nats
@group(0) @binding(2) var<storage, read_write> kl: array<f32>;

/// (8) seed low, seed high, step, epoch, position, samples before these
@group(0) @binding(1) var<storage, read> clock: array<u32>;
/// (B*K, Z)
@group(0) @binding(2) var<storage, read_write> drawn: array<f32>;

/// Log variance of a unit of a component.
fn log_variance(c: u32, unit: u32) -> f32 {
    return clamp_log_variance(components[c * 2u * Z + Z + unit]);
}

/// a_c(z) of a row
fn relative(row: u32, c: u32) -> f32 {
    var sum = 0.0;
    for (var unit = 0u; unit < Z; unit++) {
        let v = z[row * Z + unit];
        let far = v - components[c * 2u * Z + unit];
        let l = log_variance(c, unit);
        sum += v * v - far * far * exp(-l) - l;
    }
    return 0.5 * sum;
}

@compute @workgroup_size(WORKGROUP)
fn density(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = group.x + group.y * groups.x;
    var largest = -3.4028234e38;
    var sum = 0.0;
    if row < R {
        for (var c = lane; c < C; c += WORKGROUP) {
            let a = relative(row, c);
            if a > largest {
                sum = sum * exp(largest - a) + 1.0;
                largest = a;
            } else {
                sum += exp(a - largest);
            }
        }
    }
    let most = workgroup_max(largest, lane);
    let total = workgroup_sum(sum * exp(largest - most), lane);
    if lane == 0u && row < R { log_ratio[row] = most + (log(total) - log(f32(C))); }
}

@compute @workgroup_size(WORKGROUP)
fn responsibilities(@builtin(global_invocation_id) id: vec3<u32>) {
    let c = id.x;
    let row = id.y;
    if c >= C || row >= R { return; }
    let u = rates[KL_WEIGHT] * weight[row];
    responsibility[row * C + c] = u * exp(relative(row, c) - ratio[row] - log(f32(C)));
}

@compute @workgroup_size(WORKGROUP)
fn backward_sample(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let row = id.y;
    if unit >= Z || row >= R { return; }
    let v = z[row * Z + unit];
    var sum = 0.0;
    for (var c = 0u; c < C; c++) {
        let nearer = (components[c * 2u * Z + unit] - v) * exp(-log_variance(c, unit));
        sum += shares[row * C + c] * (v + nearer);
    }
    d_both[row * Z + unit] = d_z[row * Z + unit] + sum;
}

@compute @workgroup_size(WORKGROUP)
fn backward_components(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let c = id.y;
    if unit >= Z || c >= C { return; }
    let m = components[c * 2u * Z + unit];
    let raw = components[c * 2u * Z + Z + unit];
    let l = clamp_log_variance(raw);
    let precision_of_unit = exp(-l);
    var sum = 0.0;
    var sum_squares = 0.0;
    for (var row = 0u; row < R; row++) {
        let far = z[row * Z + unit] - m;
        let share = shares[row * C + c];
        sum += share * far;
        sum_squares += share * (far * far * precision_of_unit - 1.0);
    }
    let inside = select(0.0, 1.0, l == raw);
    d_components[c * 2u * Z + unit] = precision_of_unit * sum;
    d_components[c * 2u * Z + Z + unit] = inside * (0.5 * sum_squares);
}

@compute @workgroup_size(WORKGROUP)
fn divergence(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let image = (group.x + group.y * groups.x) * WORKGROUP + lane;
    if image >= B { return; }
    var sum = 0.0;
    for (var k = 0u; k < K; k++) { sum += ratios[image * K + k]; }
    kl[image] = to_normal[image] - sum / f32(K);
}

@compute @workgroup_size(WORKGROUP)
fn sample(@builtin(global_invocation_id) id: vec3<u32>) {
    let quad = id.x;
    let row = id.y;
    if quad * 4u >= Z || row >= B * K { return; }
    let key = vec2<u32>(clock[SEED_LOW], clock[SEED_HIGH]);
    let place = clock[POSITION] + row / K;
    let k = clock[SAMPLE] + row % K;
    // The group behind those of the units.
    let choice = philox(counter_of(clock[EPOCH], place, k, STREAM, (Z + 3u) / 4u), key);
    let c = choice.x % C;
    let e = normal4(philox(counter_of(clock[EPOCH], place, k, STREAM, quad), key));
    for (var j = 0u; j < min(4u, Z - quad * 4u); j++) {
        let unit = quad * 4u + j;
        let sigma = exp(0.5 * log_variance(c, unit));
        drawn[row * Z + unit] = components[c * 2u * Z + unit] + sigma * e[j];
    }
}
